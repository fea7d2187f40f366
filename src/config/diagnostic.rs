//! One finding about a configuration, and all of them together.

use std::fmt;

use super::{Sources, Span};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is not taken.
    Error,
    /// It is taken, and probably not what was meant.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong: lower case, names the offender.
    pub message: String,
    /// Where it stands; none for a file that could not be read.
    pub span: Option<Span>,
    /// A few words under the marked text.
    pub label: Option<String>,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    #[must_use]
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span: Some(span), label: None, help: None }
    }

    /// A warning at `span`.
    #[must_use]
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// An error that stands in no file.
    #[must_use]
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(Span::default(), message) }
    }

    /// Adds words under the marked text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the closest of `known` to `got` as a suggestion, where one is close.
    #[must_use]
    pub fn did_you_mean<'a>(self, got: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let distance = |name: &str| strsim::damerau_levenshtein(got, name);
        let limit = (got.chars().count() / 3).max(1);
        let closest = known.into_iter().map(|name| (distance(name), name)).min();
        match closest {
            Some((distance, name)) if distance <= limit => self.help(format!("did you mean `{name}`?")),
            _ => self,
        }
    }
}

/// All findings about one configuration, with the sources that they point into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The files.
    pub sources: Sources,
    findings: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    /// Every finding, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.findings.iter()
    }

    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(()) // SKELETON: rendered by annotate-snippets
    }
}
