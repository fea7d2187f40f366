//! Whole files with faults of several phases, and what is said of them.

use std::path::Path;

use super::{Depth, compile};
use crate::config::fixtures::{expect_reports, toml_files};
use crate::config::{Colour, load};

/// What is said of a configuration, which must not come to anything.
fn report(path: &Path) -> String {
    let compiled = compile(load(path), Depth::Advise);
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
