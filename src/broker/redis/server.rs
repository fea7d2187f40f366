//! One Redis server in use: the connections to it, and the probe that goes from one to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::RedisResult;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::InvalidUrl;
use super::commands::{Commands, Script};
use super::commit::Committer;
use super::dialer::Dialer;
use super::feed::Feed;
use super::inspection::Inspector;
use super::keys::Keys;
use super::place::{Access, Address, shown};
use super::probe::Probe;
use super::slots::Slot;
use super::wanted::Wanted;
use crate::config::{self, Durability};
use crate::stream::Inlet;
use crate::telemetry::Metrics;

/// The hash tag of a node's own keys where one server has every slot.
const ANY_TAG: &str = "0";
/// For how long a server that has just come into use is waited for, rather than called away.
const YOUTH: Duration = Duration::from_secs(2);

/// The connections to one server.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it is, if it is one of several.
    pub(super) place: Option<Address>,
    /// Where the keys are hashed to that this node has at it.
    pub(super) slot: Slot,
    pub(super) commands: Commands,
    /// What publishes go through when more than the server's reply is waited for.
    pub(super) committer: Option<Committer>,
    pub(super) feed: Feed,
    dialer: Dialer,
    probe: Arc<Probe>,
    /// Cancelled when it is not used any more.
    retired: CancellationToken,
    /// Whether something runs it.
    runs: AtomicBool,
    born: Instant,
    timeout: Duration,
}

/// Makes them.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) config: config::Broker,
    pub(super) keys: Arc<Keys>,
    pub(super) inlet: Arc<dyn Inlet>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) node: Uuid,
    /// The texts of the scripts that are run.
    pub(super) scripts: Vec<String>,
}

impl Builder {
    /// The only server that is used.
    pub(super) fn only(&self) -> Result<Server, InvalidUrl> {
        let dialer = Dialer::new(&self.config.url.value, self.config.ca.as_deref())?;
        Ok(self.build(None, ANY_TAG, dialer, CancellationToken::new()))
    }

    /// One server of a cluster, which has the slot of `tag`.
    pub(super) fn member(&self, access: &Access, place: &Address, tag: &str) -> RedisResult<Server> {
        let retired = CancellationToken::new();
        let dialer = Dialer::member(access, place, retired.clone())?;
        Ok(self.build(Some(place.clone()), tag, dialer, retired))
    }

    fn build(&self, place: Option<Address>, tag: &str, dialer: Dialer, retired: CancellationToken) -> Server {
        let timeout = self.config.timeout;
        let name = place.as_ref().map_or_else(|| "redis".to_owned(), |place| format!("redis at {}", shown(place)));
        let probe = Arc::new(Probe::new(self.keys.probe(tag, self.node), place.is_some()));
        let scripts = self.scripts.iter().map(String::as_str);
        let inspector = Arc::new(Inspector::new(&self.config, &self.keys, scripts, &name));
        let committer = (self.config.durability != Durability::Primary).then(|| {
            // What is waited for may take as long as a publish, and is answered then.
            let commands = Commands::new("publish", &name, dialer.clone(), Arc::clone(&inspector), timeout * 2);
            Committer::new(commands, self.keys.committed(tag, self.node))
        });
        Server {
            slot: Slot::of(tag),
            commands: Commands::new("command", &name, dialer.clone(), inspector, timeout),
            committer,
            feed: Feed::new(
                place.clone(),
                dialer.clone(),
                Arc::clone(&self.keys),
                Arc::clone(&self.inlet),
                Arc::clone(&probe),
                Arc::clone(&self.wanted),
                &name,
            ),
            place,
            dialer,
            probe,
            retired,
            runs: AtomicBool::new(false),
            born: Instant::now(),
            timeout,
        }
    }
}

impl Server {
    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        self.commands.count_in(metrics);
        if let Some(committer) = &self.committer {
            committer.count_in(metrics);
        }
        self.feed.count_in(metrics);
    }

    /// Whether the caller is the first who would run it.
    pub(super) fn claim(&self) -> bool {
        !self.runs.swap(true, Ordering::Relaxed)
    }

    /// Keeps its connections up, until it is retired.
    pub(super) async fn run(&self, publish: &Script) {
        let connections = async {
            let commits = async {
                if let Some(committer) = &self.committer {
                    committer.run(publish).await;
                }
            };
            let probes = self.probe.run(&self.commands, &self.feed);
            tokio::join!(self.dialer.watch(), self.commands.run(), commits, self.feed.run(), probes);
        };
        let left = async {
            self.retired.cancelled().await;
            // What is under way ends, and what still comes is told that nothing was sent.
            tokio::time::sleep(2 * self.timeout).await;
        };
        tokio::select! {
            () = connections => {}
            () = left => {}
        }
    }

    /// From now on it is not used any more.
    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.is_cancelled()
    }

    /// Whether it has come into use so lately that its connections may be about to be made.
    pub(super) fn is_young(&self) -> bool {
        self.place.is_some() && !self.is_retired() && self.born.elapsed() < YOUTH
    }

    /// Whether what is published there comes back.
    ///
    /// # Errors
    /// What is broken.
    pub(super) fn readiness(&self) -> Result<(), String> {
        let broken = || {
            self.commands.state()?;
            self.committer.as_ref().map_or(Ok(()), Committer::state)?;
            self.feed.state()?;
            self.probe.state()
        };
        broken().map_err(|why| match &self.place {
            Some(place) => format!("{}: {why}", shown(place)),
            None => why,
        })
    }
}
