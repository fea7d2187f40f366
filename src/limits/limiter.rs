//! The rate limiter: the buckets of every limit, across reloads.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::bucket::{Buckets, KeyHash};
use super::quota::{Identity, Quota, Quotas, whole_seconds};
use crate::notification::Name;

/// The buckets of every limit. Lives across reloads; the limits themselves are in each configuration's [`Quotas`].
#[derive(Debug, Default)]
pub struct RateLimiter {
    limits: RwLock<HashMap<Identity, Mutex<Buckets>>>,
    /// Two, because together they leave no chance for two keys to share a bucket.
    seeds: [RandomState; 2],
}

/// What is left after a token was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remaining {
    /// The limit's name.
    pub limit: Name,
    /// Tokens that a bucket holds.
    pub burst: u32,
    /// Whole tokens left.
    pub remaining: u32,
    /// How long no more than these can be taken: until there is one token more.
    pub next_token: Duration,
    /// The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), such as `"producer";q=400;w=2`.
    pub policy_field: Arc<str>,
}

/// A limit is used up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate limit `{limit}` is used up")]
pub struct Limited {
    /// The limit's name.
    pub limit: Name,
    /// Tokens that a bucket holds.
    pub burst: u32,
    /// How long until there is a token.
    pub retry_after: Duration,
    /// The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), such as `"producer";q=400;w=2`.
    pub policy_field: Arc<str>,
}

impl RateLimiter {
    /// Takes a token from the bucket of `key`, which [`Quota::key`] makes.
    ///
    /// # Errors
    /// When there is none; nothing is taken then.
    pub fn take(&self, quota: &Quota, key: &str, now: Instant) -> Result<Remaining, Limited> {
        let (gcra, key) = (quota.identity.gcra, self.hash(key));
        let take = |buckets: &mut Buckets| {
            let full_at = gcra.take(buckets.full_at(key), now).map_err(|wait| quota.limited(wait))?;
            buckets.set(key, full_at, now, quota.max_keys);
            Ok(quota.remaining(Some(full_at), now))
        };
        if let Some(buckets) = self.limits.read().get(&quota.identity) {
            return take(&mut buckets.lock());
        }
        take(self.limits.write().entry(quota.identity.clone()).or_default().get_mut())
    }

    /// What [`Self::take`] would find in the bucket of `key`, without taking anything.
    ///
    /// # Errors
    /// When there is no token.
    pub fn peek(&self, quota: &Quota, key: &str, now: Instant) -> Result<Remaining, Limited> {
        let limits = self.limits.read();
        let full_at = limits.get(&quota.identity).and_then(|buckets| buckets.lock().full_at(self.hash(key)));
        match quota.identity.gcra.take(full_at, now) {
            Ok(_) => Ok(quota.remaining(full_at, now)),
            Err(wait) => Err(quota.limited(wait)),
        }
    }

    /// Settles after a reload: a limit that is gone or has changed loses its buckets, the others keep theirs.
    pub fn prune(&self, quotas: &Quotas, now: Instant) {
        let mut limits = self.limits.write();
        limits.retain(|identity, _| quotas.has(identity));
        for buckets in limits.values_mut() {
            buckets.get_mut().forget_full(now, usize::MAX);
        }
    }

    fn hash(&self, key: &str) -> KeyHash {
        let [high, low] = [0, 1].map(|seed| u128::from(self.seeds[seed].hash_one(key)));
        high << 64 | low
    }
}

impl Quota {
    fn remaining(&self, full_at: Option<Instant>, now: Instant) -> Remaining {
        self.left(self.identity.gcra.left(full_at, now))
    }

    pub(super) fn left(&self, (remaining, next_token): (u32, Duration)) -> Remaining {
        Remaining {
            limit: self.identity.name.clone(),
            burst: self.identity.gcra.burst,
            remaining,
            next_token,
            policy_field: Arc::clone(&self.policy_field),
        }
    }

    pub(super) fn limited(&self, retry_after: Duration) -> Limited {
        Limited {
            limit: self.identity.name.clone(),
            burst: self.identity.gcra.burst,
            retry_after,
            policy_field: Arc::clone(&self.policy_field),
        }
    }
}

impl Remaining {
    /// The value of `RateLimit`, such as `"producer";r=399;t=1`.
    #[must_use]
    pub fn field(&self) -> String {
        field(&self.limit, self.remaining, self.next_token)
    }
}

impl Limited {
    /// The value of `RateLimit`, such as `"producer";r=0;t=1`.
    #[must_use]
    pub fn field(&self) -> String {
        field(&self.limit, 0, self.retry_after)
    }

    /// The value of `Retry-After`.
    #[must_use]
    pub fn retry_after_seconds(&self) -> u64 {
        whole_seconds(self.retry_after)
    }
}

/// `t` is the draft's effective window: for so long no more than `remaining` can be used, in every answer. When nothing
/// remains that is as long as `Retry-After`, which must not end before it. Until the bucket is full would be longer.
fn field(limit: &Name, remaining: u32, next_token: Duration) -> String {
    format!("\"{limit}\";r={remaining};t={}", whole_seconds(next_token))
}
