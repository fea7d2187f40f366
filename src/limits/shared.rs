//! Buckets that all nodes share: which one it is, and what its state means. Who keeps it is not known here.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Limited, Quota, Remaining};
use crate::config::Scope;

impl Quota {
    /// Who counts together.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Between two tokens that flow into a bucket.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.identity.gcra.interval
    }

    /// How long an empty bucket takes to be full.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.identity.gcra.window()
    }

    /// Names the bucket of `key`, which [`Quota::key`] makes: the same on each node. A limit that has changed has other
    /// buckets, as on a node, and what callers send decides neither the size nor the choice of a bucket.
    #[must_use]
    pub fn bucket_id(&self, key: &str) -> [u8; 16] {
        let mut hash = Sha256::new();
        for text in [self.identity.name.as_str(), &self.identity.key, key] {
            // With its length, so that no other texts join to the same.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(self.identity.gcra.interval.as_nanos().to_be_bytes());
        hash.update(self.identity.gcra.burst.to_be_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        id
    }

    /// What remains in a bucket that will be full after `debt`, when there was a token.
    #[must_use]
    pub fn admitted(&self, debt: Duration) -> Remaining {
        self.left(self.identity.gcra.left_of(debt))
    }

    /// When to come back to a bucket that will be full after `debt`, and in which there was no token.
    #[must_use]
    pub fn refused(&self, debt: Duration) -> Limited {
        self.limited((debt + self.interval()).saturating_sub(self.window()))
    }
}
