//! Why something is no notification that rules can be tried on. Whoever decides says it by this, and so with one code.

use std::borrow::Cow;

use super::{Reason, TypeName, Violation};

/// Why something is no notification that rules can be tried on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no notification.
    #[error("the notification is malformed")]
    Malformed(Vec<Violation>),
    /// Its type is not declared.
    #[error("no type `{name}` is declared{}", .similar.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    UnknownType {
        /// The type.
        name: TypeName,
        /// One that is close, of those that whoever asks may know.
        similar: Option<String>,
    },
    /// It does not satisfy its schema.
    #[error("the notification does not satisfy the schema of its type")]
    Invalid(Vec<Violation>),
}

impl Unfit {
    /// The shared reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::Malformed,
            Self::UnknownType { .. } => Reason::UnknownType,
            Self::Invalid(_) => Reason::Invalid,
        }
    }

    /// What is wrong, member by member. The texts hold no value of the notification.
    #[must_use]
    pub fn violations(&self) -> Cow<'_, [Violation]> {
        match self {
            Self::Malformed(violations) | Self::Invalid(violations) => violations.into(),
            Self::UnknownType { .. } => vec![Violation::new("/type", "is not a declared type")].into(),
        }
    }
}
