//! Why a condition is not true of a notification, for explanations.

use std::fmt;

use serde_json::Value;

use super::{Facts, Matcher, Side};

/// The first test that kept a condition from being true.
#[derive(Debug, Clone, PartialEq)]
pub enum Mismatch {
    /// A field's value did not fit.
    Field {
        /// The dotted path.
        path: String,
        /// The comparison as written, such as `gte 100000`.
        wanted: String,
        /// What the notification has there.
        saw: Option<Value>,
    },
    /// None of several alternatives fitted; the first one's reason.
    NoneOf(Box<Mismatch>),
    /// A condition under `not` was true.
    Negated {
        /// The condition.
        condition: String,
        /// What made it true, such as `data.x is 1`.
        saw: Vec<String>,
    },
    /// A window was closed (or, for `not_during`, open).
    Window {
        /// The window's name.
        name: String,
        /// Whether it was open.
        open: bool,
    },
    /// The condition is false for every notification of the type.
    Never,
}

impl Matcher {
    /// Why the condition is not true: the first test that failed, in the order in which they are tried.
    #[must_use]
    pub fn mismatch(&self, facts: Facts<'_>) -> Option<Mismatch> {
        if self.matches(facts) {
            return None;
        }
        Some(match self {
            Self::Always(_) => Mismatch::Never,
            Self::All(inner) => inner.iter().find_map(|matcher| matcher.mismatch(facts))?,
            Self::Any(inner) => {
                let first = inner.iter().find_map(|matcher| matcher.mismatch(facts));
                Mismatch::NoneOf(Box::new(first.unwrap_or(Mismatch::Never)))
            }
            Self::Not(inner) => {
                let mut decisive = Vec::new();
                inner.decisive(facts, &mut decisive);
                let mut saw: Vec<_> = decisive.into_iter().map(|test| test.seen(facts)).collect();
                saw.dedup();
                Mismatch::Negated { condition: inner.to_string(), saw }
            }
            Self::Field(field) => Mismatch::Field {
                path: field.path.join("."),
                wanted: field.wanted(),
                saw: facts.notification.lookup(&field.path).cloned(),
            },
            Self::During(window, side) => Mismatch::Window { name: window.name.clone(), open: *side == Side::Outside },
        })
    }

    /// Adds the tests that make it as true or as false as it is.
    fn decisive<'a>(&'a self, facts: Facts<'_>, found: &mut Vec<&'a Self>) {
        let holds = self.matches(facts);
        match self {
            Self::Always(_) => {}
            Self::Field(_) | Self::During(..) => found.push(self),
            Self::Not(inner) => inner.decisive(facts, found),
            // One decides where the others do not count.
            Self::All(inner) | Self::Any(inner) => match (self, holds) {
                (Self::All(_), true) | (Self::Any(_), false) => {
                    inner.iter().for_each(|test| test.decisive(facts, found));
                }
                _ => {
                    let first = inner.iter().find(|test| test.matches(facts) == holds);
                    first.into_iter().for_each(|test| test.decisive(facts, found));
                }
            },
        }
    }

    /// What a single test looks at, as it is.
    fn seen(&self, facts: Facts<'_>) -> String {
        match self {
            Self::Field(field) => {
                let found = facts.notification.lookup(&field.path);
                format!("{} is {}", field.path.join("."), found.map_or("missing".to_owned(), Value::to_string))
            }
            Self::During(window, _) => {
                let state = if window.contains(facts.now) { "open" } else { "closed" };
                format!("window {} is {state}", window.name)
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { path, wanted, saw: Some(saw) } => write!(f, "{path} is {saw}, wanted {wanted}"),
            Self::Field { path, wanted, saw: None } => write!(f, "{path} is missing, wanted {wanted}"),
            Self::NoneOf(first) => write!(f, "none of the alternatives: {first}"),
            Self::Negated { condition, saw } if saw.is_empty() => write!(f, "wanted not: {condition}"),
            Self::Negated { condition, saw } => write!(f, "{}, wanted not: {condition}", saw.join(" and ")),
            Self::Window { name, open: true } => write!(f, "window {name} is open"),
            Self::Window { name, open: false } => write!(f, "window {name} is closed"),
            Self::Never => f.write_str("never true for this type"),
        }
    }
}
