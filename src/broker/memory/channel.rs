//! One channel in memory: the log of each lane and the idempotency keys it has seen.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::quality::RandomState;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::resume::Resume;
use super::super::{IdempotencyKey, Published};
use crate::config::Retention;
use crate::notification::ChannelName;
use crate::stream::{Epoch, Lane, Message, Page, Position, Record};

/// Most idempotency keys that a channel remembers; beyond it the oldest is forgotten before its time.
const MAX_KEYS: usize = 4_096;

/// A channel. Its epoch and numbers go on after its records have expired, so that the position of a reader that
/// heard nothing for long stays good.
#[derive(Debug)]
pub(super) struct Channel {
    /// When somebody last asked for it.
    pub(super) used: Instant,
    epoch: Epoch,
    /// How long its records are kept, as the last publish said.
    ttl: Duration,
    lanes: [Log; Lane::ALL.len()],
    keys: HashMap<[u8; 16], Stored, RandomState>,
    /// When each of `keys` is forgotten, in that order.
    forgotten_at: VecDeque<(Instant, [u8; 16])>,
}

/// The records of one lane, contiguous up to `top`.
#[derive(Debug, Default)]
struct Log {
    top: u64,
    records: VecDeque<(Instant, Message)>,
}

/// What came of the first publish with some idempotency key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    /// The fingerprint of its body.
    pub(super) fingerprint: [u8; 16],
    /// The notification's id.
    pub(super) id: Uuid,
    /// Its lane.
    pub(super) lane: Lane,
    /// Its place.
    pub(super) position: Position,
}

impl Stored {
    /// The answer to a publish that repeats this one.
    pub(super) fn published(self, channel: &ChannelName) -> Published {
        let Self { id, lane, position, .. } = self;
        Published { channel: channel.clone(), lane, position, duplicate_of: Some(id) }
    }
}

impl Channel {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            used: now,
            epoch: Epoch::random(),
            ttl: Duration::ZERO,
            lanes: Default::default(),
            keys: HashMap::default(),
            forgotten_at: VecDeque::new(),
        }
    }

    pub(super) fn append(&mut self, lane: Lane, message: Message, retention: Retention, now: Instant) -> Position {
        self.ttl = retention.ttl;
        self.expire(now);
        let log = &mut self.lanes[lane.index()];
        log.top += 1;
        log.records.push_back((now, message));
        while log.records.len() > retention.size {
            log.records.pop_front();
        }
        self.top(lane)
    }

    pub(super) fn top(&self, lane: Lane) -> Position {
        Position::new(self.epoch, self.lanes[lane.index()].top)
    }

    pub(super) fn length(&self, lane: Lane) -> u64 {
        self.lanes[lane.index()].records.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|log| log.records.is_empty())
    }

    pub(super) fn read(&self, lane: Lane, after: Position, limit: usize) -> Page {
        let top = self.top(lane);
        let resume = Resume { after, top, survived: (after.epoch == self.epoch).then_some(top.seq) };
        let records = &self.lanes[lane.index()].records;
        let oldest = top.seq - records.len() as u64 + 1;
        let skipped = (resume.start() + 1).saturating_sub(oldest);
        let kept = (oldest..).zip(records).skip(skipped as usize).take(limit.max(1));
        resume.page(kept.map(|(seq, (_, message))| Record { seq, message: message.clone() }).collect())
    }

    /// What came of an earlier publish with this key.
    pub(super) fn remembered(&mut self, key: &IdempotencyKey, now: Instant) -> Option<Stored> {
        self.expire(now);
        self.keys.get(&key.digest).copied()
    }

    pub(super) fn remember(&mut self, digest: [u8; 16], stored: Stored, until: Instant) {
        self.keys.insert(digest, stored);
        self.forgotten_at.push_back((until, digest));
        while self.forgotten_at.len() > MAX_KEYS {
            self.forget_oldest_key();
        }
    }

    /// Drops what is older than it may be.
    pub(super) fn expire(&mut self, now: Instant) {
        for log in &mut self.lanes {
            while log.records.front().is_some_and(|(stored, _)| *stored + self.ttl <= now) {
                log.records.pop_front();
            }
        }
        while self.forgotten_at.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest_key();
        }
    }

    fn forget_oldest_key(&mut self) {
        if let Some((_, digest)) = self.forgotten_at.pop_front() {
            self.keys.remove(&digest);
        }
    }
}
