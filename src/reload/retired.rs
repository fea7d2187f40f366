//! Revisions that are in force no more: each is freed off the workers, once the last that began under it is done.

use std::future;
use std::sync::Arc;
use std::time::Duration;

/// How long until it is looked again at those that are still held: publishes and subscriptions that began under a
/// revision hold it, until the broker has answered them.
const AGAIN: Duration = Duration::from_millis(50);

/// What is in force no more and not freed yet. Freeing thousands of rules takes milliseconds, in which a worker would
/// carry no notification, and whoever lets go of a revision last would have to do it.
#[derive(Debug)]
pub(super) struct Retired<T>(Vec<Arc<T>>);

impl<T> Default for Retired<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Send + Sync + 'static> Retired<T> {
    /// Takes one that nobody can begin under any more.
    pub(super) fn take(&mut self, old: Arc<T>) {
        self.0.push(old);
        self.free();
    }

    /// Frees those that nobody else holds.
    pub(super) fn free(&mut self) {
        // It gets no new holders, so that it is held here only stays true.
        let (free, held): (Vec<_>, _) =
            std::mem::take(&mut self.0).into_iter().partition(|old| Arc::strong_count(old) == 1);
        self.0 = held;
        if !free.is_empty() {
            tokio::task::spawn_blocking(move || drop(free));
        }
    }

    /// Waits until it is worth looking again; for ever when there is nothing to free.
    pub(super) async fn due(&self) {
        match self.0.is_empty() {
            true => future::pending().await,
            false => tokio::time::sleep(AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    use super::*;

    /// Says on which thread it is freed.
    #[derive(Debug)]
    struct Revision(Sender<ThreadId>);

    impl Drop for Revision {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_revision_is_freed_off_the_workers_once_nobody_holds_it() {
        let (freed, on) = channel();
        let mut retired = Retired::default();
        let stream = Arc::new(Revision(freed.clone()));
        let request = Arc::clone(&stream);
        retired.take(stream);
        retired.take(Arc::new(Revision(freed)));
        let wait = Duration::from_secs(5);
        assert_ne!(on.recv_timeout(wait).unwrap(), thread::current().id());
        retired.due().await;
        retired.free();
        assert!(on.try_recv().is_err(), "a request goes on under it");
        drop(request);
        assert!(on.try_recv().is_err(), "who lets go of it last does not free it");
        retired.due().await;
        retired.free();
        assert_ne!(on.recv_timeout(wait).unwrap(), thread::current().id());
        assert!(tokio::time::timeout(2 * AGAIN, retired.due()).await.is_err(), "there is nothing left");
    }
}
