//! `[windows.*]`, `[plugins.*]`, `[[rules]]`, `[[tests]]` and `[[invariants]]`.

use std::time::Duration;

use serde_json::Value;

use crate::config::At;
use crate::notification::Name;

/// `[windows.*]`: recurring local times.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Ranges such as `22:00-07:00`; one that ends before it starts wraps midnight.
    pub daily: Vec<At<DailyRange>>,
    /// Weekdays on which a range may start. Default all.
    pub days: Vec<At<Weekday>>,
    /// An IANA time zone name, that of `[defaults]` where the window names none. None is one that is missing or could not
    /// be read, which is told.
    pub timezone: Option<At<String>>,
}

/// A day of the week, as jiff counts it.
pub type Weekday = jiff::civil::Weekday;

/// A range of local wall-clock time: `start` included, `end` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyRange {
    /// Minutes since midnight.
    pub start: u16,
    /// Minutes since midnight, at most 1440; before `start` means the next day.
    pub end: u16,
}

/// `[plugins.*]`: a filter script.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// A file in `paths.plugins`.
    pub script: At<String>,
    /// The constant `params` of the script.
    pub params: Value,
    /// What happens when it fails.
    pub on_error: OnError,
    /// Most operations of one call. Default 20 000.
    pub max_operations: u64,
    /// Most wall time of one call. Default 5 ms.
    pub max_time: Duration,
}

/// `on_error` of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// As if it had passed.
    Pass,
    /// As if it had dropped.
    Drop,
    /// As if the rule had not matched.
    SkipRule,
}

/// `[[rules]]`. What is `None` and not optional has a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique.
    pub name: Option<At<Name>>,
    /// Higher first.
    pub priority: Option<At<i64>>,
    /// Which notifications it is for.
    pub when: Condition,
    /// The plugin that may drop it.
    pub filter: Option<At<String>>,
    /// What it does.
    pub action: Option<Action>,
    /// Whether rules after it are tried. Default `stop`.
    pub then: Then,
}

/// `to` or `drop` of a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Channel templates such as `user.{userId}`.
    To(Vec<At<String>>),
    /// A reason.
    Drop(At<Name>),
}

/// `then` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The first match ends the search.
    Stop,
    /// Later rules are tried as well.
    Continue,
}

/// `when`: a tree of tests. A missing field makes a test false.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Every one; an empty list is true.
    All(Vec<Condition>),
    /// At least one.
    Any(Vec<Condition>),
    /// Not this one.
    Not(Box<Condition>),
    /// A field against a value.
    Field {
        /// A dotted path such as `data.status`.
        path: At<String>,
        /// The comparison.
        operator: Operator,
        /// What to compare with.
        value: At<Value>,
        /// The elements of a list, or else the one value: each where it stands.
        operands: Vec<At<Value>>,
    },
    /// Inside a window.
    During(At<String>),
    /// Outside a window.
    NotDuring(At<String>),
    /// One that has a fault.
    Faulty(Fault),
}

/// What is known of a condition that has a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The field that it is about, where that much is clear.
    pub path: Option<At<String>>,
    /// Whether it is of a kind that nobody can tell from what else it goes with, such as `gte`: neither which types
    /// it is for, nor that it and another condition exclude each other.
    pub is_opaque: bool,
}

impl Fault {
    /// Whether it may turn out to be about `type`.
    #[must_use]
    pub fn may_be_of_type(&self) -> bool {
        !self.is_opaque && self.path.as_ref().is_none_or(|path| path.value == "type")
    }
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Present and not equal.
    Ne,
    /// Equal to one of an array.
    In,
    /// Greater, numbers.
    Gt,
    /// Greater or equal, numbers.
    Gte,
    /// Less, numbers.
    Lt,
    /// Less or equal, numbers.
    Lte,
    /// At least as urgent, only on `priority`.
    AtLeast,
    /// Present (true) or missing (false).
    Exists,
    /// A string's beginning.
    StartsWith,
    /// A string's end.
    EndsWith,
    /// A whole string against `*`, `?`, `[...]`.
    Glob,
    /// A regular expression of linear time, unanchored.
    Regex,
    /// An array's element, or a part of a string.
    Contains,
}

/// `[[tests]]`: what a notification must lead to.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What the test is called.
    pub name: At<String>,
    /// A notification.
    pub given: At<Value>,
    /// Its type, if it has one.
    pub given_type: Option<At<String>>,
    /// When it is accepted. Default now.
    pub at: Option<At<jiff::Timestamp>>,
    /// What plugins say instead of being run.
    pub stub: Vec<(At<String>, Stub)>,
    /// What must come of it.
    pub expect: Expectation,
}

/// `stub` of a test, for one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stub {
    /// It keeps the notification.
    Pass,
    /// It drops it, for this reason; else for the one that a script has which returns `false`.
    Drop(Option<Name>),
    /// It fails, and `on_error` decides.
    Error,
}

/// `expect` of a test; what is absent is not asked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expectation {
    /// Names of the rules that matched, in order.
    pub rules: Option<At<Vec<At<String>>>>,
    /// Channels, in any order.
    pub channels: Option<At<Vec<String>>>,
    /// The reason it was dropped for.
    pub dropped: Option<At<String>>,
    /// The code of the reason it was refused for.
    pub refused: Option<At<String>>,
}

/// `[[invariants]]`: what must hold for every notification that a schema admits.
#[derive(Debug, Clone, PartialEq)]
pub struct Invariant {
    /// Which notifications.
    pub for_all: Condition,
    /// What must be true of them.
    pub claim: InvariantClaim,
}

/// What an invariant claims.
#[derive(Debug, Clone, PartialEq)]
pub enum InvariantClaim {
    /// `must_reach`.
    MustReach(At<String>),
    /// `must_never_reach`.
    MustNeverReach(At<String>),
    /// `must_not_drop`.
    MustNotDrop,
}
