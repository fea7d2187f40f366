//! Where a reader stands in the streams of its subscription, and the cursor that says so.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::LocalChannel;
use super::reader::{Listening, Start};
use crate::notification::ChannelName;
use crate::stream::{Cursor, Epoch, Lane, Position};

/// Where a reader of one channel stands in its lanes.
pub(super) type Place = [Position; Lane::ALL.len()];

/// The streams of a subscription, by channel and lane.
#[derive(Debug)]
pub(super) struct Streams {
    lanes: Box<[[Stream; Lane::ALL.len()]]>,
    /// Channels of its cursor that are declared no more, each by its tag. They stay in every later cursor: who comes back
    /// is told of them again, or goes on from there once they are declared again.
    gone: Box<[([u8; 4], Place)]>,
}

/// Where the reader stands in one stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) at: Position,
    pub(super) state: State,
    /// Nothing was read yet, and missing records before the first are not told: the client asked for the last few,
    /// not for a place.
    pub(super) quiet: bool,
    /// There was news while history was read.
    pub(super) news: bool,
    /// A lagging reader is spared low priority.
    pub(super) sheds_low: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has all that the ring had.
    UpToDate,
    /// The ring may have more.
    Pull,
    /// The ring has passed it: history is, or shall be, read.
    Behind,
    /// Its channel is declared no more: nothing of it is read again.
    Lost,
}

impl Streams {
    /// The streams of open channels, and the places of the cursor in those that are `gone`.
    pub(super) fn begin(listening: &[Listening], start: &Start, gone: &[ChannelName]) -> Self {
        let lanes = listening.iter().map(|channel| Lane::ALL.map(|lane| Stream::begin(channel, lane, start)));
        let Start::Cursor(cursor) = start else { return Self { lanes: lanes.collect(), gone: Box::default() } };
        let place = |channel: &ChannelName| {
            let [express, normal] = Lane::ALL.map(|lane| cursor.position(channel, lane));
            Some((Cursor::tag(channel), [express?, normal?]))
        };
        Self { lanes: lanes.collect(), gone: gone.iter().filter_map(place).collect() }
    }

    /// The streams of its one channel, when its cursor names no other: whoever stands there too has the same cursor.
    pub(super) fn only(&self) -> Option<&[Stream; Lane::ALL.len()]> {
        match &*self.lanes {
            [only] if self.gone.is_empty() => Some(only),
            _ => None,
        }
    }

    /// Appends the cursor to `id`. The streams are those of `channels`.
    pub(super) fn write_cursor(&self, channels: &[Arc<LocalChannel>], id: &mut Vec<u8>) {
        let places = self.lanes.iter().map(|[express, normal]| [express.at, normal.at]);
        let open = channels.iter().map(|channel| channel.tag()).zip(places);
        Cursor::write(open.chain(self.gone.iter().copied()), id);
    }
}

impl Deref for Streams {
    type Target = [[Stream; Lane::ALL.len()]];

    fn deref(&self) -> &Self::Target {
        &self.lanes
    }
}

impl DerefMut for Streams {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.lanes
    }
}

impl Stream {
    /// Notes that there is news.
    pub(super) fn note(&mut self) {
        match self.state {
            State::UpToDate => self.state = State::Pull,
            State::Pull => {}
            State::Behind => self.news = true,
            State::Lost => {}
        }
    }

    fn begin(Listening { lease, sheds_low }: &Listening, lane: Lane, start: &Start) -> Self {
        let sheds_low = *sheds_low;
        let channel = lease.channel();
        let Some(head) = channel.head(lane) else {
            // Not reached: a lease is given out once its channel is open.
            let at = Position::new(Epoch::from_bits(0), 0);
            return Self { at, state: State::Behind, quiet: true, news: false, sheds_low };
        };
        let at = match start {
            Start::Live | Start::Unreadable => None,
            Start::Cursor(cursor) => cursor.position(channel.name(), lane),
            Start::Last(count) => Some(Position::new(head.epoch, head.seq.saturating_sub(*count))),
        };
        match at {
            None => Self { at: head, state: State::UpToDate, quiet: false, news: false, sheds_low },
            // Ahead of this node: either it has not received that much yet, or history was rolled back, and only
            // the broker knows.
            Some(at) if at.seq > head.seq => Self { at, state: State::Behind, quiet: false, news: false, sheds_low },
            Some(at) => Self { at, state: State::Pull, quiet: matches!(start, Start::Last(_)), news: false, sheds_low },
        }
    }
}
