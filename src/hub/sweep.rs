//! What the hub does once a second, so that no connection needs a timer of its own.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;

use super::{Bye, CloseReason, Hub, LocalChannel, Subscriber};
use crate::notification::ChannelName;

/// How long a connection that was asked to end may take for it.
const GRACE_MS: u64 = 1_000;
/// How long a channel stays subscribed after its last subscriber left: a reload of a page is no churn.
const LINGER_MS: u64 = 5_000;
/// Around when a client that was told to leave comes back.
const RETRY: Duration = Duration::from_secs(2);

/// What a reload leaves of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All of it.
    Stays,
    /// All but some channels, one bit for each, by their place in the subscription.
    Loses(u32),
    /// Nothing.
    Ends,
}

impl Hub {
    /// Heartbeats, expiry of credentials, stalled connections.
    pub fn sweep(&self, now: Timestamp) {
        for subscriber in self.subscribers() {
            subscriber.beat(self.settings.heartbeat);
            if subscriber.principal().expires_at.is_some_and(|expiry| expiry <= now) {
                self.close(&subscriber, Bye::jittered(CloseReason::TokenExpired, RETRY));
            }
            if subscriber.waiting() >= self.settings.stall_timeout {
                subscriber.ask_to_end(Bye::jittered(CloseReason::Stalled, RETRY));
                subscriber.kill();
            }
        }
        let now_ms = self.clock.now_ms();
        self.ending.lock().retain(|(deadline, subscriber)| {
            // One that is gone has ended as it was asked to. Its connection may carry others, as HTTP/2 does.
            let Some(subscriber) = subscriber.upgrade() else { return false };
            let due = *deadline <= now_ms;
            if due {
                subscriber.kill();
            }
            !due
        });
    }

    /// Ends a subscription: asks its writer to say `bye`, and ends the connection if that takes too long.
    pub fn close(&self, subscriber: &Arc<Subscriber>, bye: Bye) {
        if subscriber.bye().is_none() {
            self.ending.lock().push((self.clock.now_ms() + GRACE_MS, Arc::downgrade(subscriber)));
            subscriber.ask_to_end(bye);
        }
    }

    /// Gives every subscription its new standing. Returns how many end, and how many go on with fewer channels.
    pub fn settle(&self, standing: impl Fn(&Subscriber) -> Standing) -> (usize, usize) {
        let (mut ended, mut narrowed) = (0, 0);
        for subscriber in self.subscribers() {
            match standing(&subscriber) {
                Standing::Stays => {}
                Standing::Loses(channels) => {
                    subscriber.lose(channels);
                    narrowed += 1;
                }
                Standing::Ends => {
                    self.close(&subscriber, Bye::jittered(CloseReason::Revoked, RETRY));
                    ended += 1;
                }
            }
        }
        (ended, narrowed)
    }

    /// The channels of each stream of a principal on this node.
    #[must_use]
    pub fn streams_of(&self, principal: &str) -> Vec<Vec<ChannelName>> {
        let own = self.subscribers().filter(|subscriber| &*subscriber.principal().id == principal);
        own.map(|subscriber| subscriber.channels().iter().map(|channel| channel.name().clone()).collect()).collect()
    }

    /// Ends all subscriptions, evenly spread over `window`, so that they do not come back in one wave. It takes the
    /// whole window however few there are: balancers need it to see that this node is not ready.
    pub async fn drain(&self, window: Duration) {
        const TICK: Duration = Duration::from_millis(100);
        // Weak, as one that is gone must not look as if it were slow to end.
        let subscribers: Vec<_> = self.subscribers().map(|subscriber| Arc::downgrade(&subscriber)).collect();
        let ticks = (window.as_millis() / TICK.as_millis()) as usize;
        let mut asked = 0;
        for tick in 1..=ticks {
            tokio::time::sleep(TICK).await;
            let due = subscribers.len() * tick / ticks;
            for subscriber in subscribers[asked..due].iter().filter_map(Weak::upgrade) {
                self.close(&subscriber, Bye::jittered(CloseReason::Draining, RETRY));
            }
            asked = due;
        }
        // Also those that were opening when the drain began.
        for subscriber in self.subscribers() {
            self.close(&subscriber, Bye::jittered(CloseReason::Draining, RETRY));
        }
    }

    /// Leaves channels that nobody has listened to for a while. `unsubscribe` tells the broker.
    pub fn leave_idle(&self, unsubscribe: impl Fn(&ChannelName)) {
        let now = self.clock.now_ms();
        let idle = |channel: &LocalChannel| {
            channel.users.load(Ordering::Acquire) == 0
                && now.saturating_sub(channel.idle_since.load(Ordering::Relaxed)) >= LINGER_MS
        };
        let channels = self.channels.read();
        let idle: Vec<_> = channels.values().filter(|channel| idle(channel)).map(Arc::clone).collect();
        drop(channels);
        for channel in idle {
            // Taken means that somebody is opening it: it is not idle any more.
            let Ok(mut subscribed) = channel.subscribed.try_lock() else { continue };
            if channel.users.load(Ordering::Acquire) > 0 {
                continue;
            }
            // Without the map's lock, as the memory broker delivers under a lock that it takes here too. Whoever
            // comes meanwhile waits for `subscribed`, and subscribes again.
            unsubscribe(channel.name());
            *subscribed = false;
            let mut channels = self.channels.write();
            if channel.users.load(Ordering::Acquire) == 0 {
                channels.remove(channel.name());
            }
        }
    }

    /// Every open subscription of this node.
    pub fn subscribers(&self) -> impl Iterator<Item = Arc<Subscriber>> {
        self.shards.iter().flat_map(|shard| shard.subscribers())
    }
}
