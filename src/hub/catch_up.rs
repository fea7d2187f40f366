//! Catching up: a reader that the rings have passed reads history, page by page, until they have what follows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::lag::Skipped;
use super::reader::{stage_message, tell_lag};
use super::streams::State;
use super::turn::{Tally, Turn};
use super::{Reader, sse};
use crate::stream::{Gap, GapReason, Lane, Page, Position};

type PageFuture = Pin<Box<dyn Future<Output = Arc<Page>> + Send>>;

/// The one read of history that a reader does at a time.
#[derive(Default)]
pub(super) enum CatchUp {
    #[default]
    Idle,
    Reading(Box<(usize, Lane, PageFuture)>),
    /// A page in the midst of being staged.
    Staging(Box<Staging>),
}

/// A page in the midst of being staged.
pub(super) struct Staging {
    index: usize,
    lane: Lane,
    end: Position,
    /// It leads further than where the reader stood.
    moved: bool,
    /// Shared by the readers that asked for it together.
    page: Arc<Page>,
    /// How many of its records were staged or skipped.
    done: usize,
    /// Since the last event of the stream.
    skipped: Skipped,
}

impl std::fmt::Debug for CatchUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Reading(..) => "Reading",
            Self::Staging(..) => "Staging",
        })
    }
}

impl CatchUp {
    /// Whether a page was read and not all of it is staged.
    pub(super) fn has_records(&self) -> bool {
        matches!(self, Self::Staging(..))
    }

    /// Forgets what is under way for a stream whose reader was moved.
    pub(super) fn give_up(&mut self, index: usize, lane: Lane) {
        let of = match self {
            Self::Idle => return,
            Self::Reading(read) => (read.0, read.1),
            Self::Staging(staging) => (staging.index, staging.lane),
        };
        if of == (index, lane) {
            *self = Self::Idle;
        }
    }
}

impl Reader {
    /// Goes on with history: reads a page for a stream that is behind, express ones first, and stages it.
    /// Pending while a read is under way.
    pub(super) fn read_history(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<()> {
        loop {
            match &mut self.catch_up {
                CatchUp::Idle => match self.first_behind() {
                    Some((index, lane)) => self.catch_up = self.start_read(index, lane),
                    None => return Poll::Ready(()),
                },
                CatchUp::Reading(read) => {
                    let page = ready!(read.2.as_mut().poll(cx));
                    let (index, lane) = (read.0, read.1);
                    self.take_page(index, lane, page, turn);
                }
                CatchUp::Staging(..) => {
                    if turn.is_full_of_history() {
                        return Poll::Ready(());
                    }
                    self.stage_record(turn);
                }
            }
        }
    }

    fn first_behind(&self) -> Option<(usize, Lane)> {
        let in_lane = |lane: Lane| self.streams.iter().position(|lanes| lanes[lane.index()].state == State::Behind);
        Lane::ALL.into_iter().find_map(|lane| Some((in_lane(lane)?, lane)))
    }

    fn start_read(&self, index: usize, lane: Lane) -> CatchUp {
        let channel = self.channels()[index].name().clone();
        let at = self.streams[index][lane.index()].at;
        let (history, reads) = (Arc::clone(&self.history), Arc::clone(&self.hub.reads));
        let read = async move { reads.page(&*history, channel, lane, at).await };
        CatchUp::Reading(Box::new((index, lane, Box::pin(read))))
    }

    fn take_page(&mut self, index: usize, lane: Lane, page: Arc<Page>, turn: &mut Turn) {
        let end = page.end();
        let stream = &mut self.streams[index][lane.index()];
        let moved = end != stream.at;
        let before = page.records.first().map_or(end.seq, |record| record.seq.saturating_sub(1));
        stream.at = Position::new(end.epoch, before);
        let quiet = std::mem::take(&mut stream.quiet);
        if let Some(gap) = page.gap.as_ref().filter(|_| !quiet) {
            self.tell_gap(index, lane, gap.clone(), turn);
        }
        let staging = Staging { index, lane, end, moved, page, done: 0, skipped: Skipped::default() };
        self.catch_up = CatchUp::Staging(Box::new(staging));
    }

    fn tell_gap(&mut self, index: usize, lane: Lane, mut gap: Gap, turn: &mut Turn) {
        if self.behind && gap.reason == GapReason::Trimmed {
            gap.reason = GapReason::Lagged; // It was this reader that was too slow.
        }
        let gap = &gap;
        self.hub.metrics.gap(gap.reason.as_str());
        self.resume.note(gap);
        let (name, data) = sse::gap(self.channels()[index].name(), lane, gap);
        self.tell(turn, name, None, &data);
    }

    fn stage_record(&mut self, turn: &mut Turn) {
        let CatchUp::Staging(staging) = &self.catch_up else { return };
        let sparing = self.sparing(staging.index, staging.lane);
        let Self { catch_up: CatchUp::Staging(staging), registration, streams, .. } = self else { return };
        let channels = registration.subscriber.channels();
        let Staging { index, lane, end, page, done, skipped, .. } = &mut **staging;
        let Some((record, rest)) = page.records[*done..].split_first() else { return self.end_page(turn) };
        *done += 1;
        let position = Position::new(end.epoch, record.seq);
        let is_replaced = |key: &str| {
            let mut later = rest.iter().filter_map(|later| later.message.collapse_key.as_deref());
            later.any(|later| later == key) || channels[*index].replaces(*lane, key, position)
        };
        let skips = sparing.is_some_and(|sparing| sparing.skips(&record.message, is_replaced, skipped));
        if skips {
            streams[*index][lane.index()].at = position;
            return;
        }
        turn.count(Tally { skipped: skipped.total(), ..Tally::ONE });
        tell_lag(turn, channels, streams, (*index, *lane), std::mem::take(skipped));
        streams[*index][lane.index()].at = position;
        stage_message(turn, channels, streams, &record.message);
    }

    fn end_page(&mut self, turn: &mut Turn) {
        let CatchUp::Staging(staging) = std::mem::take(&mut self.catch_up) else { return };
        let Staging { index, lane, end, moved, skipped, .. } = *staging;
        if skipped != Skipped::default() {
            turn.count(Tally { written: 0, skipped: skipped.total() });
            tell_lag(turn, self.channels(), &self.streams, (index, lane), skipped);
        }
        let stream = &mut self.streams[index][lane.index()];
        stream.at = end;
        // Where the page ends the ring may go on. When it led nowhere the ring is the one that is behind: it is being
        // repaired, and its news will come.
        let go_on = moved || std::mem::take(&mut stream.news);
        stream.state = if go_on { State::Pull } else { State::UpToDate };
        if go_on {
            self.pull_stream(index, lane, turn);
        }
    }
}
