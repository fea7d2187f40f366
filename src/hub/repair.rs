//! Fills the holes of rings from history, so that no subscriber is left waiting for what will not come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{Hub, LocalChannel};
use crate::stream::{History, HistoryUnavailable, Lane};

/// Records per read.
const PAGE: usize = 256;
/// Channels repaired at once.
const MAX_REPAIRS: usize = 8;
/// Between tries when history cannot be read.
const RETRY: Duration = Duration::from_millis(250);

impl Hub {
    /// Repairs channels as holes are found, until `shutdown`.
    pub async fn run_repairs(self: Arc<Self>, history: Arc<dyn History>, shutdown: CancellationToken) {
        while let Some(channels) = shutdown.run_until_cancelled(self.next_repairs()).await {
            let repairs = channels.into_iter().map(|channel| self.repair(channel, &*history));
            let all = stream::iter(repairs).buffer_unordered(MAX_REPAIRS).collect::<()>();
            if shutdown.run_until_cancelled(all).await.is_none() {
                return;
            }
        }
    }

    /// Reads on until the top. It does not give up: until the broker answers there is nothing to deliver.
    async fn repair(&self, channel: Arc<LocalChannel>, history: &dyn History) {
        for lane in Lane::ALL {
            loop {
                match self.repair_page(&channel, lane, history).await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(_) => tokio::time::sleep(RETRY.mul_f64(rand::random_range(1.0..2.0))).await,
                }
            }
        }
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
