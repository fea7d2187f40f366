//! What became of epochs that have ended: which positions are undone, so that whoever stands there must be told.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare::stream::{Epoch, Lane, Position};

use super::Heard;

/// What is known of epochs, by channel. Of those that it does not know nothing is demanded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fates(HashMap<Arc<str>, Epochs>);

/// The epochs of a channel.
#[derive(Debug, Clone, Default)]
struct Epochs {
    ended: HashMap<Epoch, Fate>,
    /// Which epoch each goes on from, and from which number of each lane.
    before: HashMap<Epoch, (Epoch, [u64; 2])>,
}

/// By lane, the last number of an epoch that is part of what followed.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// When the epoch ended.
    first: [u64; 2],
    /// As later faults left it.
    least: [u64; 2],
}

impl Fates {
    /// Notes which epoch a channel is in, and those that it goes on from, newest first, with the last number of each
    /// lane that is part of what followed.
    pub(crate) fn note(&mut self, channel: &Arc<str>, current: Epoch, chain: &[(Epoch, [u64; 2])]) {
        let epochs = self.0.entry(Arc::clone(channel)).or_default();
        let mut next = current;
        for (epoch, last) in chain {
            epochs.before.insert(next, (*epoch, *last));
            next = *epoch;
        }
        chain.iter().for_each(|(epoch, last)| epochs.end(*epoch, *last));
    }

    /// Notes that nothing of an epoch is left.
    pub(crate) fn note_gone(&mut self, channel: &Arc<str>, epoch: Epoch) {
        self.0.entry(Arc::clone(channel)).or_default().end(epoch, [0, 0]);
    }

    /// The name that was given to a record when it was stored. Whoever reads it in a later epoch is told that one.
    pub(super) fn stored_as(&self, channel: &str, lane: Lane, mut at: Position) -> Position {
        let Some(epochs) = self.0.get(channel) else { return at };
        while let Some((before, last)) = epochs.before.get(&at.epoch)
            && at.seq <= last[lane.index()]
        {
            at.epoch = *before;
        }
        at
    }

    /// Whether a reader that stands there must be told when it goes on to the next epoch.
    pub(crate) fn must_be_told(&self, heard: &Heard, at: Position) -> bool {
        self.get(&heard.channel, at.epoch).is_some_and(|fate| at.seq > fate.first[heard.lane.index()])
    }

    /// Whether what is there is undone, by the end of its epoch or later; none when its epoch is not known to have ended.
    pub(crate) fn undone(&self, channel: &str, lane: Lane, at: Position) -> Option<bool> {
        Some(at.seq > self.get(channel, at.epoch)?.least[lane.index()])
    }

    fn get(&self, channel: &str, epoch: Epoch) -> Option<&Fate> {
        self.0.get(channel)?.ended.get(&epoch)
    }
}

impl Epochs {
    fn end(&mut self, epoch: Epoch, last: [u64; 2]) {
        let fate = self.ended.entry(epoch).or_insert(Fate { first: last, least: last });
        fate.least = [0, 1].map(|lane| fate.least[lane].min(last[lane]));
    }
}
