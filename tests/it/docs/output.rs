//! What the guide to rules shows of the program is what it prints, of the quickstart with one thing changed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::page::{Block, Page};
use super::pattern;
use crate::support::{err, fanfare, out, run_with_input};

const CONFIG: &str = "examples/quickstart/fanfare.toml";

/// What is changed, the arguments, and how the block begins that shows what is printed then.
const SHOWN: [(&str, &str, &[&str], &str); 5] = [
    ("priority = 310", "priority = 300", &["check"], "error[F309]"),
    ("rules = [\"ops-maintenance\"]", "rules = [\"ops\"]", &["check"], "error[F801]"),
    ("rules = [\"ops-maintenance\"]", "rules = [\"ops\"]", &["test", "spared"], "FAILED  operators"),
    ("priority = 110", "priority = 90", &["check"], "warning[F705]"),
    ("= \"info\", during", "= { starts_with = \"routine\" }, during", &["check"], "warning[F704]"),
];

/// The quickstart with a change, and all that it needs.
fn changed(from: &str, to: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for source in ["examples/quickstart", "schemas", "plugins"] {
        fs::create_dir_all(folder.path().join(source)).unwrap();
        for entry in fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join(&path)).unwrap();
        }
    }
    let config = fs::read_to_string(CONFIG).unwrap();
    assert!(config.contains(from), "{from}");
    fs::write(folder.path().join(CONFIG), config.replacen(from, to, 1)).unwrap();
    folder
}

fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = fanfare(arguments);
    command.args(["--config", CONFIG]).current_dir(folder);
    command
}

/// Whether a block is word for word in what was printed, but for times that were measured.
fn expect(block: &Block, output: &Output) {
    let plain = |text: &str| pattern(r"\d+ us\b").replace_all(text, "N us").into_owned();
    let printed = plain(&format!("{}{}", out(output), err(output)));
    assert!(printed.contains(&plain(&block.text)), "docs/rules.md:{} is not in\n{printed}", block.line);
}

#[test]
fn the_guide_to_rules_shows_what_is_printed() {
    let page = Page::all().into_iter().find(|page| page.path == Path::new("docs/rules.md")).unwrap();
    let blocks: Vec<&Block> = page.blocks.iter().filter(|block| block.language == "text").collect();
    let block = |start: &str| *blocks.iter().find(|block| block.text.starts_with(start)).unwrap();
    for (from, to, arguments, start) in SHOWN {
        let folder = changed(from, to);
        expect(block(start), &command(arguments, folder.path()).output().unwrap());
    }
    // What is explained is in the command above.
    let typed = page.blocks.iter().find(|block| block.text.starts_with("fanfare explain --config")).unwrap();
    let input = pattern(r"(?s)<<'J'\n(.*)J\n").captures(&typed.text).unwrap()[1].to_owned();
    let folder = changed("", "");
    let explain = command(&["explain", "--at", "2026-03-29T01:30:00Z", "-"], folder.path());
    expect(block("revision "), &run_with_input(explain, &input));
    assert_eq!(blocks.len(), SHOWN.len() + 1, "a block shows what nothing here prints");
}
