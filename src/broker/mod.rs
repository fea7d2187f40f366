//! The broker carries publications between nodes and keeps their history. It knows nothing of rules or policies.
//!
//! What it receives it hands to an [`Inlet`]; what it keeps is read through [`History`]. A message is stored
//! before it is delivered, so whatever a receiver misses can be read, and a receiver is told when it may have.
//!
//! # How long history is kept
//!
//! At most `size` records a stream, and none that is older than `ttl`, counted from its own publish. What is too old is
//! not read even if it is still there, and is told as trimmed. Both bounds are those that the last publish to the channel
//! brought along: the broker does not know the configuration, so a change of it holds from the next publish on.
//!
//! # Idempotency keys
//!
//! The first publish with a key binds it to its body, its id and its channels, before it is stored anywhere. Another
//! body is refused then, whichever channels it goes to, and is stored in none. The same body is stored under the first
//! id in those of the first channels that lack it: in none when the first publish ended well, in the rest when it was
//! cut half-way. The channels are those of the first publish even when the rules have changed since: a repeat asks
//! for what was begun, and two nodes of two revisions must not each send it their own way.
//!
//! A key stays bound to its body also when that publish failed, until it is forgotten: a repeat of it may be under way
//! on another node, so nobody can tell when it would be safe to let go.

mod memory;
mod redis;
mod resume;
#[cfg(test)]
mod tests;

pub use memory::Memory;
pub use redis::{InvalidUrl, Redis, Unfit};

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::auth::Permit;
use crate::config::{self, BrokerUrl, Retention};
use crate::notification::ChannelName;
use crate::stream::{History, HistoryUnavailable, Inlet, Lane, Message, Position, ReadFuture, TopsFuture};
use crate::telemetry::Metrics;

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
    /// The id that its notification has there: that of the first publish with the same idempotency key.
    pub id: Uuid,
    /// Whether an earlier publish with the same idempotency key had stored it.
    pub duplicate: bool,
}

/// Why a publish did not end with positions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishFailed {
    /// This try stored nothing, in any channel.
    #[error("the broker did not accept it: {0}")]
    NotAccepted(String),
    /// It may or may not be stored, or only in some of its channels; a retry with the same idempotency key is safe
    /// and completes it.
    #[error("the broker did not confirm it within {0:?}")]
    UnknownOutcome(Duration),
    /// It is stored in some of its channels and was refused in others, for this reason. A retry with the same
    /// idempotency key stores it in the others once they take it.
    #[error("the broker stored it in some of its channels and not in others: {0}")]
    PartlyStored(String),
    /// The idempotency key was used with another body. Nothing was stored.
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
    /// Its newest position; none as long as nobody has published to the channel or subscribed to it.
    pub top: Option<Position>,
    /// How many records are kept. In Redis some that are too old to be read may be among them.
    pub length: u64,
}

/// A bucket of tokens that all nodes take from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Which one.
    pub id: [u8; 16],
    /// Between two tokens that flow in, in whole microseconds.
    pub interval: Duration,
    /// How long it takes to be full when it is empty.
    pub window: Duration,
}

/// Whether to take a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// If there is one.
    Take,
    /// Only say whether there is one.
    Look,
}

/// What was found in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// Whether there was a token.
    pub admitted: bool,
    /// In how long the bucket will be full, as it is left.
    pub debt: Duration,
}

/// Where publications go to and come from.
#[derive(Debug)]
pub enum Broker {
    /// Inside this process: one node, and nothing outlives it.
    Memory(Memory),
    /// In Redis: any number of nodes.
    Redis(Arc<Redis>),
}

impl Broker {
    /// The broker that the configuration's URL names. It hands what it receives to `inlet`, which must not call it
    /// back from there. No connection is made before [`Broker::run`].
    ///
    /// # Errors
    /// [`InvalidUrl`] when the Redis client cannot use the URL; the configuration has checked it.
    pub fn new(config: &config::Broker, inlet: Arc<dyn Inlet>) -> Result<Self, InvalidUrl> {
        Ok(match &config.url.value {
            BrokerUrl::Memory => Self::Memory(Memory::new(config, inlet)),
            BrokerUrl::Redis(_) | BrokerUrl::Sentinel(_) | BrokerUrl::Cluster(_) => {
                Self::Redis(Arc::new(Redis::new(config, inlet)?))
            }
        })
    }

    /// Looks at the server before it is used, so that one that can never work is found at the start. One that is away is
    /// looked at when it is there; until then, and if it cannot be used then, the broker is not ready.
    ///
    /// # Errors
    /// Why the server cannot be used.
    pub async fn check(&self) -> Result<(), Unfit> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => redis.check().await,
        }
    }

    /// Counts in `metrics` each connection that has to be made again.
    pub fn count_in(&self, metrics: &Arc<Metrics>) {
        match self {
            Self::Memory(_) => {}
            Self::Redis(redis) => redis.count_in(metrics),
        }
    }

    /// Keeps connections up and history within its bounds until `shutdown`. Whoever owns the broker runs it once.
    pub async fn run(&self, shutdown: CancellationToken) {
        match self {
            Self::Memory(memory) => memory.run(shutdown).await,
            Self::Redis(redis) => redis.run(shutdown).await,
        }
    }

    /// Until when a publish is answered that comes in now.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self {
            Self::Memory(_) => Instant::now(),
            Self::Redis(redis) => Instant::now() + redis.timeout(),
        }
    }

    /// Stores each message of the batch in its channel, and says where, in the batch's order. A repeat is stored
    /// where the first publish with its key was to go: `readdress` gives the message of that id for such a channel.
    /// What is not known by the deadline is told as unknown.
    ///
    /// # Errors
    /// [`PublishFailed`], whose variants say what is known of the batch.
    pub async fn publish(
        &self,
        _permit: &Permit,
        batch: Batch,
        readdress: impl Fn(Uuid, ChannelName) -> Outgoing,
        deadline: Instant,
    ) -> Result<Vec<Published>, PublishFailed> {
        self.store(batch, readdress, deadline).await
    }

    async fn store(
        &self,
        batch: Batch,
        readdress: impl Fn(Uuid, ChannelName) -> Outgoing,
        deadline: Instant,
    ) -> Result<Vec<Published>, PublishFailed> {
        match self {
            // What it has begun it ends at once, so a repeat finds nothing to complete.
            Self::Memory(memory) => memory.store(&batch, Instant::now()),
            Self::Redis(redis) => redis.store(batch, readdress, deadline).await,
        }
    }

    /// Has everything that is published to `channel` from now on delivered to the inlet. Returns the tops of its
    /// lanes as read after the subscription was confirmed: what is at or below them is in history, what is above
    /// them is delivered, perhaps before this returns. A call that fails or is dropped leaves no subscription.
    ///
    /// # Errors
    /// [`Unavailable`] when there is no confirmation in time.
    pub async fn subscribe(&self, channel: &ChannelName) -> Result<[Position; 2], Unavailable> {
        match self {
            Self::Memory(memory) => Ok(memory.subscribe(channel, Instant::now())),
            Self::Redis(redis) => redis.subscribe(channel).await,
        }
    }

    /// Ends the subscription to `channel`. Calls for one channel take effect in the order in which they are made.
    pub fn unsubscribe(&self, channel: &ChannelName) {
        match self {
            Self::Memory(memory) => memory.unsubscribe(channel),
            Self::Redis(redis) => redis.unsubscribe(channel),
        }
    }

    /// What is kept of both lanes of `channel`. Looking leaves nothing behind.
    ///
    /// # Errors
    /// [`Unavailable`] when the broker does not answer.
    pub async fn info(&self, channel: &ChannelName) -> Result<[LaneInfo; 2], Unavailable> {
        match self {
            Self::Memory(memory) => Ok(memory.info(channel, Instant::now())),
            Self::Redis(redis) => redis.info(channel).await,
        }
    }

    /// Takes a token from a bucket that nodes share, in one round trip. `None` when there are no other nodes to share
    /// it with.
    ///
    /// # Errors
    /// [`Unavailable`] when the broker does not answer; a token may have been taken.
    pub async fn draw(&self, bucket: &Bucket, draw: Draw) -> Result<Option<Drawn>, Unavailable> {
        match self {
            Self::Memory(_) => Ok(None),
            Self::Redis(redis) => redis.draw(bucket, draw).await.map(Some),
        }
    }

    /// Tells other nodes how many listen to each of these channels here. They count them for `ttl`, or until they are
    /// told again; none is told as 0.
    ///
    /// # Errors
    /// [`Unavailable`] when the broker does not answer; some may have been told.
    pub async fn announce(&self, listeners: &[(ChannelName, usize)], ttl: Duration) -> Result<(), Unavailable> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => redis.announce(listeners, ttl).await,
        }
    }

    /// How many listen to `channel` on other nodes, as these have told.
    ///
    /// # Errors
    /// [`Unavailable`] when the broker does not answer.
    pub async fn listeners_elsewhere(&self, channel: &ChannelName) -> Result<usize, Unavailable> {
        match self {
            Self::Memory(_) => Ok(0),
            Self::Redis(redis) => redis.listeners_elsewhere(channel).await,
        }
    }

    /// Whether there may be other nodes.
    #[must_use]
    pub fn spans_nodes(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Redis(_) => true,
        }
    }

    /// Whether what is published now would be received. In Redis that is known from a probe which went the way of
    /// a publication within the last seconds; inside this process there is no way that could be broken.
    ///
    /// # Errors
    /// What is broken.
    pub fn readiness(&self) -> Result<(), String> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => redis.readiness(),
        }
    }

    /// What a publish that succeeded survives: `memory`, nothing; `primary`, the end of this process; `replica:N`, that
    /// of the primary as well, if one of these replicas takes its place; `fsync`, a power cut.
    #[must_use]
    pub fn durability(&self) -> Arc<str> {
        match self {
            Self::Memory(_) => "memory".into(),
            Self::Redis(redis) => Arc::clone(redis.durability()),
        }
    }

    /// Whether what was published is still there when this process has ended.
    #[must_use]
    pub fn outlives_node(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Redis(_) => true,
        }
    }
}

impl History for Broker {
    fn read<'a>(&'a self, channel: &'a ChannelName, lane: Lane, after: Position, limit: usize) -> ReadFuture<'a> {
        Box::pin(async move {
            match self {
                Self::Memory(memory) => Ok(memory.read(channel, lane, after, limit, Instant::now())),
                Self::Redis(redis) => {
                    redis.read(channel, lane, after, limit).await.map_err(|error| HistoryUnavailable(error.0))
                }
            }
        })
    }

    fn tops<'a>(&'a self, channels: &'a [ChannelName]) -> TopsFuture<'a> {
        Box::pin(async move {
            match self {
                Self::Memory(memory) => memory.tops(channels, Instant::now()).map(Ok).collect(),
                Self::Redis(redis) => {
                    let tops = redis.tops_of(channels).await.into_iter();
                    tops.map(|tops| tops.map_err(|error| HistoryUnavailable(error.0))).collect()
                }
            }
        })
    }
}
