//! Subscribing to a channel at the server that has it, wherever that is by then.

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout_at};

use super::Redis;
use super::feed::{Request, Subscribed};
use super::keys::slot_of_channel;
use crate::broker::Unavailable;
use crate::notification::ChannelName;

/// Between two tries at a server that is not connected yet.
const PAUSE: Duration = Duration::from_millis(20);

/// A subscription whose caller may yet fail or go away; then it ends.
#[derive(Debug)]
pub(super) struct Subscribing<'a> {
    redis: Option<&'a Redis>,
    channel: &'a ChannelName,
}

impl Subscribing<'_> {
    /// From now on it lasts until it is ended by name.
    pub(super) fn keep(mut self) {
        self.redis = None;
    }
}

impl Drop for Subscribing<'_> {
    fn drop(&mut self) {
        if let Some(redis) = self.redis {
            redis.unsubscribe(self.channel);
        }
    }
}

impl Redis {
    /// Subscribes and awaits the confirmation. The subscription ends when the result is dropped before it is kept.
    pub(super) async fn begin<'a>(&'a self, channel: &'a ChannelName) -> Result<Subscribing<'a>, Unavailable> {
        let subscribing = Subscribing { redis: Some(self), channel };
        let deadline = Instant::now() + self.timeout;
        let late = || Unavailable(format!("no subscription within {:?}", self.timeout));
        loop {
            match timeout_at(deadline, self.ask_to_subscribe(channel)?).await {
                Ok(Ok(Subscribed::Here)) => return Ok(subscribing),
                Ok(Ok(Subscribed::Elsewhere)) => {
                    if !self.servers.asked_anew(deadline).await {
                        return Err(late());
                    }
                }
                // It may be about to be connected.
                Ok(Err(_)) if self.is_young(channel) && Instant::now() + PAUSE < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(Err(_)) => return Err(Unavailable("the pub/sub connection is down".to_owned())),
                Err(_) => return Err(late()),
            }
        }
    }

    fn ask_to_subscribe(&self, channel: &ChannelName) -> Result<oneshot::Receiver<Subscribed>, Unavailable> {
        let (confirmed, confirmation) = oneshot::channel();
        let slot = slot_of_channel(channel);
        let mut wanted = self.wanted.lock();
        let layout = self.servers.layout();
        let server = layout.server(slot).ok_or_else(|| Unavailable(layout.lack(slot)))?;
        wanted.channels.insert(channel.clone());
        server.feed.request(Request::Subscribe(channel.clone(), confirmed));
        Ok(confirmation)
    }

    pub(in crate::broker) fn unsubscribe(&self, channel: &ChannelName) {
        let mut wanted = self.wanted.lock();
        wanted.channels.remove(channel);
        if let Some(server) = self.servers.layout().server(slot_of_channel(channel)) {
            server.feed.request(Request::Unsubscribe(channel.clone()));
        }
    }

    fn is_young(&self, channel: &ChannelName) -> bool {
        self.servers.layout().server(slot_of_channel(channel)).is_some_and(|server| server.is_young())
    }
}
