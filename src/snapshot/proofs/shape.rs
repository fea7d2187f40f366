//! What a text must look like for a test of it to be true, so that some tests are known to imply or to exclude others.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::config::Operator;
use crate::routing::Field;

/// Most texts that a pattern is spelled out to.
const MAX_TEXTS: usize = 16;

/// What a test says of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// It is one of these.
    Only(Vec<String>),
    /// It has these pieces.
    Pieces(Pieces),
}

/// Pieces of a text, none of which overlaps another: it begins with the first one, ends with the last one, and has the
/// others between them in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pieces {
    pub(super) start: String,
    pub(super) middle: Vec<String>,
    pub(super) end: String,
    /// Whether the test is true of every such text, and not only of some.
    is_exact: bool,
}

impl Shape {
    /// What a test is true of where it is asked of a text; none where that is not known.
    pub(super) fn of(test: &Field) -> Option<Self> {
        let text = test.operand().as_str()?;
        let exact = |pieces: Pieces| Some(Self::Pieces(Pieces { is_exact: true, ..pieces }));
        match test.operator() {
            Operator::StartsWith => exact(Pieces { start: text.to_owned(), ..Pieces::default() }),
            Operator::EndsWith => exact(Pieces { end: text.to_owned(), ..Pieces::default() }),
            Operator::Contains => exact(Pieces { middle: vec![text.to_owned()], ..Pieces::default() }),
            Operator::Glob => Self::of_glob(text),
            Operator::Regex => Self::of_regex(text),
            _ => None,
        }
    }

    /// The shape of what a regular expression is found in.
    pub(super) fn of_regex(pattern: &str) -> Option<Self> {
        Self::of_expression(&regex_syntax::parse(pattern).ok()?)
    }

    /// The texts that it names, if they are all that it is true of.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = if let Self::Only(texts) = self { texts.as_slice() } else { &[] };
        texts.iter().map(String::as_str)
    }

    fn of_glob(glob: &str) -> Option<Self> {
        // Beside a slash this stands for less than any text.
        if glob.contains("**") {
            return None;
        }
        let mut gatherer = Gatherer { is_anchored: true, is_exact: true, ..Gatherer::default() };
        let mut rest = glob.chars();
        while let Some(next) = rest.next() {
            match next {
                '*' => gatherer.gap(),
                '?' => gatherer.vague(),
                '\\' => gatherer.piece.extend(rest.next()),
                // What follows is not looked into.
                '[' | '{' => {
                    gatherer.vague();
                    return Some(gatherer.finish(Ending::Open));
                }
                other => gatherer.piece.push(other),
            }
        }
        Some(gatherer.finish(Ending::Anchored))
    }

    fn of_expression(hir: &Hir) -> Option<Self> {
        let mut parts = match hir.kind() {
            HirKind::Concat(parts) => parts.as_slice(),
            _ => std::slice::from_ref(hir),
        };
        let is_look = |part: Option<&Hir>, look| part.is_some_and(|part| part.kind() == &HirKind::Look(look));
        let starts = is_look(parts.first(), Look::Start);
        parts = &parts[usize::from(starts)..];
        let ends = is_look(parts.last(), Look::End);
        parts = &parts[..parts.len() - usize::from(ends)];
        if starts
            && ends
            && let Some(texts) =
                parts.iter().try_fold(vec![String::new()], |texts, part| product(&texts, spelled(part)?))
        {
            return Some(Self::Only(texts));
        }
        let mut gatherer = Gatherer { is_anchored: starts, is_exact: true, ..Gatherer::default() };
        for part in parts {
            match part.kind() {
                HirKind::Literal(literal) => gatherer.piece.push_str(std::str::from_utf8(&literal.0).ok()?),
                HirKind::Empty => {}
                _ => gatherer.vague(),
            }
        }
        Some(gatherer.finish(if ends { Ending::Anchored } else { Ending::Open }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Anchored,
    Open,
}

/// Pieces as they are read.
#[derive(Default)]
struct Gatherer {
    pieces: Pieces,
    /// The piece that is being read.
    piece: String,
    /// Whether it is where the text begins.
    is_anchored: bool,
    is_exact: bool,
}

impl Gatherer {
    /// Any text may follow.
    fn gap(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        match self.is_anchored {
            true => self.pieces.start = piece,
            false if piece.is_empty() => {}
            false => self.pieces.middle.push(piece),
        }
        self.is_anchored = false;
    }

    /// Some text may follow.
    fn vague(&mut self) {
        self.is_exact = false;
        self.gap();
    }

    fn finish(mut self, ending: Ending) -> Shape {
        if ending == Ending::Anchored && self.is_anchored {
            return Shape::Only(vec![self.piece]);
        }
        match ending {
            Ending::Anchored => self.pieces.end = std::mem::take(&mut self.piece),
            Ending::Open => self.gap(),
        }
        Shape::Pieces(Pieces { is_exact: self.is_exact, ..self.pieces })
    }
}

impl Pieces {
    /// Whether every text has these.
    pub(super) fn is_anything(&self) -> bool {
        self.is_exact && self.start.is_empty() && self.end.is_empty() && self.middle.iter().all(String::is_empty)
    }

    /// How many characters a text with these has at least.
    pub(super) fn length(&self) -> usize {
        let pieces = [&self.start, &self.end].into_iter().chain(&self.middle);
        pieces.map(|piece| piece.chars().count()).sum()
    }

    /// Whether the other test is true of whatever this one is true of.
    pub(super) fn imply(&self, other: &Self) -> bool {
        let (Some(start), Some(end)) = (self.start.strip_prefix(&*other.start), self.end.strip_suffix(&*other.end))
        else {
            return false;
        };
        let mut left = [start].into_iter().chain(self.middle.iter().map(String::as_str)).chain([end]);
        let mut piece = left.next();
        let mut has = |part: &String| {
            while let Some(text) = piece {
                if let Some(place) = text.find(&**part) {
                    piece = Some(&text[place + part.len()..]);
                    return true;
                }
                piece = left.next();
            }
            part.is_empty()
        };
        other.is_exact && other.middle.iter().all(&mut has)
    }

    /// Whether both tests are true of no text.
    pub(super) fn exclude(&self, other: &Self) -> bool {
        let clash = |one: &str, other: &str| !one.starts_with(other) && !other.starts_with(one);
        let clash_at_end = |one: &str, other: &str| !one.ends_with(other) && !other.ends_with(one);
        clash(&self.start, &other.start) || clash_at_end(&self.end, &other.end)
    }
}

/// All texts that an expression without anchors stands for, if they are few.
fn spelled(hir: &Hir) -> Option<Vec<String>> {
    let texts = match hir.kind() {
        HirKind::Empty => vec![String::new()],
        HirKind::Literal(literal) => vec![std::str::from_utf8(&literal.0).ok()?.to_owned()],
        HirKind::Capture(capture) => spelled(&capture.sub)?,
        HirKind::Class(Class::Unicode(class)) => {
            let letters = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            letters.take(MAX_TEXTS + 1).map(String::from).collect()
        }
        HirKind::Concat(parts) => {
            parts.iter().try_fold(vec![String::new()], |texts, part| product(&texts, spelled(part)?))?
        }
        HirKind::Alternation(choices) => choices.iter().map(spelled).collect::<Option<Vec<_>>>()?.concat(),
        HirKind::Repetition(repetition) if repetition.min == 0 && repetition.max == Some(1) => {
            [vec![String::new()], spelled(&repetition.sub)?].concat()
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) | HirKind::Repetition(_) => return None,
    };
    (texts.len() <= MAX_TEXTS).then_some(texts)
}

fn product(starts: &[String], ends: Vec<String>) -> Option<Vec<String>> {
    let texts: Vec<_> = starts.iter().flat_map(|start| ends.iter().map(move |end| format!("{start}{end}"))).collect();
    (texts.len() <= MAX_TEXTS).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn test(operator: Operator, text: &str) -> Field {
        Field::compile("data.x", operator, &text.into()).unwrap()
    }

    fn pieces(operator: Operator, text: &str) -> Pieces {
        match Shape::of(&test(operator, text)) {
            Some(Shape::Pieces(pieces)) => pieces,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_pattern_of_few_texts_names_them() {
        use Operator::{Glob, Regex};
        for (operator, pattern, texts) in [
            (Glob, "eu-1", vec!["eu-1"]),
            (Glob, r"\*x", vec!["*x"]),
            (Regex, "^paid$", vec!["paid"]),
            (Regex, "^(paid|refunded)$", vec!["paid", "refunded"]),
            (Regex, "^[ab]x?$", vec!["a", "ax", "b", "bx"]),
        ] {
            let texts = texts.into_iter().map(str::to_owned).collect();
            assert_eq!(Shape::of(&test(operator, pattern)), Some(Shape::Only(texts)), "{pattern}");
        }
        assert!(!matches!(Shape::of(&test(Regex, "^[a-z]$")), Some(Shape::Only(_))));
    }

    #[test]
    fn tests_of_texts_imply_and_exclude_each_other() {
        use Operator::{Contains, EndsWith, Glob, Regex, StartsWith};
        for (one, other) in [
            ((StartsWith, "eu-west"), (StartsWith, "eu-")),
            ((EndsWith, ".prod"), (Contains, "pro")),
            ((Glob, "eu-*-prod"), (StartsWith, "eu")),
            ((Glob, "eu-*-prod"), (Glob, "eu*prod")),
            ((Glob, "a*b*c"), (Glob, "*b*")),
            ((StartsWith, "eu-"), (Glob, "eu-*")),
            ((Regex, "^deploy-[0-9]+$"), (Glob, "deploy-*")),
            ((Contains, "x"), (Glob, "*")),
            ((Contains, "axb"), (Regex, "x")),
        ] {
            assert!(pieces(one.0, one.1).imply(&pieces(other.0, other.1)), "{one:?} {other:?}");
        }
        for (one, other) in [
            ((StartsWith, "ab"), (Glob, "a*b")),
            ((Glob, "ab*ba"), (Glob, "a*b*a*b*a")),
            ((Contains, "a"), (Regex, "^a")),
            ((StartsWith, "deploy-"), (Regex, "^deploy-[0-9]+$")),
            ((Glob, "*b*a*"), (Glob, "*a*b*")),
        ] {
            assert!(!pieces(one.0, one.1).imply(&pieces(other.0, other.1)), "{one:?} {other:?}");
        }
        assert!(pieces(StartsWith, "eu-").exclude(&pieces(Glob, "us-*")));
        assert!(pieces(EndsWith, ".prod").exclude(&pieces(Regex, r"\.test$")));
        assert!(!pieces(StartsWith, "eu").exclude(&pieces(StartsWith, "eu-1")));
    }

    fn any_test() -> impl Strategy<Value = Field> {
        let text = prop_oneof![Just(""), Just("a"), Just("b"), Just("ab"), Just("aba"), Just("ba")];
        let plain = prop::sample::select(vec![Operator::StartsWith, Operator::EndsWith, Operator::Contains]);
        let globs = [
            "a*", "*b", "a*b", "*a*", "a?b*", "ab*ba", "*", "ab", "[a]b*", "{a,b}*b", "a*b*a", "**", r"\a*", "?", "é?",
        ];
        let expressions =
            ["^a", "b$", "^a.*b$", "ab", "^(ab|ba)$", "a|b", "^[ab]b", "^a?b$", "", "^$", "a.b", r"^a\b", "(ab)"];
        prop_oneof![
            (plain, text).prop_map(|(operator, text)| test(operator, text)),
            prop::sample::select(globs.to_vec()).prop_map(|glob| test(Operator::Glob, glob)),
            prop::sample::select(expressions.to_vec()).prop_map(|expression| test(Operator::Regex, expression)),
        ]
    }

    proptest! {
        /// Over all short texts of two letters and a third one.
        #[test]
        fn no_text_shows_otherwise(one in any_test(), other in any_test(), texts in prop::collection::vec("[abcé\n]{0,6}", 64)) {
            let (Some(first), Some(second)) = (Shape::of(&one), Shape::of(&other)) else { return Ok(()) };
            for text in texts {
                let is = |test: &Field| test.accepts(Some(&text.as_str().into()));
                match (&first, &second) {
                    (Shape::Only(texts), _) => prop_assert_eq!(is(&one), texts.contains(&text)),
                    (Shape::Pieces(first), Shape::Pieces(second)) => {
                        prop_assert!(!first.is_anything() || is(&one), "{:?}", text);
                        prop_assert!(!first.imply(second) || !is(&one) || is(&other), "{:?}", text);
                        prop_assert!(!first.exclude(second) || !is(&one) || !is(&other), "{:?}", text);
                    }
                    _ => {}
                }
            }
        }
    }
}
