//! The snapshot in force, and how the last load went. The only place that swaps it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::RwLock;

use super::{Revision, Snapshot};

/// The snapshot in force.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Snapshot>,
    status: RwLock<LoadStatus>,
}

/// How the last load went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadStatus {
    /// When the revision in force was taken.
    pub loaded_at: Timestamp,
    /// The rendered diagnostics of a later load that failed; none when the last one succeeded.
    pub failure: Option<String>,
}

impl Live {
    /// Puts the first snapshot in force.
    #[must_use]
    pub fn new(snapshot: Snapshot, now: Timestamp) -> Self {
        let status = RwLock::new(LoadStatus { loaded_at: now, failure: None });
        Self { current: ArcSwap::from_pointee(snapshot), status }
    }

    /// The snapshot in force. Taken once per notification or subscription, so that each sees one revision.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The revision in force.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.current.load().revision
    }

    /// Puts `snapshot` in force. What has begun goes on under the one it began with.
    pub fn swap(&self, snapshot: Snapshot, now: Timestamp) {
        self.current.store(Arc::new(snapshot));
        *self.status.write() = LoadStatus { loaded_at: now, failure: None };
    }

    /// Notes that a load failed; what is in force stays.
    pub fn keep(&self, failure: String) {
        self.status.write().failure = Some(failure);
    }

    /// Notes that the files are those of the revision in force again.
    pub fn clear_failure(&self) {
        self.status.write().failure = None;
    }

    /// How the last load went.
    #[must_use]
    pub fn status(&self) -> LoadStatus {
        self.status.read().clone()
    }
}
