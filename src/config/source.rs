//! Source files and the places in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file that the configuration was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path, as it was named.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// Its path as messages show it.
    shown: String,
    /// Where its lines begin: thousands of rules ask for their places.
    lines: Arc<[u32]>,
}

impl Source {
    pub(super) fn new(path: PathBuf, text: Arc<str>) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
        let lines = std::iter::once(0).chain(after_newlines).collect();
        Self { shown: shown(&path), path, text, lines }
    }

    /// The line of a byte, counted from 1, and where it begins.
    fn line(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start as usize <= at);
        (line, self.lines.get(line.wrapping_sub(1)).map_or(0, |start| *start as usize))
    }

    /// A byte's place, as editors count.
    fn position(&self, at: usize) -> Position {
        let (line, start) = self.line(at);
        Position { line, column: self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1 }
    }

    /// The path as messages show it: relative to the current folder where it is below it.
    #[must_use]
    pub fn shown_path(&self) -> &str {
        &self.shown
    }
}

/// A path as messages show it: relative to the current folder where it is below it.
pub(super) fn shown(path: &Path) -> String {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&current).unwrap_or(path).display().to_string()
}

/// Every file of a configuration, in the order in which they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file, and returns the index that its spans carry.
    pub fn add(&mut self, path: PathBuf, text: Arc<str>) -> u32 {
        self.files.push(Source::new(path, text));
        (self.files.len() - 1) as u32
    }

    /// The file of a span.
    #[must_use]
    pub fn get(&self, file: u32) -> Option<&Source> {
        self.files.get(file as usize)
    }

    /// All files.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// Blanks out the text of a span, so that whatever is printed of these sources cannot show it. Bytes are
    /// replaced one for one: every span stays where it is.
    pub fn redact(&mut self, span: Span) {
        let Some(source) = self.files.get_mut(span.file as usize) else { return };
        let (start, end) = (span.start as usize, span.end as usize);
        let (Some(before), Some(secret), Some(after)) =
            (source.text.get(..start), source.text.get(start..end), source.text.get(end..))
        else {
            return;
        };
        let blank: String = secret.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
        source.text = [before, &blank, after].concat().into();
    }

    /// Where a span starts and ends, as editors count.
    #[must_use]
    pub fn range(&self, span: Span) -> Option<[Position; 2]> {
        let source = self.get(span.file)?;
        let text = &*source.text;
        let start = text.floor_char_boundary(span.start as usize);
        let end = text.ceil_char_boundary(span.end as usize).max(start);
        Some([source.position(start), source.position(end)])
    }

    /// `path:line` of a span's start, as `explain` and messages name a place.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        let Some(source) = self.get(span.file) else { return String::new() };
        format!("{}:{}", source.shown_path(), source.line(span.start as usize).0)
    }
}

/// A place in a text: its line and the character in it, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character, whatever its width.
    pub column: usize,
}

/// A stretch of bytes in one source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Index into [`Sources`].
    pub file: u32,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it is written; for an absent value with a default, where its table starts.
    pub span: Span,
}

impl<T> At<T> {
    /// `value` at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Another value at the same place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At::new(change(self.value), self.span)
    }
}

/// Two values are equal wherever they stand, so that a moved line is no change.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
