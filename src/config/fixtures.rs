//! Folders of configurations and the reports that tests expect of them.

use std::fs;
use std::path::{Path, PathBuf};

/// Set to write the expected reports instead of comparing with them.
const BLESS: &str = "UPDATE";

/// The configurations in `folder`, in order.
pub(crate) fn toml_files(folder: &str) -> Vec<PathBuf> {
    // Tests run in the folder of the package, so paths in reports are relative to it.
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    files
}

/// Compares the report of each configuration in `folder` with the `.stderr` beside it.
pub(crate) fn expect_reports(folder: &str, report: impl Fn(&Path) -> String) {
    let bless = std::env::var_os(BLESS).is_some();
    let mut wrong = String::new();
    for path in toml_files(folder) {
        let report = report(&path);
        let expected = path.with_extension("stderr");
        if bless {
            fs::write(&expected, &report).unwrap();
        } else if report != fs::read_to_string(&expected).unwrap_or_default() {
            wrong += &format!("{}\n{report}\n", expected.display());
        }
    }
    assert!(wrong.is_empty(), "other reports than expected; {BLESS}=1 writes them:\n{wrong}");
}
