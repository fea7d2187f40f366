//! What a reader is told when it comes back to a stream: the same arithmetic for every broker.

use crate::stream::{Gap, GapReason, Message, Page, Position, Record};

/// What history has under a number.
#[derive(Debug)]
pub(super) struct Kept {
    /// The number.
    pub(super) seq: u64,
    /// None when it cannot be read.
    pub(super) message: Option<Message>,
}

/// A reader's position, seen against the stream as it is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resume {
    /// The last record that the reader has.
    pub(super) after: Position,
    /// Where the stream ends.
    pub(super) top: Position,
    /// The last number of the epoch of `after` that is part of this history. `None` when it is no epoch of it.
    pub(super) survived: Option<u64>,
}

impl Resume {
    /// The number whose successor is the first that the reader lacks.
    pub(super) fn start(&self) -> u64 {
        self.survived.map_or(0, |last| self.after.seq.min(last))
    }

    /// The answer, given the oldest of what is kept after [`Resume::start`], in order. Without any, everything up to
    /// the top is missing.
    pub(super) fn page(self, kept: impl IntoIterator<Item = Kept>) -> Page {
        let start = self.start();
        let mut kept = kept.into_iter().peekable();
        let first = kept.peek().map_or(self.top.seq + 1, |oldest| oldest.seq);
        let stands = self.survived.is_some_and(|last| self.after.seq <= last);
        let trimmed = stands && first > start + 1;
        let mut next = first;
        // A page has one gap, so what is trimmed is told by this one, and what cannot be read after it by the next. A
        // reader whose position is gone is told that instead: it loads afresh, whatever else there is.
        while !trimmed && kept.next_if(|one| one.seq == next && one.message.is_none()).is_some() {
            next += 1;
        }
        let gap = match self.survived {
            None => Some(Gap { reason: GapReason::UnknownEpoch, range: None }),
            Some(last) if !stands => {
                Some(Gap { reason: GapReason::Diverged, range: Some((last + 1, self.after.seq.max(next - 1))) })
            }
            Some(_) if trimmed => Some(Gap { reason: GapReason::Trimmed, range: Some((start + 1, first - 1)) }),
            Some(_) if next > first => Some(Gap { reason: GapReason::Unreadable, range: Some((first, next - 1)) }),
            Some(_) => None,
        };
        let unbroken = (next..).zip(kept).map_while(|(seq, one)| {
            let message = one.message.filter(|_| one.seq == seq)?;
            Some(Record { seq, message })
        });
        Page { gap, records: unbroken.collect(), top: self.top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Priority;
    use crate::stream::Epoch;

    fn at(seq: u64) -> Position {
        Position::new(Epoch::from_bits(7), seq)
    }

    fn kept(seqs: impl IntoIterator<Item = u64>, unreadable: &[u64]) -> Vec<Kept> {
        let message =
            Message { priority: Priority::Low, expires_ms: None, collapse_key: None, event: None, json: "{}".into() };
        let one = |seq| Kept { seq, message: (!unreadable.contains(&seq)).then(|| message.clone()) };
        seqs.into_iter().map(one).collect()
    }

    fn records(seqs: std::ops::Range<u64>) -> Vec<Kept> {
        kept(seqs, &[])
    }

    fn gap(reason: GapReason, range: Option<(u64, u64)>) -> Option<Gap> {
        Some(Gap { reason, range })
    }

    #[test]
    fn every_missing_number_is_told() {
        let resume = |after, survived| Resume { after: at(after), top: at(9), survived };
        let up_to_date = resume(9, Some(9)).page(Vec::new());
        assert_eq!((up_to_date.gap.clone(), up_to_date.end()), (None, at(9)));
        assert_eq!(resume(4, Some(9)).page(records(5..10)).gap, None);
        assert_eq!(resume(4, Some(9)).page(records(7..10)).gap, gap(GapReason::Trimmed, Some((5, 6))));
        assert_eq!(resume(4, Some(9)).page(Vec::new()).gap, gap(GapReason::Trimmed, Some((5, 9))));
        assert_eq!(resume(6, Some(3)).page(records(4..10)).gap, gap(GapReason::Diverged, Some((4, 6))));
        assert_eq!(resume(6, Some(3)).page(records(8..10)).gap, gap(GapReason::Diverged, Some((4, 7))));
        assert_eq!(resume(6, None).page(records(1..10)).gap, gap(GapReason::UnknownEpoch, None));
    }

    /// Reads on from 4 until the top; each page is its gap and its numbers.
    fn read(kept: impl Fn() -> Vec<Kept>, limit: usize) -> Vec<(Option<Gap>, Vec<u64>)> {
        let (mut after, top) = (at(4), at(9));
        let mut pages = Vec::new();
        while after != top {
            let rest = kept().into_iter().filter(|one| one.seq > after.seq).take(limit);
            let page = Resume { after, top, survived: Some(9) }.page(rest);
            after = page.end();
            pages.push((page.gap, page.records.iter().map(|record| record.seq).collect()));
        }
        pages
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_from_what_is_not_there() {
        let unreadable = |from, to| gap(GapReason::Unreadable, Some((from, to)));
        let trimmed = |from, to| gap(GapReason::Trimmed, Some((from, to)));
        assert_eq!(read(|| kept(5..10, &[5, 6]), 9), [(unreadable(5, 6), vec![7, 8, 9])]);
        assert_eq!(read(|| kept(5..10, &[7]), 9), [(None, vec![5, 6]), (unreadable(7, 7), vec![8, 9])]);
        assert_eq!(read(|| kept(5..10, &[8, 9]), 9), [(None, vec![5, 6, 7]), (unreadable(8, 9), vec![])]);
        assert_eq!(read(|| kept(7..10, &[7, 8]), 9), [(trimmed(5, 6), vec![]), (unreadable(7, 8), vec![9])]);
        assert_eq!(read(|| kept(7..10, &[8]), 9), [(trimmed(5, 6), vec![7]), (unreadable(8, 8), vec![9])]);
        let holes = read(|| kept([5, 7, 9], &[5, 9]), 9);
        let expected =
            [(unreadable(5, 5), vec![]), (trimmed(6, 6), vec![7]), (trimmed(8, 8), vec![]), (unreadable(9, 9), vec![])];
        assert_eq!(holes, expected);
        let short = read(|| kept(5..10, &[5, 6, 7]), 2);
        assert_eq!(short, [(unreadable(5, 6), vec![]), (unreadable(7, 7), vec![8]), (None, vec![9])]);
    }

    #[test]
    fn a_position_that_is_gone_is_told_before_what_cannot_be_read() {
        let resume = |after, survived| Resume { after: at(after), top: at(9), survived };
        let page = resume(6, Some(3)).page(kept(4..10, &[4, 5, 6, 7]));
        assert_eq!((page.gap, page.records[0].seq), (gap(GapReason::Diverged, Some((4, 7))), 8));
        let page = resume(6, None).page(kept(1..10, &[1]));
        assert_eq!((page.gap, page.records[0].seq), (gap(GapReason::UnknownEpoch, None), 2));
    }
}
