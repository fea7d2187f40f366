//! A connection's state, seen by whoever needs it, and the pauses between attempts to bring it back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::telemetry::Metrics;

/// Whether a connection stands, with what its users need of it, or why it does not.
#[derive(Debug)]
pub(super) struct Link<T> {
    name: String,
    state: watch::Sender<Result<T, Arc<str>>>,
    /// Whether it was up before.
    known: AtomicBool,
    metrics: OnceLock<Arc<Metrics>>,
}

impl<T: Clone> Link<T> {
    /// `name` is of the connection, `server` of what it goes to.
    pub(super) fn new(name: &str, server: &str) -> Self {
        let state = watch::Sender::new(Err("not connected yet".into()));
        Self {
            name: format!("{name} connection to {server}"),
            state,
            known: AtomicBool::new(false),
            metrics: OnceLock::new(),
        }
    }

    /// Counts there from now on how often it is made again. Only the first call has an effect.
    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
    }

    pub(super) fn up(&self, link: T) {
        tracing::info!("the {} is up", self.name);
        if self.known.swap(true, Ordering::Relaxed)
            && let Some(metrics) = self.metrics.get()
        {
            metrics.broker_reconnects.inc();
        }
        drop(self.state.send_replace(Ok(link)));
    }

    /// Says why it is down. Only a change is logged, so that a long outage is two lines.
    pub(super) fn down(&self, why: &str) {
        self.state.send_if_modified(|state| {
            let news = state.as_ref().err().is_none_or(|known| &**known != why);
            if news {
                tracing::warn!("the {} is down: {why}", self.name);
                *state = Err(why.into());
            }
            news
        });
    }

    /// # Errors
    /// Why it is down.
    pub(super) fn get(&self) -> Result<T, String> {
        self.state.borrow().clone().map_err(|why| self.told(&why))
    }

    /// Whether it stands.
    ///
    /// # Errors
    /// Why it is down.
    pub(super) fn state(&self) -> Result<(), String> {
        self.state.borrow().as_ref().map(drop).map_err(|why| self.told(why))
    }

    fn told(&self, why: &str) -> String {
        format!("the {} is down: {why}", self.name)
    }

    /// Whether it was up before, or is now.
    pub(super) fn was_up(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Waits until it is up.
    pub(super) async fn wait(&self) {
        // It cannot close, as `self` holds the sender.
        let _ = self.state.subscribe().wait_for(Result::is_ok).await;
    }
}

/// Pauses between attempts: doubling, and spread so that nodes do not come back in step.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LAST: Duration = Duration::from_secs(2);

    pub(super) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// How long to wait now: half of the pause, and up to the whole of it.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0.mul_f64(rand::random_range(0.5..=1.0));
        self.0 = (self.0 * 2).min(Self::LAST);
        pause
    }
}
