//! Taking from a limit: from the bucket that all nodes share where the limit says so, else from this node's own.
//!
//! A shared bucket is a round trip to Redis, and a publish goes there next anyway. Without an answer in time the node
//! counts for itself, from a bucket of its own that is full: a limit protects what is behind it, and a Redis that is away
//! is no reason to refuse everybody, nor to let everything through.

use std::time::Duration;

use tokio::time::Instant;

use super::{Mode, Pipeline};
use crate::broker::{Bucket, Draw};
use crate::config::Scope;
use crate::limits::{Limited, Quota, Remaining};

/// How long the broker may take. Much more than it takes in good health, and little enough to be waited for in each
/// publish while it is slow.
const PATIENCE: Duration = Duration::from_millis(100);

impl Pipeline {
    /// Takes a token from the bucket of `key`; a dry run only looks.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn limit(&self, quota: &Quota, key: &str, mode: Mode) -> Result<Remaining, Limited> {
        if quota.scope() == Scope::Cluster
            && let Some(shared) = self.limit_together(quota, key, mode).await
        {
            return shared;
        }
        let now = Instant::now().into_std();
        match mode {
            Mode::Publish => self.limiter.take(quota, key, now),
            Mode::DryRun => self.limiter.peek(quota, key, now),
        }
    }

    /// The same with all nodes; nothing when they cannot be asked, or are none.
    async fn limit_together(&self, quota: &Quota, key: &str, mode: Mode) -> Option<Result<Remaining, Limited>> {
        let bucket = Bucket { id: quota.bucket_id(key), interval: quota.interval(), window: quota.window() };
        let draw = if mode == Mode::DryRun { Draw::Look } else { Draw::Take };
        match tokio::time::timeout(PATIENCE, self.broker.draw(&bucket, draw)).await {
            Ok(Ok(drawn)) => {
                let drawn = drawn?;
                Some(if drawn.admitted { Ok(quota.admitted(drawn.debt)) } else { Err(quota.refused(drawn.debt)) })
            }
            Ok(Err(_)) | Err(_) => {
                if mode == Mode::Publish {
                    self.metrics.limit_fell_back(quota.name().as_str());
                }
                None
            }
        }
    }
}
