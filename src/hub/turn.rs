//! The bytes of one turn of a reader: whole events, framed for the connection that takes them.

use super::sse;
use crate::stream::{Lane, Position};

/// What a reader stages in one turn at most, beyond the event that reaches it.
const MAX_BYTES: usize = 64 * 1024;
/// Room for the size of a chunk before its event is known: four digits and an end of line.
const SIZE_ROOM: usize = 6;

/// How the connection delimits a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its end (HTTP/1.0), or by whoever takes the bytes.
    Plain,
    /// By chunks (RFC 9112, section 7.1). Each event is one, so that a cut between events is one between chunks.
    Chunked,
}

/// The bytes of one turn.
#[derive(Debug)]
pub(super) struct Turn {
    framing: Framing,
    bytes: Vec<u8>,
    /// Where the event that is being written begins.
    start: usize,
    tally: Tally,
    /// What came from rings, in order.
    pulls: Vec<Pull>,
}

/// A step through a ring, whose events can be put back as long as none of them was sent: a notification, after the
/// `lag` event of those that were skipped before it, if any; or that event alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pull {
    /// The channel's place in the subscription.
    pub(super) index: usize,
    pub(super) lane: Lane,
    /// Where the reader stood in that stream before it.
    pub(super) before: Position,
    pub(super) tally: Tally,
    /// Where its bytes are.
    start: usize,
    end: usize,
}

/// What became of notifications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) written: u64,
    pub(super) skipped: u64,
}

impl Tally {
    /// One that is written.
    pub(super) const ONE: Self = Self { written: 1, skipped: 0 };

    /// Without those that were put back.
    pub(super) fn less(mut self, pulls: &[Pull]) -> Self {
        for pull in pulls {
            self.written -= pull.tally.written;
            self.skipped -= pull.tally.skipped;
        }
        self
    }

    fn add(&mut self, other: Self) {
        self.written += other.written;
        self.skipped += other.skipped;
    }
}

impl Turn {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, bytes: Vec::new(), start: 0, tally: Tally::default(), pulls: Vec::new() }
    }

    /// Begins anew, for a connection that is framed so.
    pub(super) fn reset(&mut self, framing: Framing) {
        self.framing = framing;
        self.bytes.clear();
        self.pulls.clear();
        self.tally = Tally::default();
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What became of the notifications that it came by.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has enough.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= MAX_BYTES
    }

    /// Whether it has enough of what cannot be put back: that would delay what is urgent.
    pub(super) fn is_full_of_history(&self) -> bool {
        self.bytes.len() >= MAX_BYTES / 4
    }

    /// Where the next event's bytes go. [`Turn::end`] must follow.
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        self.start = self.bytes.len();
        if self.framing == Framing::Chunked {
            self.bytes.resize(self.start + SIZE_ROOM, 0);
        }
        &mut self.bytes
    }

    /// Ends what [`Turn::begin`] began.
    pub(super) fn end(&mut self) {
        if self.framing == Framing::Chunked {
            let body = self.start + SIZE_ROOM;
            let (line, at) = size_line(self.bytes.len() - body);
            self.bytes.splice(self.start..body, line[at..].iter().copied());
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    /// Counts notifications that cannot be put back.
    pub(super) fn count(&mut self, tally: Tally) {
        self.tally.add(tally);
    }

    /// Notes that what was written since it was `start` long can be put back into the ring from which it was pulled.
    pub(super) fn pulled(&mut self, index: usize, lane: Lane, before: Position, tally: Tally, start: usize) {
        self.tally.add(tally);
        self.pulls.push(Pull { index, lane, before, tally, start, end: self.bytes.len() });
    }

    /// A heartbeat.
    pub(super) fn beat(&mut self) {
        self.begin().extend_from_slice(sse::HEARTBEAT);
        self.end();
    }

    /// The end of the body.
    pub(super) fn finish(&mut self) {
        if self.framing == Framing::Chunked {
            self.bytes.extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// After `sent` bytes were taken: the bytes that must still follow, so that no event is cut, and the pulls of
    /// which nothing was sent, in order.
    pub(super) fn unsent(&self, sent: usize) -> (&[u8], &[Pull]) {
        // From the end, as what is not a pull, such as a gap, cannot be put back, and nor can what precedes it.
        let mut keep = self.bytes.len();
        let mut first = self.pulls.len();
        while let Some(pull) = first.checked_sub(1).map(|last| self.pulls[last]) {
            if pull.start < sent || pull.end != keep {
                break;
            }
            keep = pull.start;
            first -= 1;
        }
        (&self.bytes[sent..keep], &self.pulls[first..])
    }
}

/// The size line of a chunk, at the end of what is returned, and where it begins there.
fn size_line(mut size: usize) -> ([u8; 18], usize) {
    let mut line = *b"0000000000000000\r\n";
    let mut at = line.len() - 2;
    while size > 0 && at > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[size & 0xf];
        size >>= 4;
    }
    (line, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Epoch;

    fn turn(framing: Framing, events: &[&str]) -> Turn {
        let mut turn = Turn::new(framing);
        for (number, event) in events.iter().enumerate() {
            let start = turn.len();
            turn.begin().extend_from_slice(event.as_bytes());
            turn.end();
            let before = Position::new(Epoch::from_bits(1), number as u64);
            turn.pulled(0, Lane::Normal, before, Tally::ONE, start);
        }
        turn
    }

    #[test]
    fn an_event_is_a_chunk() {
        let long = "x".repeat(0x12345);
        let mut turn = turn(Framing::Chunked, &["data: 1\n\n", &long]);
        turn.finish();
        let expected = format!("9\r\ndata: 1\n\n\r\n12345\r\n{long}\r\n0\r\n\r\n");
        assert_eq!(std::str::from_utf8(turn.bytes()).unwrap(), expected);
    }

    #[test]
    fn what_was_begun_must_follow_and_the_rest_is_put_back() {
        let turn = turn(Framing::Plain, &["aaaa", "bbbb", "cccc"]);
        let seqs = |sent| {
            let (bytes, back) = turn.unsent(sent);
            (bytes.to_vec(), back.iter().map(|pull| pull.before.seq).collect::<Vec<_>>())
        };
        assert_eq!(seqs(0), (b"".to_vec(), vec![0, 1, 2]));
        assert_eq!(seqs(3), (b"a".to_vec(), vec![1, 2]));
        assert_eq!(seqs(4), (b"".to_vec(), vec![1, 2]));
        assert_eq!(seqs(11), (b"c".to_vec(), vec![]));
    }

    #[test]
    fn what_precedes_a_gap_is_not_put_back() {
        let mut turn = turn(Framing::Plain, &["aaaa", "bbbb"]);
        turn.begin().extend_from_slice(b"gap!");
        turn.end();
        let start = turn.len();
        turn.begin().extend_from_slice(b"cccc");
        turn.end();
        turn.pulled(0, Lane::Normal, Position::new(Epoch::from_bits(1), 9), Tally::ONE, start);
        let (bytes, back) = turn.unsent(2);
        assert_eq!((bytes, back.len()), (&b"aabbbbgap!"[..], 1));
        assert_eq!(turn.tally().less(back), Tally { written: 2, skipped: 0 });
    }
}
