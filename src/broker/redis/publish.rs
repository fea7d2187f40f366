//! Publishing to Redis: a script call per channel, all in one round trip, and what its replies mean. An idempotency
//! key is claimed before that.

use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::commands::NoReply;
use super::commit::Reply;
use super::envelope::{encode, read_lane};
use super::keys::{hex, lane_code, slot_of_channel};
use super::server::Server;
use super::spread::Way;
use super::{Redis, read_reply};
use crate::broker::{Batch, Outgoing, PublishFailed, Published};
use crate::notification::ChannelName;
use crate::stream::{Epoch, Lane};

/// How long the epoch and numbers of a channel outlive its last publish at least. Much longer than its history, so
/// that a reader who comes back late is told what it missed, not that nothing is known.
const META_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// For how long a channel's mark outlives the claim of its key: longer than any publish takes from the one to the other.
const MARK_OUTLIVES: Duration = Duration::from_secs(120);

/// Errors that the publish script can only end with before it has stored anything.
const REFUSALS: [&str; 15] = [
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
    // Of a cluster, and of a server that lost the script to it.
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "NOSCRIPT",
];

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
    ) -> Result<Vec<Published>, PublishFailed> {
        if batch.messages.is_empty() {
            return Ok(Vec::new());
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err(PublishFailed::NotAccepted("too many publishes in flight".to_owned()));
        };
        let deadline = Instant::now() + self.timeout;
        if let Some(key) = &batch.key
            && let Some(first) = self.claim(key, &batch, deadline).await?
        {
            batch.id = first.id;
            batch.messages = first.channels.into_iter().map(|channel| readdress(first.id, channel)).collect();
        }
        self.store_claimed(&batch, deadline).await
    }

    async fn store_claimed(&self, batch: &Batch, deadline: Instant) -> Result<Vec<Published>, PublishFailed> {
        let call = |outgoing: &Outgoing| (slot_of_channel(&outgoing.channel), self.publish_call(batch, outgoing));
        let calls: Vec<_> = batch.messages.iter().map(call).collect();
        let replies = self.spread(&calls, Way::Publish, deadline).await;
        let outcomes = batch.messages.iter().zip(replies).map(|(outgoing, reply)| match reply {
            Ok(reply) => outcome(&outgoing.channel, reply),
            Err(NoReply::NotConnected(why)) => Err(Failure::Refused(why)),
            Err(NoReply::Unanswered(_)) => Err(Failure::Unknown),
        });
        conclude(outcomes.collect(), self.timeout)
    }

    /// Makes calls at one server, on the connection that they belong on.
    pub(super) async fn call_publish(
        &self,
        server: &Server,
        calls: Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Reply>, NoReply> {
        if let Some(committer) = &server.committer {
            return committer.commit(calls, deadline).await;
        }
        match timeout_at(deadline, server.commands.run_script(&self.scripts.publish, &calls)).await {
            Ok(replies) => Ok(replies?.into_iter().map(|value| Reply { value, sealed: true }).collect()),
            Err(elapsed) => Err(NoReply::Unanswered(elapsed.to_string())),
        }
    }

    fn publish_call(&self, batch: &Batch, outgoing: &Outgoing) -> Cmd {
        let Outgoing { channel, retention, message } = outgoing;
        let mut keys = self.write_keys(channel);
        keys.extend(batch.key.as_ref().map(|key| self.keys.mark(channel, key.digest)));
        let mut call = self.scripts.publish.call(&keys);
        call.arg(lane_code(Lane::of(message.priority)))
            .arg(Epoch::random().to_string())
            .arg(&*encode(message))
            .arg(retention.size)
            .arg(millis(retention.ttl))
            .arg(millis(meta_ttl(retention.ttl)))
            .arg(self.keys.pubsub(channel))
            .arg(batch.id.simple().to_string());
        if let Some(key) = &batch.key {
            call.arg(hex(key.fingerprint)).arg(millis(self.idempotency_ttl + MARK_OUTLIVES));
        }
        call
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

fn outcome(channel: &ChannelName, Reply { value, sealed }: Reply) -> Result<Published, Failure> {
    let error = match read_reply(value).and_then(|reply| read_stored(channel, reply)) {
        Ok(published) if sealed => return Ok(published),
        // It is stored, but not as durably as whoever published it is promised.
        Ok(_) => return Err(Failure::Unknown),
        Err(error) => error,
    };
    match error.code() {
        Some(code) if REFUSALS.contains(&code) => Err(Failure::Refused(code.to_owned())),
        _ => {
            tracing::error!(%channel, "redis failed while storing a message for `{channel}`: {error}");
            Err(Failure::Unknown)
        }
    }
}

/// Reads what the script returns: what came of it, and `lane epoch-seq id`.
fn read_stored(channel: &ChannelName, (outcome, place): (String, String)) -> RedisResult<Published> {
    let malformed = || RedisError::from((ErrorKind::UnexpectedReturnType, "is no place of a record", place.clone()));
    let [lane, position, id] = *place.split(' ').collect::<Vec<_>>() else { return Err(malformed()) };
    let lane = read_lane(lane).ok_or_else(malformed)?;
    let position = position.parse().map_err(|_| malformed())?;
    let id = id.parse().map_err(|_| malformed())?;
    Ok(Published { channel: channel.clone(), lane, position, id, duplicate: outcome == "duplicate" })
}

/// What is known of a whole batch. Only if no message was stored may it be called not accepted.
fn conclude(outcomes: Vec<Result<Published, Failure>>, timeout: Duration) -> Result<Vec<Published>, PublishFailed> {
    let refused = |outcome: &Result<_, _>| matches!(outcome, Err(Failure::Refused(_)));
    let all_refused = outcomes.iter().all(refused);
    outcomes.into_iter().collect::<Result<_, _>>().map_err(|failure| match failure {
        Failure::Refused(code) if all_refused => PublishFailed::NotAccepted(code),
        Failure::Refused(_) | Failure::Unknown => PublishFailed::UnknownOutcome(timeout),
    })
}
