//! Remembers verified tokens, because an ES256 signature costs more to check than everything else on the way.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::{Digest, Principal};

/// How long a token is believed without being verified again.
const MAX_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Verified tokens by their digest; lives across reloads.
///
/// A hit counts only while [`super::Authenticator::still_valid`] agrees, so a key that a reload removes is not
/// believed any longer. Refusals are not remembered: they would let strangers fill it.
#[derive(Debug)]
pub struct TokenCache {
    /// Held for one look-up in a map and no longer, so a lock per shard would gain nothing.
    generations: Mutex<Generations>,
    capacity: usize,
}

/// Entries age by moving from `young` to `old` and out, all at once: nothing is ordered, and nothing is scanned.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Digest, Entry>,
    old: HashMap<Digest, Entry>,
}

#[derive(Debug)]
struct Entry {
    principal: Arc<Principal>,
    until: Timestamp,
}

impl TokenCache {
    /// A cache of at most `capacity` tokens.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { generations: Mutex::default(), capacity }
    }

    pub(super) fn get(&self, digest: &Digest, now: Timestamp) -> Option<Arc<Principal>> {
        let generations = self.generations.lock();
        let entry = generations.young.get(digest).or_else(|| generations.old.get(digest))?;
        (now < entry.until).then(|| Arc::clone(&entry.principal))
    }

    pub(super) fn insert(&self, digest: Digest, principal: &Arc<Principal>, now: Timestamp) {
        // A token in its leeway is past its `exp`, so it is verified each time.
        let until = principal.expires_at.map_or(now, |expires_at| expires_at.min(now + MAX_AGE));
        let mut generations = self.generations.lock();
        if generations.young.len() >= self.capacity / 2 {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(digest, Entry { principal: Arc::clone(principal), until });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let generations = self.generations.lock();
        generations.young.len() + generations.old.len()
    }
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::new(10_000)
    }
}
