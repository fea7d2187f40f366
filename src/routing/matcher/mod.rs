//! A rule's `when`, compiled: the hot path builds nothing and compares typed values.

mod mismatch;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Number, Value};

pub use self::mismatch::Mismatch;

use super::Window;
use crate::config::{Operator, compile_glob};
use crate::notification::{Notification, Priority};

/// Most memory of one compiled pattern, in bytes; its running time is linear by construction.
const MAX_COMPILED: usize = 1 << 20;

/// What a matcher looks at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The notification.
    pub notification: &'a Notification,
    /// When it was accepted.
    pub now: Timestamp,
}

/// A compiled condition. A missing field makes a test false.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// True or false whatever the notification.
    Always(bool),
    /// Every one.
    All(Box<[Matcher]>),
    /// At least one.
    Any(Box<[Matcher]>),
    /// Not this one.
    Not(Box<Matcher>),
    /// A field's value. Shared by all types that the rule is for.
    Field(Arc<Field>),
    /// Inside the window, or outside it.
    During(Arc<Window>, Side),
}

/// Which side of a window a time must be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `during`.
    Inside,
    /// `not_during`.
    Outside,
}

/// A field and the test of its value.
#[derive(Debug, Clone)]
pub struct Field {
    path: Box<[Box<str>]>,
    operator: Operator,
    /// As written, for explanations.
    wanted: Value,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    OneOf(Box<[Value]>),
    Differs(Value),
    Compares(Number, fn(Ordering) -> bool),
    AtLeast(Priority),
    Exists(bool),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    /// A regular expression, or a glob as one.
    Matches(Regex),
    Contains(Value),
}

impl Matcher {
    /// Whether the condition is true.
    #[must_use]
    pub fn matches(&self, facts: Facts<'_>) -> bool {
        match self {
            Self::Always(value) => *value,
            Self::All(inner) => inner.iter().all(|matcher| matcher.matches(facts)),
            Self::Any(inner) => inner.iter().any(|matcher| matcher.matches(facts)),
            Self::Not(inner) => !inner.matches(facts),
            Self::Field(field) => field.matches(facts.notification),
            Self::During(window, side) => window.contains(facts.now) == (*side == Side::Inside),
        }
    }

    /// Adds the windows that it asks for.
    pub fn windows<'a>(&'a self, found: &mut Vec<&'a Window>) {
        match self {
            Self::Always(_) | Self::Field(_) => {}
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|matcher| matcher.windows(found)),
            Self::Not(inner) => inner.windows(found),
            Self::During(window, _) => found.push(window),
        }
    }

    /// Adds the tests of fields that it asks for.
    pub fn fields<'a>(&'a self, found: &mut Vec<&'a Field>) {
        match self {
            Self::Always(_) | Self::During(..) => {}
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|matcher| matcher.fields(found)),
            Self::Not(inner) => inner.fields(found),
            Self::Field(field) => found.push(field),
        }
    }

    /// The same condition for notifications whose `type` is known, with every test of it decided.
    #[must_use]
    pub fn for_type(&self, type_name: &str) -> Self {
        match self {
            Self::Field(field) if field.is_type() => {
                Self::Always(field.test.accepts(&Value::String(type_name.to_owned())))
            }
            Self::All(inner) => Self::all(inner.iter().map(|matcher| matcher.for_type(type_name))),
            Self::Any(inner) => Self::any(inner.iter().map(|matcher| matcher.for_type(type_name))),
            Self::Not(inner) => Self::none(inner.for_type(type_name)),
            other => other.clone(),
        }
    }

    /// The types that a `type` test at the top allows, each once, when there is one: spares specialising for the others.
    #[must_use]
    pub fn types(&self) -> Option<BTreeSet<&str>> {
        match self {
            Self::Field(field) if field.is_type() => match &field.test {
                Test::OneOf(values) => Some(values.iter().filter_map(Value::as_str).collect()),
                _ => None,
            },
            Self::All(inner) => inner.iter().find_map(Self::types),
            _ => None,
        }
    }

    /// Every one of `inner`, simplified.
    #[must_use]
    pub fn all(inner: impl Iterator<Item = Self>) -> Self {
        match undecided(inner, Self::Always(true)) {
            Ok(open) => Self::All(open.into()),
            Err(decided) => decided,
        }
    }

    /// At least one of `inner`, simplified.
    #[must_use]
    pub fn any(inner: impl Iterator<Item = Self>) -> Self {
        match undecided(inner, Self::Always(false)) {
            Ok(open) => Self::Any(open.into()),
            Err(decided) => decided,
        }
    }

    /// The opposite of `inner`, simplified.
    #[must_use]
    pub fn none(inner: Self) -> Self {
        match inner {
            Self::Always(value) => Self::Always(!value),
            other => Self::Not(Box::new(other)),
        }
    }
}

impl From<Field> for Matcher {
    fn from(field: Field) -> Self {
        Self::Field(Arc::new(field))
    }
}

/// The parts of a junction that are open, when there are several; else what the junction comes down to. A part
/// that is `neutral` changes nothing, and one that is decided the other way decides all.
fn undecided(inner: impl Iterator<Item = Matcher>, neutral: Matcher) -> Result<Vec<Matcher>, Matcher> {
    let mut open = Vec::new();
    for part in inner {
        match (&part, &neutral) {
            (Matcher::Always(value), Matcher::Always(same)) if value == same => {}
            (Matcher::Always(_), _) => return Err(part),
            _ => open.push(part),
        }
    }
    match open.len() {
        0 => Err(neutral),
        1 => Err(open.remove(0)),
        _ => Ok(open),
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, inner: &[Self], word: &str| {
            for (index, matcher) in inner.iter().enumerate() {
                write!(f, "{}{matcher}", if index == 0 { "" } else { word })?;
            }
            Ok(())
        };
        match self {
            Self::Always(value) => write!(f, "{value}"),
            Self::All(inner) => list(f, inner, " and "),
            Self::Any(inner) => list(f, inner, " or "),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Field(field) => write!(f, "{} {}", field.path.join("."), field.wanted()),
            Self::During(window, Side::Inside) => write!(f, "during {}", window.name),
            Self::During(window, Side::Outside) => write!(f, "not during {}", window.name),
        }
    }
}

impl Field {
    /// Compiles one test of one field. The configuration has checked that the value fits the operator.
    ///
    /// # Errors
    /// What is wrong with a glob or a regular expression.
    pub fn compile(path: &str, operator: Operator, value: &Value) -> Result<Self, String> {
        let text = || value.as_str().unwrap_or_default();
        let number = |test| Test::Compares(value.as_number().cloned().unwrap_or_else(|| 0.into()), test);
        let test = match operator {
            Operator::Eq => Test::OneOf(Box::new([value.clone()])),
            Operator::In => Test::OneOf(value.as_array().cloned().unwrap_or_default().into()),
            Operator::Ne => Test::Differs(value.clone()),
            Operator::Gt => number(Ordering::is_gt),
            Operator::Gte => number(Ordering::is_ge),
            Operator::Lt => number(Ordering::is_lt),
            Operator::Lte => number(Ordering::is_le),
            Operator::AtLeast => Test::AtLeast(text().parse().map_err(|e| format!("`{}` {e}", text()))?),
            Operator::Exists => Test::Exists(value.as_bool().unwrap_or(true)),
            Operator::StartsWith => Test::StartsWith(text().into()),
            Operator::EndsWith => Test::EndsWith(text().into()),
            Operator::Glob => Test::Matches(compile_glob(text(), MAX_COMPILED)?),
            Operator::Regex => {
                let compiled = regex::RegexBuilder::new(text()).size_limit(MAX_COMPILED).build();
                Test::Matches(compiled.map_err(|e| e.to_string())?)
            }
            Operator::Contains => Test::Contains(value.clone()),
        };
        let path = path.split('.').map(Box::from).collect();
        Ok(Self { path, operator, wanted: value.clone(), test })
    }

    fn is_type(&self) -> bool {
        self.path.len() == 1 && &*self.path[0] == "type"
    }

    fn matches(&self, notification: &Notification) -> bool {
        self.accepts(notification.lookup(&self.path))
    }

    /// Whether the test is true of what a notification has there.
    #[must_use]
    pub fn accepts(&self, found: Option<&Value>) -> bool {
        match (found, &self.test) {
            (found, Test::Exists(wanted)) => found.is_some() == *wanted,
            (None, _) => false,
            (Some(value), test) => test.accepts(value),
        }
    }

    /// The parts of its dotted path.
    #[must_use]
    pub fn path(&self) -> &[Box<str>] {
        &self.path
    }

    /// How it compares.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it compares with, as written.
    #[must_use]
    pub fn operand(&self) -> &Value {
        &self.wanted
    }

    fn wanted(&self) -> String {
        match self.operator {
            Operator::Eq => format!("= {}", self.wanted),
            operator => format!("{} {}", operator.as_str(), self.wanted),
        }
    }
}

impl Test {
    fn accepts(&self, value: &Value) -> bool {
        match self {
            Self::OneOf(wanted) => wanted.iter().any(|wanted| same(wanted, value)),
            Self::Differs(unwanted) => !same(unwanted, value),
            Self::Compares(bound, test) => {
                value.as_number().and_then(|number| compare(number, bound)).is_some_and(test)
            }
            Self::AtLeast(least) => {
                value.as_str().and_then(|text| text.parse::<Priority>().ok()).is_some_and(|got| got >= *least)
            }
            Self::Exists(wanted) => *wanted,
            Self::StartsWith(start) => value.as_str().is_some_and(|text| text.starts_with(&**start)),
            Self::EndsWith(end) => value.as_str().is_some_and(|text| text.ends_with(&**end)),
            Self::Matches(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
            Self::Contains(part) => match value {
                Value::Array(elements) => elements.iter().any(|element| same(element, part)),
                Value::String(text) => part.as_str().is_some_and(|part| text.contains(part)),
                _ => false,
            },
        }
    }
}

/// Equality of JSON values as JSON Schema has it: 1 and 1.0 are the same number.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b).is_some_and(Ordering::is_eq),
        _ => a == b,
    }
}

/// Which of two numbers is the greater one, exactly, as a JSON Schema has it: an integer is never rounded to a float.
#[must_use]
pub fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(a), None) => compare_whole(a, b.as_f64()?),
        (None, Some(b)) => compare_whole(b, a.as_f64()?).map(Ordering::reverse),
        (None, None) => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// A float beyond every integer stays beyond it when it is cut to one.
fn compare_whole(whole: i128, float: f64) -> Option<Ordering> {
    let floor = float.floor();
    let rest = floor.partial_cmp(&float)?;
    Some(whole.cmp(&(floor as i128)).then(rest))
}
