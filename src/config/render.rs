//! Findings as rustc shows them: the offending line, the text underlined, what would be right.

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

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn group<'a>(finding: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&finding.message));
    for snippet in snippets(finding, sources) {
        group = group.element(snippet);
    }
    match &finding.help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

/// One snippet a file: the file of the finding first, then those of the other places.
fn snippets<'a>(finding: &'a Diagnostic, sources: &'a Sources) -> Vec<Snippet<'a, Annotation<'a>>> {
    let primary = finding.span.map(|span| (span, AnnotationKind::Primary, finding.label.as_deref()));
    let also = finding.also.iter().map(|other| (other.span, AnnotationKind::Context, Some(other.value.as_str())));
    let mut snippets: Vec<(u32, Snippet<'a, Annotation<'a>>)> = Vec::new();
    for (span, kind, label) in primary.into_iter().chain(also) {
        let Some(source) = sources.get(span.file) else { continue };
        let annotation = kind.span(within(source, span)).label(label);
        match snippets.iter_mut().find(|(file, _)| *file == span.file) {
            Some((_, snippet)) => *snippet = snippet.clone().annotation(annotation),
            None => {
                let snippet = Snippet::source(&*source.text).path(source.shown_path());
                snippets.push((span.file, snippet.annotation(annotation)));
            }
        }
    }
    snippets.into_iter().map(|(_, snippet)| snippet).collect()
}

/// The span as a range that the renderer takes: it panics on one beyond the text or inside a character.
fn within(source: &Source, span: Span) -> std::ops::Range<usize> {
    let start = source.text.floor_char_boundary(span.start as usize);
    let end = source.text.ceil_char_boundary(span.end as usize).max(start);
    start..end
}
