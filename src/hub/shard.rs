//! A shard: the part of the subscribers that one worker serves.

use std::sync::Arc;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::worker::Worker;
use super::{LocalChannel, Reader, Socket, Subscriber};

/// One shard. A publisher only queues the channel here; the fan-out runs in the shard's own task, so a channel
/// with many subscribers holds up no publish, and uses every core.
#[derive(Debug, Default)]
pub(super) struct Shard {
    subscribers: Mutex<Slab<Arc<Subscriber>>>,
    /// Channels with news. A channel is in it once at most, so it is bounded by the number of channels.
    news: Mutex<Vec<Arc<LocalChannel>>>,
    /// Connections that it shall serve from now on, bounded by how many the server allows.
    arrivals: Mutex<Vec<(Reader, Socket)>>,
    /// Connections that were woken. One is in it once at most.
    woken: Mutex<Vec<usize>>,
    bell: Notify,
}

impl Shard {
    /// Queues a channel that has news.
    pub(super) fn tell(&self, channel: &Arc<LocalChannel>) {
        self.news.lock().push(Arc::clone(channel));
        self.bell.notify_one();
    }

    /// Queues a connection that has something to do.
    pub(super) fn wake(&self, connection: usize) {
        self.woken.lock().push(connection);
        self.bell.notify_one();
    }

    /// Takes over a connection.
    pub(super) fn adopt(&self, reader: Reader, socket: Socket) {
        self.arrivals.lock().push((reader, socket));
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

    /// Its subscribers, as they are now.
    pub(super) fn subscribers(&self) -> Vec<Arc<Subscriber>> {
        self.subscribers.lock().iter().map(|(_, subscriber)| Arc::clone(subscriber)).collect()
    }

    /// Serves its subscribers until `shutdown`. `index` is its place among the shards.
    pub(super) async fn run(self: Arc<Self>, index: usize, shutdown: CancellationToken) {
        let mut worker = Worker::new(&self, index);
        while shutdown.run_until_cancelled(self.bell.notified()).await.is_some() {
            worker.welcome(std::mem::take(&mut *self.arrivals.lock()));
            let woken = std::mem::take(&mut *self.woken.lock());
            worker.attend(&woken).await;
            let news = std::mem::take(&mut *self.news.lock());
            for channel in news {
                worker.fan_out(&channel).await;
            }
        }
    }
}
