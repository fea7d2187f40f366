//! Reads of history on behalf of readers, each shared by all that ask for the same place while it is under way.
//!
//! When a node is lost, those who listened to one channel there come back together, most of them at the same place. A
//! hundred who came back to two pages behind cost 200 reads each on its own, 20 together, and 4 when Redis was slow.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

use crate::notification::ChannelName;
use crate::stream::{History, Lane, Page, Position};

/// Records per read of history.
const PAGE: usize = 64;
/// Between tries when history cannot be read.
const RETRY: Duration = Duration::from_millis(500);
/// Most reads of history under way on this node, so that a wave of reconnects cannot drown the broker.
const MAX_READS: usize = 16;

/// The reads of this node that are under way.
#[derive(Debug)]
pub(super) struct Reads {
    slots: Semaphore,
    /// A reader has one read at a time, so there are never more of them than readers.
    under_way: Mutex<HashMap<Place, Read, RandomState>>,
}

/// What is read after.
type Place = (ChannelName, Lane, Position);

/// Set when the page is there. Of those who wait one reads, and when that one goes away, another.
type Outcome = Arc<OnceCell<Arc<Page>>>;

/// A read and how many wait for it.
#[derive(Debug)]
struct Read {
    outcome: Outcome,
    waiting: usize,
}

/// One who waits for a read. The read is forgotten when it is done, or when the last of them is gone.
struct Waiting<'a> {
    reads: &'a Reads,
    place: &'a Place,
    outcome: Outcome,
    /// It was under way before.
    joined: bool,
}

impl Default for Reads {
    fn default() -> Self {
        Self { slots: Semaphore::new(MAX_READS), under_way: Mutex::default() }
    }
}

impl Reads {
    /// The page after `at`. Waits for as long as history cannot be read.
    pub(super) async fn page(
        &self,
        history: &dyn History,
        channel: ChannelName,
        lane: Lane,
        at: Position,
    ) -> Arc<Page> {
        let place = (channel, lane, at);
        let waiting = self.wait(&place);
        let page = waiting.page(history).await;
        if !waiting.joined || page.end() != at {
            return page;
        }
        // It found nothing, but was begun by somebody else, and may have looked before what this reader misses was
        // published. The next one is begun after this reader asked.
        drop(waiting);
        self.wait(&place).page(history).await
    }

    fn wait<'a>(&'a self, place: &'a Place) -> Waiting<'a> {
        let mut under_way = self.under_way.lock();
        let entry = under_way.entry(place.clone());
        let joined = matches!(entry, Entry::Occupied(_));
        let read = entry.or_insert_with(|| Read { outcome: Outcome::default(), waiting: 0 });
        read.waiting += 1;
        Waiting { reads: self, place, outcome: Arc::clone(&read.outcome), joined }
    }

    /// Reads until there is a page.
    async fn read(&self, history: &dyn History, (channel, lane, at): &Place) -> Arc<Page> {
        loop {
            let slot = self.slots.acquire().await;
            let page = history.read(channel, *lane, *at, PAGE).await;
            drop(slot);
            match page {
                Ok(page) => return Arc::new(page),
                // The broker is away; the stream stays open and goes on where it stands.
                Err(_) => tokio::time::sleep(RETRY.mul_f64(rand::random_range(1.0..2.0))).await,
            }
        }
    }
}

impl Waiting<'_> {
    async fn page(&self, history: &dyn History) -> Arc<Page> {
        let read = async || {
            let page = self.reads.read(history, self.place).await;
            // Whoever asks from now on is told what is there from now on.
            self.forget(|_| true);
            page
        };
        Arc::clone(self.outcome.get_or_init(read).await)
    }

    /// Forgets the read if it is still known and `when` says so.
    fn forget(&self, when: impl FnOnce(&mut Read) -> bool) {
        let mut under_way = self.reads.under_way.lock();
        let known = under_way.get_mut(self.place).filter(|read| Arc::ptr_eq(&read.outcome, &self.outcome));
        if known.is_some_and(when) {
            under_way.remove(self.place);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.forget(|read| {
            read.waiting -= 1;
            read.waiting == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::notification::Priority;
    use crate::stream::{Epoch, Message, ReadFuture, Record, TopsFuture};

    /// A stream that takes a second to look up. `top` grows while one looks.
    #[derive(Debug, Default)]
    struct Slow {
        top: AtomicU64,
        grows: u64,
        reads: AtomicUsize,
    }

    impl History for Slow {
        fn read<'a>(&'a self, _: &'a ChannelName, _: Lane, after: Position, limit: usize) -> ReadFuture<'a> {
            Box::pin(async move {
                self.reads.fetch_add(1, Ordering::SeqCst);
                let top = self.top.fetch_add(self.grows, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                let (priority, json) = (Priority::Medium, "{}".into());
                let message = Message { priority, expires_ms: None, collapse_key: None, event: None, json };
                let records = (after.seq + 1..=top).take(limit).map(|seq| Record { seq, message: message.clone() });
                Ok(Page { gap: None, records: records.collect(), top: Position::new(after.epoch, top) })
            })
        }

        fn tops<'a>(&'a self, _: &'a [ChannelName]) -> TopsFuture<'a> {
            Box::pin(async { Vec::new() })
        }
    }

    fn slow(top: u64, grows: u64) -> Slow {
        Slow { top: top.into(), grows, ..Slow::default() }
    }

    async fn page(reads: &Reads, history: &Slow, seq: u64) -> u64 {
        let at = Position::new(Epoch::from_bits(1), seq);
        reads.page(history, "user.c7".parse().unwrap(), Lane::Normal, at).await.end().seq
    }

    fn done(reads: &Reads, history: &Slow) -> usize {
        assert!(reads.under_way.lock().is_empty(), "what is done is forgotten");
        history.reads.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_for_one_place_share_a_read() {
        let (reads, history) = (Reads::default(), slow(9, 0));
        let ends = join_all((0..100).map(|reader| page(&reads, &history, reader % 2))).await;
        assert!(ends.iter().all(|end| *end == 9));
        assert_eq!(done(&reads, &history), 2);
        page(&reads, &history, 0).await;
        assert_eq!(done(&reads, &history), 3, "what was read before is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_one_who_reads_goes_away_another_does() {
        let (reads, history) = (Reads::default(), slow(9, 0));
        let leaves = tokio::time::timeout(Duration::from_millis(500), page(&reads, &history, 0));
        let (left, stayed) = tokio::join!(leaves, page(&reads, &history, 0));
        assert!(left.is_err());
        assert_eq!((stayed, done(&reads, &history)), (9, 2));
        let all_leave = join_all((0..3).map(|_| page(&reads, &history, 0)));
        assert!(tokio::time::timeout(Duration::from_millis(500), all_leave).await.is_err());
        assert_eq!(done(&reads, &history), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_joined_a_read_that_found_nothing_is_told_what_came_since() {
        let (reads, history) = (Reads::default(), slow(5, 4));
        let ends = join_all((0..100).map(|_| page(&reads, &history, 5))).await;
        assert_eq!((ends[0], done(&reads, &history)), (5, 2));
        assert!(ends[1..].iter().all(|end| *end == 9), "{ends:?}");
    }
}
