//! One channel in memory: the log of each lane.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::super::resume::{Kept, Resume};
use crate::config::Retention;
use crate::stream::{Epoch, Lane, Message, Page, Position};

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
}

/// The records of one lane, contiguous up to `top`.
#[derive(Debug, Default)]
struct Log {
    top: u64,
    records: VecDeque<(Instant, Message)>,
}

impl Channel {
    pub(super) fn new(now: Instant) -> Self {
        Self { used: now, epoch: Epoch::random(), ttl: Duration::ZERO, lanes: Default::default() }
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
        resume.page(kept.map(|(seq, (_, message))| Kept { seq, message: Some(message.clone()) }))
    }

    /// Drops what is older than it may be.
    pub(super) fn expire(&mut self, now: Instant) {
        for log in &mut self.lanes {
            while log.records.front().is_some_and(|(stored, _)| *stored + self.ttl <= now) {
                log.records.pop_front();
            }
        }
    }
}
