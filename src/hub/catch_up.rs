//! Catching up: a reader that the rings have passed reads history, page by page, until they have what follows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::reader::{State, write_cursor};
use super::turn::Turn;
use super::{Reader, sse};
use crate::stream::{Gap, Lane, Page, Position, Record};

/// Records per read of history.
const PAGE: usize = 64;
/// Between tries when history cannot be read.
const RETRY: Duration = Duration::from_millis(500);

type PageFuture = Pin<Box<dyn Future<Output = Page> + Send>>;

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
    records: std::vec::IntoIter<Record>,
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
        let read = async move {
            loop {
                let permit = reads.acquire().await;
                let page = history.read(&channel, lane, at, PAGE).await;
                drop(permit);
                match page {
                    Ok(page) => return page,
                    // The broker is away; the stream stays open and goes on where it stands.
                    Err(_) => tokio::time::sleep(RETRY.mul_f64(rand::random_range(1.0..2.0))).await,
                }
            }
        };
        CatchUp::Reading(Box::new((index, lane, Box::pin(read))))
    }

    fn take_page(&mut self, index: usize, lane: Lane, page: Page, turn: &mut Turn) {
        let end = page.end();
        let stream = &mut self.streams[index][lane.index()];
        let moved = end != stream.at;
        let before = page.records.first().map_or(end.seq, |record| record.seq.saturating_sub(1));
        stream.at = Position::new(end.epoch, before);
        let quiet = std::mem::take(&mut stream.quiet);
        if let Some(gap) = page.gap.filter(|_| !quiet) {
            self.tell_gap(index, lane, &gap, turn);
        }
        let records = page.records.into_iter();
        self.catch_up = CatchUp::Staging(Box::new(Staging { index, lane, end, moved, records }));
    }

    fn tell_gap(&mut self, index: usize, lane: Lane, gap: &Gap, turn: &mut Turn) {
        self.hub.metrics.gap(gap.reason.as_str());
        self.resume.note(gap);
        let (name, data) = sse::gap(self.channels()[index].name(), lane, gap);
        self.tell(turn, name, None, &data);
    }

    fn stage_record(&mut self, turn: &mut Turn) {
        let CatchUp::Staging(staging) = &mut self.catch_up else { return };
        let Staging { index, lane, end, moved, records } = &mut **staging;
        let (index, lane) = (*index, *lane);
        let stream = &mut self.streams[index][lane.index()];
        match records.next() {
            Some(record) => {
                stream.at = Position::new(end.epoch, record.seq);
                let out = turn.begin();
                sse::message(out, &record.message);
                sse::end_with_id(out, |id| write_cursor(self.channels(), &self.streams, id));
                turn.end_notification();
            }
            None => {
                stream.at = *end;
                // Where the page ends the ring may go on. When it led nowhere the ring is the one that is behind:
                // it is being repaired, and its news will come.
                let go_on = *moved || std::mem::take(&mut stream.news);
                stream.state = if go_on { State::Pull } else { State::UpToDate };
                self.catch_up = CatchUp::Idle;
                if go_on {
                    self.pull_stream(index, lane, turn);
                }
            }
        }
    }
}
