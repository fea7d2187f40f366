//! How urgent a notification is; decides the lane it travels in.

use std::fmt;
use std::str::FromStr;

/// The urgency that a producer gives a notification, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// May wait, and may be shed for a reader that lags where the channel says so.
    Low,
    /// The default.
    #[default]
    Medium,
    /// Overtakes `low` and `medium`.
    High,
    /// Overtakes `low` and `medium`; never shed.
    Critical,
}

impl Priority {
    /// Every priority, in rising order.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name used in JSON, TOML and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = UnknownPriority;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text).ok_or(UnknownPriority)
    }
}

/// The text names no priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not one of low, medium, high, critical")]
pub struct UnknownPriority;
