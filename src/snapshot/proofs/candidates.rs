//! Values that tests of a text or an array are likely to be true of. Whether they are is for the tests to say.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::Value;

use super::shape::Shape;
use crate::config::Operator;
use crate::routing::Field;

/// Strings of at least so many characters for which all of `wanted` may be true.
pub(super) fn of_tests(wanted: &[&Field], least: usize) -> Vec<String> {
    let (mut start, mut end) = (String::new(), String::new());
    let mut middle: Vec<String> = Vec::new();
    let mut examples = Vec::new();
    for field in wanted {
        if let Some(Shape::Pieces(pieces)) = Shape::of(field) {
            // The longest beginning has the others in it, if they fit at all.
            start = longer(start, pieces.start);
            end = longer(end, pieces.end);
            middle.extend(pieces.middle);
        }
        match (field.operator(), field.operand().as_str()) {
            (Operator::Glob, Some(operand)) => examples.extend(["", "x"].map(|wild| glob(operand, wild))),
            (Operator::Regex, Some(operand)) => examples.extend(regex(operand)),
            _ => {}
        }
    }
    let mut texts = examples.clone();
    if !(start.is_empty() && end.is_empty() && middle.is_empty()) {
        let (joined, apart) = (middle.concat(), middle.join("x"));
        texts.extend([format!("{start}{joined}{end}"), format!("{start}x{apart}x{end}"), overlapped(&start, &end)]);
        texts.extend([format!("{start}{apart}x"), format!("x{apart}{end}")]);
        let around = |text: &String| [format!("{text}{end}"), format!("{start}{text}"), format!("{start}{text}{end}")];
        texts.extend(examples.iter().flat_map(around));
    }
    texts.extend(["x", "other", "x1", "1", ""].map(str::to_owned));
    let short: Vec<_> =
        texts.iter().filter_map(|text| Some((least.checked_sub(text.chars().count())?, text))).collect();
    let padded: Vec<_> = short
        .into_iter()
        .filter(|(missing, _)| *missing > 0)
        .flat_map(|(missing, text)| {
            let pad = "x".repeat(missing);
            let place = if text.starts_with(&*start) { start.len() } else { 0 };
            [format!("{}{pad}{}", &text[..place], &text[place..]), format!("{text}{pad}")]
        })
        .collect();
    texts.extend(padded);
    texts
}

fn longer(one: String, other: String) -> String {
    if other.len() > one.len() { other } else { one }
}

/// The shortest text with this beginning and this end.
fn overlapped(start: &str, end: &str) -> String {
    let places = start.char_indices().map(|(place, _)| place);
    let place = places.into_iter().find(|place| end.starts_with(&start[*place..])).unwrap_or(start.len());
    format!("{}{end}", &start[..place])
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

/// What a pattern is found in, of at least so many characters if there is such a text.
pub(super) fn of_pattern(pattern: &str, least: usize) -> Vec<String> {
    let Some(text) = regex(pattern) else { return Vec::new() };
    let pad = "x".repeat(least.saturating_sub(text.chars().count()));
    let repeated = text.repeat(least.div_ceil(text.len().max(1)));
    let stretched = text.chars().next().map(|first| format!("{}{text}", first.to_string().repeat(pad.len())));
    let around = [format!("{text}{pad}"), format!("{pad}{text}"), repeated].into_iter().chain(stretched);
    std::iter::once(text.clone()).filter(|_| pad.is_empty()).chain(around).collect()
}

/// What a regular expression is true of; anchors and word boundaries are left to luck.
fn regex(pattern: &str) -> Option<String> {
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
        for pattern in ["deploy-*", "a?c", "[ab]c", "[!y]c", "{eu,us}-*", r"\*x", "é?[ß]*[!日]"] {
            let text = glob(pattern, "x");
            let test = Field::compile("data.x", Operator::Glob, &pattern.into()).unwrap();
            assert!(test.accepts(Some(&text.as_str().into())), "{pattern}: {text}");
        }
    }
}
