//! The shape of the source, which no compiler keeps: who may import whom, sizes, captions, and the map in the crate's
//! documentation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the ground up. Each may import those of lower rows.
const ROWS: &[&[&str]] = &[
    &["notification", "telemetry"],
    &["config", "stream"],
    &["auth"],
    &["schemas", "routing", "plugins", "limits", "broker", "hub"],
    &["snapshot"],
    &["pipeline", "reload"],
    &["http"],
    &["app"],
    &["cli"],
    &["main"],
];
/// What one module of a row may import from another.
const WITHIN_A_ROW: &[(&str, &str)] = &[("reload", "pipeline")];
const MAX_LINES: usize = 500;

/// A source file of ours.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The files below `folder`, which is named from the root of the repository and may be missing.
    fn all(folder: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut folders = Vec::from_iter(root().join(folder).exists().then(|| PathBuf::from(folder)));
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root().join(&folder)).unwrap().map(Result::unwrap) {
                let path = folder.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    found.push(Self { text: fs::read_to_string(root().join(&path)).unwrap(), path });
                }
            }
        }
        found
    }

    /// The top-level module that a file of `src` belongs to.
    fn module(&self) -> String {
        let below = self.path.strip_prefix("src").unwrap().components().next().unwrap();
        Path::new(below.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
    }

    /// The lines without comments.
    fn code(&self) -> String {
        let lines = self.text.lines().map(|line| line.split("//").next().unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The top-level modules that a file of `src` names, in `crate::a::b` and in `use crate::{a, b::c}`.
    fn imports(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut found = BTreeSet::new();
        for (at, _) in code.match_indices("crate::").chain(code.match_indices("fanfare::")) {
            let path = &code[at..][code[at..].find("::").unwrap() + 2..];
            match path.strip_prefix('{') {
                None => drop(found.insert(word(path))),
                Some(group) => found.extend(group_heads(group)),
            }
        }
        found
    }
}

/// The first words of the paths of a group, up to its closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(word(group[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(word(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

fn may_import(from: &str, to: &str) -> bool {
    match (row(from), row(to)) {
        (Some(upper), Some(lower)) => from == to || lower < upper || WITHIN_A_ROW.contains(&(from, to)),
        _ => false,
    }
}

#[test]
fn imports_go_down_only() {
    let mut faults = Vec::new();
    let mut edges = 0;
    for source in Source::all("src").iter().filter(|source| source.path != Path::new("src/lib.rs")) {
        let from = source.module();
        assert!(row(&from).is_some(), "{} is in no row", source.path.display());
        for to in source.imports() {
            edges += 1;
            if !may_import(&from, &to) {
                faults.push(format!("{} imports {to}, which is not below {from}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(edges > 100, "imports are not found: {edges}");
}

#[test]
fn an_import_is_found_in_every_form() {
    let text = "use crate::auth::{Action, Permit};\nuse crate::{\n    config::{self, At},\n    stream,\n};\n// crate::no\n\
        fn f(x: crate::limits::Quota) {}";
    let source = Source { path: "src/hub/x.rs".into(), text: text.to_owned() };
    assert_eq!(source.imports().into_iter().collect::<Vec<_>>(), ["auth", "config", "limits", "stream"]);
    assert_eq!(source.module(), "hub");
    assert!(may_import("hub", "auth") && !may_import("hub", "broker") && !may_import("hub", "snapshot"));
    assert!(may_import("reload", "pipeline") && !may_import("pipeline", "reload"));
    assert!(!may_import("config", "stream") && !may_import("stream", "config"));
}

#[test]
fn every_file_is_short_and_begins_with_what_it_is() {
    let mut faults = Vec::new();
    let sources = ["src", "tests", "examples", "benches"].into_iter().flat_map(Source::all);
    for source in sources {
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{} has {lines} lines", source.path.display()));
        }
        if !source.text.starts_with("//! ") {
            faults.push(format!("{} does not begin with `//!`", source.path.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The first block of the crate's documentation names every entry of `src`, each with a caption.
#[test]
fn the_map_of_the_house_shows_the_house() {
    let docs = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let block = docs.split("//! ```text\n").nth(1).and_then(|rest| rest.split("//! ```").next()).unwrap();
    let mut shown = BTreeSet::new();
    for line in block.lines() {
        let line = line.strip_prefix("//! ").unwrap();
        let (name, caption) = line.split_once("  ").unwrap_or_else(|| panic!("no caption: {line}"));
        assert!(!caption.trim().is_empty(), "no caption: {line}");
        assert!(shown.insert(name.to_owned()), "shown twice: {name}");
    }
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(root().join("src")).unwrap().map(Result::unwrap) {
        let path = PathBuf::from(entry.file_name());
        there.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    there.remove("lib");
    assert_eq!(shown, there, "left: shown, right: there");
}

/// The files of `src` outside tests that have `text` in their code.
fn with_text(text: &str) -> Vec<String> {
    let has = |source: &Source| {
        let code = source.code();
        code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().contains(text)
    };
    let outside_tests = |source: &Source| !source.path.components().any(|part| part.as_os_str() == "tests");
    let found = Source::all("src").into_iter().filter(|source| outside_tests(source) && has(source));
    found.map(|source| source.path.display().to_string()).collect()
}

#[test]
fn what_only_one_place_may_do_only_that_place_does() {
    // The call is spelt in two parts here, so that a search for it finds the code.
    assert_eq!(with_text(concat!("tokio::", "spawn(")), Vec::<String>::new(), "tasks are spawned on trackers, by app");
    assert_eq!(with_text("ArcSwap"), ["src/snapshot/live.rs"]);
    for status in ["StatusCode::UNAUTHORIZED", "StatusCode::FORBIDDEN", "StatusCode::CONFLICT"] {
        assert_eq!(with_text(status), ["src/http/fault.rs"], "{status}");
    }
    let reads_config = with_text("config::load(");
    assert!(
        reads_config.iter().all(|path| path.starts_with("src/cli/") || path == "src/reload/mod.rs"),
        "{reads_config:?}"
    );
}
