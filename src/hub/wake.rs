//! How a connection that its shard writes to is woken: by its socket, by history, or by the hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shard::Shard;

/// Queues a connection for its shard's attention, once until it has it.
#[derive(Debug)]
pub(super) struct Wake {
    shard: Arc<Shard>,
    key: usize,
    queued: AtomicBool,
}

impl Wake {
    pub(super) fn new(shard: &Arc<Shard>, key: usize) -> Arc<Self> {
        Arc::new(Self { shard: Arc::clone(shard), key, queued: AtomicBool::new(false) })
    }

    /// Says that its shard looks at it now: what wakes it from here on queues it again.
    pub(super) fn attended(&self) {
        self.queued.store(false, Ordering::Release);
    }
}

impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.shard.wake(self.key);
        }
    }
}
