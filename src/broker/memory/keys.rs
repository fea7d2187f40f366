//! Which idempotency keys were used, and what came of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::{IdempotencyKey, PublishFailed, Published};

const SHARDS: usize = 16;
/// Most keys that a shard remembers; beyond it the oldest is forgotten before its time. Keys are hashes, so the shards
/// fill evenly.
const MAX_KEYS: usize = 8_192;

/// The keys of all producers.
#[derive(Debug)]
pub(super) struct Keys {
    shards: Box<[Mutex<Shard>]>,
    ttl: Duration,
}

#[derive(Debug, Default)]
struct Shard {
    firsts: HashMap<[u8; 16], First, RandomState>,
    /// When each of `firsts` is forgotten, in that order.
    forgotten_at: VecDeque<(Instant, [u8; 16])>,
}

/// The first publish with some key.
#[derive(Debug)]
struct First {
    /// The fingerprint of its body.
    fingerprint: [u8; 16],
    published: Vec<Published>,
}

impl Keys {
    /// No keys. Each that comes is remembered for `ttl`.
    pub(super) fn new(ttl: Duration) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), ttl }
    }

    /// What `store` returns for the first publish with this key, and that again for those that repeat it.
    ///
    /// # Errors
    /// [`PublishFailed::KeyReused`] when the first had another body.
    pub(super) fn once(
        &self,
        key: &IdempotencyKey,
        now: Instant,
        store: impl FnOnce() -> Vec<Published>,
    ) -> Result<Vec<Published>, PublishFailed> {
        let mut shard = self.shards[usize::from(key.digest[0]) % SHARDS].lock();
        shard.expire(now);
        if let Some(first) = shard.firsts.get(&key.digest) {
            return first.repeated(key);
        }
        // Under the lock, so that whoever comes meanwhile finds all of it stored. The locks of channels are taken
        // inside this one, and never the other way round.
        let published = store();
        shard.remember(key, published.clone(), now + self.ttl);
        Ok(published)
    }

    /// Forgets what is older than it may be.
    pub(super) fn expire(&self, now: Instant) {
        self.shards.iter().for_each(|shard| shard.lock().expire(now));
    }
}

impl Shard {
    fn remember(&mut self, key: &IdempotencyKey, published: Vec<Published>, until: Instant) {
        self.firsts.insert(key.digest, First { fingerprint: key.fingerprint, published });
        self.forgotten_at.push_back((until, key.digest));
        while self.forgotten_at.len() > MAX_KEYS {
            self.forget_oldest();
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.forgotten_at.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, digest)) = self.forgotten_at.pop_front() {
            self.firsts.remove(&digest);
        }
    }
}

impl First {
    fn repeated(&self, key: &IdempotencyKey) -> Result<Vec<Published>, PublishFailed> {
        if self.fingerprint != key.fingerprint {
            return Err(PublishFailed::KeyReused);
        }
        Ok(self.published.iter().map(|one| Published { duplicate: true, ..one.clone() }).collect())
    }
}
