//! How a channel's keys are called in Redis.

use redis::{Cmd, RedisWrite};

use super::slots::Slot;
use crate::notification::ChannelName;
use crate::stream::Lane;

/// Names keys. All keys of a channel share the hash tag `{channel}`, so that one script may use them in a cluster.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: Box<str>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Adds the keys that a script which writes works on, in the order in which `history.lua` takes them.
    pub(super) fn for_write(&self, channel: &ChannelName, call: &mut Cmd) {
        let prefix = &self.prefix;
        for kind in ["m", lane_code(Lane::Express), lane_code(Lane::Normal)] {
            call.write_arg_fmt(format_args!("{prefix}:{{{channel}}}:{kind}"));
        }
    }

    /// The epoch, the tops and the chain of earlier epochs, as `meta.lua` reads them.
    pub(super) fn meta(&self, channel: &ChannelName) -> String {
        format!("{}:{{{channel}}}:m", self.prefix)
    }

    /// The list of a lane's records.
    pub(super) fn records(&self, channel: &ChannelName, lane: Lane) -> String {
        format!("{}:{{{channel}}}:{}", self.prefix, lane_code(lane))
    }

    /// Whom an idempotency key belongs to. It is in no channel's slot, as it holds for all of them.
    pub(super) fn claim(&self, digest: [u8; 16]) -> String {
        format!("{}:k:{{{}}}", self.prefix, hex(digest))
    }

    /// What a node writes to, so that its replicas have something to confirm. `tag` is of a slot that its server has.
    pub(super) fn committed(&self, tag: &str, node: uuid::Uuid) -> String {
        format!("{}:w:{{{tag}}}:{node}", self.prefix)
    }

    /// Where the channel has what was published with an idempotency key.
    pub(super) fn mark(&self, channel: &ChannelName, digest: [u8; 16]) -> String {
        format!("{}:{{{channel}}}:i:{}", self.prefix, hex(digest))
    }

    /// A bucket that nodes share.
    pub(super) fn bucket(&self, id: [u8; 16]) -> String {
        format!("{}:l:{{{}}}", self.prefix, hex(id))
    }

    /// Who listens, node by node.
    pub(super) fn presence(&self, channel: &ChannelName) -> String {
        format!("{}:{{{channel}}}:p", self.prefix)
    }

    /// The pub/sub channel that carries both lanes.
    pub(super) fn pubsub(&self, channel: &ChannelName) -> String {
        format!("{}:{{{channel}}}", self.prefix)
    }

    /// The name of the channel that a pub/sub channel carries.
    pub(super) fn channel<'a>(&self, pubsub: &'a str) -> Option<&'a str> {
        pubsub.strip_prefix(&*self.prefix)?.strip_prefix(":{")?.strip_suffix('}')
    }

    /// The pub/sub channel and the key of a node's probe. `tag` is of a slot that the probed server has.
    pub(super) fn probe(&self, tag: &str, node: uuid::Uuid) -> String {
        format!("{}:probe:{{{tag}}}:{node}", self.prefix)
    }
}

/// The slot of a channel's keys, and of the pub/sub channel that carries it.
pub(super) fn slot_of_channel(channel: &ChannelName) -> Slot {
    Slot::of(channel.as_str())
}

/// The slot of a key that is none of a channel's.
pub(super) fn slot_of_digest(digest: [u8; 16]) -> Slot {
    Slot::of(&hex(digest))
}

/// A lane, as keys and scripts call it.
pub(super) fn lane_code(lane: Lane) -> &'static str {
    match lane {
        Lane::Express => "x",
        Lane::Normal => "n",
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}
