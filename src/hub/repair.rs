//! Fills the holes of rings from history, so that no subscriber is left waiting for what will not come.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::survey::{MAX_SURVEYS, Surveyed, split};
use super::{Hub, LocalChannel};
use crate::stream::{History, HistoryUnavailable, Lane};

/// Records per read.
const PAGE: usize = 256;
/// Channels that are read at once.
const MAX_REPAIRS: usize = 8;
/// Around how long a channel that cannot be read waits for its second try. Each wait is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Around how long it waits at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Hub {
    /// Repairs channels as holes are found, until `shutdown`.
    pub async fn run_repairs(self: Arc<Self>, history: Arc<dyn History>, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.repair_all(&*history)).await;
    }

    /// Repairs each channel on its own: one that cannot be read keeps no other waiting. When there are many, those that
    /// have missed nothing are found first.
    async fn repair_all(&self, history: &dyn History) {
        let (slots, survey_slots) = (Semaphore::new(MAX_REPAIRS), Semaphore::new(MAX_SURVEYS));
        let (mut repairs, mut surveys) = (FuturesUnordered::new(), FuturesUnordered::new());
        loop {
            let (behind, unknown) = tokio::select! {
                due = self.next_repairs() => split(due),
                Some(Surveyed { behind, again }) = surveys.next() => (behind, again.into_iter().collect()),
                Some(()) = repairs.next() => continue,
            };
            surveys.extend(unknown.into_iter().map(|survey| self.survey(survey, history, &survey_slots)));
            repairs.extend(behind.into_iter().map(|channel| self.repair(channel, history, &slots)));
        }
    }

    /// Reads on until the top. As long as this node has the channel it does not give up: until it can be read there is
    /// nothing to deliver.
    async fn repair(&self, channel: Arc<LocalChannel>, history: &dyn History, slots: &Semaphore) {
        let mut failures = 0;
        while self.has(&channel) {
            let slot = slots.acquire().await;
            let holes = channel.holes.load(Ordering::Acquire);
            let repaired = self.repair_lanes(&channel, history).await;
            drop(slot);
            match repaired {
                // Those that were found meanwhile may be behind what was read.
                Ok(()) if channel.holes.fetch_sub(holes, Ordering::AcqRel) == holes => return,
                Ok(()) => failures = 0,
                Err(error) => {
                    let wait = wait_after(failures);
                    failures += 1;
                    self.note_failure(&channel, failures, wait, &error);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Whether this is the channel that this node has by that name. It is kept for a while without subscribers, and one
    /// who comes in that time relies on its rings.
    pub(super) fn has(&self, channel: &Arc<LocalChannel>) -> bool {
        self.channel(channel.name()).is_some_and(|known| Arc::ptr_eq(&known, channel))
    }

    fn note_failure(&self, channel: &LocalChannel, failures: u32, wait: Duration, error: &HistoryUnavailable) {
        self.metrics.repair_failures.inc();
        let name = channel.name();
        if failures == 1 {
            // Every channel may fail once while the broker comes back: that is no news of the channel.
            tracing::debug!(channel = %name, %error, "`{name}` could not be repaired: {error}; next try in {wait:?}");
        } else {
            tracing::warn!(channel = %name, %error,
                "`{name}` could not be repaired {failures} times, and its subscribers wait: {error}; next try in {wait:?}");
        }
    }

    async fn repair_lanes(&self, channel: &Arc<LocalChannel>, history: &dyn History) -> Result<(), HistoryUnavailable> {
        for lane in Lane::ALL {
            while !self.repair_page(channel, lane, history).await? {}
        }
        Ok(())
    }

    /// Reads one page after the ring's head. True at the top.
    async fn repair_page(
        &self,
        channel: &Arc<LocalChannel>,
        lane: Lane,
        history: &dyn History,
    ) -> Result<bool, HistoryUnavailable> {
        // A channel that is opening starts at the top anyway.
        let Some(head) = channel.head(lane) else { return Ok(true) };
        let page = history.read(channel.name(), lane, head, PAGE).await?;
        let at_top = page.end() == page.top;
        let filled = channel.fill(lane, head, page);
        if filled {
            self.tell(channel);
        }
        Ok(filled && at_top)
    }
}

/// How long to wait after a failure that followed `earlier` others: jittered, so that channels which failed together do
/// not come back together.
pub(super) fn wait_after(earlier: u32) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(earlier)).min(LONGEST_WAIT);
    wait.mul_f64(rand::random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound() {
        for (earlier, around) in [(0, 250), (1, 500), (5, 8_000), (6, 10_000), (u32::MAX, 10_000)] {
            let around = Duration::from_millis(around);
            let wait = wait_after(earlier);
            assert!((around.mul_f64(0.75)..around.mul_f64(1.25)).contains(&wait), "{earlier}: {wait:?}");
        }
    }
}
