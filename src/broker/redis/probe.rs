//! The proof that what is published is stored and received: a write and a message of our own that go the same way.
//!
//! A connection can answer PING and never see a message again, as when its server was cut off from the primary. And a
//! server can carry messages and take no writes, as when its memory is full.

use std::time::Duration;

use parking_lot::Mutex;
use redis::{ServerError, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::commands::Commands;
use super::feed::Feed;
use super::slots::Topology;

/// Between probes, and how long each may take.
const INTERVAL: Duration = Duration::from_secs(3);
/// After a probe that could not be sent.
const RETRY: Duration = Duration::from_millis(250);
/// So many lost in a row, and the pub/sub connection is made anew.
const MISSES: u32 = 2;
/// For how long the server keeps the probe.
const KEPT: Duration = Duration::from_secs(10);
/// Older than this, the last echo proves nothing: two probes were lost since.
const FRESH: Duration = Duration::from_secs(7);

/// The probes of this node.
#[derive(Debug)]
pub(super) struct Probe {
    pubsub: String,
    server: String,
    topology: Topology,
    started: Instant,
    /// When the newest probe that came back was sent, counted from `started`.
    echoed: watch::Sender<Option<Duration>>,
    /// Why the server did not take the last one that was sent.
    refused: Mutex<Option<String>>,
}

impl Probe {
    /// `server` is what its server is called in logs.
    pub(super) fn new(pubsub: String, server: &str, topology: Topology) -> Self {
        Self {
            pubsub,
            server: server.to_owned(),
            topology,
            started: Instant::now(),
            echoed: watch::Sender::new(None),
            refused: Mutex::default(),
        }
    }

    /// The pub/sub channel that probes go to, and the key that they are written to.
    pub(super) fn pubsub(&self) -> &str {
        &self.pubsub
    }

    /// Takes a probe that came back.
    pub(super) fn echo(&self, payload: &[u8]) {
        let sent = std::str::from_utf8(payload).ok().and_then(|millis| millis.parse().ok()).map(Duration::from_millis);
        self.echoed.send_if_modified(|newest| {
            let news = sent > *newest;
            if news {
                *newest = sent;
            }
            news
        });
    }

    /// Whether one was taken and came back lately.
    ///
    /// # Errors
    /// Why it is refused, or how long none has come back.
    pub(super) fn state(&self) -> Result<(), String> {
        if let Some(why) = &*self.refused.lock() {
            return Err(format!("it takes no writes: {why}"));
        }
        let Some(sent) = *self.echoed.borrow() else { return Err("no probe has come back yet".to_owned()) };
        let age = self.started.elapsed().saturating_sub(sent);
        if age <= FRESH { Ok(()) } else { Err(format!("no probe has come back for {} s", age.as_secs())) }
    }

    /// Sends probes whenever both connections stand. Never ends by itself.
    pub(super) async fn run(&self, commands: &Commands, feed: &Feed) {
        let mut misses = 0;
        loop {
            commands.up().await;
            feed.up().await;
            let Some(sent) = self.send(commands).await else {
                tokio::time::sleep(RETRY).await;
                continue;
            };
            let mut echoed = self.echoed.subscribe();
            let echo = echoed.wait_for(|newest| *newest >= Some(sent));
            if tokio::time::timeout(INTERVAL, echo).await.is_ok() {
                misses = 0;
                tokio::time::sleep_until(self.started + sent + INTERVAL).await;
                continue;
            }
            misses += 1;
            if misses == MISSES {
                misses = 0;
                feed.restart();
            }
        }
    }

    /// Sends a probe. Returns when, if the server took it.
    async fn send(&self, commands: &Commands) -> Option<Duration> {
        let millis = self.started.elapsed().as_millis() as u64;
        let mut probe = redis::pipe();
        probe.cmd("SET").arg(&self.pubsub).arg(millis).arg("PX").arg(KEPT.as_millis() as u64);
        let publish = match self.topology {
            Topology::Single => "PUBLISH",
            Topology::Cluster => "SPUBLISH",
        };
        probe.cmd(publish).arg(&self.pubsub).arg(millis);
        let replies = commands.send(&probe).await.ok()?;
        let refusal = replies.iter().find_map(|reply| match reply {
            Value::ServerError(error) => Some(error),
            _ => None,
        });
        // The map of the cluster tells where its slot has gone or is about to go, the connection that it is a replica.
        let is_told = |code| matches!(code, "MOVED" | "ASK" | "TRYAGAIN" | "READONLY");
        self.note(refusal.filter(|error| !is_told(error.code())).map(in_words));
        refusal.is_none().then(|| Duration::from_millis(millis))
    }

    /// Remembers why the server takes nothing, if it does not. A change is logged.
    fn note(&self, why: Option<String>) {
        let mut refused = self.refused.lock();
        match (&*refused, &why) {
            (None, Some(why)) => tracing::error!("{} takes no writes: {why}", self.server),
            (Some(_), None) => tracing::info!("{} takes writes again", self.server),
            _ => {}
        }
        *refused = why;
    }
}

/// As the server worded it.
fn in_words(error: &ServerError) -> String {
    [Some(error.code()), error.details()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}
