//! What a producer gets for a notification that was accepted.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::broker::Published;
use crate::limits::Remaining;
use crate::notification::{ChannelName, Name, Notification, Reason};
use crate::snapshot::{Decision, Dropped, Revision};
use crate::stream::{Lane, Position};

/// What became of an accepted notification, and why.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The notification's id; for a repeat, that of the first.
    pub id: Uuid,
    /// What was decided, in one word.
    pub reason: Reason,
    /// The configuration that decided.
    pub revision: Revision,
    /// The rules that matched.
    pub rules: Vec<Name>,
    /// Where it went.
    pub channels: Vec<Sent>,
    /// What dropped it on the way.
    pub dropped: Vec<Dropped>,
    /// What the acceptance survives; none when nothing was sent.
    pub durability: Option<Arc<str>>,
    /// The state of the rate limit that it counted against.
    pub remaining: Option<Remaining>,
}

/// One channel that a notification went to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The channel.
    pub channel: ChannelName,
    /// The lane of its priority.
    pub lane: Lane,
    /// Its place in the stream; none in a dry run.
    pub position: Option<Position>,
}

impl Receipt {
    pub(super) fn new(
        notification: &Notification,
        revision: Revision,
        decision: &Decision,
        remaining: Option<Remaining>,
    ) -> Self {
        let lane = Lane::of(notification.draft.priority);
        let sent = |channel: &ChannelName| Sent { channel: channel.clone(), lane, position: None };
        Self {
            id: notification.id,
            reason: decision.outcome.as_ref().copied().unwrap_or_else(|refusal| refusal.reason()),
            revision,
            rules: decision.rules.clone(),
            channels: decision.deliveries.iter().map(|delivery| sent(&delivery.channel)).collect(),
            dropped: decision.dropped.clone(),
            durability: None,
            remaining,
        }
    }

    /// Takes in what the broker stored. It is a duplicate when every channel had it already.
    pub(super) fn record(&mut self, published: Vec<Published>, durability: Arc<str>) {
        self.durability = Some(durability);
        if published.iter().all(|one| one.duplicate) {
            self.reason = Reason::Duplicate;
        }
        self.id = published.first().map_or(self.id, |one| one.id);
        let sent = |one: Published| Sent { channel: one.channel, lane: one.lane, position: Some(one.position) };
        self.channels = published.into_iter().map(sent).collect();
    }

    /// The receipt as producers read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // Nothing in it fails to become JSON.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut receipt = serializer.serialize_struct("Receipt", 9)?;
        receipt.serialize_field("id", self.id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))?;
        receipt.serialize_field("outcome", self.reason.outcome().as_str())?;
        receipt.serialize_field("reason", self.reason.code())?;
        receipt.serialize_field("revision", &format_args!("{}", self.revision))?;
        receipt.serialize_field("rules", &self.rules.iter().map(Name::as_str).collect::<Vec<_>>())?;
        receipt.serialize_field("channels", &self.channels)?;
        receipt.serialize_field("dropped", &self.dropped.iter().map(dropped).collect::<Vec<_>>())?;
        receipt.serialize_field("duplicate", &(self.reason == Reason::Duplicate))?;
        receipt.serialize_field("durability", &self.durability)?;
        receipt.end()
    }
}

fn dropped(dropped: &Dropped) -> Value {
    json!({"rule": dropped.rule.as_str(), "reason": dropped.reason, "because": dropped.because.code()})
}

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sent = serializer.serialize_struct("Sent", 3)?;
        sent.serialize_field("channel", self.channel.as_str())?;
        sent.serialize_field("lane", self.lane.as_str())?;
        sent.serialize_field("position", &self.position.as_ref().map(ToString::to_string))?;
        sent.end()
    }
}
