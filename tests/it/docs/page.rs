//! A page of the documentation: its text, its headings, and the blocks of code in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A page.
pub(super) struct Page {
    /// From the top of the tree.
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) blocks: Vec<Block>,
}

/// A block of code.
pub(super) struct Block {
    /// What stands behind its fence.
    pub(super) language: String,
    /// Where it starts.
    pub(super) line: usize,
    /// The last line of text before it.
    pub(super) before: String,
    pub(super) text: String,
}

impl Page {
    /// The front page, the guides, and what is said of the examples.
    pub(super) fn all() -> Vec<Self> {
        let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
        for folder in ["docs", "examples"] {
            add_pages(Path::new(folder), &mut paths);
        }
        assert!(paths.len() >= 10, "{paths:?}");
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let (mut blocks, mut open, mut before) = (Vec::new(), None::<(Block, usize)>, String::new());
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    let (language, before) = (language.trim().to_owned(), before.clone());
                    open = Some((Block { language, line: number + 1, before, text: String::new() }, indent));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
                (Some((block, indent)), None) => {
                    block.text.push_str(line.get(*indent..).unwrap_or_default());
                    block.text.push('\n');
                }
                (None, None) if !line.trim().is_empty() => line.trim().clone_into(&mut before),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block does not end", path.display());
        Self { path, text, blocks }
    }

    /// The folder that its links are relative to.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap()
    }

    /// The lines that are no code, with their numbers.
    pub(super) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_code = false;
        self.text.lines().enumerate().filter_map(move |(number, line)| {
            let is_fence = line.trim_start().starts_with("```");
            in_code ^= is_fence;
            (!in_code && !is_fence).then_some((number + 1, line))
        })
    }

    /// What links to its headings end with, as GitHub makes it of them.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        for (_, line) in self.prose().filter(|(_, line)| line.starts_with('#')) {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let numbered = (1..).map(|number| format!("{anchor}-{number}"));
            let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
            anchors.extend(free);
        }
        anchors
    }

    /// What stands between backticks in its text.
    pub(super) fn inline(&self) -> Vec<(usize, &str)> {
        self.prose()
            .flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |code| (number, code)))
            .collect()
    }
}

/// A line without what stands between backticks.
pub(super) fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// A path without `..` and `.`.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn add_pages(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            add_pages(&entry, paths);
        } else if entry.extension().is_some_and(|extension| extension == "md") {
            paths.push(entry);
        }
    }
}
