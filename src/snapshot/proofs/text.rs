//! Strings that text tests are likely to be true of. Whether they are is for the tests to say.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::Value;

use crate::config::Operator;
use crate::routing::Field;

/// Strings for which all of `wanted` may be true.
pub(super) fn candidates(wanted: &[&Field]) -> Vec<String> {
    let mut texts = Vec::new();
    let (mut start, mut middle, mut end) = (String::new(), String::new(), String::new());
    for field in wanted {
        let Some(operand) = field.operand().as_str() else { continue };
        match field.operator() {
            // The longest beginning has the others in it, if they fit at all.
            Operator::StartsWith if operand.len() > start.len() => start = operand.to_owned(),
            Operator::EndsWith if operand.len() > end.len() => end = operand.to_owned(),
            Operator::Contains => middle.push_str(operand),
            Operator::Glob => texts.extend(["", "x"].map(|wild| glob(operand, wild))),
            Operator::Regex => texts.extend(regex(operand)),
            _ => {}
        }
    }
    let parts = [start.clone(), middle, end];
    if parts.iter().any(|part| !part.is_empty()) {
        texts.push(parts.concat());
        texts.push(parts.join("x"));
        texts.push(format!("{start}x"));
    }
    texts.extend(["x", "other", "x1", "1", ""].map(str::to_owned));
    texts
}

/// What a glob is true of, with `wild` for each wildcard.
fn glob(pattern: &str, wild: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        match next {
            '*' => text.push_str(wild),
            '?' => text.push('x'),
            '\\' => text.extend(rest.next()),
            '[' => {
                let class: String = rest.by_ref().take_while(|c| *c != ']').collect();
                text.extend(if class.starts_with('!') { Some('x') } else { class.chars().next() });
            }
            '{' => {
                let choices: String = rest.by_ref().take_while(|c| *c != '}').collect();
                text.push_str(choices.split(',').next().unwrap_or_default());
            }
            other => text.push(other),
        }
    }
    text
}

/// What a regular expression is true of; anchors and word boundaries are left to luck.
pub(super) fn regex(pattern: &str) -> Option<String> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let mut text = String::new();
    spell(&hir, &mut text)?;
    Some(text)
}

fn spell(hir: &Hir, text: &mut String) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => text.push(member(class)?),
        HirKind::Repetition(repetition) => {
            // Once where it may be any number of times, and bounded by what a notification can hold.
            let least = repetition.min.max(u32::from(repetition.max != Some(0)));
            for _ in 0..least.min(256) {
                spell(&repetition.sub, text)?;
            }
        }
        HirKind::Capture(capture) => spell(&capture.sub, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| spell(part, text))?,
        HirKind::Alternation(choices) => spell(choices.first()?, text)?,
    }
    Some(())
}

/// A character of a class, one that is easy to read if it has one.
fn member(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) => {
            class.ranges().iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
        }
    };
    let has = |wanted: &char| ranges.iter().any(|(first, last)| (*first..=*last).contains(wanted));
    ['a', 'x', '1', 'A', '-'].into_iter().find(has).or_else(|| ranges.first().map(|range| range.0))
}

/// A value for an array of which all of `wanted` are true.
pub(super) fn list(wanted: &[&Field]) -> Value {
    let contains = wanted.iter().filter(|field| field.operator() == Operator::Contains);
    contains.map(|field| field.operand().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_true_of_what_it_spells() {
        for pattern in ["^deploy-[0-9]+$", "a|b", "(?i)Warn", "x{3,}", "[^a-z]", r"\d{4}-\d\d", "^$"] {
            let text = regex(pattern).unwrap();
            assert!(regex::Regex::new(pattern).unwrap().is_match(&text), "{pattern}: {text}");
        }
    }

    #[test]
    fn a_glob_is_true_of_what_it_spells() {
        for pattern in ["deploy-*", "a?c", "[ab]c", "[!y]c", "{eu,us}-*", r"\*x"] {
            let text = glob(pattern, "x");
            assert!(globset::Glob::new(pattern).unwrap().compile_matcher().is_match(&text), "{pattern}: {text}");
        }
    }
}
