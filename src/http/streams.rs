//! The streams of an HTTP/2 connection, each with an end of its own.
//!
//! hyper polls the body of a stream only while its client takes bytes, so a stalled one cannot be ended from inside,
//! and its connection carries others. But hyper hands each stream to an executor right after it has called the
//! service for it: dropping what was handed over resets that stream alone (RFC 9113, section 6.4).

use std::sync::Arc;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Runs the streams of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams {
    /// What ends the stream that is handed over next.
    next: Arc<Mutex<Option<CancellationToken>>>,
}

impl Streams {
    /// What ends the stream for which the service is being called.
    pub(super) fn kill_next(&self) -> CancellationToken {
        let kill = CancellationToken::new();
        *self.next.lock() = Some(kill.clone());
        kill
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let kill = self.next.lock().take().unwrap_or_default();
        TokioExecutor::new().execute(async move { kill.run_until_cancelled_owned(stream).await });
    }
}
