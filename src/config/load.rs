//! Reads the main file and all that it includes, as one set. The only place that opens configuration files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use globset::{Glob, GlobMatcher};
use regex::Regex;
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::context::{Asked, Context, Gathered, Overlooked};
use super::inputs::update;
use super::lower::Parts;
use super::source::shown;
use super::table::{Item, Table, span, titled};
use super::{Code, Config, Diagnostic, Diagnostics, Hash, Inputs, Secrets, Span, files};

/// What the name of a test file has more than that of the file it is for.
const OF_TESTS: &str = "_test";
/// Most bytes in one configuration file.
const MAX_CONFIG_FILE: u64 = 4 * 1024 * 1024;

/// What was read: the configuration, or as much of it as has no fault, and all that was found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration; when there are errors only what could be read of it, to look for more errors in.
    pub draft: Config,
    /// What was found, and the sources.
    pub diagnostics: Diagnostics,
    /// Every file that was read, or was to be read, and every folder that was searched: what to watch, and to compare
    /// with. Schemas and scripts are added by who compiles them.
    pub inputs: Inputs,
    /// The content of all configuration files: the same on every node, wherever the files are kept.
    pub hash: Hash,
    /// What [`Secrets::Overlook`] passed over.
    overlooked: Vec<Overlooked>,
}

impl Loaded {
    /// The configuration, if it has no errors.
    ///
    /// # Errors
    /// What was found.
    pub fn into_config(self) -> Result<Config, Diagnostics> {
        if self.diagnostics.has_errors() { Err(self.diagnostics) } else { Ok(self.draft) }
    }

    /// Why the secret of an issuer, or of any where none is named, was passed over, if it was.
    #[must_use]
    pub fn missing_secret(&self, name: Option<&str>) -> Diagnostics {
        let issuers = "[auth.issuers.*]";
        let is_meant = |title: &str| match name {
            Some(name) => title == titled(issuers, name),
            None => title.starts_with(issuers.trim_end_matches("*]")),
        };
        let mut found = Diagnostics::default();
        found.sources.clone_from(&self.diagnostics.sources);
        let meant = self.overlooked.iter().filter(|missing| missing.is_secret && is_meant(&missing.section));
        meant.for_each(|missing| found.push(missing.finding.clone()));
        found
    }
}

/// Loads the configuration whose main file is at `path`. Never stops at the first fault.
#[must_use]
pub fn load(path: &Path, secrets: Secrets) -> Loaded {
    load_recording(path, secrets).0
}

/// [`load`], and also the tests of the test file beside each file: `fanfare_test.toml` beside `fanfare.toml`. They are
/// no part of the configuration, so its hash is the same with and without them.
#[must_use]
pub fn load_with_tests(path: &Path, secrets: Secrets) -> Loaded {
    let mut loader = Loader::new(secrets);
    let files = loader.read_all(path);
    loader.read_test_files(&files);
    loader.finish(path).0
}

/// [`load`], and also which keys were asked for and where each was found, if it was.
pub(super) fn load_recording(path: &Path, secrets: Secrets) -> (Loaded, BTreeMap<Asked, Option<Span>>) {
    let mut loader = Loader::new(secrets);
    loader.read_all(path);
    loader.finish(path)
}

/// The files read so far.
struct Loader {
    cx: Context,
    parts: Parts,
    hasher: Sha256,
}

impl Loader {
    fn new(secrets: Secrets) -> Self {
        Self { cx: Context::new(secrets), parts: Parts::default(), hasher: Sha256::new() }
    }

    fn finish(self, main: &Path) -> (Loaded, BTreeMap<Asked, Option<Span>>) {
        let draft = self.parts.finish(&self.cx, main);
        let Gathered { diagnostics, inputs, asked, overlooked } = self.cx.into_parts();
        (Loaded { draft, diagnostics, inputs, hash: self.hasher.finalize().into(), overlooked }, asked)
    }

    /// Reads the configuration, and returns its files.
    fn read_all(&mut self, main: &Path) -> Vec<PathBuf> {
        let includes = self.read_file(main);
        let mut seen = BTreeSet::from([identity(main)]);
        let mut files = vec![main.to_path_buf()];
        for include in includes {
            if seen.insert(identity(&include)) {
                self.read_file(&include);
                files.push(include);
            }
        }
        files
    }

    /// Reads the test files beside `files`, without those that are included: they are read.
    fn read_test_files(&mut self, files: &[PathBuf]) {
        let mut seen: BTreeSet<_> = files.iter().map(|path| identity(path)).collect();
        for path in files.iter().filter_map(|path| test_file(path)) {
            // One that is there and cannot be read is an error, so what cannot be looked at is not left out.
            let is_missing = matches!(path.try_exists(), Ok(false));
            if is_missing || !seen.insert(identity(&path)) {
                continue;
            }
            self.cx.add_input(path.clone());
            let Some((file, text)) = self.read_text(&path) else { continue };
            let (root, errors) = DeTable::parse_recoverable(&text);
            if errors.is_empty() {
                self.parts.add_tests(&mut Table::root_of_tests(&self.cx, file, &root));
            } else {
                self.report_syntax(file, &text, &errors);
            }
        }
    }

    /// Reads, parses and lowers one file. The first is the main file, and its includes are returned.
    fn read_file(&mut self, path: &Path) -> Vec<PathBuf> {
        self.cx.add_input(path.to_path_buf());
        let Some((file, text)) = self.read_text(path) else {
            self.parts.add_gap();
            return Vec::new();
        };
        let name = path.strip_prefix(self.cx.folder(0)).unwrap_or(path);
        update(&mut self.hasher, name.as_os_str().as_encoded_bytes());
        update(&mut self.hasher, text.as_bytes());
        let (root, errors) = DeTable::parse_recoverable(&text);
        if !errors.is_empty() {
            self.parts.add_gap();
            self.report_syntax(file, &text, &errors);
            return Vec::new();
        }
        let mut root = Table::root(&self.cx, file, &root);
        let include = root.optional("include");
        self.parts.add(&mut root);
        match include {
            Some(include) if file == 0 => {
                let files = self.includes(include);
                if files.contains(&None) {
                    self.parts.add_gap();
                }
                files.into_iter().flatten().flatten().collect()
            }
            Some(include) => {
                let message = "only the main file may include others";
                self.cx.report(Diagnostic::error(Code::NestedInclude, include.key_span, message));
                self.parts.add_gap();
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn read_text(&self, path: &Path) -> Option<(u32, String)> {
        let bytes = match files::read(path, MAX_CONFIG_FILE) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.cx
                    .report(Diagnostic::nowhere(Code::Unreadable, format!("cannot read `{}`: {error}", shown(path))));
                return None;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Some((self.cx.add_source(path, &text), text)),
            Err(error) => {
                self.report_encoding(path, error.as_bytes(), error.utf8_error().valid_up_to());
                None
            }
        }
    }

    fn report_encoding(&self, path: &Path, bytes: &[u8], at: usize) {
        let message = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file is UTF-16, and must be UTF-8",
            _ => "the file is not UTF-8 here",
        };
        // The text before the fault is as it was, so the place holds in the repaired text.
        let text = String::from_utf8_lossy(bytes);
        let file = self.cx.add_source(path, &text);
        let replacement = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
        self.cx.report(Diagnostic::error(Code::NotUtf8, span(file, replacement), message).help("save it as UTF-8"));
    }

    fn report_syntax(&self, file: u32, text: &str, errors: &[toml::de::Error]) {
        for literal in secret_literals(text) {
            self.cx.redact(span(file, literal));
        }
        for error in errors {
            let place = span(file, error.span().unwrap_or_default());
            let mut lines = error.message().lines();
            let finding = Diagnostic::error(Code::Syntax, place, lines.next().unwrap_or("is not TOML"));
            let rest: Vec<_> = lines.collect();
            self.cx.report(if rest.is_empty() { finding } else { finding.help(rest.join(", ")) });
        }
    }

    /// The files of each include; none for one that has a fault.
    fn includes(&self, include: Item<'_>) -> Vec<Option<Vec<PathBuf>>> {
        match include.elements() {
            Some(patterns) => patterns.into_iter().map(|pattern| self.expand(pattern)).collect(),
            None => vec![None],
        }
    }

    /// The files that one include names, sorted. A pattern that matches nothing is fine, a missing file is not.
    fn expand(&self, item: Item<'_>) -> Option<Vec<PathBuf>> {
        let path = files::named_path(item)?;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
            item.fault(Code::BadInclude, "does not end in a file's name");
            return None;
        };
        if Path::new(item.text()?.value).parent().is_some_and(|folder| is_pattern(&folder.to_string_lossy())) {
            item.fault(Code::BadInclude, "has a wildcard in a folder's name; only the last part may have one");
            return None;
        }
        if !is_pattern(name) {
            // Also one that is missing: it may be saved a moment after the file that names it.
            self.cx.add_input(path.clone());
            if path.is_file() {
                return Some(vec![path]);
            }
            item.fault(Code::BadInclude, format!("names `{}`, which is not a file", shown(&path)));
            return None;
        }
        let matcher = match Glob::new(name) {
            Ok(glob) => glob.compile_matcher(),
            Err(error) => {
                item.fault(Code::BadInclude, format!("is not a pattern: {}", error.kind()));
                return None;
            }
        };
        self.cx.add_input(folder.to_path_buf());
        match matching(folder, &matcher) {
            // `conf.d/*.toml` is not meant to take in the test files there; `*_test.toml` is.
            Ok(found) if !name.ends_with(&format!("{OF_TESTS}.toml")) => Some(without_test_files(found)),
            Ok(found) => Some(found),
            Err(error) => {
                item.fault(
                    Code::BadInclude,
                    format!("names the folder `{}`, which cannot be read: {error}", shown(folder)),
                );
                None
            }
        }
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The files of a folder whose names match, sorted. Hidden ones are left out: editors keep their swap and lock
/// files there, and a ConfigMap its versions.
fn matching(folder: &Path, matcher: &GlobMatcher) -> std::io::Result<Vec<PathBuf>> {
    let listed = match std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut names = BTreeSet::new();
    for entry in listed {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") && matcher.is_match(&name) {
            names.insert(name);
        }
    }
    Ok(names.into_iter().map(|name| folder.join(name)).filter(|path| !path.is_dir()).collect())
}

/// The test file of a configuration file: `conf.d/a_test.toml` of `conf.d/a.toml`.
fn test_file(path: &Path) -> Option<PathBuf> {
    let mut name = path.file_stem()?.to_os_string();
    name.push(OF_TESTS);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    Some(path.with_file_name(name))
}

/// The files that are not the test file of another of them.
fn without_test_files(found: Vec<PathBuf>) -> Vec<PathBuf> {
    let tests: BTreeSet<_> = found.iter().filter_map(|path| test_file(path)).collect();
    found.into_iter().filter(|path| !tests.contains(path)).collect()
}

/// What tells that two paths name one file.
fn identity(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Where a file that does not parse may hold a secret as a literal: what follows the keys that take one, unless
/// it is a table. Such a file is never lowered, which would find them exactly.
fn secret_literals(text: &str) -> Vec<std::ops::Range<usize>> {
    #[expect(clippy::expect_used, reason = "a constant, compiled by every test that loads a broken file")]
    static LITERAL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?m)\b(?:secret|sha256|url)["']?[ \t]*=[ \t]*([^{\s].*)$"#).expect("a valid pattern")
    });
    LITERAL.captures_iter(text).filter_map(|found| found.get(1)).map(|value| value.range()).collect()
}
