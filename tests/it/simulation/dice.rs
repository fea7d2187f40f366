//! The seeded chance that decides everything, shared by all parts of a run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Chance, and a count of what it did.
#[derive(Debug, Clone)]
pub(super) struct Dice(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rng: Mutex<StdRng>,
    faults: Mutex<BTreeMap<&'static str, usize>>,
    /// While set everything goes well.
    calm: AtomicBool,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        Self(Arc::new(Shared { rng, faults: Mutex::default(), calm: AtomicBool::new(false) }))
    }

    pub(super) fn below(&self, end: usize) -> usize {
        self.within(0..end)
    }

    pub(super) fn within(&self, range: Range<usize>) -> usize {
        self.0.rng.lock().random_range(range)
    }

    pub(super) fn one_of<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// In so many of a hundred cases.
    pub(super) fn percent(&self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// As [`Dice::percent`], for what goes wrong: it is counted, and does not happen once it is calm.
    pub(super) fn fault(&self, kind: &'static str, chance: usize) -> bool {
        let happens = !self.0.calm.load(Ordering::Relaxed) && self.percent(chance);
        if happens {
            self.note(kind);
        }
        happens
    }

    /// Counts something that went wrong.
    pub(super) fn note(&self, kind: &'static str) {
        *self.0.faults.lock().entry(kind).or_default() += 1;
    }

    /// Waits: not at all, until others had a turn, or a while.
    pub(super) async fn pause(&self) {
        match self.below(4) {
            _ if self.0.calm.load(Ordering::Relaxed) => {}
            0 => {}
            1 => tokio::task::yield_now().await,
            _ => tokio::time::sleep(Duration::from_millis(self.within(1..300) as u64)).await,
        }
    }

    /// From now on everything goes well.
    pub(super) fn calm(&self) {
        self.0.calm.store(true, Ordering::Relaxed);
    }

    /// From now on things go wrong again.
    pub(super) fn unsettle(&self) {
        self.0.calm.store(false, Ordering::Relaxed);
    }

    pub(super) fn faults(&self) -> BTreeMap<&'static str, usize> {
        self.0.faults.lock().clone()
    }
}
