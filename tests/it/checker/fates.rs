//! What became of epochs that have ended: which positions are undone, so that whoever stands there must be told.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare::stream::{Epoch, Lane, Position};

use super::Heard;

/// What is known of epochs that have ended, by channel. Of those that it does not know nothing is demanded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fates(HashMap<Arc<str>, HashMap<Epoch, Fate>>);

/// By lane, the last number of an epoch that is part of what followed.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// When the epoch ended.
    first: [u64; 2],
    /// As later faults left it.
    least: [u64; 2],
}

impl Fates {
    /// Notes that an epoch has ended and up to which numbers, by lane, its records are part of what followed.
    pub(crate) fn note(&mut self, channel: &Arc<str>, epoch: Epoch, last: [u64; 2]) {
        let of_channel = self.0.entry(Arc::clone(channel)).or_default();
        let fate = of_channel.entry(epoch).or_insert(Fate { first: last, least: last });
        fate.least = [0, 1].map(|lane| fate.least[lane].min(last[lane]));
    }

    /// Whether a reader that stands there must be told when it goes on to the next epoch.
    pub(super) fn must_be_told(&self, heard: &Heard, at: Position) -> bool {
        self.get(&heard.channel, at.epoch).is_some_and(|fate| at.seq > fate.first[heard.lane.index()])
    }

    /// Whether what is there is undone, by the end of its epoch or later; none when its epoch is not known to have ended.
    pub(crate) fn undone(&self, channel: &str, lane: Lane, at: Position) -> Option<bool> {
        Some(at.seq > self.get(channel, at.epoch)?.least[lane.index()])
    }

    fn get(&self, channel: &str, epoch: Epoch) -> Option<&Fate> {
        self.0.get(channel)?.get(&epoch)
    }
}
