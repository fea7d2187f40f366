//! The search of a space for what makes a condition true, with a bound on what it may cost.

use super::space::{Formula, Region, Space};
use crate::notification::TypeName;

/// What came of a search.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// An example.
    Example(T),
    /// Nothing can be one.
    Nothing,
    /// Neither could be shown.
    Undecided(Doubt),
}

/// Why a search came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::snapshot) enum Doubt {
    /// There was more to look at than a search may.
    TooMuch,
    /// What may be an example came with no notification that is one.
    NoExample,
}

impl Doubt {
    /// As messages put it.
    pub(in crate::snapshot) fn about(self, type_name: &TypeName) -> String {
        match self {
            Self::TooMuch => format!("the rules of `{type_name}` test too much at once"),
            Self::NoExample => format!("no notification of `{type_name}` was found that shows it"),
        }
    }
}

/// Steps of one search. Beyond it, nothing is decided.
const MAX_STEPS: usize = 4_096;
/// Regions whose example did not hold, until the search is given up.
const MAX_EXAMPLES: usize = 8;

impl Space {
    /// Looks for a part in all of which `formula` is true and of which `example` makes something.
    pub(super) fn search<T>(&self, formula: &Formula, example: impl FnMut(&Region) -> Option<T>) -> Found<T> {
        let mut search = Search { space: self, example, steps: 0, failures: 0 };
        let parts = if let Formula::All(parts) = formula { parts.iter().collect() } else { vec![formula] };
        match search.within(self.whole(), &parts) {
            Some(found) => Found::Example(found),
            None if search.steps > MAX_STEPS => Found::Undecided(Doubt::TooMuch),
            None if search.failures > 0 => Found::Undecided(Doubt::NoExample),
            None => Found::Nothing,
        }
    }

    /// Whether something may make `formula` true; none where there was too much to look at.
    pub(super) fn possible(&self, formula: &Formula) -> Option<bool> {
        match self.search(formula, |_| Some(())) {
            Found::Example(()) => Some(true),
            Found::Nothing => Some(false),
            Found::Undecided(_) => None,
        }
    }

    /// Whether it is known that nothing makes `formula` true.
    pub(super) fn is_impossible(&self, formula: &Formula) -> bool {
        self.possible(formula) == Some(false)
    }
}

struct Search<'a, F> {
    space: &'a Space,
    example: F,
    steps: usize,
    failures: usize,
}

impl<F> Search<'_, F> {
    /// Looks where all of `parts` are true. What is true all over a region is so in every part of it.
    fn within<T>(&mut self, region: Region, parts: &[&Formula]) -> Option<T>
    where
        F: FnMut(&Region) -> Option<T>,
    {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.failures > MAX_EXAMPLES {
            return None;
        }
        let mut open = Vec::new();
        for part in parts {
            match self.space.value(&region, part) {
                Some(false) => return None,
                Some(true) => {}
                None => open.push(*part),
            }
        }
        let Some(first) = open.first() else {
            let found = (self.example)(&region);
            self.failures += usize::from(found.is_none());
            return found;
        };
        let (split, preferred) = self.space.open(&region, first, true)?;
        [preferred, !preferred]
            .into_iter()
            .find_map(|value| self.within(self.space.split(&region, split, value)?, &open))
    }
}
