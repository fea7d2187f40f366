//! Whole files: fixtures with their expected reports, and the reference.

use std::path::PathBuf;

use super::{Colour, load};

/// Set to write the reports of `tests/config/bad` instead of comparing them.
const BLESS: &str = "UPDATE";

fn toml_files(folder: &str) -> Vec<PathBuf> {
    // Tests run in the folder of the package, so paths in reports are relative to it.
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    files
}

#[test]
fn good_files_load_without_findings() {
    for path in toml_files("tests/config/good") {
        let loaded = load(&path);
        assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics);
        assert!(loaded.config.is_some());
    }
}

#[test]
fn bad_files_are_refused_with_the_expected_report() {
    let bless = std::env::var_os(BLESS).is_some();
    let mut wrong = String::new();
    for path in toml_files("tests/config/bad") {
        let report = load(&path).diagnostics.to_string();
        let expected = path.with_extension("stderr");
        if bless {
            std::fs::write(&expected, &report).unwrap();
        } else if report != std::fs::read_to_string(&expected).unwrap_or_default() {
            wrong += &format!("{}\n{report}\n", expected.display());
        }
    }
    assert!(wrong.is_empty(), "other reports than expected; {BLESS}=1 writes them:\n{wrong}");
}

#[test]
fn no_report_shows_a_literal_secret() {
    for path in toml_files("tests/config/bad") {
        assert!(!load(&path).diagnostics.render(Colour::Ansi).contains("hunter2"), "{}", path.display());
    }
}
