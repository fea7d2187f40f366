//! The search of a space for what makes a condition true, with a bound on what it may cost.

use std::collections::BTreeSet;

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

/// Whether conditions can all be true at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Together {
    /// Nothing is known against it.
    Possible,
    /// No; neither are these of them, by their places.
    Impossible(BTreeSet<usize>),
    /// There was too much to look at.
    Unclear,
}

impl Space {
    /// Looks for a part in all of which `formula` is true and of which `example` makes something.
    pub(super) fn search<T>(&self, formula: &Formula, example: impl FnMut(&Region) -> Option<T>) -> Found<T> {
        let parts = if let Formula::All(parts) = formula { parts } else { std::slice::from_ref(formula) };
        let mut search = Search::new(self, example);
        let found = search.within(self.whole(), &parts.iter().enumerate().collect::<Vec<_>>());
        search.sum_up(found)
    }

    /// Whether all of these can be true at once.
    pub(super) fn together(&self, parts: &[Formula]) -> Together {
        let mut search = Search::new(self, |_: &Region| Some(()));
        let found = search.within(self.whole(), &parts.iter().enumerate().collect::<Vec<_>>());
        match search.sum_up(found) {
            Found::Example(()) => Together::Possible,
            Found::Nothing => Together::Impossible(search.decisive),
            Found::Undecided(_) => Together::Unclear,
        }
    }

    /// Whether it is known that nothing makes `formula` true.
    pub(super) fn is_impossible(&self, formula: &Formula) -> bool {
        matches!(self.search(formula, |_| Some(())), Found::Nothing)
    }
}

struct Search<'a, F> {
    space: &'a Space,
    example: F,
    steps: usize,
    failures: usize,
    /// The parts that were false somewhere, which of all that were looked at made it so.
    decisive: BTreeSet<usize>,
}

impl<'a, F> Search<'a, F> {
    fn new(space: &'a Space, example: F) -> Self {
        Self { space, example, steps: 0, failures: 0, decisive: BTreeSet::new() }
    }

    /// Looks where all of `parts` are true. What is true all over a region is so in every part of it.
    fn within<T>(&mut self, region: Region, parts: &[(usize, &Formula)]) -> Option<T>
    where
        F: FnMut(&Region) -> Option<T>,
    {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.failures > MAX_EXAMPLES {
            return None;
        }
        let mut open = Vec::new();
        for (place, part) in parts {
            match self.space.value(&region, part) {
                Some(false) => {
                    self.decisive.insert(*place);
                    return None;
                }
                Some(true) => {}
                None => open.push((*place, *part)),
            }
        }
        let Some((_, first)) = open.first() else {
            let found = (self.example)(&region);
            self.failures += usize::from(found.is_none());
            return found;
        };
        let (split, preferred) = self.space.open(&region, first, true)?;
        [preferred, !preferred]
            .into_iter()
            .find_map(|value| self.within(self.space.split(&region, split, value)?, &open))
    }

    fn sum_up<T>(&self, found: Option<T>) -> Found<T> {
        match found {
            Some(found) => Found::Example(found),
            None if self.steps > MAX_STEPS => Found::Undecided(Doubt::TooMuch),
            None if self.failures > 0 => Found::Undecided(Doubt::NoExample),
            None => Found::Nothing,
        }
    }
}
