//! What a new revision means for what lives across reloads: open streams, buckets, breakers.

use jiff::Timestamp;
use tokio::time::Instant;

use super::Pipeline;
use crate::config::Policy;
use crate::hub::{Standing, Subscriber};
use crate::notification::{ChannelName, Name};
use crate::snapshot::{NotSubscribable, Snapshot};

/// The streams of this node that a reload meets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Affected {
    /// Those that end: a grant of theirs is gone, or every channel that they listen to.
    pub ended: usize,
    /// Those that go on without a channel that is declared no more.
    pub narrowed: usize,
    /// Those with a channel whose policy says something else now, or that has another one: looked at again.
    pub rechecked: usize,
}

impl Pipeline {
    /// After a swap: ends streams whose grant is gone, takes channels that are declared no more out of the others, and
    /// forgets the state of what is no longer declared. `before` was in force until now.
    pub fn settle(&self, before: &Snapshot) -> Affected {
        let snapshot = self.live.load();
        self.limiter.prune(&snapshot.quotas, Instant::now().into_std());
        self.breakers.prune(&snapshot.plugins);
        self.metrics.declare_types(snapshot.types.keys().map(Name::as_str));
        let rechecked = self.rechecked(before, &snapshot);
        let now = Timestamp::now();
        let (ended, narrowed) = self.hub.settle(|subscriber| standing(&snapshot, subscriber, now));
        Affected { ended, narrowed, rechecked }
    }

    /// What [`Pipeline::settle`] would say if `after` followed `before`.
    #[must_use]
    pub fn foresee(&self, before: &Snapshot, after: &Snapshot) -> Affected {
        let now = Timestamp::now();
        let standings = || self.hub.subscribers().map(|subscriber| standing(after, &subscriber, now));
        Affected {
            ended: standings().filter(|standing| *standing == Standing::Ends).count(),
            narrowed: standings().filter(|standing| matches!(standing, Standing::Loses(_))).count(),
            rechecked: self.rechecked(before, after),
        }
    }

    fn rechecked(&self, before: &Snapshot, after: &Snapshot) -> usize {
        self.hub.subscribers().filter(|subscriber| is_rechecked(before, after, subscriber)).count()
    }
}

/// What `snapshot` leaves of a subscription.
fn standing(snapshot: &Snapshot, subscriber: &Subscriber, now: Timestamp) -> Standing {
    let principal = subscriber.principal();
    if !snapshot.authenticator.still_valid(principal, now) {
        return Standing::Ends;
    }
    let (mut stays, mut lost) = (false, 0);
    for (index, channel) in subscriber.channels().iter().enumerate().filter(|(index, _)| !subscriber.has_lost(*index)) {
        match snapshot.authorize_subscribe(principal, channel.name()) {
            Ok(_) => stays = true,
            Err(NotSubscribable::Unknown(_)) => lost |= 1 << index,
            Err(NotSubscribable::Denied(_)) => return Standing::Ends,
        }
    }
    match (stays, lost) {
        (false, _) => Standing::Ends,
        (true, 0) => Standing::Stays,
        (true, lost) => Standing::Loses(lost),
    }
}

fn is_rechecked(before: &Snapshot, after: &Snapshot, subscriber: &Subscriber) -> bool {
    let is_other = |channel: &ChannelName| {
        let policies = policy(before, channel).zip(policy(after, channel));
        policies.is_some_and(|(old, new)| old != new)
    };
    subscriber.channels().iter().any(|channel| is_other(channel.name()))
}

/// Who may subscribe to a channel.
fn policy<'a>(snapshot: &'a Snapshot, channel: &ChannelName) -> Option<&'a Policy> {
    let (spec, _) = snapshot.channels.find(channel)?;
    Some(&snapshot.config.policies.get(&spec.subscribe)?.value)
}
