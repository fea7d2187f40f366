//! What lies between a broker and the nodes: publications arrive late or never, and history cannot always be read.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use fanfare::broker::Broker;
use fanfare::hub::Hub;
use fanfare::notification::ChannelName;
use fanfare::stream::{History, HistoryUnavailable, Inlet, Lane, Position, Publication, ReadFuture, TopsFuture};
use parking_lot::Mutex;

use super::dice::Dice;

/// Brings what is published to every node, each by a wire of its own.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) wires: Vec<Wire>,
}

/// The way to one node. It keeps the order, as a connection does.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) hub: OnceLock<Arc<Hub>>,
    dice: Dice,
    /// What it holds back goes on when it is pumped.
    delays: bool,
    /// Of a hundred publications, how many never arrive.
    loses: usize,
    queue: Mutex<VecDeque<Publication>>,
    lost: Mutex<BTreeSet<String>>,
}

impl Wire {
    pub(super) fn new(dice: &Dice) -> Self {
        let delays = dice.percent(50);
        let loses = *dice.one_of(&[0, 0, 10, 60]);
        Self {
            hub: OnceLock::new(),
            dice: dice.clone(),
            delays,
            loses,
            queue: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// Lets up to `count` publications through.
    pub(super) fn pump(&self, count: usize) {
        for _ in 0..count {
            let Some(publication) = self.queue.lock().pop_front() else { return };
            self.hub().deliver(publication);
        }
    }

    /// Tells its node what was lost, as a broker does that has been away.
    pub(super) fn mend(&self) {
        self.pump(usize::MAX);
        let lost: Vec<ChannelName> =
            std::mem::take(&mut *self.lost.lock()).into_iter().map(|name| name.parse().unwrap()).collect();
        if self.dice.percent(30) {
            self.hub().missed(None);
        } else if !lost.is_empty() {
            self.hub().missed(Some(&lost));
        }
    }

    fn take(&self, publication: Publication) {
        if self.dice.fault("loss", self.loses) {
            self.lost.lock().insert(publication.channel.to_string());
        } else if self.delays {
            self.dice.note("delay");
            self.queue.lock().push_back(publication);
        } else {
            self.hub().deliver(publication);
        }
    }

    fn hub(&self) -> &Hub {
        self.hub.get().unwrap()
    }
}

impl Inlet for Relay {
    fn deliver(&self, publication: Publication) {
        self.wires.iter().for_each(|wire| wire.take(publication.clone()));
    }

    fn missed(&self, channels: Option<&[ChannelName]>) {
        self.wires.iter().for_each(|wire| wire.hub().missed(channels));
    }
}

/// History that takes its time, before and after it looks, and cannot always be read.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) broker: Arc<Broker>,
    pub(super) dice: Dice,
}

impl History for Shelf {
    fn read<'a>(&'a self, channel: &'a ChannelName, lane: Lane, after: Position, limit: usize) -> ReadFuture<'a> {
        Box::pin(async move {
            self.dice.pause().await;
            if self.dice.fault("unreadable_history", 10) {
                return Err(HistoryUnavailable("away".to_owned()));
            }
            let page = self.broker.read(channel, lane, after, limit).await;
            if let Ok(Some(gap)) = page.as_ref().map(|page| &page.gap) {
                self.dice.note(if gap.range.is_some() { "gap" } else { "eviction" });
            }
            self.dice.pause().await;
            page
        })
    }

    fn tops<'a>(&'a self, channels: &'a [ChannelName]) -> TopsFuture<'a> {
        Box::pin(async move {
            self.dice.pause().await;
            let mut tops = self.broker.tops(channels).await;
            for one in &mut tops {
                if self.dice.fault("unreadable_history", 10) {
                    *one = Err(HistoryUnavailable("away".to_owned()));
                }
            }
            self.dice.pause().await;
            tops
        })
    }
}
