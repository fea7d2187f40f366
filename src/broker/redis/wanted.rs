//! What this node is to be subscribed to, which feed each of it comes in through, and what has to find its feed anew.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::access::Address;
use super::slots::{Owners, Slot};
use crate::notification::ChannelName;

/// The subscriptions of a node, over all of its feeds. They are set by whoever asks, not when a server confirms, so a feed
/// that begins, and one that takes over what another had, find what is wanted now.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    inner: Mutex<Inner>,
    /// The map of the cluster may be wrong.
    doubted: Notify,
}

/// Held while requests are sent, so that none goes to a feed that has just been left.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) channels: HashSet<ChannelName>,
    /// Which server of a cluster has which channels; none where there is one server.
    pub(super) owners: Option<Arc<Owners>>,
    /// Those whose server has said that it does not have them. Some of `channels`, so their number has a bound.
    strays: HashSet<ChannelName>,
}

impl Wanted {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub(super) fn contains(&self, channel: &ChannelName) -> bool {
        self.lock().channels.contains(channel)
    }

    /// The name of a channel that is wanted.
    pub(super) fn get(&self, channel: &str) -> Option<ChannelName> {
        self.lock().channels.get(channel).cloned()
    }

    /// What the server at an address is to be subscribed to; everything without one.
    pub(super) fn at(&self, place: Option<&Address>) -> Vec<ChannelName> {
        let inner = self.lock();
        let here = |channel: &&ChannelName| match (&inner.owners, place) {
            (Some(owners), Some(place)) => owners.address(Slot::of(channel.as_str())) == Some(place),
            _ => true,
        };
        inner.channels.iter().filter(here).cloned().collect()
    }

    /// Keeps channels for the feed that has them now, and has the map looked at.
    pub(super) fn stray(&self, channels: impl IntoIterator<Item = ChannelName>) {
        let mut inner = self.lock();
        let Inner { channels: wanted, strays, .. } = &mut *inner;
        strays.extend(channels.into_iter().filter(|channel| wanted.contains(channel)));
        drop(inner);
        self.doubt();
    }

    /// Says that the map of the cluster may be wrong.
    pub(super) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Waits until somebody doubts the map. However many do so meanwhile, it is once.
    pub(super) async fn doubted(&self) {
        self.doubted.notified().await;
    }
}

impl Inner {
    /// Those that have to find their feed, once.
    pub(super) fn take_strays(&mut self) -> HashSet<ChannelName> {
        let mut strays = std::mem::take(&mut self.strays);
        strays.retain(|channel| self.channels.contains(channel));
        strays
    }
}
