//! The broker of a single node: channels in memory, spread over shards so that publishing to one does not wait
//! for another.

mod channel;
mod keys;

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::channel::Channel;
use self::keys::Keys;
use super::{Batch, LaneInfo, Outgoing, PublishFailed, Published};
use crate::config;
use crate::notification::ChannelName;
use crate::stream::{Inlet, Lane, Page, Position, Publication, Record, Tops};

const MAX_SHARDS: usize = 64;
/// Few enough shards that each holds many channels: their bounds then add up to the whole bound, and hashing
/// fills them evenly.
const CHANNELS_PER_SHARD: usize = 256;
/// How often expired records are dropped from channels that nobody uses.
const SWEEP: Duration = Duration::from_secs(60);

/// The broker inside this process.
#[derive(Debug)]
pub struct Memory {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    inlet: Arc<dyn Inlet>,
    keys: Keys,
}

#[derive(Debug)]
struct Shard {
    channels: HashMap<ChannelName, Channel, RandomState>,
    /// Apart from the channels, because a subscription outlives the eviction of its channel.
    subscribed: HashSet<ChannelName, RandomState>,
    max_channels: usize,
}

impl Memory {
    /// An empty broker.
    #[must_use]
    pub fn new(config: &config::Broker, inlet: Arc<dyn Inlet>) -> Self {
        let shards = (config.max_channels / CHANNELS_PER_SHARD).clamp(1, MAX_SHARDS);
        let max_channels = (config.max_channels / shards).max(1);
        let shard = || Mutex::new(Shard { channels: HashMap::default(), subscribed: HashSet::default(), max_channels });
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            hasher: RandomState::default(),
            inlet,
            keys: Keys::new(config.idempotency_ttl),
        }
    }

    pub(super) async fn run(&self, shutdown: CancellationToken) {
        let sweeps = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.sweep(Instant::now());
            }
        };
        shutdown.run_until_cancelled(sweeps).await;
    }

    pub(super) fn store(&self, batch: &Batch, now: Instant) -> Result<Vec<Published>, PublishFailed> {
        let store = || batch.messages.iter().map(|outgoing| self.store_one(batch.id, outgoing, now)).collect();
        match &batch.key {
            Some(key) => self.keys.once(key, now, store),
            None => Ok(store()),
        }
    }

    fn store_one(&self, id: Uuid, outgoing: &Outgoing, now: Instant) -> Published {
        let Outgoing { channel: name, retention, message } = outgoing;
        let mut shard = self.shard(name);
        let lane = Lane::of(message.priority);
        let position = shard.channel(name, now).append(lane, message.clone(), *retention, now);
        if shard.subscribed.contains(name) {
            // Under the lock, so that what is stored in order is delivered in order.
            let record = Record { seq: position.seq, message: message.clone() };
            self.inlet.deliver(Publication { channel: name.clone(), lane, epoch: position.epoch, record });
        }
        Published { channel: name.clone(), lane, position, id, duplicate: false }
    }

    pub(super) fn subscribe(&self, name: &ChannelName, now: Instant) -> [Position; 2] {
        let mut shard = self.shard(name);
        shard.subscribed.insert(name.clone());
        let channel = shard.channel(name, now);
        Lane::ALL.map(|lane| channel.top(lane))
    }

    pub(super) fn unsubscribe(&self, name: &ChannelName) {
        self.shard(name).subscribed.remove(name);
    }

    pub(super) fn info(&self, name: &ChannelName, now: Instant) -> [LaneInfo; 2] {
        // Neither made nor marked as used: whoever looks at channels must not push out those that others need.
        let mut shard = self.shard(name);
        let Some(channel) = shard.channels.get_mut(name) else {
            return [LaneInfo { top: None, length: 0 }; Lane::ALL.len()];
        };
        channel.expire(now);
        Lane::ALL.map(|lane| LaneInfo { top: Some(channel.top(lane)), length: channel.length(lane) })
    }

    pub(super) fn tops(&self, names: &[ChannelName], now: Instant) -> impl Iterator<Item = Option<Tops>> {
        names.iter().map(move |name| {
            let [express, normal] = self.info(name, now).map(|lane| lane.top);
            Some([express?, normal?])
        })
    }

    pub(super) fn read(&self, name: &ChannelName, lane: Lane, after: Position, limit: usize, now: Instant) -> Page {
        let mut shard = self.shard(name);
        let channel = shard.channel(name, now);
        channel.expire(now);
        channel.read(lane, after, limit)
    }

    fn sweep(&self, now: Instant) {
        for shard in &self.shards {
            shard.lock().channels.values_mut().for_each(|channel| channel.expire(now));
        }
        self.keys.expire(now);
    }

    fn shard(&self, name: &ChannelName) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(name);
        self.shards[hash as usize % self.shards.len()].lock()
    }
}

impl Shard {
    /// The channel, which is made when it is not there: its epoch must exist before its first record, as a reader
    /// may come first.
    fn channel(&mut self, name: &ChannelName, now: Instant) -> &mut Channel {
        if self.channels.len() >= self.max_channels && !self.channels.contains_key(name) {
            self.evict();
        }
        let channel = self.channels.entry(name.clone()).or_insert_with(|| Channel::new(now));
        channel.used = now;
        channel
    }

    /// Drops the channel that is missed least: one without subscribers before one with, one without records before
    /// one with, and of those the longest unused. When it comes back it has another epoch, so readers are told.
    fn evict(&mut self) {
        let worth = |(name, channel): &(&ChannelName, &Channel)| {
            (self.subscribed.contains(*name), !channel.is_empty(), channel.used)
        };
        let victim = self.channels.iter().min_by_key(worth).map(|(name, _)| name.clone());
        if let Some(name) = victim {
            self.channels.remove(&name);
        }
    }
}
