//! Why a publish or a subscription is refused, in terms that its caller can act on.

use std::borrow::Cow;
use std::time::Duration;

use crate::auth::{Action, AuthError, Denied, Principal, Proof};
use crate::broker::{PublishFailed, Unavailable};
use crate::hub::TooManyStreams;
use crate::limits::Limited;
use crate::notification::{InvalidName, Name, Reason, TypeName, Unfit, Violation, closest};
use crate::snapshot::{NotSubscribable, Refusal, Snapshot, TypeSpec};
use crate::stream::MAX_CHANNELS;

/// Why a notification is not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// Who publishes is not known.
    #[error(transparent)]
    Unauthenticated(#[from] AuthError),
    /// It is no notification that rules can be tried on.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Its producer may not publish it.
    #[error(transparent)]
    Forbidden(Denied),
    /// A rate limit is used up.
    #[error(transparent)]
    Limited(Limited),
    /// The rules do not take it.
    #[error(transparent)]
    Refused(Refusal),
    /// Its idempotency key was used with another body.
    #[error("the idempotency key was used before with another body")]
    KeyReused,
    /// A publish with its idempotency key has not ended yet.
    #[error("a publish with the same idempotency key has not ended yet")]
    InFlight,
    /// The broker stored nothing.
    #[error("the broker did not accept it: {0}")]
    NotAccepted(String),
    /// The broker may have stored it.
    #[error("the broker did not confirm it within {0:?}: it may or may not be stored")]
    UnknownOutcome(Duration),
    /// The broker stored it in some of its channels.
    #[error("the broker stored it in some of its channels and not in others: {0}")]
    PartlyStored(String),
    /// The server shuts down.
    #[error("the server is shutting down")]
    Draining,
}

impl PublishError {
    /// The shared reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unauthenticated(_) => Reason::Unauthenticated,
            Self::Unfit(unfit) => unfit.reason(),
            Self::Forbidden(_) => Reason::Forbidden,
            Self::Limited(_) => Reason::Limited,
            Self::Refused(refusal) => refusal.reason(),
            Self::KeyReused => Reason::KeyReused,
            Self::InFlight => Reason::InFlight,
            Self::NotAccepted(_) => Reason::NotAccepted,
            Self::UnknownOutcome(_) | Self::PartlyStored(_) => Reason::UnknownOutcome,
            Self::Draining => Reason::Draining,
        }
    }

    /// What is wrong with the notification, member by member.
    #[must_use]
    pub fn violations(&self) -> Cow<'_, [Violation]> {
        match self {
            Self::Unfit(unfit) => unfit.violations(),
            _ => Cow::default(),
        }
    }

    /// What its policy asked for, entry by entry.
    #[must_use]
    pub fn why(&self) -> &[String] {
        match self {
            Self::Forbidden(denied) => &denied.why,
            _ => &[],
        }
    }

    /// Whoever presented nothing is asked for a credential, rather than told that it does not suffice.
    pub(super) fn denied(producer: &Principal, denied: Denied) -> Self {
        match producer.proof {
            Proof::Anonymous => Self::Unauthenticated(AuthError::Missing),
            Proof::Key(_) | Proof::Token { .. } => Self::Forbidden(denied),
        }
    }

    /// Names are for those who may use them: a type that the producer may not publish is never suggested, and who
    /// presented nothing and may publish nothing is asked for a credential, whether the type is declared or not.
    pub(super) fn unknown_type(snapshot: &Snapshot, producer: &Principal, name: &TypeName) -> Self {
        let may_publish = |(known, spec): &(&TypeName, &TypeSpec)| {
            spec.publish.authorize(producer, &[], Action::Publish(known)).is_ok()
        };
        let known: Vec<&TypeName> = snapshot.types.iter().filter(may_publish).map(|(known, _)| known).collect();
        if known.is_empty() && producer.proof == Proof::Anonymous {
            return Self::Unauthenticated(AuthError::Missing);
        }
        let similar = closest(name.as_str(), known.into_iter().map(Name::as_str)).map(str::to_owned);
        Unfit::UnknownType { name: name.clone(), similar }.into()
    }
}

impl From<PublishFailed> for PublishError {
    fn from(failed: PublishFailed) -> Self {
        match failed {
            PublishFailed::NotAccepted(why) => Self::NotAccepted(why),
            PublishFailed::UnknownOutcome(waited) => Self::UnknownOutcome(waited),
            PublishFailed::PartlyStored(why) => Self::PartlyStored(why),
            PublishFailed::KeyReused => Self::KeyReused,
        }
    }
}

/// Why a subscription is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AttachError {
    /// Who subscribes is not known.
    #[error(transparent)]
    Unauthenticated(#[from] AuthError),
    /// A parameter of its query is not what it must be.
    #[error("`{parameter}` is not {wanted}")]
    BadParameter {
        /// Its name.
        parameter: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// No channel is named, and the principal has no default.
    #[error("no channel is named, and there is none to subscribe to by default; add ?channel=NAME")]
    NoChannel,
    /// More than a cursor can hold.
    #[error("{0} channels are named; {MAX_CHANNELS} is the most for one stream")]
    TooManyChannels(usize),
    /// A name is no channel.
    #[error("a channel's name {0}")]
    BadChannel(InvalidName),
    /// A channel does not exist or is not for the principal.
    #[error(transparent)]
    NotSubscribable(NotSubscribable),
    /// The principal has its share of streams.
    #[error(transparent)]
    TooManyStreams(#[from] TooManyStreams),
    /// The broker cannot be asked where the channels are.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The server shuts down.
    #[error("the server is shutting down")]
    Draining,
}

impl AttachError {
    /// As [`PublishError::denied`], for a channel.
    pub(super) fn refused(subscriber: &Principal, error: NotSubscribable) -> Self {
        match (&subscriber.proof, error) {
            (Proof::Anonymous, NotSubscribable::Denied(_)) => Self::Unauthenticated(AuthError::Missing),
            (_, error) => Self::NotSubscribable(error),
        }
    }
}
