//! What one subscriber has of one publisher: whatever is lost, doubled or out of order shows as arithmetic.

use std::ops::Range;

/// The numbers that arrived.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// One after the highest that arrived.
    next: u64,
    /// Those below `next` that have not arrived, in order.
    missing: Vec<Range<u64>>,
}

/// How a number arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is the highest so far, by as much.
    Ahead(u64),
    /// A higher one arrived before it.
    Late,
    /// It had arrived before.
    Again,
}

impl Ledger {
    /// Notes an arrival.
    pub(super) fn take(&mut self, seq: u64) -> Arrival {
        if seq >= self.next {
            if seq > self.next {
                self.missing.push(self.next..seq);
            }
            let ahead = seq + 1 - self.next;
            self.next = seq + 1;
            return Arrival::Ahead(ahead);
        }
        let Some(at) = self.missing.iter().position(|range| range.contains(&seq)) else { return Arrival::Again };
        let Range { start, end } = self.missing[at].clone();
        let halves = [start..seq, seq + 1..end];
        self.missing.splice(at..=at, halves.into_iter().filter(|half| !half.is_empty()));
        Arrival::Late
    }

    /// How many of the first `published` have not arrived.
    pub(super) fn lost(&self, published: u64) -> u64 {
        let holes: u64 = self.missing.iter().map(|range| range.end - range.start).sum();
        holes + published.saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(seqs: &[u64]) -> (Ledger, Vec<Arrival>) {
        let mut ledger = Ledger::default();
        let arrivals = seqs.iter().map(|seq| ledger.take(*seq)).collect();
        (ledger, arrivals)
    }

    #[test]
    fn what_arrives_in_order_is_complete() {
        let (ledger, arrivals) = ledger(&[0, 1, 2]);
        assert_eq!(arrivals, [Arrival::Ahead(1); 3]);
        assert_eq!((ledger.lost(3), ledger.lost(5)), (0, 2), "the end may be missing too");
    }

    #[test]
    fn what_is_lost_late_or_doubled_is_told_apart() {
        use Arrival::{Again, Ahead, Late};
        let (ledger, arrivals) = ledger(&[0, 4, 2, 2, 4, 1, 0, 5]);
        assert_eq!(arrivals, [Ahead(1), Ahead(4), Late, Again, Again, Late, Again, Ahead(1)]);
        assert_eq!(ledger.lost(6), 1, "3 is missing");
    }
}
