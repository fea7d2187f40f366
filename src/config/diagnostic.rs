//! One finding about a configuration, and all of them together.

use std::fmt;

use serde_json::Value;

use super::{At, Code, Colour, Sources, Span, machine, render};
use crate::notification::closest;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is not taken.
    Error,
    /// It is taken, and probably not what was meant.
    Warning,
    /// It is taken, and worth knowing.
    Note,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// What kind of finding it is.
    pub code: Code,
    /// What is wrong: lower case, names the offender.
    pub message: String,
    /// Where it stands; none for a file that could not be read.
    pub span: Option<Span>,
    /// A few words under the marked text.
    pub label: Option<String>,
    /// Other places that have to do with it, each with a few words.
    pub also: Vec<At<String>>,
    /// What shows it.
    pub notes: Vec<String>,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    #[must_use]
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: Some(span),
            label: None,
            also: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// A warning at `span`.
    #[must_use]
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// A note at `span`.
    #[must_use]
    pub fn note_at(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, span, message) }
    }

    /// An error that stands in no file.
    #[must_use]
    pub fn nowhere(code: Code, message: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(code, Span::default(), message) }
    }

    /// Adds words under the marked text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds another place that has to do with it.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also.push(At::new(label.into(), span));
        self
    }

    /// Adds what shows it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An error about a name that no time zone has.
    #[must_use]
    pub fn unknown_time_zone(name: &At<String>) -> Self {
        let message = format!("`{}` is not an IANA time zone", name.value);
        let zones: Vec<_> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
        Self::error(Code::UnknownTimeZone, name.span, message)
            .help("such as `Europe/Berlin` or `UTC`")
            .did_you_mean(name, zones.iter().map(String::as_str))
    }

    /// Adds the closest of `known` to `got` as a suggestion, where one is close.
    #[must_use]
    pub fn did_you_mean<'a>(self, got: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(got, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Suggests the closest of `allowed` to `got`, or all of them when none is close.
    #[must_use]
    pub fn one_of(self, got: &str, allowed: &[&str]) -> Self {
        let suggested = self.did_you_mean(got, allowed.iter().copied());
        match suggested.help {
            None if !allowed.is_empty() => suggested.help(format!("allowed are {}", quoted(allowed))),
            _ => suggested,
        }
    }
}

/// Names as messages list them: `` `a`, `b` ``.
pub(super) fn quoted(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
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
        let mut sorted: Vec<_> = self.findings.iter().collect();
        sorted.sort_by_key(|finding| finding.span.map(|span| (span.file, span.start, span.end)));
        sorted.into_iter()
    }

    /// How many findings are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// The whole report as a terminal shows it, in colour or plain.
    #[must_use]
    pub fn render(&self, colour: Colour) -> String {
        render::report(self, colour)
    }

    /// The whole report for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        machine::json(self)
    }

    /// The whole report as commands to a GitHub workflow, which shows each finding beside its line.
    #[must_use]
    pub fn github(&self) -> String {
        machine::github(self)
    }

    /// The whole report in SARIF 2.1.0, which code scanning takes.
    #[must_use]
    pub fn sarif(&self) -> Value {
        machine::sarif(self)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Plain))
    }
}
