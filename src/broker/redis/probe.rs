//! The proof that what is published is received: a message of our own that goes the same way.
//!
//! A connection can answer PING and never see a message again, as when its server was cut off from the primary.

use std::time::Duration;

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
/// Older than this, the last echo proves nothing: two probes were lost since.
const FRESH: Duration = Duration::from_secs(7);

/// The probes of this node.
#[derive(Debug)]
pub(super) struct Probe {
    pubsub: String,
    topology: Topology,
    started: Instant,
    /// When the newest probe that came back was sent, counted from `started`.
    echoed: watch::Sender<Option<Duration>>,
}

impl Probe {
    pub(super) fn new(pubsub: String, topology: Topology) -> Self {
        Self { pubsub, topology, started: Instant::now(), echoed: watch::Sender::new(None) }
    }

    /// The pub/sub channel that probes go to.
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

    /// Whether one came back lately.
    ///
    /// # Errors
    /// How long none has.
    pub(super) fn state(&self) -> Result<(), String> {
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
        match self.topology {
            Topology::Single => probe.cmd("PUBLISH").arg(&self.pubsub).arg(millis),
            // A server that is cut off from the others carries messages and takes no writes. This one changes nothing.
            Topology::Cluster => {
                probe.cmd("PEXPIRE").arg(&self.pubsub).arg(1).cmd("SPUBLISH").arg(&self.pubsub).arg(millis)
            }
        };
        let replies = commands.send(&probe).await.ok()?;
        replies.iter().all(|reply| matches!(reply, redis::Value::Int(_))).then(|| Duration::from_millis(millis))
    }
}
