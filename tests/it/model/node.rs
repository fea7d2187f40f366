//! The node under test: a broker, the rings that it delivers to, and readers who pull.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fanfare::auth::{Action, Credential, Permit, TokenCache};
use fanfare::broker::{Batch, Broker, Outgoing};
use fanfare::config::{self, Retention};
use fanfare::notification::{ChannelName, Priority};
use fanfare::reload::load_and_compile;
use fanfare::stream::{
    Append, Cursor, Gap, GapReason, History, Inlet, Lane, Message, Position, Publication, Pull, Ring, RingBounds,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::reference::{CURSORS, READERS, STREAMS};
use crate::support::Scenario;

const TTL: Duration = Duration::from_secs(60);
const BOUNDS: RingBounds = RingBounds { records: 3, bytes: 10_000 };
/// Records per read of history, few enough that there are several.
const PAGE: usize = 2;
const CHANNELS: [&str; STREAMS / 2] = ["user.c1", "user.c2"];

/// What publishing asks for, and what a broker is configured with.
static SHOP: LazyLock<(Permit, config::Broker)> = LazyLock::new(|| {
    let scenario = Scenario::shop();
    let snapshot = load_and_compile(&scenario.path()).snapshot.unwrap();
    let (key, cache) = (Credential::new(scenario.api_key()), TokenCache::new(1));
    let producer = snapshot.authenticator.authenticate_cached(Some(&key), &cache, Timestamp::now()).unwrap();
    let (name, spec) = snapshot.types.iter().next().unwrap();
    (spec.publish.authorize(&producer, &[], Action::Publish(name)).unwrap(), snapshot.config.broker.clone())
});

/// What a reader hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Record { seq: u64, number: u64 },
    Gap { from: u64, to: u64 },
    Reset,
}

type Positions = [Position; STREAMS];

/// A node.
pub(super) struct Node {
    runtime: Runtime,
    broker: Broker,
    rings: Arc<Rings>,
    readers: [Positions; READERS],
    /// As text, as clients hold them.
    cursors: [Vec<u8>; CURSORS],
    saved: usize,
}

/// The rings, and what is known of what they miss.
#[derive(Debug, Default)]
struct Rings(Mutex<HashMap<usize, RingOf>>);

#[derive(Debug)]
struct RingOf {
    ring: Ring,
    /// What is delivered next is lost.
    loses: bool,
    /// The broker said, or a hole showed, that it lacks something.
    lacks: bool,
}

impl Inlet for Rings {
    fn deliver(&self, publication: Publication) {
        let mut rings = self.0.lock();
        let Some(of) = rings.get_mut(&stream_of(&publication.channel, publication.lane)) else { return };
        if std::mem::take(&mut of.loses) {
            of.lacks = true;
        } else {
            of.lacks |= of.ring.append(publication) == Append::Hole;
        }
    }

    fn missed(&self, _channels: Option<&[ChannelName]>) {}
}

impl Node {
    pub(super) fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let rings = Arc::<Rings>::default();
        let broker = Broker::new(&SHOP.1, Arc::clone(&rings) as _).unwrap();
        let nowhere = Position::new(fanfare::stream::Epoch::from_bits(0), 0);
        let (readers, cursors) = ([[nowhere; STREAMS]; READERS], Default::default());
        let mut node = Self { runtime, broker, rings, readers, cursors, saved: 0 };
        node.reopen();
        (0..READERS).for_each(|reader| node.subscribe(reader));
        (0..CURSORS).for_each(|_| node.save(0));
        node
    }

    /// Publishes a number, and says where it went.
    pub(super) fn publish(&mut self, stream: usize, number: u64, keeps: usize) -> Position {
        let (channel, lane) = name(stream);
        let priority = if lane == Lane::Express { Priority::High } else { Priority::Low };
        let json = number.to_string().into();
        let message = Message { priority, expires_ms: None, collapse_key: None, event: None, json };
        let outgoing = Outgoing { channel, retention: Retention { size: keeps, ttl: TTL }, message };
        let batch = Batch { id: Uuid::now_v7(), key: None, messages: vec![outgoing] };
        let published =
            self.broker.publish(&SHOP.0, batch, |_, _| unreachable!("nothing is repeated"), self.broker.deadline());
        let published = self.runtime.block_on(published).unwrap().remove(0);
        assert_eq!((&published.channel, published.lane), (&name(stream).0, lane));
        published.position
    }

    pub(super) fn age(&self) {
        self.runtime.block_on(tokio::time::advance(TTL));
    }

    pub(super) fn lose(&self, stream: usize) {
        self.rings.0.lock().get_mut(&stream).unwrap().loses = true;
    }

    /// Leaves its channels, and opens them as they are now.
    pub(super) fn reopen(&mut self) {
        for channel in 0..CHANNELS.len() {
            let (name, _) = name(channel * 2);
            self.broker.unsubscribe(&name);
            let tops = self.runtime.block_on(self.broker.subscribe(&name)).unwrap();
            for (lane, top) in tops.into_iter().enumerate() {
                let ring = RingOf { ring: Ring::new(BOUNDS, top), loses: false, lacks: false };
                self.rings.0.lock().insert(channel * 2 + lane, ring);
            }
        }
    }

    pub(super) fn crash(&mut self) {
        self.broker = Broker::new(&SHOP.1, Arc::clone(&self.rings) as _).unwrap();
        self.reopen();
    }

    /// As [`Node::crash`], but for the rings, which only learn that they may lack something.
    pub(super) fn flush(&mut self) {
        self.broker = Broker::new(&SHOP.1, Arc::clone(&self.rings) as _).unwrap();
        for channel in 0..CHANNELS.len() {
            self.runtime.block_on(self.broker.subscribe(&name(channel * 2).0)).unwrap();
        }
        self.rings.0.lock().values_mut().for_each(|of| of.lacks = true);
    }

    pub(super) fn subscribe(&mut self, reader: usize) {
        (0..STREAMS).for_each(|stream| self.repair(stream));
        self.readers[reader] = std::array::from_fn(|stream| self.ring_end(stream));
    }

    pub(super) fn save(&mut self, reader: usize) {
        let at = self.readers[reader];
        let tags = (0..CHANNELS.len()).map(|channel| Cursor::tag(&name(channel * 2).0));
        let mut text = Vec::new();
        Cursor::write(tags.zip(at.chunks(2).map(|lanes| [lanes[0], lanes[1]])), &mut text);
        self.cursors[self.saved % CURSORS] = text;
        self.saved += 1;
    }

    pub(super) fn resume(&mut self, reader: usize, cursor: usize) {
        let cursor = Cursor::parse(&self.cursors[cursor]).unwrap();
        self.readers[reader] = std::array::from_fn(|stream| {
            let (channel, lane) = name(stream);
            cursor.position(&channel, lane).unwrap()
        });
    }

    /// Reads on to the end: from the ring, or, where it has passed the reader, from history, page by page.
    pub(super) fn read(&mut self, reader: usize, stream: usize) -> Vec<Heard> {
        self.repair(stream);
        let mut heard = Vec::new();
        loop {
            let at = self.readers[reader][stream];
            let next = match self.rings.0.lock()[&stream].ring.pull(at) {
                Pull::Next(message, next) => Some((number(message), next)),
                Pull::UpToDate => return heard,
                Pull::Passed => None,
            };
            match next {
                Some((number, next)) => {
                    heard.push(Heard::Record { seq: next.seq, number });
                    self.readers[reader][stream] = next;
                }
                None => self.read_page(reader, stream, &mut heard),
            }
        }
    }

    fn read_page(&mut self, reader: usize, stream: usize, heard: &mut Vec<Heard>) {
        let (channel, lane) = name(stream);
        let at = &mut self.readers[reader][stream];
        let page = self.runtime.block_on(self.broker.read(&channel, lane, *at, PAGE)).unwrap();
        assert_ne!(*at, page.end(), "the ring says that there is more, and history that there is not");
        *at = page.end();
        heard.extend(page.gap.map(|Gap { reason, range }| match range {
            None => Heard::Reset,
            Some((from, to)) => {
                assert_eq!(reason, GapReason::Trimmed);
                Heard::Gap { from, to }
            }
        }));
        heard.extend(page.records.iter().map(|it| Heard::Record { seq: it.seq, number: number(&it.message) }));
    }

    /// Fills a ring that lacks something, as the hub's repairs do.
    fn repair(&self, stream: usize) {
        let (channel, lane) = name(stream);
        while self.rings.0.lock()[&stream].lacks {
            let head = self.ring_end(stream);
            let page = self.runtime.block_on(self.broker.read(&channel, lane, head, PAGE)).unwrap();
            let mut rings = self.rings.0.lock();
            let of = rings.get_mut(&stream).unwrap();
            of.lacks = page.end() != page.top;
            of.ring.fill(page);
        }
    }

    /// Where a ring ends that lacks nothing.
    pub(super) fn end_of_whole_ring(&self, stream: usize) -> Option<u64> {
        let of = &self.rings.0.lock()[&stream];
        (!of.lacks).then(|| of.ring.head().seq)
    }

    fn ring_end(&self, stream: usize) -> Position {
        self.rings.0.lock()[&stream].ring.head()
    }
}

fn name(stream: usize) -> (ChannelName, Lane) {
    (CHANNELS[stream / 2].parse().unwrap(), Lane::ALL[stream % 2])
}

fn stream_of(channel: &ChannelName, lane: Lane) -> usize {
    CHANNELS.iter().position(|name| *name == channel.as_str()).unwrap() * 2 + lane.index()
}

fn number(message: &Message) -> u64 {
    std::str::from_utf8(&message.json).unwrap().parse().unwrap()
}
