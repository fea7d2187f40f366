//! So many decisions, and so many bytes of what is kept with them: the oldest make way.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Traced;

/// So many decisions, oldest first.
#[derive(Debug)]
pub(super) struct Ring {
    bound: Size,
    size: Size,
    decisions: VecDeque<Arc<Traced>>,
    /// What is of each producer, where none may push out those of all others.
    shares: Option<HashMap<Arc<str>, Size>>,
}

/// How much there is.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Size {
    pub(super) decisions: usize,
    pub(super) bytes: usize,
}

impl Ring {
    /// One in which the oldest makes way, whoever publishes.
    pub(super) fn new(bound: Size) -> Self {
        Self { bound, size: Size::default(), decisions: VecDeque::new(), shares: None }
    }

    /// One in which a producer that has more than half makes way for itself.
    pub(super) fn shared(bound: Size) -> Self {
        Self { shares: Some(HashMap::new()), ..Self::new(bound) }
    }

    /// Adds a decision, and returns those that made way.
    pub(super) fn push(&mut self, one: Arc<Traced>) -> Vec<Arc<Traced>> {
        let producer = Arc::clone(&one.producer);
        self.size.add(&one);
        if let Some(shares) = &mut self.shares {
            shares.entry(Arc::clone(&producer)).or_default().add(&one);
        }
        self.decisions.push_back(one);
        let mut gone = Vec::new();
        while self.size.decisions > self.bound.decisions || self.size.bytes > self.bound.bytes {
            let Some(old) = self.decisions.remove(self.next_to_go(&producer)) else { break };
            self.forget(&old);
            gone.push(old);
        }
        gone
    }

    /// Those that are here, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Arc<Traced>> {
        self.decisions.iter().rev()
    }

    /// The place of what makes way after `producer` has come.
    fn next_to_go(&self, producer: &Arc<str>) -> usize {
        let share = self.shares.as_ref().and_then(|shares| shares.get(producer));
        let is_most = |share: &Size| 2 * share.decisions > self.size.decisions || 2 * share.bytes > self.size.bytes;
        let own = share.filter(|share| is_most(share));
        own.and_then(|_| self.decisions.iter().position(|one| one.producer == *producer)).unwrap_or(0)
    }

    fn forget(&mut self, old: &Traced) {
        self.size.remove(old);
        let Some(shares) = &mut self.shares else { return };
        if let Some(share) = shares.get_mut(&old.producer) {
            share.remove(old);
            if share.decisions == 0 {
                shares.remove(&old.producer);
            }
        }
    }
}

impl Size {
    fn add(&mut self, one: &Traced) {
        self.decisions += 1;
        self.bytes += one.bytes();
    }

    fn remove(&mut self, one: &Traced) {
        self.decisions -= 1;
        self.bytes -= one.bytes();
    }
}
