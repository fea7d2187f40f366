//! One channel that has subscribers on this node: its rings, and who listens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::Subscriber;
use crate::notification::ChannelName;
use crate::stream::{Append, Cursor, Lane, Message, Page, Position, Publication, Pull, Ring, RingBounds};

/// Publications held while a channel opens; more than that and history is read instead.
const MAX_EARLY: usize = 256;

/// A channel's state on this node.
#[derive(Debug)]
pub struct LocalChannel {
    name: ChannelName,
    tag: [u8; 4],
    bounds: RingBounds,
    streams: RwLock<Streams>,
    /// Held while the broker is asked to subscribe or unsubscribe, so that the two never race. True: subscribed.
    pub(super) subscribed: tokio::sync::Mutex<bool>,
    /// Subscribers that exist or are about to; the channel is kept while there are any.
    pub(super) users: AtomicUsize,
    /// When the last user left, in milliseconds of the hub's clock.
    pub(super) idle_since: AtomicU64,
    /// Holes that were found and are not known to be filled. The first of them queues the channel for repair.
    pub(super) holes: AtomicUsize,
    audiences: Box<[Audience]>,
}

/// The subscribers of a channel on one shard. Their keys are the shard's own, and stay while they listen. Whoever left
/// leaves nothing behind, so a publication costs as much as there are subscribers, and not as there ever were.
#[derive(Debug, Default)]
struct Audience {
    /// Those whose writers are woken, by subscriber.
    listeners: Mutex<BTreeMap<usize, Listener>>,
    /// Those that the shard writes to, by connection: the channel's place in its subscription. Only the shard's worker
    /// locks it.
    members: Mutex<BTreeMap<usize, usize>>,
    /// How many both are. One who comes is counted before its position is read from the rings, so a publisher who
    /// has appended and finds nobody has nobody to tell.
    count: AtomicUsize,
    /// Set while the shard has been told of news and has not looked yet, so that it is told once.
    told: AtomicBool,
}

#[derive(Debug)]
struct Listener {
    subscriber: Arc<Subscriber>,
    /// The channel's place in the subscriber's list.
    index: usize,
}

/// The rings, or what arrived before the channel's position was known.
#[derive(Debug)]
enum Streams {
    Opening { early: Vec<Publication>, incomplete: bool },
    Open(Box<[Ring; Lane::ALL.len()]>),
}

impl Streams {
    fn opening() -> Self {
        Self::Opening { early: Vec::new(), incomplete: false }
    }
}

impl LocalChannel {
    pub(super) fn new(name: ChannelName, bounds: RingBounds, shards: usize) -> Self {
        let audiences = (0..shards).map(|_| Audience::default()).collect();
        Self {
            tag: Cursor::tag(&name),
            name,
            bounds,
            streams: RwLock::new(Streams::opening()),
            subscribed: tokio::sync::Mutex::new(false),
            users: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            holes: AtomicUsize::new(0),
            audiences,
        }
    }

    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// The channel's place in a cursor.
    #[must_use]
    pub fn tag(&self) -> [u8; 4] {
        self.tag
    }

    /// Forgets the rings: what arrives from now on waits for [`LocalChannel::open`].
    pub(super) fn reopen(&self) {
        *self.streams.write() = Streams::opening();
    }

    /// Starts the rings at the tops that the broker named after it confirmed the subscription, and takes what
    /// arrived in between. False when some of that is missing.
    pub(super) fn open(&self, tops: [Position; 2]) -> bool {
        let mut streams = self.streams.write();
        let mut rings = tops.map(|top| Ring::new(self.bounds, top));
        let mut complete = true;
        if let Streams::Opening { early, incomplete } = &mut *streams {
            complete = !*incomplete;
            for publication in early.drain(..) {
                let ring = &mut rings[publication.lane.index()];
                complete &= ring.append(publication) != Append::Hole;
            }
        }
        *streams = Streams::Open(Box::new(rings));
        complete
    }

    /// Some of what arrived is missing. While the channel opens that is kept for [`LocalChannel::open`].
    pub(super) fn note_missed(&self) {
        if let Streams::Opening { incomplete, .. } = &mut *self.streams.write() {
            *incomplete = true;
        }
    }

    /// Puts a publication into its ring.
    pub(super) fn append(&self, publication: Publication) -> Append {
        match &mut *self.streams.write() {
            Streams::Open(rings) => rings[publication.lane.index()].append(publication),
            Streams::Opening { early, incomplete } => {
                if early.len() < MAX_EARLY {
                    early.push(publication);
                } else {
                    *incomplete = true;
                }
                Append::Known
            }
        }
    }

    /// Takes a page that was read after `head`. False when the ring has moved meanwhile, or is opening again:
    /// the page may then be about a place that it is no longer at.
    pub(super) fn fill(&self, lane: Lane, head: Position, page: Page) -> bool {
        match &mut *self.streams.write() {
            Streams::Open(rings) if rings[lane.index()].head() == head => {
                rings[lane.index()].fill(page);
                true
            }
            _ => false,
        }
    }

    /// The newest position of a lane; none while the channel opens.
    #[must_use]
    pub fn head(&self, lane: Lane) -> Option<Position> {
        match &*self.streams.read() {
            Streams::Open(rings) => Some(rings[lane.index()].head()),
            Streams::Opening { .. } => None,
        }
    }

    /// Shows `each` what follows `at`, until it returns false or nothing is left, and says where that ended.
    pub(super) fn pull(
        &self,
        lane: Lane,
        mut at: Position,
        mut each: impl FnMut(&Message, Position, &Ring) -> bool,
    ) -> (Position, Pulled) {
        let streams = self.streams.read();
        let Streams::Open(rings) = &*streams else { return (at, Pulled::UpToDate) };
        let ring = &rings[lane.index()];
        loop {
            match ring.pull(at) {
                Pull::UpToDate => return (at, Pulled::UpToDate),
                Pull::Passed => return (at, Pulled::Passed),
                Pull::Next(message, next) => {
                    at = next;
                    if !each(message, next, ring) {
                        return (at, Pulled::Full);
                    }
                }
            }
        }
    }

    /// Whether a record newer than `at` with this collapse key is at hand.
    pub(super) fn replaces(&self, lane: Lane, key: &str, at: Position) -> bool {
        match &*self.streams.read() {
            Streams::Open(rings) => rings[lane.index()].replaces(key, at),
            Streams::Opening { .. } => false,
        }
    }

    /// Adds a listener, whose shard knows it by `key`.
    pub(super) fn join(&self, subscriber: &Arc<Subscriber>, key: usize, index: usize) {
        let audience = &self.audiences[subscriber.shard()];
        audience.count.fetch_add(1, Ordering::AcqRel);
        audience.listeners.lock().insert(key, Listener { subscriber: Arc::clone(subscriber), index });
    }

    /// Removes a listener.
    pub(super) fn leave(&self, shard: usize, key: usize) {
        let audience = &self.audiences[shard];
        if audience.listeners.lock().remove(&key).is_some() {
            audience.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Adds a connection of the shard.
    pub(super) fn join_shard(&self, shard: usize, connection: usize, index: usize) {
        let audience = &self.audiences[shard];
        audience.count.fetch_add(1, Ordering::AcqRel);
        audience.members.lock().insert(connection, index);
    }

    /// Removes a connection of the shard.
    pub(super) fn leave_shard(&self, shard: usize, connection: usize) {
        let audience = &self.audiences[shard];
        if audience.members.lock().remove(&connection).is_some() {
            audience.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Fills `out` with connections of a shard and the channel's place in each, beginning at `from`, and says where to
    /// go on; `None` after the last. They are in order, so whoever is a member all the while is in it once.
    pub(super) fn members(&self, shard: usize, from: usize, out: &mut Vec<(usize, usize)>) -> Option<usize> {
        let members = self.audiences[shard].members.lock();
        let room = out.capacity() - out.len();
        out.extend(members.range(from..).take(room).map(|(&connection, &index)| (connection, index)));
        out.last().map(|(connection, _)| connection + 1)
    }

    /// How many subscribers listen on this node.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.audiences.iter().map(|audience| audience.count.load(Ordering::Acquire)).sum()
    }

    /// The shards that have listeners and have not been told yet; they count as told from now on.
    pub(super) fn untold_shards(&self) -> impl Iterator<Item = usize> {
        self.audiences.iter().enumerate().filter_map(|(shard, audience)| {
            let has_any = audience.count.load(Ordering::Acquire) > 0;
            (has_any && !audience.told.swap(true, Ordering::AcqRel)).then_some(shard)
        })
    }

    /// Wakes every listener of a shard. What is published from here on tells the shard again.
    pub(super) fn notify(&self, shard: usize) {
        let audience = &self.audiences[shard];
        audience.told.store(false, Ordering::Release);
        for listener in audience.listeners.lock().values() {
            listener.subscriber.tell(listener.index);
        }
    }
}

/// How a pull ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulled {
    /// Nothing is newer.
    UpToDate,
    /// The reader has enough; there may be more.
    Full,
    /// The ring does not reach back; history must be read.
    Passed,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: usize = 0;

    fn channel() -> LocalChannel {
        LocalChannel::new("user.c7".parse().unwrap(), RingBounds { records: 16, bytes: 1_024 }, 1)
    }

    /// The connections that a fan-out meets, `stretch` at a time; `meanwhile` happens after each.
    fn fan_out(channel: &LocalChannel, stretch: usize, mut meanwhile: impl FnMut()) -> Vec<usize> {
        let (mut met, mut from) = (Vec::new(), 0);
        let mut some = Vec::with_capacity(stretch);
        while let Some(next) = channel.members(SHARD, from, &mut some) {
            from = next;
            met.extend(some.drain(..).map(|(connection, _)| connection));
            meanwhile();
        }
        met
    }

    #[test]
    fn who_left_leaves_nothing_behind() {
        let channel = channel();
        (0..10_000).for_each(|connection| channel.join_shard(SHARD, connection, 0));
        (0..9_999).for_each(|connection| channel.leave_shard(SHARD, connection));
        assert_eq!(channel.listeners(), 1);
        assert_eq!(fan_out(&channel, 64, || {}), [9_999]);
        channel.leave_shard(SHARD, 9_999);
        assert!(channel.audiences[SHARD].members.lock().is_empty());
        assert!(fan_out(&channel, 64, || {}).is_empty());
    }

    #[test]
    fn who_stays_is_met_once_whoever_comes_and_leaves() {
        let channel = channel();
        (0..100).for_each(|connection| channel.join_shard(SHARD, connection, 0));
        let mut leaving = (0..100).step_by(3);
        let met = fan_out(&channel, 8, || {
            for connection in leaving.by_ref().take(3) {
                channel.leave_shard(SHARD, connection);
                channel.join_shard(SHARD, 100 + connection, 0);
            }
        });
        for connection in (0..100).filter(|connection| connection % 3 != 0) {
            assert_eq!(met.iter().filter(|one| **one == connection).count(), 1, "{connection}: {met:?}");
        }
    }
}
