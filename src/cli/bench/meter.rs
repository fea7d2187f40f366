//! What subscribers and publishers of one run share: its clock, its marks, and what has arrived.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::marker::Marks;

/// Longest latency that is told apart from longer ones.
const MAX_NANOS: u64 = 600_000_000_000;
/// Digits that percentiles have.
const DIGITS: u8 = 3;
/// Histograms, so that subscribers on several threads seldom wait for one another.
const SHARDS: usize = 16;

/// What a run has seen so far.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) marks: Marks,
    clock: Instant,
    /// Deliveries that must come of what was published so far.
    expected: AtomicU64,
    /// Deliveries that came or were passed over by a later one.
    reached: AtomicU64,
    /// When the last one came.
    last: AtomicU64,
    latencies: Box<[Mutex<Histogram<u64>>]>,
}

/// An empty histogram of nanoseconds.
pub(super) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, MAX_NANOS, DIGITS).context("no histogram")
}

impl Meter {
    pub(super) fn new() -> anyhow::Result<Self> {
        let latencies = (0..SHARDS).map(|_| histogram().map(Mutex::new)).collect::<Result<_, _>>()?;
        Ok(Self {
            marks: Marks::new(rand::random()),
            clock: Instant::now(),
            expected: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            last: AtomicU64::new(0),
            latencies,
        })
    }

    /// Nanoseconds of the run's clock, from 1.
    pub(super) fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64 + 1
    }

    /// Notes that so many deliveries are to come.
    pub(super) fn expect(&self, deliveries: u64) {
        self.expected.fetch_add(deliveries, Ordering::Relaxed);
    }

    /// Notes that so many deliveries came or were passed over.
    pub(super) fn reach(&self, deliveries: u64, now: u64) {
        if deliveries > 0 {
            self.reached.fetch_add(deliveries, Ordering::Relaxed);
            self.last.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// How many deliveries are still on their way.
    pub(super) fn under_way(&self) -> u64 {
        self.expected.load(Ordering::Relaxed).saturating_sub(self.reached.load(Ordering::Relaxed))
    }

    /// When the last delivery came.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Where a subscriber notes latencies.
    pub(super) fn latencies(&self, subscriber: usize) -> MutexGuard<'_, Histogram<u64>> {
        self.latencies[subscriber % SHARDS].lock()
    }

    /// All latencies.
    pub(super) fn all_latencies(&self) -> anyhow::Result<Histogram<u64>> {
        let mut all = histogram()?;
        for shard in &self.latencies {
            all.add(&*shard.lock()).context("histograms differ")?;
        }
        Ok(all)
    }
}
