//! Which of many channels must be repaired at all: their tops are asked for together, and those that are level are done.
//!
//! A feed that was cut may have missed something in every channel of the node, and as a rule has in few. Measured with
//! 10 000 channels and a Redis on the same two cores, which others kept busy, from the first question to the last answer:
//!
//! | | lacking something | round trips | takes | Redis' CPU time |
//! |---|---|---|---|---|
//! | each lane read | none | 20 000 | 0.5–0.8 s | 139–162 ms |
//! | | 100 channels | 20 000 | 0.6–1.2 s | 169–238 ms |
//! | **tops asked first** | none | 40 | 24–27 ms | 6–7 ms |
//! | | 100 channels | 240 | 48–127 ms | 14–24 ms |

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Semaphore;

use super::repair::wait_after;
use super::{Hub, LocalChannel};
use crate::stream::{History, HistoryUnavailable, Lane, Position, Tops};

/// Most channels whose tops are asked for in one round trip: few enough that publishes from elsewhere are not kept
/// waiting.
pub(super) const CHUNK: usize = 256;
/// Round trips under way at once.
pub(super) const MAX_SURVEYS: usize = 4;
/// How often channels are asked for together. After that each is repaired on its own, and says what it fails from.
const TRIES: u32 = 4;

/// Channels whose tops are asked for together.
#[derive(Debug, Default)]
pub(super) struct Survey {
    channels: Vec<Arc<LocalChannel>>,
    /// How often in a row some of them were not answered.
    failures: u32,
}

/// What a survey has found.
#[derive(Debug, Default)]
pub(super) struct Surveyed {
    /// To be repaired.
    pub(super) behind: Vec<Arc<LocalChannel>>,
    /// To be asked for again.
    pub(super) again: Option<Survey>,
}

/// A channel, as it was before its tops were asked for.
struct Asked {
    channel: Arc<LocalChannel>,
    holes: usize,
    heads: [Option<Position>; Lane::ALL.len()],
}

/// What is said of one channel's tops.
type Answer = Result<Option<Tops>, HistoryUnavailable>;

/// What is known of a channel whose tops were asked for.
enum Standing {
    /// Its rings have all that there was.
    Level,
    /// The same, but a hole was found since.
    Doubtful,
    Behind,
}

/// Splits channels that are due for repair into those that are read at once and those that are asked for first, in the
/// order in which they are served: the most subscribers first. One that is due alone has a hole of its own.
pub(super) fn split(mut due: Vec<Arc<LocalChannel>>) -> (Vec<Arc<LocalChannel>>, Vec<Survey>) {
    if due.len() == 1 {
        return (due, Vec::new());
    }
    due.sort_by_cached_key(|channel| Reverse(channel.listeners()));
    let surveys = due.chunks(CHUNK).map(|chunk| Survey { channels: chunk.to_vec(), failures: 0 });
    (Vec::new(), surveys.collect())
}

impl Hub {
    /// Asks for the tops of these channels. Those that are level are done.
    pub(super) async fn survey(&self, survey: Survey, history: &dyn History, slots: &Semaphore) -> Surveyed {
        let Survey { channels, failures } = survey;
        if failures > 0 {
            tokio::time::sleep(wait_after(failures - 1)).await;
        }
        let slot = slots.acquire().await;
        let asked: Vec<_> = channels.into_iter().filter(|channel| self.has(channel)).map(Asked::new).collect();
        let names: Vec<_> = asked.iter().map(|one| one.channel.name().clone()).collect();
        let tops = history.tops(&names).await;
        drop(slot);
        self.sort_out(asked, tops, failures)
    }

    fn sort_out(&self, asked: Vec<Asked>, tops: Vec<Answer>, failures: u32) -> Surveyed {
        let (mut behind, mut doubtful, mut unanswered) = (Vec::new(), Vec::new(), Vec::new());
        let mut tops = tops.into_iter();
        for one in asked {
            match tops.next().map(|answer| answer.map(|tops| one.settle(tops))) {
                Some(Ok(Standing::Level)) => {}
                Some(Ok(Standing::Doubtful)) => doubtful.push(one.channel),
                Some(Ok(Standing::Behind)) => behind.push(one.channel),
                Some(Err(_)) | None => unanswered.push(one.channel),
            }
        }
        let failures = if unanswered.is_empty() { 0 } else { failures + 1 };
        if failures > 0 {
            self.metrics.repair_failures.inc();
            let count = unanswered.len();
            tracing::debug!(count, "{count} channels could not be compared with the broker");
        }
        if failures == TRIES {
            behind.append(&mut unanswered);
        }
        doubtful.append(&mut unanswered);
        let again = (!doubtful.is_empty()).then_some(Survey { channels: doubtful, failures: failures % TRIES });
        Surveyed { behind, again }
    }
}

impl Asked {
    fn new(channel: Arc<LocalChannel>) -> Self {
        // The holes first: one that is found after them is not taken for filled.
        let holes = channel.holes.load(Ordering::Acquire);
        let heads = Lane::ALL.map(|lane| channel.head(lane));
        Self { channel, holes, heads }
    }

    /// Counts the holes as filled if the rings have all that there was when the tops were looked up.
    fn settle(&self, tops: Option<Tops>) -> Standing {
        let Some(tops) = tops else { return Standing::Behind };
        let mut lanes = Lane::ALL.into_iter().zip(self.heads).zip(tops);
        if !lanes.all(|((lane, before), top)| is_level(before, top, self.channel.head(lane))) {
            return Standing::Behind;
        }
        match self.channel.holes.fetch_sub(self.holes, Ordering::AcqRel) == self.holes {
            true => Standing::Level,
            false => Standing::Doubtful,
        }
    }
}

/// Whether a ring whose head was at `before` and is at `now` has all up to `top`, which was looked up in between. One
/// that was ahead of the top has what history lost: it must be told so.
fn is_level(before: Option<Position>, top: Position, now: Option<Position>) -> bool {
    // A channel that opens starts at the top anyway.
    let (Some(before), Some(now)) = (before, now) else { return true };
    before.epoch == top.epoch && now.epoch == top.epoch && (before.seq..=now.seq).contains(&top.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Epoch, RingBounds};

    fn at(epoch: u64, seq: u64) -> Position {
        Position::new(Epoch::from_bits(epoch), seq)
    }

    fn channel(number: usize, listeners: usize) -> Arc<LocalChannel> {
        let bounds = RingBounds { records: 16, bytes: 1_024 };
        let channel = LocalChannel::new(format!("user.{number}").parse().unwrap(), bounds, 1);
        (0..listeners).for_each(|connection| channel.join_shard(0, connection, 0));
        Arc::new(channel)
    }

    #[test]
    fn those_with_most_subscribers_come_first_and_one_alone_is_read() {
        let due = (0..CHUNK + 10).map(|number| channel(number, number)).collect();
        let (read, surveys) = split(due);
        let listeners: Vec<Vec<usize>> = (surveys.iter())
            .map(|survey| survey.channels.iter().map(|channel| channel.listeners()).collect())
            .collect();
        assert!(read.is_empty());
        assert_eq!(listeners.concat(), (0..CHUNK + 10).rev().collect::<Vec<_>>());
        assert_eq!((listeners.len(), listeners[0].len()), (2, CHUNK));
        let (read, surveys) = split(vec![channel(0, 1)]);
        assert_eq!((read.len(), surveys.len()), (1, 0));
    }

    #[test]
    fn level_is_what_has_all_that_there_was() {
        let level = |before, top, now| is_level(Some(before), top, Some(now));
        assert!(level(at(1, 5), at(1, 5), at(1, 5)));
        assert!(level(at(1, 5), at(1, 6), at(1, 7)), "what was published meanwhile has come");
        assert!(level(at(1, 5), at(1, 5), at(1, 7)), "what was published later has come");
        assert!(!level(at(1, 5), at(1, 6), at(1, 5)));
        assert!(!level(at(1, 5), at(1, 4), at(1, 5)), "history lost what the ring has");
        assert!(!level(at(1, 5), at(2, 5), at(1, 5)));
        assert!(!level(at(1, 5), at(2, 5), at(2, 5)), "it may have been filled from another history");
        assert!(is_level(None, at(1, 5), None), "it is opening");
    }
}
