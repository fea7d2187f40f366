//! The newest records of one stream, shared by all its readers on this node.
//!
//! Readers pull: a ring knows nothing of them. It holds `base < seq <= head` without holes, so a position
//! either lies in it, is up to date, or has been passed and must be read from history.

use std::collections::{HashMap, VecDeque};

use super::{Message, Page, Position, Publication, Record};

/// How much a ring may hold; whichever is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingBounds {
    /// Records.
    pub records: usize,
    /// Bytes of JSON.
    pub bytes: usize,
}

/// The newest contiguous records of one stream.
#[derive(Debug)]
pub struct Ring {
    bounds: RingBounds,
    /// Where the oldest record held follows; its epoch is that of every record held.
    base: Position,
    records: VecDeque<Message>,
    bytes: usize,
    /// The number of the newest record held for each collapse key.
    newest: HashMap<Box<str>, u64>,
    /// A position of an earlier epoch that the broker showed to be the same place as `.1` of this one, so that
    /// readers who were up to date when the epoch changed go on without a read each.
    alias: Option<(Position, Position)>,
}

/// What became of a publication offered to a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// It follows the head and is held now.
    Appended,
    /// The ring has passed it.
    Known,
    /// Something between the head and it is missing, or its epoch is another: history must be read.
    Hole,
}

/// What a ring has for a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull<'a> {
    /// The next record.
    Next(&'a Message, Position),
    /// Nothing newer.
    UpToDate,
    /// The ring does not reach back to the position.
    Passed,
}

impl Ring {
    /// An empty ring at the stream's top.
    #[must_use]
    pub fn new(bounds: RingBounds, top: Position) -> Self {
        Self { bounds, base: top, records: VecDeque::new(), bytes: 0, newest: HashMap::new(), alias: None }
    }

    /// The newest position.
    #[must_use]
    pub fn head(&self) -> Position {
        Position::new(self.base.epoch, self.base.seq + self.records.len() as u64)
    }

    /// Offers the next publication of the stream.
    pub fn append(&mut self, publication: Publication) -> Append {
        let head = self.head();
        if publication.epoch != head.epoch || publication.record.seq > head.seq + 1 {
            return Append::Hole;
        }
        if publication.record.seq <= head.seq {
            return Append::Known;
        }
        self.push(publication.record.message);
        Append::Appended
    }

    /// Takes a page read from history after [`Ring::head`], and goes on from its end.
    pub fn fill(&mut self, page: Page) {
        let head = self.head();
        let before = page.records.first().map_or(page.end().seq, |first| first.seq.saturating_sub(1));
        let continues = page.gap.is_none() && (page.records.is_empty() || before == head.seq);
        let start = Position::new(page.top.epoch, before);
        if !continues {
            *self = Self::new(self.bounds, start);
        } else if head.epoch != page.top.epoch {
            *self = Self::new(self.bounds, start);
            self.alias = Some((head, start));
        }
        for Record { seq, message } in page.records {
            if seq == self.head().seq + 1 {
                self.push(message);
            }
        }
    }

    /// What follows `at`.
    #[must_use]
    pub fn pull(&self, at: Position) -> Pull<'_> {
        let at = match self.alias {
            Some((old, new)) if old == at => new,
            _ => at,
        };
        if at.epoch != self.base.epoch || at.seq < self.base.seq {
            return Pull::Passed;
        }
        // A reader may be ahead of the head: it came from a node that had received more. It waits.
        let Ok(index) = usize::try_from(at.seq - self.base.seq) else { return Pull::UpToDate };
        match self.records.get(index) {
            Some(message) => Pull::Next(message, Position::new(at.epoch, at.seq + 1)),
            None => Pull::UpToDate,
        }
    }

    /// Whether the ring holds a record with this collapse key that is newer than `at`, a position in it or before it.
    #[must_use]
    pub fn replaces(&self, key: &str, at: Position) -> bool {
        self.newest.get(key).is_some_and(|newest| at.epoch != self.base.epoch || *newest > at.seq)
    }

    fn push(&mut self, message: Message) {
        self.bytes += message.json.len();
        if let Some(key) = &message.collapse_key {
            self.newest.insert(key.clone(), self.head().seq + 1);
        }
        self.records.push_back(message);
        // The newest record stays whatever its size, so that a fast reader always finds it here.
        while self.records.len() > 1 && (self.records.len() > self.bounds.records || self.bytes > self.bounds.bytes) {
            if let Some(oldest) = self.records.pop_front() {
                self.bytes -= oldest.json.len();
                self.base.seq += 1;
                if let Some(key) = oldest.collapse_key.filter(|key| self.newest.get(key) == Some(&self.base.seq)) {
                    self.newest.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Epoch, Gap, GapReason, Lane};
    use super::*;
    use crate::notification::Priority;

    const BOUNDS: RingBounds = RingBounds { records: 3, bytes: 1_000 };

    fn at(epoch: u64, seq: u64) -> Position {
        Position::new(Epoch::from_bits(epoch), seq)
    }

    fn message(seq: u64) -> Message {
        let json = format!("{{\"n\":{seq}}}").into();
        Message { priority: Priority::Medium, expires_ms: None, collapse_key: None, event: None, json }
    }

    fn publication(epoch: u64, seq: u64) -> Publication {
        Publication {
            channel: "ops.all".parse().unwrap(),
            lane: Lane::Normal,
            epoch: Epoch::from_bits(epoch),
            record: Record { seq, message: message(seq) },
        }
    }

    fn page(epoch: u64, seqs: std::ops::RangeInclusive<u64>, gap: Option<Gap>) -> Page {
        let top = at(epoch, *seqs.end());
        Page { gap, records: seqs.map(|seq| Record { seq, message: message(seq) }).collect(), top }
    }

    fn drain(ring: &Ring, mut from: Position) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Pull::Next(message, next) = ring.pull(from) {
            assert_eq!(message, &self::message(next.seq));
            seqs.push(next.seq);
            from = next;
        }
        seqs
    }

    #[test]
    fn a_reader_gets_what_follows_its_position_in_order() {
        let mut ring = Ring::new(BOUNDS, at(1, 5));
        for seq in 6..=8 {
            assert_eq!(ring.append(publication(1, seq)), Append::Appended);
        }
        assert_eq!(drain(&ring, at(1, 5)), [6, 7, 8]);
        assert_eq!(ring.pull(at(1, 8)), Pull::UpToDate);
        assert_eq!(ring.pull(at(1, 9)), Pull::UpToDate, "a reader ahead of this node waits");
        assert_eq!(ring.pull(at(2, 8)), Pull::Passed);
    }

    #[test]
    fn what_is_trimmed_is_passed_not_skipped() {
        let mut ring = Ring::new(BOUNDS, at(1, 0));
        (1..=5).for_each(|seq| assert_eq!(ring.append(publication(1, seq)), Append::Appended));
        assert_eq!(ring.pull(at(1, 1)), Pull::Passed);
        assert_eq!(drain(&ring, at(1, 2)), [3, 4, 5]);
    }

    #[test]
    fn the_newest_of_a_collapse_key_replaces_the_others_while_it_is_held() {
        let mut ring = Ring::new(BOUNDS, at(1, 0));
        let mut append = |seq, key: Option<&str>| {
            let mut publication = publication(1, seq);
            publication.record.message.collapse_key = key.map(Box::from);
            ring.append(publication);
            [1, 2, 3].map(|seq| ring.replaces("k", at(1, seq)))
        };
        assert_eq!(append(1, Some("k")), [false, false, false]);
        assert_eq!(append(2, Some("k")), [true, false, false]);
        assert_eq!(append(3, Some("other")), [true, false, false]);
        assert_eq!(append(4, None), [true, false, false]);
        assert_eq!(append(5, None), [false, false, false], "it is not held any more");
        assert_eq!(ring.newest.len(), 1);
    }

    #[test]
    fn repeats_are_known_and_holes_are_seen() {
        let mut ring = Ring::new(BOUNDS, at(1, 2));
        assert_eq!(ring.append(publication(1, 2)), Append::Known);
        assert_eq!(ring.append(publication(1, 4)), Append::Hole);
        assert_eq!(ring.append(publication(2, 3)), Append::Hole);
        ring.fill(page(1, 3..=4, None));
        assert_eq!(drain(&ring, at(1, 2)), [3, 4]);
    }

    #[test]
    fn a_page_that_ends_in_a_gap_is_gone_on_from_there() {
        let mut ring = Ring::new(BOUNDS, at(1, 2));
        let gap = Gap { reason: GapReason::Unreadable, range: Some((3, 4)) };
        ring.fill(Page { gap: Some(gap), records: Vec::new(), top: at(1, 6) });
        assert_eq!((ring.head(), ring.pull(at(1, 2))), (at(1, 4), Pull::Passed));
        ring.fill(page(1, 5..=6, None));
        assert_eq!(drain(&ring, at(1, 4)), [5, 6]);
    }

    #[test]
    fn an_epoch_that_lost_nothing_keeps_readers_going() {
        let mut ring = Ring::new(BOUNDS, at(1, 2));
        ring.fill(page(2, 3..=4, None));
        assert_eq!(drain(&ring, at(1, 2)), [3, 4], "up to date when the epoch changed");
        assert_eq!(ring.pull(at(1, 1)), Pull::Passed, "behind: the broker must be asked");
    }

    #[test]
    fn an_epoch_that_lost_records_sends_readers_to_history() {
        let mut ring = Ring::new(BOUNDS, at(1, 9));
        let gap = Gap { reason: GapReason::Diverged, range: Some((4, 9)) };
        ring.fill(page(2, 4..=5, Some(gap)));
        assert_eq!(ring.pull(at(1, 9)), Pull::Passed);
        assert_eq!(ring.head(), at(2, 5));
    }
}
