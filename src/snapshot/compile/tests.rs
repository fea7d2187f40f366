//! Whole files with faults of several phases, and what is said of them.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Depth, compile};
use crate::config::fixtures::{expect_reports, toml_files};
use crate::config::{Code, Colour, Secrets, load};

/// What is said of a configuration, which must not come to anything.
fn report(path: &Path) -> String {
    let compiled = compile(load(path, Secrets::Create), Depth::Advise);
    assert!(compiled.snapshot.is_none() && compiled.failing.is_none(), "{}", path.display());
    compiled.diagnostics.render(Colour::Plain)
}

#[test]
fn the_faults_of_all_phases_are_told_at_once() {
    expect_reports("tests/config/compiled", report);
}

#[test]
fn what_is_lowered_with_faults_is_compiled_and_never_taken() {
    for path in toml_files("tests/config/bad") {
        assert!(!report(&path).contains("hunter2"), "{}", path.display());
    }
}

#[test]
fn every_fault_alone_is_one_finding_with_its_code() {
    expect_reports("tests/config/faults", |path| {
        compile(load(path, Secrets::Create), Depth::Advise).diagnostics.to_string()
    });
    let mut shown = BTreeSet::new();
    let mut wrong = String::new();
    for path in toml_files("tests/config/faults") {
        let compiled = compile(load(&path, Secrets::Create), Depth::Advise);
        let codes: Vec<_> = compiled.diagnostics.iter().map(|finding| finding.code).collect();
        let name = path.file_name().unwrap().to_string_lossy().to_uppercase();
        match codes[..] {
            [code] if name.starts_with(&format!("{code}_")) => drop(shown.insert(code)),
            _ => wrong += &format!("{name}: {codes:?}\n{}\n", compiled.diagnostics),
        }
    }
    assert!(wrong.is_empty(), "not one finding with the code in the file's name:\n{wrong}");
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !shown.contains(code)).collect();
    assert!(missing.is_empty(), "no file shows {missing:?}");
}
