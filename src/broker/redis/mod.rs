//! The broker of several nodes: history in Redis streams, delivery by Redis pub/sub.
//!
//! Two connections, each brought back for ever: commands, and the feed that publications come in through. Behind
//! Sentinels both go to the server that these name, and to another as soon as they name another. What must
//! be atomic is a Lua script. A channel's epoch changes whenever the server may have lost or forked its history
//! (`history.lua`), so a number is never given to two records under one epoch.

mod claim;
mod commands;
mod commit;
mod dialer;
mod envelope;
mod feed;
mod inspection;
mod keys;
mod link;
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
    commands: Commands,
    /// What publishes go through when more than the server's reply is waited for.
    committer: Option<Committer>,
    durability: Arc<str>,
    feed: Feed,
    probe: Arc<Probe>,
    scripts: Scripts,
    in_flight: Semaphore,
    timeout: Duration,
    idempotency_ttl: Duration,
}

#[derive(Debug)]
struct Scripts {
    publish: Script,
    open: Script,
    resume: Script,
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
        let committer = (config.durability != Durability::Primary).then(|| {
            // What is waited for may take as long as a publish, and is answered then.
            let timeout = config.timeout * 2;
            let commands = Commands::new("publish", dialer.clone(), Arc::clone(&inspector), timeout);
            Committer::new(commands, keys.committed(node))
        });
        Ok(Self {
            commands: Commands::new("command", dialer.clone(), inspector, config.timeout),
            committer,
            durability: config.durability.to_string().into(),
            feed: Feed::new(dialer.clone(), Arc::clone(&keys), inlet, Arc::clone(&probe), config.timeout),
            dialer,
            keys,
            probe,
            scripts,
            in_flight: Semaphore::new(config.max_in_flight),
            timeout: config.timeout,
            idempotency_ttl: config.idempotency_ttl,
        })
    }

    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        self.commands.count_in(metrics);
        if let Some(committer) = &self.committer {
            committer.count_in(metrics);
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

    pub(super) async fn run(&self, shutdown: CancellationToken) {
        let connections = async {
            let probes = self.probe.run(&self.commands, &self.feed);
            let commits = async {
                if let Some(committer) = &self.committer {
                    committer.run(&self.scripts.publish).await;
                }
            };
            tokio::join!(self.dialer.watch(), self.commands.run(), commits, self.feed.run(), probes);
        };
        shutdown.run_until_cancelled(Box::pin(connections)).await;
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
        self.committer.as_ref().map_or(Ok(()), Committer::state)?;
        self.feed.state()?;
        self.probe.state()
    }

    /// The keys that a script which writes works on, in the order in which `history.lua` takes them.
    fn write_keys(&self, channel: &ChannelName) -> Vec<String> {
        let [express, normal] = Lane::ALL.map(|lane| self.keys.stream(channel, lane));
        vec![self.keys.meta(channel), express, normal]
    }
}

impl Scripts {
    fn new() -> Self {
        let (history, age) = (include_str!("history.lua"), include_str!("age.lua"));
        Self {
            publish: Script::new(format!("{history}{age}{}", include_str!("publish.lua"))),
            open: Script::new(format!("{history}{}", include_str!("open.lua"))),
            resume: Script::read_only(format!("{age}{}", include_str!("resume.lua"))),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        [&self.publish, &self.open, &self.resume].into_iter().map(Script::text)
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
