//! The domain: what a producer publishes, and the parsed names it is made of. No I/O, no clock.

mod draft;
mod duration;
mod json;
mod name;
mod priority;
mod reason;

pub use draft::{Draft, MAX_TAGS, MEMBERS, Violation};
pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use name::{ChannelName, InvalidName, MAX_SEGMENTS, Name, Segment, TypeName};
pub use priority::Priority;
pub use reason::{Outcome, Reason};

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

/// One accepted notification: a checked draft with the identity and times that the server gave it.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The producer's id, or a UUIDv7 (RFC 9562).
    pub id: Uuid,
    /// When the server accepted it; never trusted for ordering, which is the stream's `seq`.
    pub created_at: Timestamp,
    /// The members as published.
    pub draft: Draft,
}

impl Notification {
    /// Gives `draft` its identity: the id it names, else a new one that sorts by `now`.
    #[must_use]
    pub fn accept(draft: Draft, now: Timestamp) -> Self {
        Self { id: draft.id.unwrap_or_else(Uuid::now_v7), created_at: now, draft }
    }

    /// The moment after which delivering it is pointless, from the draft's `ttl`.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.draft.ttl.and_then(|ttl| self.created_at.checked_add(ttl).ok())
    }

    /// The compact JSON that subscribers of `channel` receive. One line, as serde escapes every control
    /// character, so nothing a producer wrote can break out of an SSE `data:` field.
    #[must_use]
    pub fn to_json(&self, channel: &ChannelName) -> String {
        let mut members = self.draft.members.clone();
        members.insert("id".into(), Value::String(self.id.to_string()));
        members.insert("channel".into(), Value::String(channel.to_string()));
        members.insert("createdAt".into(), Value::String(format!("{:.3}", self.created_at)));
        Value::Object(members).to_string()
    }

    /// The value at a dotted path such as `data.order.status`, as rules, filters and templates name it.
    #[must_use]
    pub fn lookup<'a>(&'a self, path: &[impl AsRef<str>]) -> Option<&'a Value> {
        lookup(&self.draft.members, path)
    }
}

/// The value at `path` in a tree of JSON objects.
fn lookup<'a>(members: &'a Map<String, Value>, path: &[impl AsRef<str>]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    let mut object = members;
    for key in parents {
        object = object.get(key.as_ref())?.as_object()?;
    }
    object.get(last.as_ref())
}
