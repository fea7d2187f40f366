//! One channel that has subscribers on this node: its rings, and who listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use slab::Slab;

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

/// The subscribers of a channel on one shard.
#[derive(Debug, Default)]
struct Audience {
    /// Those whose writers are woken.
    listeners: Mutex<Slab<Listener>>,
    /// Those that the shard writes to: the connection, and the channel's place in its subscription. Only the shard's
    /// worker locks it for more than its length.
    members: Mutex<Slab<(usize, usize)>>,
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
    Opening { early: Vec<Publication>, overflowed: bool },
    Open(Box<[Ring; Lane::ALL.len()]>),
}

impl Streams {
    fn opening() -> Self {
        Self::Opening { early: Vec::new(), overflowed: false }
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
        if let Streams::Opening { early, overflowed } = &mut *streams {
            complete = !*overflowed;
            for publication in early.drain(..) {
                let ring = &mut rings[publication.lane.index()];
                complete &= ring.append(publication) != Append::Hole;
            }
        }
        *streams = Streams::Open(Box::new(rings));
        complete
    }

    /// Puts a publication into its ring.
    pub(super) fn append(&self, publication: Publication) -> Append {
        match &mut *self.streams.write() {
            Streams::Open(rings) => rings[publication.lane.index()].append(publication),
            Streams::Opening { early, overflowed } => {
                if early.len() < MAX_EARLY {
                    early.push(publication);
                } else {
                    *overflowed = true;
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

    /// Adds a listener, and returns its key for [`LocalChannel::leave`].
    pub(super) fn join(&self, subscriber: &Arc<Subscriber>, index: usize) -> usize {
        let audience = &self.audiences[subscriber.shard()];
        audience.listeners.lock().insert(Listener { subscriber: Arc::clone(subscriber), index })
    }

    /// Removes a listener.
    pub(super) fn leave(&self, shard: usize, key: usize) {
        self.audiences[shard].listeners.lock().try_remove(key);
    }

    /// Adds a connection of the shard, and returns its key for [`LocalChannel::leave_shard`].
    pub(super) fn join_shard(&self, shard: usize, connection: usize, index: usize) -> usize {
        self.audiences[shard].members.lock().insert((connection, index))
    }

    /// Removes a connection of the shard.
    pub(super) fn leave_shard(&self, shard: usize, key: usize) {
        self.audiences[shard].members.lock().try_remove(key);
    }

    /// Fills `out` with connections of a shard and the channel's place in each, beginning at `from`, and says where to
    /// go on; `None` after the last. Keys stay, so whoever is a member all the while is in it once.
    pub(super) fn members(&self, shard: usize, from: usize, out: &mut Vec<(usize, usize)>) -> Option<usize> {
        let members = self.audiences[shard].members.lock();
        let mut at = from;
        while at < members.capacity() && out.len() < out.capacity() {
            out.extend(members.get(at));
            at += 1;
        }
        (!out.is_empty()).then_some(at)
    }

    /// How many subscribers listen on this node.
    #[must_use]
    pub fn listeners(&self) -> usize {
        let count = |audience: &Audience| audience.listeners.lock().len() + audience.members.lock().len();
        self.audiences.iter().map(count).sum()
    }

    /// The shards that have listeners and have not been told yet; they count as told from now on.
    pub(super) fn untold_shards(&self) -> impl Iterator<Item = usize> {
        self.audiences.iter().enumerate().filter_map(|(shard, audience)| {
            let news = !audience.told.swap(true, Ordering::AcqRel);
            news.then_some(shard)
        })
    }

    /// Wakes every listener of a shard. What is published from here on tells the shard again.
    pub(super) fn notify(&self, shard: usize) {
        let audience = &self.audiences[shard];
        audience.told.store(false, Ordering::Release);
        for (_, listener) in audience.listeners.lock().iter() {
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
