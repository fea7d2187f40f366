//! What can be wrong with a run.

use std::fmt;

use super::Heard;

/// What is promised and was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// Nobody published it.
    NotIssued,
    /// It is not what was published there.
    Altered,
    /// It was published to another channel.
    Crossed,
    /// Its publish was refused.
    DeliveredFailed,
    /// Two publishes were told the same position.
    IssuedTwice,
    /// Its subscriber may not hear that channel.
    NotGranted,
    /// It was heard before on the same connection.
    Doubled,
    /// It is stored under two numbers.
    Copied,
    /// It comes after what follows it.
    Reordered,
    /// Something before it was neither heard nor told to be missing.
    Lost,
    /// What was told to be missing is not.
    Overstated,
    /// Two subscribers heard different things at one position.
    Disagreement,
    /// The run does not show what it claims to.
    Vacuous,
}

/// A rule that was broken, and by what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    /// The offender.
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }

    /// A violation by something that was heard.
    pub(crate) fn heard(rule: Rule, heard: &Heard, why: impl fmt::Display) -> Self {
        let Heard { connection, channel, lane, position, kind, .. } = heard;
        Self::new(rule, format!("connection {connection}: `{channel}` {lane} at {position}, {kind:?}: {why}"))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}
