//! What a reader is told when it comes back to a stream: the same arithmetic for every broker.

use crate::stream::{Gap, GapReason, Page, Position, Record};

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

    /// The answer, given the oldest records after [`Resume::start`] that can be had: contiguous, but perhaps later
    /// than it. Without records, everything up to the top is missing.
    pub(super) fn page(self, records: Vec<Record>) -> Page {
        let start = self.start();
        let before = records.first().map_or(self.top.seq, |first| first.seq - 1);
        let gap = match self.survived {
            None => Some(Gap { reason: GapReason::UnknownEpoch, range: None }),
            Some(last) if self.after.seq > last => {
                Some(Gap { reason: GapReason::Diverged, range: Some((last + 1, self.after.seq.max(before))) })
            }
            Some(_) if before > start => Some(Gap { reason: GapReason::Trimmed, range: Some((start + 1, before)) }),
            Some(_) => None,
        };
        Page { gap, records, top: self.top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Priority;
    use crate::stream::{Epoch, Message};

    fn at(seq: u64) -> Position {
        Position::new(Epoch::from_bits(7), seq)
    }

    fn records(seqs: std::ops::Range<u64>) -> Vec<Record> {
        let message =
            Message { priority: Priority::Low, expires_ms: None, collapse_key: None, event: None, json: "{}".into() };
        seqs.map(|seq| Record { seq, message: message.clone() }).collect()
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
}
