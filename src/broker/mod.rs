//! The broker carries publications between nodes and keeps their history. It knows nothing of rules or policies.

use std::time::Duration;

use uuid::Uuid;

use crate::auth::Permit;
use crate::config::Retention;
use crate::notification::ChannelName;
use crate::stream::{Lane, Message, Position};

/// One message for one channel.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where to.
    pub channel: ChannelName,
    /// What the channel keeps.
    pub retention: Retention,
    /// What; its priority decides the lane.
    pub message: Message,
}

/// What makes a repeated publish harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The producer's key, hashed together with who it is, so that producers do not share a key space.
    pub digest: [u8; 16],
    /// A hash of the body.
    pub fingerprint: [u8; 16],
}

/// One notification's messages, decided and encoded.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The notification's id.
    pub id: Uuid,
    /// Set when the producer named a key.
    pub key: Option<IdempotencyKey>,
    /// One message a channel.
    pub messages: Vec<Outgoing>,
}

/// Where a message went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The channel.
    pub channel: ChannelName,
    /// Its lane.
    pub lane: Lane,
    /// Its place in the stream.
    pub position: Position,
    /// The id of the notification that was stored first, when this one repeats it.
    pub duplicate_of: Option<Uuid>,
}

/// Why a publish did not end with positions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishFailed {
    /// Nothing was stored.
    #[error("the broker did not accept it: {0}")]
    NotAccepted(String),
    /// It may or may not be stored; a retry with the same idempotency key is safe.
    #[error("the broker did not answer within {0:?}")]
    UnknownOutcome(Duration),
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused,
}

/// The broker could not be reached for anything but a publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker is not available: {0}")]
pub struct Unavailable(pub String);

/// What a broker keeps of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneInfo {
    /// Its newest position.
    pub top: Position,
    /// How many records are kept.
    pub length: u64,
}
