//! Findings as rustc shows them: the offending line, the text underlined, what would be right.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, Severity, Source, Sources, Span};

/// Whether a report is for a terminal that shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// With escape sequences.
    Ansi,
    /// Plain text.
    Plain,
}

/// Every finding in the order of places, and a last line that counts them; empty when nothing was found.
pub(super) fn report(diagnostics: &Diagnostics, colour: Colour) -> String {
    let renderer = match colour {
        Colour::Ansi => Renderer::styled(),
        Colour::Plain => Renderer::plain(),
    };
    let mut report = String::new();
    for finding in diagnostics.iter() {
        report.push_str(&renderer.render(&[group(finding, &diagnostics.sources)]));
        report.push_str("\n\n");
    }
    if !diagnostics.is_empty() {
        let errors = counted(diagnostics.count(Severity::Error), "error");
        let warnings = counted(diagnostics.count(Severity::Warning), "warning");
        report.push_str(&format!("{errors}, {warnings}\n"));
    }
    report
}

/// So many of what is called `what`, such as `1 error` and `2 errors`.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn group<'a>(finding: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(&finding.message).id(finding.code.to_string()));
    for snippet in snippets(finding, sources) {
        group = group.element(snippet);
    }
    for note in &finding.notes {
        group = group.element(Level::NOTE.message(note));
    }
    match &finding.help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

/// What is marked in one file.
type Marks<'a> = Vec<(Range<usize>, AnnotationKind, Option<&'a str>)>;

/// One snippet a file: the file of the finding first, then those of the other places.
fn snippets<'a>(finding: &'a Diagnostic, sources: &'a Sources) -> Vec<Snippet<'a, Annotation<'a>>> {
    let primary = finding.span.map(|span| (span, AnnotationKind::Primary, finding.label.as_deref()));
    let also = finding.also.iter().map(|other| (other.span, AnnotationKind::Context, Some(other.value.as_str())));
    let mut files: Vec<(u32, &Source, Marks<'_>)> = Vec::new();
    for (span, kind, label) in primary.into_iter().chain(also) {
        let Some(source) = sources.get(span.file) else { continue };
        let mark = (within(&source.text, span), kind, label);
        match files.iter_mut().find(|(file, ..)| *file == span.file) {
            Some((.., marks)) => marks.push(mark),
            None => files.push((span.file, source, vec![mark])),
        }
    }
    files.into_iter().map(|(_, source, marks)| snippet(source, marks)).collect()
}

/// Hands the renderer only the lines from the first mark to the last. It goes through all it is given, which with
/// thousands of findings in one large file would take minutes.
fn snippet<'a>(source: &'a Source, marks: Marks<'a>) -> Snippet<'a, Annotation<'a>> {
    let text = &*source.text;
    let first = marks.iter().map(|(range, ..)| range.start).min().unwrap_or_default();
    let last = marks.iter().map(|(range, ..)| range.end).max().unwrap_or_default();
    let start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[last..].find(['\r', '\n']).map_or(text.len(), |newline| last + newline);
    let line = text[..start].matches('\n').count() + 1;
    let annotations =
        marks.into_iter().map(|(range, kind, label)| kind.span(range.start - start..range.end - start).label(label));
    Snippet::source(&text[start..end]).line_start(line).path(source.shown_path()).annotations(annotations)
}

/// The span as a range within the text, between characters.
fn within(text: &str, span: Span) -> Range<usize> {
    let start = text.floor_char_boundary(span.start as usize);
    let end = text.ceil_char_boundary(span.end as usize).max(start);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Code;

    #[test]
    fn a_span_beyond_its_text_is_shown_at_its_end() {
        let mut diagnostics = Diagnostics::default();
        let file = diagnostics.sources.add("a.toml".into(), "é = 1".into());
        for (start, end) in [(0, 900), (1, 1), (800, 900), (5, 2)] {
            diagnostics.push(Diagnostic::error(Code::WrongType, Span { file, start, end }, "is wrong"));
        }
        diagnostics.push(Diagnostic::warning(Code::WrongType, Span { file: 7, start: 0, end: 1 }, "is in no file"));
        let report = report(&diagnostics, Colour::Plain);
        assert!(report.ends_with("warning[F101]: is in no file\n\n4 errors, 1 warning\n"), "{report}");
    }
}
