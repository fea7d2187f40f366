//! A shard: the part of the subscribers that one worker tells of news.

use std::sync::Arc;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{LocalChannel, Subscriber};

/// One shard. A publisher only queues the channel here; the fan-out runs in the shard's own task, so a channel
/// with many subscribers holds up no publish, and uses every core.
#[derive(Debug, Default)]
pub(super) struct Shard {
    subscribers: Mutex<Slab<Arc<Subscriber>>>,
    /// Channels with news. A channel is in it once at most, so it is bounded by the number of channels.
    news: Mutex<Vec<Arc<LocalChannel>>>,
    bell: Notify,
}

impl Shard {
    /// Queues a channel that has news.
    pub(super) fn tell(&self, channel: &Arc<LocalChannel>) {
        self.news.lock().push(Arc::clone(channel));
        self.bell.notify_one();
    }

    /// Adds a subscriber, and returns its key.
    pub(super) fn insert(&self, subscriber: &Arc<Subscriber>) -> usize {
        self.subscribers.lock().insert(Arc::clone(subscriber))
    }

    /// Removes a subscriber.
    pub(super) fn remove(&self, key: usize) {
        self.subscribers.lock().try_remove(key);
    }

    /// How many subscribers it has.
    pub(super) fn len(&self) -> usize {
        self.subscribers.lock().len()
    }

    /// Its subscribers, as they are now.
    pub(super) fn subscribers(&self) -> Vec<Arc<Subscriber>> {
        self.subscribers.lock().iter().map(|(_, subscriber)| Arc::clone(subscriber)).collect()
    }

    /// Tells subscribers of news until `shutdown`.
    pub(super) async fn run(&self, index: usize, shutdown: CancellationToken) {
        let mut turn = Vec::new();
        while shutdown.run_until_cancelled(self.bell.notified()).await.is_some() {
            std::mem::swap(&mut turn, &mut self.news.lock());
            for channel in turn.drain(..) {
                channel.notify(index);
            }
        }
    }
}
