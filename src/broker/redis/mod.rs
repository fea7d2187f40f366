//! The broker of several nodes: history in Redis lists, delivery by Redis pub/sub.
//!
//! Two connections, each brought back for ever: commands, and the feed that publications come in through. Behind
//! Sentinels both go to the server that these name, and to another as soon as they name another. In a cluster there are two
//! to each server that owns slots, and what is published goes by sharded pub/sub: `servers.rs` knows which server has what,
//! `spread.rs` sends calls there, and `feed.rs` tells what moved while it was listened to. What must
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

mod access;
mod bucket;
mod claim;
mod cluster;
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
mod seal;
mod sentinel;
mod server;
mod servers;
mod slots;
mod spread;
mod subscribing;
mod wanted;

pub use dialer::InvalidUrl;
pub use inspection::Unfit;

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, Value};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::commands::{NoReply, Script};
use self::keys::Keys;
use self::server::Builder;
use self::servers::Servers;
use self::slots::{Slot, Topology};
use self::spread::Work;
use self::wanted::Wanted;
use super::Unavailable;
use crate::config;
use crate::notification::ChannelName;
use crate::stream::{Inlet, Position};
use crate::telemetry::Metrics;

/// The broker in Redis.
#[derive(Debug)]
pub struct Redis {
    servers: Servers,
    keys: Arc<Keys>,
    wanted: Arc<Wanted>,
    durability: Arc<str>,
    scripts: Arc<Scripts>,
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
        let keys = Arc::new(Keys::new(&config.prefix));
        let node = Uuid::now_v7();
        let scripts = Arc::new(Scripts::new(Topology::from(&config.url.value)));
        let wanted = Arc::<Wanted>::default();
        let builder = Builder {
            config: config.clone(),
            keys: Arc::clone(&keys),
            inlet,
            wanted: Arc::clone(&wanted),
            node,
            scripts: Arc::clone(&scripts),
        };
        Ok(Self {
            servers: Servers::new(builder)?,
            keys,
            wanted,
            durability: config.durability.to_string().into(),
            scripts,
            in_flight: Semaphore::new(config.max_in_flight),
            timeout: config.timeout,
            idempotency_ttl: config.idempotency_ttl,
            node: node.simple().to_string(),
        })
    }

    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        self.servers.count_in(metrics);
    }

    /// Looks at the servers, if they can be reached now.
    ///
    /// # Errors
    /// Why one can never be used.
    pub(super) async fn check(&self) -> Result<(), Unfit> {
        self.servers.check().await
    }

    pub(super) async fn run(&self, shutdown: CancellationToken) {
        self.servers.run(shutdown).await;
    }

    pub(super) async fn subscribe(&self, channel: &ChannelName) -> Result<[Position; 2], Unavailable> {
        let subscribing = self.begin(channel).await?;
        let tops = self.tops(channel).await?;
        subscribing.keep();
        Ok(tops)
    }

    /// How long anything may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What a publish that succeeded has reached.
    pub(super) fn durability(&self) -> &Arc<str> {
        &self.durability
    }

    pub(super) fn readiness(&self) -> Result<(), String> {
        self.servers.readiness()
    }

    /// Sends one command on a key of a slot.
    async fn send_one(&self, slot: Slot, command: Cmd) -> Result<Value, NoReply> {
        self.make(Work::Plain(&[(slot, command)])).await
    }

    /// Runs one call of a script on keys of a slot.
    async fn run_once(&self, slot: Slot, script: &Script, call: Cmd) -> Result<Value, NoReply> {
        self.make(Work::Script(script, &[(slot, call)])).await
    }

    async fn make(&self, one: Work<'_>) -> Result<Value, NoReply> {
        let outcomes = self.spread(one, Instant::now() + self.timeout).await;
        Ok(outcomes.into_iter().next().transpose()?.map(|reply| reply.value).unwrap_or_default())
    }
}

/// The text of a script: what it shares with others, then its own.
macro_rules! text {
    ($($file:literal),+) => { concat!($(include_str!($file)),+) };
}

impl Scripts {
    /// In a cluster what is published is told by sharded pub/sub.
    fn new(topology: Topology) -> Self {
        let publish = text!("meta.lua", "history.lua", "clock.lua", "age.lua", "publish.lua");
        Self {
            publish: match topology {
                Topology::Single => Script::new(publish),
                Topology::Cluster => Script::new(publish.replace("'PUBLISH'", "'SPUBLISH'")),
            },
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
