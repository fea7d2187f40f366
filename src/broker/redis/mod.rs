//! The broker of several nodes: history in Redis lists, delivery by Redis pub/sub.
//!
//! Two connections, each brought back for ever: commands, and the feed that publications come in through. Behind
//! Sentinels both go to the server that these name, and to another as soon as they name another. What must
//! be atomic is a Lua script. A channel's epoch changes whenever the server may have lost or forked its history
//! (`history.lua`), so a number is never given to two records under one epoch.
//!
//! # How a channel is stored
//!
//! A list of records for each lane (`age.lua`) and a string of meta (`meta.lua`). Most channels are those of one user and
//! hold little, so what a nearly empty one takes decides the size of the server. Records of 300 bytes on Redis 7.0.15,
//! both keys together as `MEMORY USAGE` tells it, and the server's CPU time for the publish script, 100 calls in flight,
//! with nothing to trim and with each publish trimming one:
//!
//! | records, meta | 1 record | 10 | 100 | 1000 | grows | trims |
//! |---|---|---|---|---|---|---|
//! | stream, hash | 4936 B | 4936 B | 42.2 kB | 388 kB | 20.9 µs | 20.1 µs |
//! | sorted set, hash | 1488 B | 5816 B | 48.2 kB | 470 kB | 21.1 µs | 18.3 µs |
//! | hash, hash | 760 B | 4664 B | 42.9 kB | 425 kB | 20.1 µs | 17.6 µs |
//! | one hash for all | 952 B | 5016 B | 43.1 kB | 425 kB | 17.3 µs | 16.5 µs |
//! | list, hash | 720 B | 3920 B | 33.2 kB | 330 kB | 19.8 µs | 18.6 µs |
//! | **list, string** | **704 B** | **3904 B** | **33.2 kB** | **330 kB** | **19.2 µs** | **18.9 µs** |
//!
//! A list packs small records together, as a stream does, but takes no space ahead. The numbers of a lane have no hole, so
//! the place of a record follows from its number. Meta is a string because a hash leaves its packed form once the chain of
//! epochs is longer than 64 bytes: with eight links it takes 489 B, the string 280 B. Asking for the replication id is
//! 3 µs of each figure, and what the messages of one call share (`commit.rs`): the server's whole CPU time for a publish
//! fell from 29.7 to 20.3 µs with 64 producers that wait for their answers.

mod bucket;
mod claim;
mod commands;
mod commit;
mod dialer;
mod envelope;
mod feed;
mod inspection;
mod keys;
mod link;
mod presence;
mod probe;
mod publish;
mod read;
mod sentinel;

pub use dialer::InvalidUrl;
pub use inspection::Unfit;

use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, RedisResult, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::commands::{Commands, NoReply, Script};
use self::commit::Committer;
use self::dialer::Dialer;
use self::feed::Feed;
use self::inspection::Inspector;
use self::keys::Keys;
use self::probe::Probe;
use super::Unavailable;
use crate::config::{self, Durability};
use crate::notification::ChannelName;
use crate::stream::{Inlet, Lane, Position};
use crate::telemetry::Metrics;

/// The broker in a Redis server.
#[derive(Debug)]
pub struct Redis {
    dialer: Dialer,
    keys: Arc<Keys>,
    commands: Arc<Commands>,
    /// A connection of the publishes' own, when more than the server's reply is waited for.
    sealing: Option<Arc<Commands>>,
    committer: Committer,
    durability: Arc<str>,
    feed: Feed,
    probe: Arc<Probe>,
    scripts: Scripts,
    in_flight: Semaphore,
    timeout: Duration,
    idempotency_ttl: Duration,
    /// What other nodes know this one by, until it ends.
    node: String,
}

#[derive(Debug)]
struct Scripts {
    publish: Script,
    open: Script,
    resume: Script,
    bucket: Script,
    announce: Script,
    listeners: Script,
}

impl Redis {
    /// A broker that is not connected yet.
    ///
    /// # Errors
    /// [`InvalidUrl`] when the client cannot use the URL, which the configuration has checked.
    pub fn new(config: &config::Broker, inlet: Arc<dyn Inlet>) -> Result<Self, InvalidUrl> {
        let dialer = Dialer::new(&config.url.value, config.ca.as_deref())?;
        let keys = Arc::new(Keys::new(&config.prefix));
        let node = Uuid::now_v7();
        let probe = Arc::new(Probe::new(keys.probe(node)));
        let scripts = Scripts::new();
        let inspector = Arc::new(Inspector::new(config, &keys, scripts.texts()));
        let sealing = (config.durability != Durability::Primary).then(|| {
            // What is waited for may take as long as a publish, and is answered then.
            let timeout = config.timeout * 2;
            Arc::new(Commands::new("publish", dialer.clone(), Arc::clone(&inspector), timeout))
        });
        let commands = Arc::new(Commands::new("command", dialer.clone(), inspector, config.timeout));
        let publishing = Arc::clone(sealing.as_ref().unwrap_or(&commands));
        Ok(Self {
            committer: Committer::new(publishing, Arc::clone(&keys), keys.committed(node), config.idempotency_ttl),
            commands,
            sealing,
            durability: config.durability.to_string().into(),
            feed: Feed::new(dialer.clone(), Arc::clone(&keys), inlet, Arc::clone(&probe), config.timeout),
            dialer,
            keys,
            probe,
            scripts,
            in_flight: Semaphore::new(config.max_in_flight),
            timeout: config.timeout,
            idempotency_ttl: config.idempotency_ttl,
            node: node.simple().to_string(),
        })
    }

    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        self.commands.count_in(metrics);
        if let Some(sealing) = &self.sealing {
            sealing.count_in(metrics);
        }
        self.feed.count_in(metrics);
    }

    /// Looks at the server, if it can be reached now.
    ///
    /// # Errors
    /// Why it can never be used.
    pub(super) async fn check(&self) -> Result<(), Unfit> {
        self.commands.check().await
    }

    pub(super) async fn run(self: &Arc<Self>, shutdown: CancellationToken) {
        // Each a task of its own, so that what comes in and what goes out need not wait for each other.
        let mut tasks = JoinSet::new();
        let redis = || Arc::clone(self);
        tasks.spawn({
            let redis = redis();
            async move { redis.feed.run().await }
        });
        tasks.spawn({
            let redis = redis();
            async move { redis.committer.run(&redis.scripts.publish).await }
        });
        let sealing = async {
            if let Some(sealing) = &self.sealing {
                sealing.run().await;
            }
        };
        let probes = self.probe.run(&self.commands, &self.feed);
        let connections = async { tokio::join!(self.dialer.watch(), self.commands.run(), sealing, probes) };
        shutdown.run_until_cancelled(Box::pin(connections)).await;
        tasks.shutdown().await;
    }

    pub(super) async fn subscribe(&self, channel: &ChannelName) -> Result<[Position; 2], Unavailable> {
        let subscribing = self.feed.subscribe(channel).await?;
        let tops = self.tops(channel).await?;
        subscribing.keep();
        Ok(tops)
    }

    pub(super) fn unsubscribe(&self, channel: &ChannelName) {
        self.feed.unsubscribe(channel);
    }

    /// What a publish that succeeded has reached.
    pub(super) fn durability(&self) -> &Arc<str> {
        &self.durability
    }

    pub(super) fn readiness(&self) -> Result<(), String> {
        self.commands.state()?;
        self.sealing.as_ref().map_or(Ok(()), |sealing| sealing.state())?;
        self.feed.state()?;
        self.probe.state()
    }

    /// The keys that a script which writes works on, in the order in which `history.lua` takes them.
    fn write_keys(&self, channel: &ChannelName) -> Vec<String> {
        let [express, normal] = Lane::ALL.map(|lane| self.keys.records(channel, lane));
        vec![self.keys.meta(channel), express, normal]
    }
}

/// The text of a script: what it shares with others, then its own.
macro_rules! text {
    ($($file:literal),+) => { concat!($(include_str!($file)),+) };
}

impl Scripts {
    fn new() -> Self {
        Self {
            publish: Script::new(text!("meta.lua", "history.lua", "clock.lua", "age.lua", "publish.lua")),
            open: Script::new(text!("meta.lua", "history.lua", "open.lua")),
            resume: Script::read_only(text!("meta.lua", "clock.lua", "age.lua", "resume.lua")),
            bucket: Script::new(text!("bucket.lua")),
            announce: Script::new(text!("clock.lua", "announce.lua")),
            listeners: Script::read_only(text!("clock.lua", "listeners.lua")),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        [&self.publish, &self.open, &self.resume, &self.bucket, &self.announce, &self.listeners]
            .into_iter()
            .map(Script::text)
    }
}

/// Reads a reply, or the error that it is.
fn read_reply<T: FromRedisValue>(reply: Value) -> RedisResult<T> {
    Ok(redis::from_redis_value(reply.extract_error()?)?)
}

impl From<NoReply> for Unavailable {
    fn from(error: NoReply) -> Self {
        Self(error.to_string())
    }
}

impl From<redis::RedisError> for Unavailable {
    fn from(error: redis::RedisError) -> Self {
        Self(error.to_string())
    }
}
