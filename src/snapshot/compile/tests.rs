//! Whole files with faults of several phases, and what is said of them.

use std::fs;
use std::path::PathBuf;

use super::compile;
use crate::config::{Colour, load};

/// Set to write the reports of `tests/config/compiled` instead of comparing them.
const BLESS: &str = "UPDATE";

/// The report of each configuration in `folder`; none of them may come to anything.
fn reports(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let report = |path: PathBuf| {
        let compiled = compile(load(&path));
        assert!(compiled.snapshot.is_none() && compiled.failing.is_none(), "{}", path.display());
        let report = compiled.diagnostics.render(Colour::Plain);
        (path, report)
    };
    files.into_iter().map(report).collect()
}

#[test]
fn the_faults_of_all_phases_are_told_at_once() {
    let bless = std::env::var_os(BLESS).is_some();
    let mut wrong = String::new();
    for (path, report) in reports("tests/config/compiled") {
        let expected = path.with_extension("stderr");
        if bless {
            fs::write(&expected, &report).unwrap();
        } else if report != fs::read_to_string(&expected).unwrap_or_default() {
            wrong += &format!("{}\n{report}\n", expected.display());
        }
    }
    assert!(wrong.is_empty(), "other reports than expected; {BLESS}=1 writes them:\n{wrong}");
}

#[test]
fn what_is_lowered_with_faults_is_compiled_and_never_taken() {
    for (path, report) in reports("tests/config/bad") {
        assert!(!report.contains("hunter2"), "{}", path.display());
    }
}
