//! Claiming an idempotency key: the one place that decides which publish with a key is the first.
//!
//! The claim is a key of its own, outside every channel, that holds the fingerprint, the id and the channels of the
//! first publish. It is set before anything is stored, and never changed until it expires. Only then come the scripts
//! of the channels, each of which stores under the claimed id at most once. So whatever is cut off, on whichever node,
//! a repeat finds the same claim and ends with one copy in each of its channels.
//!
//! # Why it is a round trip of its own
//!
//! A publish without a key has no claim and is one round trip. One with a key is two, also when it goes to a single
//! channel, because whether a channel may store it depends on the claim. Two bodies under one key may go to two
//! channels, so the claim can be in the slot of neither: one script over both keys is what Redis Cluster refuses, and
//! the scripts of one pipeline cannot see each other's replies. A pipeline that stores regardless and asks afterwards is
//! what stored a refused body in the channels that had not seen its key.
//!
//! # Why a channel keeps the key as well
//!
//! The claim cannot say which channels have stored it: that must be written with the record, in the channel's slot. The
//! channel's mark holds the claimed id and body, and is kept for longer than the claim, as a claim without its mark would
//! store a second copy.
//!
//! # What a mark without its claim means
//!
//! Either the claim has expired, or it was lost: a flush between the claim and the script leaves what the script stores
//! without one, and whoever repeats claims anew, under another id. So a mark says until when its key is remembered, by
//! the server's clock. Until then it answers a publish of the same body, whatever its id, with the record that is there.
//! After that the key is forgotten. A mark of another body counts for nothing, as it cannot undo what its publish has
//! stored elsewhere.
//!
//! Channels without such a mark get the record under the new id, so after a lost claim one notification may have one id
//! in some of its channels and another in the rest, but one copy in each. What a flush took together with its mark is
//! stored again: it is nowhere else.

use redis::Value;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::keys::{hex, slot_of_digest};
use super::publish::millis;
use super::{Redis, read_reply};
use crate::broker::{Batch, IdempotencyKey, PublishFailed};
use crate::notification::ChannelName;

/// The publish that a key was first used for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) id: Uuid,
    pub(super) channels: Vec<ChannelName>,
}

impl Redis {
    /// Claims the key for this batch. Returns the publish with the same body that had claimed it before, if one had.
    ///
    /// # Errors
    /// [`PublishFailed::KeyReused`] when that had another body. Without an answer, [`PublishFailed::NotAccepted`]:
    /// the key may be claimed, but nothing was stored.
    pub(super) async fn claim(
        &self,
        key: &IdempotencyKey,
        batch: &Batch,
        deadline: Instant,
    ) -> Result<Option<First>, PublishFailed> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.claim(key.digest)).arg(write(key, batch)).arg("NX").arg("GET");
        command.arg("PX").arg(millis(self.idempotency_ttl));
        match timeout_at(deadline, self.send_one(slot_of_digest(key.digest), command)).await {
            Ok(Ok(reply)) => read(key, reply),
            Ok(Err(error)) => Err(PublishFailed::NotAccepted(error.to_string())),
            Err(_) => Err(PublishFailed::NotAccepted(format!("redis did not answer within {:?}", self.timeout))),
        }
    }
}

/// `fingerprint id channel ...`: no name of a channel has a space in it.
fn write(key: &IdempotencyKey, batch: &Batch) -> String {
    let mut claim = format!("{} {}", hex(key.fingerprint), batch.id.simple());
    for outgoing in &batch.messages {
        claim.push(' ');
        claim.push_str(outgoing.channel.as_str());
    }
    claim
}

fn read(key: &IdempotencyKey, reply: Value) -> Result<Option<First>, PublishFailed> {
    let refused = |error: redis::RedisError| {
        let why = error.code().map_or_else(|| error.to_string(), str::to_owned);
        PublishFailed::NotAccepted(why)
    };
    let Some(claim) = read_reply::<Option<String>>(reply).map_err(refused)? else { return Ok(None) };
    match claim.split_once(' ') {
        Some((fingerprint, _)) if fingerprint != hex(key.fingerprint) => Err(PublishFailed::KeyReused),
        Some((_, first)) => read_first(first).map(Some).ok_or_else(malformed),
        None => Err(malformed()),
    }
}

fn read_first(text: &str) -> Option<First> {
    let mut words = text.split(' ');
    let id = words.next()?.parse().ok()?;
    let channels = words.map(|name| name.parse().ok()).collect::<Option<Vec<_>>>()?;
    // One of no channel would make the repeat a success that is stored nowhere.
    (!channels.is_empty()).then_some(First { id, channels })
}

fn malformed() -> PublishFailed {
    PublishFailed::NotAccepted("what redis holds of the idempotency key was not written by this product".to_owned())
}
