//! The hub: which channels are open on this node, and which subscribers there are.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::task::unconstrained;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::reads::Reads;
use super::shard::Shard;
use super::{LocalChannel, Subscriber};
use crate::auth::{Principal, Proof};
use crate::notification::ChannelName;
use crate::stream::{Append, Inlet, Position, Publication, RingBounds};
use crate::telemetry::Metrics;

/// What the hub is built with.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// How many shards; one per worker.
    pub shards: usize,
    /// What each ring may hold.
    pub ring: RingBounds,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// Without progress for this long, a connection is ended.
    pub stall_timeout: Duration,
    /// Most open subscriptions of one principal.
    pub max_streams_per_principal: usize,
}

/// The live subscribers of this node.
#[derive(Debug)]
pub struct Hub {
    pub(super) settings: HubSettings,
    pub(super) clock: Clock,
    pub(super) shards: Box<[Arc<Shard>]>,
    pub(super) channels: RwLock<HashMap<ChannelName, Arc<LocalChannel>, RandomState>>,
    next_shard: AtomicUsize,
    /// Open subscriptions by principal; a principal without any has no entry.
    principals: Mutex<HashMap<Arc<str>, usize>>,
    /// Channels whose rings have a hole and whose repair has not begun. Each is in it once at most.
    repairs: Mutex<Vec<Arc<LocalChannel>>>,
    repair_bell: Notify,
    /// Subscriptions that were asked to end, and when their connections are ended if they have not.
    pub(super) ending: Mutex<Vec<(u64, Weak<Subscriber>)>>,
    pub(super) reads: Arc<Reads>,
    pub(super) metrics: Arc<Metrics>,
}

/// The hub's clock: milliseconds since it was built, from 1, as atomics can hold them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn now_ms(self) -> u64 {
        self.0.elapsed().as_millis() as u64 + 1
    }
}

/// A channel that stays open while this exists.
#[derive(Debug)]
pub struct Lease {
    channel: Arc<LocalChannel>,
    clock: Clock,
}

impl Lease {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &Arc<LocalChannel> {
        &self.channel
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.channel.idle_since.store(self.clock.now_ms(), Ordering::Relaxed);
        self.channel.users.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A principal has as many open subscriptions as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many open streams: {0} is the most for one principal")]
pub struct TooManyStreams(pub usize);

impl Hub {
    /// An empty hub.
    #[must_use]
    pub fn new(settings: HubSettings, metrics: Arc<Metrics>) -> Self {
        Self {
            shards: (0..settings.shards.max(1)).map(|_| Arc::default()).collect(),
            clock: Clock(Instant::now()),
            channels: RwLock::default(),
            next_shard: AtomicUsize::new(0),
            principals: Mutex::default(),
            repairs: Mutex::default(),
            repair_bell: Notify::new(),
            ending: Mutex::default(),
            reads: Arc::default(),
            metrics,
            settings,
        }
    }

    /// How many shards [`Hub::run_shard`] must be running for.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Serves the subscribers of one shard until `shutdown`.
    pub async fn run_shard(self: Arc<Self>, index: usize, shutdown: CancellationToken) {
        // A turn polls many sockets: with tokio's budget per poll, those after the first hundred would seem not to be
        // ready. The shard gives way on its own.
        unconstrained(Arc::clone(&self.shards[index]).run(index, shutdown)).await;
    }

    /// Opens a channel on this node. The first to do so calls `subscribe`, which returns the tops of both lanes
    /// once the broker has confirmed; others wait for it.
    ///
    /// # Errors
    /// What `subscribe` fails with.
    pub async fn open<E, F>(&self, name: &ChannelName, subscribe: impl FnOnce() -> F) -> Result<Lease, E>
    where
        F: Future<Output = Result<[Position; 2], E>>,
    {
        let lease = self.lease(name);
        let mut subscribed = lease.channel.subscribed.lock().await;
        if !*subscribed {
            lease.channel.reopen();
            if !lease.channel.open(subscribe().await?) {
                self.ask_repair(&lease.channel);
            }
            *subscribed = true;
        }
        drop(subscribed);
        Ok(lease)
    }

    fn lease(&self, name: &ChannelName) -> Lease {
        // Counting under the map's lock keeps the sweep from removing a channel that is about to be used.
        let take = |channel: &Arc<LocalChannel>| {
            channel.users.fetch_add(1, Ordering::AcqRel);
            Lease { channel: Arc::clone(channel), clock: self.clock }
        };
        if let Some(channel) = self.channels.read().get(name) {
            return take(channel);
        }
        let mut channels = self.channels.write();
        let new = || Arc::new(LocalChannel::new(name.clone(), self.settings.ring, self.shards.len()));
        take(channels.entry(name.clone()).or_insert_with(new))
    }

    /// The channel, if it has subscribers here.
    #[must_use]
    pub fn channel(&self, name: &ChannelName) -> Option<Arc<LocalChannel>> {
        self.channels.read().get(name).map(Arc::clone)
    }

    /// The channels that have subscribers here, and how many.
    #[must_use]
    pub fn listened(&self) -> HashMap<ChannelName, usize> {
        // Counted without the map's lock, as each count takes locks of its own.
        let channels: Vec<_> = self.channels.read().values().map(Arc::clone).collect();
        let counted = channels.iter().map(|channel| (channel.name().clone(), channel.listeners()));
        counted.filter(|(_, listeners)| *listeners > 0).collect()
    }

    /// Registers a subscription of open channels. From here on it is told of news; `kill` ends its connection.
    ///
    /// # Errors
    /// [`TooManyStreams`] when the principal has its share.
    pub(super) fn register<'a>(
        &self,
        principal: Arc<Principal>,
        leases: impl Iterator<Item = &'a Lease>,
        kill: CancellationToken,
    ) -> Result<Registration, TooManyStreams> {
        self.count_in(&principal)?;
        let shard = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let channels: Box<[_]> = leases.map(|lease| Arc::clone(&lease.channel)).collect();
        let subscriber = Arc::new(Subscriber::new(shard, principal, channels, self.clock, kill));
        let key = self.shards[shard].insert(&subscriber);
        for (index, channel) in subscriber.channels().iter().enumerate() {
            channel.join(&subscriber, key, index);
        }
        self.metrics.subscribers.inc();
        Ok(Registration { subscriber, key, served_by: ServedBy::Task })
    }

    /// Undoes [`Hub::register`].
    pub(super) fn unregister(&self, registration: &Registration) {
        let Registration { subscriber, key, served_by } = registration;
        for channel in subscriber.channels() {
            match served_by {
                ServedBy::Task => channel.leave(subscriber.shard(), *key),
                ServedBy::Shard { connection } => channel.leave_shard(subscriber.shard(), *connection),
            }
        }
        self.shards[subscriber.shard()].remove(*key);
        self.count_out(subscriber.principal());
        self.metrics.subscribers.dec();
    }

    fn count_in(&self, principal: &Principal) -> Result<(), TooManyStreams> {
        // All callers without a credential share one principal: the cap on connections is theirs.
        if principal.proof == Proof::Anonymous {
            return Ok(());
        }
        let most = self.settings.max_streams_per_principal;
        let mut principals = self.principals.lock();
        let open = principals.entry(Arc::clone(&principal.id)).or_default();
        if *open >= most {
            return Err(TooManyStreams(most));
        }
        *open += 1;
        Ok(())
    }

    fn count_out(&self, principal: &Principal) {
        let mut principals = self.principals.lock();
        if let Some(open) = principals.get_mut(&principal.id) {
            *open -= 1;
            if *open == 0 {
                principals.remove(&principal.id);
            }
        }
    }

    /// Tells the shards that a channel has news.
    pub(super) fn tell(&self, channel: &Arc<LocalChannel>) {
        for shard in channel.untold_shards() {
            self.shards[shard].tell(channel);
        }
    }

    /// Queues a channel whose rings must be filled from history.
    fn ask_repair(&self, channel: &Arc<LocalChannel>) {
        if channel.holes.fetch_add(1, Ordering::AcqRel) == 0 {
            self.queue_repairs(std::iter::once(Arc::clone(channel)));
        }
    }

    /// Queues channels at once, so that they are looked at together.
    pub(super) fn ask_repairs(&self, mut channels: Vec<Arc<LocalChannel>>) {
        channels.retain(|channel| channel.holes.fetch_add(1, Ordering::AcqRel) == 0);
        self.queue_repairs(channels.into_iter());
    }

    fn queue_repairs(&self, channels: impl Iterator<Item = Arc<LocalChannel>>) {
        self.repairs.lock().extend(channels);
        self.repair_bell.notify_one();
    }

    /// Waits for channels that need repair. Until it is done, further holes of theirs queue nothing.
    pub(super) async fn next_repairs(&self) -> Vec<Arc<LocalChannel>> {
        loop {
            let due = std::mem::take(&mut *self.repairs.lock());
            if !due.is_empty() {
                return due;
            }
            self.repair_bell.notified().await;
        }
    }
}

impl Inlet for Hub {
    fn deliver(&self, publication: Publication) {
        let Some(channel) = self.channel(&publication.channel) else { return };
        match channel.append(publication) {
            Append::Appended => self.tell(&channel),
            Append::Hole => self.ask_repair(&channel),
            Append::Known => {}
        }
    }

    fn missed(&self, channels: Option<&[ChannelName]>) {
        let channels: Vec<_> = match channels {
            Some(names) => names.iter().filter_map(|name| self.channel(name)).collect(),
            None => self.channels.read().values().map(Arc::clone).collect(),
        };
        channels.iter().for_each(|channel| channel.note_missed());
        self.ask_repairs(channels);
    }
}

/// Who writes to a subscriber's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServedBy {
    /// A task of the connection's own, which is woken.
    Task,
    /// The shard.
    Shard {
        /// Its key there.
        connection: usize,
    },
}

/// A subscriber and the keys by which its shard and its channels find it.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) subscriber: Arc<Subscriber>,
    key: usize,
    served_by: ServedBy,
}

impl Registration {
    /// From now on its shard writes to it, as `connection`. Called by the shard's worker.
    pub(super) fn move_to_shard(&mut self, connection: usize) {
        let shard = self.subscriber.shard();
        for (index, channel) in self.subscriber.channels().iter().enumerate() {
            // In this order, as a publisher passes over a shard where it finds nobody.
            channel.join_shard(shard, connection, index);
            channel.leave(shard, self.key);
        }
        self.served_by = ServedBy::Shard { connection };
    }
}
