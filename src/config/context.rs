//! What the lowering of all files shares: findings, inputs, and who declared what.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Code, Diagnostic, Diagnostics, Inputs, Secrets, Source, Span};

/// A key that a table was asked for, and the table as messages name it.
pub(super) type Asked = (&'static str, &'static str);

/// Shared by every table of every file, hence the cells: a table and its child report into the same list.
#[derive(Debug)]
pub(super) struct Context {
    /// What is done about secrets.
    pub(super) secrets: Secrets,
    diagnostics: RefCell<Diagnostics>,
    inputs: RefCell<Inputs>,
    declared: RefCell<BTreeMap<String, Span>>,
    asked: RefCell<BTreeMap<Asked, Option<Span>>>,
    /// The title of what was declared last, which is what is lowered.
    current: RefCell<String>,
    overlooked: RefCell<Vec<Overlooked>>,
}

/// What was gathered.
pub(super) struct Gathered {
    pub(super) diagnostics: Diagnostics,
    pub(super) inputs: Inputs,
    pub(super) asked: BTreeMap<Asked, Option<Span>>,
    pub(super) overlooked: Vec<Overlooked>,
}

/// A secret or a key that cannot be had, and is passed over.
#[derive(Debug, Clone)]
pub(super) struct Overlooked {
    /// The title of the section that wants it.
    pub(super) section: String,
    /// Whether it is a secret, or a key in a file that others may read.
    pub(super) is_secret: bool,
    pub(super) finding: Diagnostic,
}

impl Context {
    /// Nothing gathered yet.
    pub(super) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            diagnostics: RefCell::default(),
            inputs: RefCell::default(),
            declared: RefCell::default(),
            asked: RefCell::default(),
            current: RefCell::default(),
            overlooked: RefCell::default(),
        }
    }

    /// Adds a finding.
    pub(super) fn report(&self, finding: Diagnostic) {
        self.diagnostics.borrow_mut().push(finding);
    }

    /// Adds a finding about the secret or the key that `key` takes and that cannot be had, unless that is to be
    /// overlooked.
    pub(super) fn report_missing(&self, key: &str, finding: Diagnostic) {
        if self.secrets == Secrets::Overlook {
            let (section, is_secret) = (self.current.borrow().clone(), !key.ends_with("_file"));
            self.overlooked.borrow_mut().push(Overlooked { section, is_secret, finding });
        } else {
            self.report(finding);
        }
    }

    /// Adds a source file, and returns the index that its spans carry.
    pub(super) fn add_source(&self, path: &Path, text: &str) -> u32 {
        self.diagnostics.borrow_mut().sources.add(path.to_path_buf(), text.into())
    }

    /// Keeps the text of `span` out of everything that is printed.
    pub(super) fn redact(&self, span: Span) {
        self.diagnostics.borrow_mut().sources.redact(span);
    }

    /// The folder that names in a file are relative to: its own.
    pub(super) fn folder(&self, file: u32) -> PathBuf {
        let sources = Ref::map(self.diagnostics.borrow(), |diagnostics| &diagnostics.sources);
        sources.get(file).and_then(|source: &Source| source.path.parent()).map(Path::to_path_buf).unwrap_or_default()
    }

    /// Notes a file or folder that the configuration depends on, before it is read.
    pub(super) fn add_input(&self, path: PathBuf) {
        self.inputs.borrow_mut().add(path);
    }

    /// Notes that `what` is declared, as messages name it, and reports the second time.
    pub(super) fn declare(&self, what: String, span: Span) {
        self.current.borrow_mut().clone_from(&what);
        let message = format!("{what} is declared twice");
        let first = *self.declared.borrow_mut().entry(what).or_insert(span);
        if first != span {
            self.report(
                Diagnostic::error(Code::DeclaredTwice, span, message).label("again here").also(first, "first here"),
            );
        }
    }

    /// Notes that a key was looked for, and where it is if it is there.
    pub(super) fn ask(&self, asked: Asked, found: Option<Span>) {
        let mut all = self.asked.borrow_mut();
        let place = all.entry(asked).or_default();
        *place = place.or(found);
    }

    /// Everything gathered.
    pub(super) fn into_parts(self) -> Gathered {
        Gathered {
            diagnostics: self.diagnostics.into_inner(),
            inputs: self.inputs.into_inner(),
            asked: self.asked.into_inner(),
            overlooked: self.overlooked.into_inner(),
        }
    }
}
