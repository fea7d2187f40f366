//! One Redis server in use: the connections to it, and the probe that goes from one to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::RedisResult;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::InvalidUrl;
use super::Scripts;
use super::access::{Access, Address, shown};
use super::commands::Commands;
use super::commit::Committer;
use super::dialer::Dialer;
use super::feed::Feed;
use super::inspection::Inspector;
use super::keys::Keys;
use super::probe::Probe;
use super::slots::{Slot, Topology};
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
    pub(super) commands: Arc<Commands>,
    /// A connection of the publishes' own, when more than the server's reply is waited for.
    sealing: Option<Arc<Commands>>,
    pub(super) committer: Committer,
    pub(super) feed: Feed,
    scripts: Arc<Scripts>,
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
    pub(super) scripts: Arc<Scripts>,
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
        let topology = Topology::from(&self.config.url.value);
        let name = place.as_ref().map_or_else(|| "redis".to_owned(), |place| format!("redis at {}", shown(place)));
        let probe = Arc::new(Probe::new(self.keys.probe(tag, self.node), &name, topology));
        let inspector = Arc::new(Inspector::new(&self.config, &self.keys, self.scripts.texts(), &name));
        let sealing = (self.config.durability != Durability::Primary).then(|| {
            // What is waited for may take as long as a publish, and is answered then.
            Arc::new(Commands::new("publish", &name, dialer.clone(), Arc::clone(&inspector), timeout * 2))
        });
        let commands = Arc::new(Commands::new("command", &name, dialer.clone(), inspector, timeout));
        let committer = Committer::new(
            Arc::clone(sealing.as_ref().unwrap_or(&commands)),
            Arc::clone(&self.keys),
            self.keys.committed(tag, self.node),
            self.config.idempotency_ttl,
            topology,
        );
        Server {
            slot: Slot::of(tag),
            commands,
            sealing,
            committer,
            scripts: Arc::clone(&self.scripts),
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
        if let Some(sealing) = &self.sealing {
            sealing.count_in(metrics);
        }
        self.feed.count_in(metrics);
    }

    /// Whether the caller is the first who would run it.
    pub(super) fn claim(&self) -> bool {
        !self.runs.swap(true, Ordering::Relaxed)
    }

    /// Keeps its connections up, until it is retired.
    pub(super) async fn run(self: Arc<Self>) {
        // Each a task of its own, so that what comes in and what goes out need not wait for each other.
        let mut tasks = JoinSet::new();
        let server = Arc::clone(&self);
        tasks.spawn(async move { server.feed.run().await });
        let server = Arc::clone(&self);
        tasks.spawn(async move { server.committer.run(&server.scripts.publish).await });
        let connections = async {
            let sealing = async {
                if let Some(sealing) = &self.sealing {
                    sealing.run().await;
                }
            };
            let probes = self.probe.run(&self.commands, &self.feed);
            tokio::join!(self.dialer.watch(), self.commands.run(), sealing, probes);
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

    /// Waits until what publishes go through stands, if it is not to be left.
    pub(super) async fn up(&self) {
        self.sealing.as_ref().unwrap_or(&self.commands).up().await;
        self.commands.up().await;
    }

    /// From now on it is not used any more.
    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.is_cancelled()
    }

    /// Whether it has come into use so lately that its first connections may be about to be made.
    pub(super) fn is_young(&self) -> bool {
        let sealing = self.sealing.as_ref().unwrap_or(&self.commands);
        let was_up = self.commands.was_up() && sealing.was_up() && self.feed.was_up();
        self.place.is_some() && !self.is_retired() && !was_up && self.born.elapsed() < YOUTH
    }

    /// Whether what is published there comes back.
    ///
    /// # Errors
    /// What is broken.
    pub(super) fn readiness(&self) -> Result<(), String> {
        let broken = || {
            self.commands.state()?;
            self.sealing.as_ref().map_or(Ok(()), |sealing| sealing.state())?;
            self.feed.state()?;
            self.probe.state()
        };
        broken().map_err(|why| match &self.place {
            Some(place) => format!("{}: {why}", shown(place)),
            None => why,
        })
    }
}
