//! Publishing to Redis, and what its replies mean. An idempotency key is claimed before that.

use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, RedisResult};
use tokio::time::Instant;
use uuid::Uuid;

use super::commands::NoReply;
use super::commit::{Committed, Reply};
use super::envelope::read_lane;
use super::spread::Work;
use super::{Redis, read_reply};
use crate::broker::{Batch, Outgoing, PublishFailed, Published};
use crate::notification::ChannelName;

/// How long the epoch and numbers of a channel outlive its last publish at least. Much longer than its history, so
/// that a reader who comes back late is told what it missed, not that nothing is known.
const META_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// For how long a channel's mark outlives the claim of its key: longer than any publish takes from the one to the other.
pub(super) const MARK_OUTLIVES: Duration = Duration::from_secs(120);

/// Errors that the publish script can only end with before it has stored anything.
const REFUSALS: &[&str] = &[
    "READONLY",
    "OOM",
    "NOREPLICAS",
    "LOADING",
    "MISCONF",
    "BUSY",
    "MASTERDOWN",
    "WRONGTYPE",
    "NEWER",
    "MALFORMED",
    // Of a cluster.
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
];

/// Those of them that say that what is stored of the channel is not of this version, which only an operator can mend.
const FOREIGN: &[&str] = &["WRONGTYPE", "NEWER", "MALFORMED"];

/// What came of one message, when it was not stored.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Refused(String),
    Unknown,
}

impl Redis {
    pub(in crate::broker) async fn store(
        &self,
        mut batch: Batch,
        readdress: impl Fn(Uuid, ChannelName) -> Outgoing,
        deadline: Instant,
    ) -> Result<Vec<Published>, PublishFailed> {
        if batch.messages.is_empty() {
            return Ok(Vec::new());
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err(PublishFailed::NotAccepted("too many publishes in flight".to_owned()));
        };
        if let Some(key) = &batch.key
            && let Some(first) = self.claim(key, &batch, deadline).await?
        {
            batch.id = first.id;
            batch.messages = first.channels.into_iter().map(|channel| readdress(first.id, channel)).collect();
        }
        self.store_claimed(batch, deadline).await
    }

    async fn store_claimed(&self, batch: Batch, deadline: Instant) -> Result<Vec<Published>, PublishFailed> {
        let batch = Arc::new(batch);
        let replies = self.spread(Work::Publish(&batch), deadline).await;
        let outcomes = batch.messages.iter().zip(replies);
        conclude(outcomes.map(|(outgoing, reply)| outcome(&outgoing.channel, reply)).collect(), self.timeout)
    }
}

/// How long the meta key of a channel whose records are kept for `ttl` is kept.
pub(super) fn meta_ttl(ttl: Duration) -> Duration {
    META_TTL.max(ttl * 2)
}

/// Whole milliseconds, at least one: Redis refuses an expiry of zero.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64 / 2)
}

fn outcome(channel: &ChannelName, reply: Reply) -> Result<Published, Failure> {
    let Committed { value, sealed } = match reply {
        Ok(committed) => committed,
        Err(NoReply::NotConnected(why)) => return Err(Failure::Refused(why)),
        Err(NoReply::Unanswered(_)) => return Err(Failure::Unknown),
    };
    let error = match read_reply(value).and_then(|reply| read_stored(channel, reply)) {
        Ok(published) if sealed => return Ok(published),
        // It is stored, but not as durably as whoever published it is promised.
        Ok(_) => return Err(Failure::Unknown),
        Err(error) => error,
    };
    match error.code() {
        Some(code) if REFUSALS.contains(&code) => {
            if FOREIGN.contains(&code) {
                tracing::error!(%channel, "nothing can be published to `{channel}`: {error}");
            }
            Err(Failure::Refused(code.to_owned()))
        }
        _ => {
            tracing::error!(%channel, "redis failed while storing a message for `{channel}`: {error}");
            Err(Failure::Unknown)
        }
    }
}

/// Reads what the script returns: `outcome lane epoch-seq id`.
fn read_stored(channel: &ChannelName, reply: String) -> RedisResult<Published> {
    let read = || {
        let mut words = reply.split(' ');
        let duplicate = match words.next()? {
            "stored" => false,
            "duplicate" => true,
            _ => return None,
        };
        let (lane, position) = (read_lane(words.next()?)?, words.next()?.parse().ok()?);
        let id = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Published { channel: channel.clone(), lane, position, id, duplicate })
    };
    read().ok_or_else(|| RedisError::from((ErrorKind::UnexpectedReturnType, "is no place of a record", reply.clone())))
}

/// What is known of a whole batch. Only if no message was stored may it be called not accepted.
fn conclude(outcomes: Vec<Result<Published, Failure>>, timeout: Duration) -> Result<Vec<Published>, PublishFailed> {
    let (mut published, mut refused) = (Vec::with_capacity(outcomes.len()), None);
    for outcome in outcomes {
        match outcome {
            Ok(one) => published.push(one),
            Err(Failure::Refused(why)) => refused = refused.or(Some(why)),
            Err(Failure::Unknown) => return Err(PublishFailed::UnknownOutcome(timeout)),
        }
    }
    match refused {
        None => Ok(published),
        Some(why) if published.is_empty() => Err(PublishFailed::NotAccepted(why)),
        Some(why) => Err(PublishFailed::PartlyStored(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Epoch, Position};

    #[test]
    fn what_is_known_of_a_batch_is_what_is_known_of_all_its_messages() {
        let second = Duration::from_secs(1);
        let stored = || {
            let reply = format!("stored n {} {}", Position::new(Epoch::random(), 1), Uuid::nil());
            Ok(read_stored(&"user.1".parse().unwrap(), reply).unwrap())
        };
        let refused = || Err(Failure::Refused("OOM".to_owned()));
        let unknown = || Err(Failure::Unknown);
        assert_eq!(conclude(vec![stored(), stored()], second).unwrap().len(), 2);
        let why = || "OOM".to_owned();
        assert_eq!(conclude(vec![refused(), refused()], second), Err(PublishFailed::NotAccepted(why())));
        assert_eq!(conclude(vec![stored(), refused()], second), Err(PublishFailed::PartlyStored(why())));
        for outcomes in [vec![refused(), unknown()], vec![stored(), unknown()], vec![unknown()]] {
            assert_eq!(conclude(outcomes, second), Err(PublishFailed::UnknownOutcome(second)));
        }
    }
}
