//! Telling other nodes who listens here.
//!
//! Only channels with subscribers are told, each when its count has changed and again before it would be forgotten, and
//! all that are due together. What that costs is bounded by channels and time, whatever subscribers do: a channel is told
//! once a tick at most.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use crate::broker::Unavailable;
use crate::notification::ChannelName;

/// How often this node looks for what has changed.
const TICK: Duration = Duration::from_secs(5);
/// How long others count what they were told: two tellings may be lost. A node that dies is counted for so long.
const TTL: Duration = Duration::from_secs(45);
/// When what has not changed is told again; spread, so that channels that came together do not stay together.
const AGAIN_SECONDS: std::ops::Range<f64> = 12.0..18.0;
/// How long it may take to say at the end that nobody listens here any more.
const FAREWELL: Duration = Duration::from_millis(300);

/// What other nodes were told.
#[derive(Debug, Default)]
struct Told(HashMap<ChannelName, Entry>);

#[derive(Debug)]
struct Entry {
    listeners: usize,
    again: Instant,
}

impl Told {
    /// What others must be told now, given who listens.
    fn due(&self, listened: &HashMap<ChannelName, usize>, now: Instant) -> Vec<(ChannelName, usize)> {
        let is_due = |channel: &ChannelName, listeners| {
            self.0.get(channel).is_none_or(|told| told.listeners != listeners || told.again <= now)
        };
        let here = listened.iter().filter(|(channel, listeners)| is_due(channel, **listeners));
        let left = self.0.keys().filter(|channel| !listened.contains_key(*channel));
        let here = here.map(|(channel, listeners)| (channel.clone(), *listeners));
        here.chain(left.map(|channel| (channel.clone(), 0))).collect()
    }

    /// Takes note of what they were told.
    fn note(&mut self, told: Vec<(ChannelName, usize)>, now: Instant) {
        for (channel, listeners) in told {
            if listeners == 0 {
                self.0.remove(&channel);
            } else {
                let again = now + Duration::from_secs_f64(rand::random_range(AGAIN_SECONDS));
                self.0.insert(channel, Entry { listeners, again });
            }
        }
    }
}

impl Pipeline {
    /// Keeps other nodes told of who listens here until `shutdown`. Whoever owns the pipeline runs it once.
    pub async fn run_presence(&self, shutdown: CancellationToken) {
        if !self.broker.spans_nodes() {
            return;
        }
        let mut told = Told::default();
        // What cannot be told is due again at the next tick, and readiness says that Redis is away.
        while shutdown.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            let _ = self.tell(&mut told, &self.hub.listened()).await;
        }
        let _ = tokio::time::timeout(FAREWELL, self.tell(&mut told, &HashMap::new())).await;
    }

    async fn tell(&self, told: &mut Told, listened: &HashMap<ChannelName, usize>) -> Result<(), Unavailable> {
        let now = Instant::now();
        let due = told.due(listened, now);
        self.broker.announce(&due, TTL).await?;
        told.note(due, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listened(counts: &[(&str, usize)]) -> HashMap<ChannelName, usize> {
        counts.iter().map(|(name, count)| (name.parse().unwrap(), *count)).collect()
    }

    #[test]
    fn a_channel_is_told_when_it_changes_and_before_it_is_forgotten() {
        let (mut told, start) = (Told::default(), Instant::now());
        let mut tell = |counts: &[(&str, usize)], now| {
            let mut due = told.due(&listened(counts), now);
            due.sort();
            told.note(due.clone(), now);
            due.into_iter().map(|(channel, count)| format!("{channel} {count}")).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(tell(&[("user.a", 1), ("user.b", 2)], start), "user.a 1, user.b 2");
        assert_eq!(tell(&[("user.a", 1), ("user.b", 2)], start + TICK), "");
        assert_eq!(tell(&[("user.a", 3)], start + TICK), "user.a 3, user.b 0");
        assert_eq!(tell(&[("user.a", 3)], start + TICK + TTL / 4), "");
        assert_eq!(tell(&[("user.a", 3)], start + TICK + TTL / 2), "user.a 3");
        assert_eq!(tell(&[], start + TTL), "user.a 0");
        assert_eq!(tell(&[], start + TTL), "");
    }
}
