//! What a producer gets for a notification that was accepted.

use std::sync::Arc;

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
        let channel = |sent: &Sent| {
            let position = sent.position.map(|position| position.to_string());
            json!({"channel": sent.channel.as_str(), "lane": sent.lane.as_str(), "position": position})
        };
        let dropped = |dropped: &Dropped| json!({"rule": dropped.rule.as_str(), "reason": dropped.reason, "because": dropped.because.code()});
        json!({
            "id": self.id.to_string(),
            "outcome": self.reason.outcome().as_str(),
            "reason": self.reason.code(),
            "revision": self.revision.to_string(),
            "rules": self.rules.iter().map(Name::as_str).collect::<Vec<_>>(),
            "channels": self.channels.iter().map(channel).collect::<Vec<_>>(),
            "dropped": self.dropped.iter().map(dropped).collect::<Vec<_>>(),
            "duplicate": self.reason == Reason::Duplicate,
            "durability": self.durability,
        })
    }
}
