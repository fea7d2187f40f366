//! What a reader that lags is spared: notifications that have expired, that a newer one replaces, or that its channel
//! sheds. Each is counted, and told by a `lag` event; what is critical is never skipped.

use serde_json::{Value, json};

use crate::notification::{ChannelName, Priority};
use crate::stream::{Lane, Message};

/// What a lagging reader is spared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sparing {
    /// Unix milliseconds.
    pub(super) now_ms: u64,
    /// Whether the channel sheds low priority.
    pub(super) sheds_low: bool,
}

/// Notifications skipped since the last event of their stream, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    expired: u32,
    conflated: u32,
    shed: u32,
}

impl Sparing {
    /// Whether `message` is skipped, and counts it. `is_replaced` says whether its stream holds a newer message with
    /// the same collapse key.
    pub(super) fn skips(
        self,
        message: &Message,
        is_replaced: impl FnOnce(&str) -> bool,
        skipped: &mut Skipped,
    ) -> bool {
        if message.priority == Priority::Critical {
            return false;
        }
        let count = if message.expires_ms.is_some_and(|at| at <= self.now_ms) {
            &mut skipped.expired
        } else if message.collapse_key.as_deref().is_some_and(is_replaced) {
            &mut skipped.conflated
        } else if self.sheds_low && message.priority == Priority::Low {
            &mut skipped.shed
        } else {
            return false;
        };
        *count += 1;
        true
    }
}

impl Skipped {
    /// How many.
    pub(super) fn total(self) -> u64 {
        u64::from(self.expired) + u64::from(self.conflated) + u64::from(self.shed)
    }

    /// The data of the `lag` event. `to` is the number of the last one skipped.
    pub(super) fn to_json(self, channel: &ChannelName, lane: Lane, to: u64) -> Value {
        json!({
            "channel": channel.as_str(), "lane": lane.as_str(), "to": to,
            "expired": self.expired, "conflated": self.conflated, "shed": self.shed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPARING: Sparing = Sparing { now_ms: 1_000, sheds_low: true };

    fn message(priority: Priority, expires_ms: Option<u64>, key: Option<&str>) -> Message {
        Message { priority, expires_ms, collapse_key: key.map(Box::from), event: None, json: "{}".into() }
    }

    #[test]
    fn each_skip_has_one_reason() {
        let mut skipped = Skipped::default();
        let mut skips = |message: &Message| SPARING.skips(message, |key| key == "old", &mut skipped);
        assert!(skips(&message(Priority::High, Some(1_000), Some("old"))));
        assert!(skips(&message(Priority::Medium, Some(1_001), Some("old"))));
        assert!(skips(&message(Priority::Low, None, Some("new"))));
        assert!(!skips(&message(Priority::Medium, Some(1_001), Some("new"))));
        assert_eq!(skipped, Skipped { expired: 1, conflated: 1, shed: 1 });
        assert_eq!(skipped.total(), 3);
    }

    #[test]
    fn what_is_critical_is_never_skipped() {
        let mut skipped = Skipped::default();
        assert!(!SPARING.skips(&message(Priority::Critical, Some(1), Some("old")), |_| true, &mut skipped));
        assert_eq!(skipped, Skipped::default());
    }

    #[test]
    fn a_channel_that_sheds_nothing_keeps_low_priority() {
        let sparing = Sparing { sheds_low: false, ..SPARING };
        assert!(!sparing.skips(&message(Priority::Low, None, None), |_| false, &mut Skipped::default()));
    }
}
