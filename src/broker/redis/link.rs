//! A connection's state, seen by whoever needs it, and the pauses between attempts to bring it back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, PushInfo, RedisResult,
};
use tokio::sync::watch;

use crate::config::Secret;
use crate::telemetry::Metrics;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that may wait to be written; publishes are bounded before they get here.
const WRITE_QUEUE: usize = 1_024;

/// `broker.url` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`broker.url` is not one that the Redis client can use")]
pub struct InvalidUrl;

/// Makes connections to the configured server.
#[derive(Clone)]
pub(super) struct Dialer(Client);

impl Dialer {
    pub(super) fn new(url: &Secret) -> Result<Self, InvalidUrl> {
        // The error's own text may hold a part of the URL, so it is not told.
        let invalid = |_| InvalidUrl;
        let info = url.expose().into_connection_info().map_err(invalid)?;
        Client::open(tuned(info)).map(Self).map_err(invalid)
    }

    /// Connects. A command on the connection fails after `timeout`. `on_push` is called for everything that the server
    /// sends unasked, inside the read loop: it must not block.
    pub(super) async fn dial(
        &self,
        timeout: Duration,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(timeout))
            .set_pipeline_buffer_size(WRITE_QUEUE)
            .set_push_sender(move |push| {
                on_push(push);
                Ok::<(), redis::aio::SendError>(())
            });
        self.0.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// The client may print its password.
impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

fn tuned(info: ConnectionInfo) -> ConnectionInfo {
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(USER_TIMEOUT);
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.set_tcp_settings(tcp).set_redis_settings(settings)
}

/// Whether a connection stands, with what its users need of it, or why it does not.
#[derive(Debug)]
pub(super) struct Link<T> {
    name: &'static str,
    state: watch::Sender<Result<T, Arc<str>>>,
    /// Whether it was up before.
    known: AtomicBool,
    metrics: OnceLock<Arc<Metrics>>,
}

impl<T: Clone> Link<T> {
    pub(super) fn new(name: &'static str) -> Self {
        let state = watch::Sender::new(Err("not connected yet".into()));
        Self { name, state, known: AtomicBool::new(false), metrics: OnceLock::new() }
    }

    /// Counts there from now on how often it is made again. Only the first call has an effect.
    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
    }

    pub(super) fn up(&self, link: T) {
        tracing::info!("the {} connection to redis is up", self.name);
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
                tracing::warn!("the {} connection to redis is down: {why}", self.name);
                *state = Err(why.into());
            }
            news
        });
    }

    /// # Errors
    /// Why it is down.
    pub(super) fn get(&self) -> Result<T, String> {
        self.state.borrow().clone().map_err(|why| format!("the {} connection is down: {why}", self.name))
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
