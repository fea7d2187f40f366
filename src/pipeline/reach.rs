//! Whom a decision would reach as things stand: the limit that it would count against, who listens, and whether somebody
//! in particular does.

use super::{Mode, Pipeline};
use crate::limits::{KeyFields, Limited, Quota, Remaining};
use crate::notification::{ChannelName, Draft, Name};
use crate::snapshot::{Decision, Snapshot};

/// Whom a decision would reach.
#[derive(Debug)]
pub struct Reach {
    /// Who listens to each channel that it goes to.
    pub channels: Vec<Listeners>,
    /// The limit of its type.
    pub limit: Option<Standing>,
}

/// How a limit stands.
#[derive(Debug)]
pub enum Standing {
    /// There is something left.
    Left(Remaining),
    /// Nothing is.
    UsedUp(Limited),
    /// It counts each producer apart, and it is not known who publishes.
    OfNobody(Name),
}

/// Who listens to a channel.
#[derive(Debug)]
pub struct Listeners {
    /// The channel.
    pub channel: ChannelName,
    /// How many on this node.
    pub here: usize,
    /// How many on others; none when the broker could not say.
    pub elsewhere: Option<usize>,
}

/// Whether somebody would receive what goes to some channels, on this node.
#[derive(Debug, PartialEq, Eq)]
pub enum Receives {
    /// On these, by so many streams.
    Yes(Vec<ChannelName>, usize),
    /// It goes nowhere.
    NoChannel,
    /// They have no stream here.
    NoStream,
    /// Their streams here listen to these only.
    OtherChannels(Vec<ChannelName>),
}

impl Pipeline {
    /// Whom a decision about `draft` would reach now, were `producer` to publish it, if it is known who does.
    pub async fn reach(
        &self,
        snapshot: &Snapshot,
        draft: &Draft,
        producer: Option<&str>,
        decision: &Decision,
    ) -> Reach {
        let mut channels = Vec::with_capacity(decision.deliveries.len());
        for delivery in &decision.deliveries {
            let channel = delivery.channel.clone();
            let here = self.hub.channel(&channel).map_or(0, |local| local.listeners());
            let elsewhere = self.broker.listeners_elsewhere(&channel).await.ok();
            channels.push(Listeners { channel, here, elsewhere });
        }
        let quota = snapshot.types.get(&draft.type_name).and_then(|spec| spec.limit.as_ref());
        let limit = match quota {
            None => None,
            Some(quota) => Some(self.standing(quota, draft, producer).await),
        };
        Reach { channels, limit }
    }

    async fn standing(&self, quota: &Quota, draft: &Draft, producer: Option<&str>) -> Standing {
        if producer.is_none() && quota.counts_principals() {
            return Standing::OfNobody(quota.name().clone());
        }
        let key = quota.key(&KeyFields::of(producer.unwrap_or_default(), draft));
        self.limit(quota, &key, Mode::DryRun).await.map_or_else(Standing::UsedUp, Standing::Left)
    }

    /// Whether the principal `who` would receive what goes to `channels`. Streams on other nodes are not known here.
    #[must_use]
    pub fn receives(&self, who: &str, channels: &[ChannelName]) -> Receives {
        if channels.is_empty() {
            return Receives::NoChannel;
        }
        let streams = self.hub.streams_of(who);
        let mut heard: Vec<ChannelName> = streams.iter().flatten().cloned().collect();
        heard.sort();
        heard.dedup();
        let reached: Vec<_> = channels.iter().filter(|channel| heard.contains(channel)).cloned().collect();
        match (streams.len(), reached.is_empty()) {
            (0, _) => Receives::NoStream,
            (_, true) => Receives::OtherChannels(heard),
            (_, false) => {
                let listening = streams.iter().filter(|stream| stream.iter().any(|channel| reached.contains(channel)));
                Receives::Yes(reached.clone(), listening.count())
            }
        }
    }
}
