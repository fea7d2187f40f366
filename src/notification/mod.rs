//! The domain: what a producer publishes, and the parsed names it is made of. No I/O, no clock.

mod draft;
mod duration;
mod json;
mod name;
mod priority;
mod reason;
mod similar;
mod unfit;

pub use draft::{Draft, MAX_TAGS, MEMBERS, Violation};
pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use name::{ChannelName, InvalidName, MAX_SEGMENTS, Name, Segment, TypeName};
pub use priority::Priority;
pub use reason::{Outcome, Reason};
pub use similar::closest;
pub use unfit::Unfit;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
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
        // No value that JSON made fails to become JSON.
        serde_json::to_string(&Addressed { notification: self, channel }).unwrap_or_default()
    }

    /// The value at a dotted path such as `data.order.status`, as rules, filters and templates name it.
    #[must_use]
    pub fn lookup<'a>(&'a self, path: &[impl AsRef<str>]) -> Option<&'a Value> {
        lookup(&self.draft.members, path)
    }
}

/// A notification as subscribers of one channel see it.
struct Addressed<'a> {
    notification: &'a Notification,
    channel: &'a ChannelName,
}

impl Serialize for Addressed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Notification { id, created_at, draft } = self.notification;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))?;
        map.serialize_entry("channel", self.channel.as_str())?;
        map.serialize_entry("createdAt", &format_args!("{created_at:.3}"))?;
        for (member, value) in draft.members.iter().filter(|(member, _)| *member != "id") {
            map.serialize_entry(member, value)?;
        }
        map.end()
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
