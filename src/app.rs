//! Build, run, drain: puts the parts together, and is the only place that spawns long-lived tasks.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, InvalidUrl, Unfit};
use crate::config::{Config, Diagnostics};
use crate::http::{self, Context, Listener, ServerLimits};
use crate::hub::{Hub, HubSettings};
use crate::notification::Reason;
use crate::pipeline::Pipeline;
use crate::reload::{ReloadHandle, Reloader, load_and_compile};
use crate::snapshot::{Live, Snapshot};
use crate::stream::{History, Inlet, RingBounds};
use crate::telemetry::Metrics;

/// How often heartbeats, expiry and idle channels are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// After the drain window, what is left has this long.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How a server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Not ready, then streams ended one after the other over the drain window, with the port open until its end.
    Drain,
    /// All streams ended at once.
    AtOnce,
}

/// A running server.
#[derive(Debug)]
pub struct App {
    /// Where producers and subscribers connect.
    pub address: SocketAddr,
    /// Where operators connect.
    pub admin_address: SocketAddr,
    /// What carries notifications and subscriptions.
    pub pipeline: Arc<Pipeline>,
    /// Asks for a reload.
    pub reload: ReloadHandle,
    drain_window: Duration,
    /// Connections.
    connections: TaskTracker,
    /// Everything else.
    services: TaskTracker,
    drain: CancellationToken,
    shutdown: CancellationToken,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has errors.
    #[error("the configuration has errors\n{0}")]
    Config(Diagnostics),
    /// The admin listener would be open to anyone.
    #[error(
        "server.admin {0} is not on loopback and server.admin_policy names nobody: metrics and reload would be open"
    )]
    OpenAdmin(SocketAddr),
    /// The broker's URL is not one.
    #[error(transparent)]
    Broker(#[from] InvalidUrl),
    /// The broker's server is there and cannot be used.
    #[error("the broker cannot be used")]
    Unfit(#[from] Unfit),
    /// An address cannot be listened at.
    #[error("cannot listen at {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// A metric is declared twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl App {
    /// Starts a server from the configuration at `path`. `pages` are served beside its own routes.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(path: &Path, pages: Router) -> Result<Self, StartError> {
        let compiled = load_and_compile(path);
        let Some(snapshot) = compiled.snapshot else { return Err(StartError::Config(compiled.diagnostics)) };
        if !compiled.diagnostics.is_empty() {
            tracing::warn!("the configuration has findings\n{}", compiled.diagnostics);
        }
        let config = snapshot.config.clone();
        if !config.server.admin.ip().is_loopback() && config.server.admin_policy.is_none() {
            return Err(StartError::OpenAdmin(config.server.admin));
        }
        let pipeline = Arc::new(build_pipeline(snapshot, &config)?);
        Box::pin(pipeline.broker.check()).await?;
        let (reloader, reload) = Reloader::new(path.to_path_buf(), compiled.inputs, Arc::clone(&pipeline));
        let drain = CancellationToken::new();
        let listeners = bind(&config, &pipeline, &reload, pages, &drain).await?;
        let app = Self {
            address: listeners.0.address().unwrap_or(config.server.listen),
            admin_address: listeners.1.address().unwrap_or(config.server.admin),
            pipeline,
            reload,
            drain_window: config.server.drain,
            connections: TaskTracker::new(),
            services: TaskTracker::new(),
            drain,
            shutdown: CancellationToken::new(),
        };
        app.spawn(reloader, listeners);
        Ok(app)
    }

    fn spawn(&self, reloader: Reloader, (public, admin): (Listener, Listener)) {
        let Self { pipeline, services, shutdown, .. } = self;
        let (hub, broker) = (&pipeline.hub, &pipeline.broker);
        for shard in 0..hub.shards() {
            services.spawn(Arc::clone(hub).run_shard(shard, shutdown.clone()));
        }
        let history = Arc::clone(broker) as Arc<dyn History>;
        services.spawn(Arc::clone(hub).run_repairs(Arc::clone(&history), shutdown.clone()));
        if broker.spans_nodes() {
            // Within one process nothing is lost on its way.
            services.spawn(Arc::clone(hub).run_position_checks(history, shutdown.clone()));
        }
        services.spawn(run_broker(Arc::clone(broker), shutdown.clone()));
        services.spawn(sweep(Arc::clone(pipeline), shutdown.clone()));
        services.spawn(run_presence(Arc::clone(pipeline), shutdown.clone()));
        services.spawn(reloader.run(shutdown.clone()));
        services.spawn(public.run(self.connections.clone()));
        services.spawn(admin.run(self.connections.clone()));
    }

    /// Stops: not ready, no new streams, open ones told to come back elsewhere, and what is left after that cut off,
    /// a second after the drain window at the latest.
    pub async fn stop(self, how: Stop) {
        let window = if how == Stop::Drain { self.drain_window } else { Duration::ZERO };
        self.pipeline.start_draining();
        self.pipeline.hub.drain(window).await;
        self.drain.cancel();
        self.connections.close();
        self.services.close();
        let leave = async {
            // Whoever does not leave is stalled or in the middle of something endless.
            self.connections.wait().await;
            self.shutdown.cancel();
            self.services.wait().await;
        };
        let _ = tokio::time::timeout(LAST_CALL, leave).await;
        self.shutdown.cancel();
    }
}

fn build_pipeline(snapshot: Snapshot, config: &Config) -> Result<Pipeline, StartError> {
    let server = &config.server;
    let reasons = Reason::ALL.iter().map(|reason| (reason.code(), reason.outcome().as_str()));
    let metrics = Arc::new(Metrics::new(reasons)?);
    metrics.config_loaded(snapshot.revision.as_bytes(), Timestamp::now());
    let settings = HubSettings {
        shards: std::thread::available_parallelism().map_or(1, usize::from),
        ring: RingBounds { records: server.ring_records, bytes: server.ring_bytes },
        heartbeat: server.heartbeat,
        stall_timeout: server.stall_timeout,
        max_streams_per_principal: server.max_streams_per_principal,
    };
    let hub = Arc::new(Hub::new(settings, Arc::clone(&metrics)));
    let broker = Arc::new(Broker::new(&config.broker, Arc::clone(&hub) as Arc<dyn Inlet>)?);
    let live = Arc::new(Live::new(snapshot, Timestamp::now()));
    let pipeline = Pipeline::new(live, hub, broker, metrics, server);
    let first = pipeline.live.load();
    pipeline.settle(&first);
    Ok(pipeline)
}

async fn bind(
    config: &Config,
    pipeline: &Arc<Pipeline>,
    reload: &ReloadHandle,
    pages: Router,
    drain: &CancellationToken,
) -> Result<(Listener, Listener), StartError> {
    let server = &config.server;
    let context = Arc::new(Context {
        pipeline: Arc::clone(pipeline),
        reload: reload.clone(),
        max_body: server.max_body,
        body_timeout: server.body_timeout,
    });
    let origins: Vec<String> = server.allowed_origins.iter().map(|origin| origin.value.clone()).collect();
    let limits = ServerLimits {
        max_connections: server.max_connections,
        header_timeout: server.header_timeout,
        stall_timeout: server.stall_timeout,
    };
    let listen = async |address, routes| {
        let open = pipeline.metrics.connections.clone();
        let bound = Listener::bind(address, routes, limits, open, drain.clone()).await;
        bound.map_err(|error| StartError::Bind { address, error })
    };
    let public = listen(server.listen, pages.merge(http::routes(&context, &origins))).await?;
    Ok((public, listen(server.admin, http::admin_routes(&context)).await?))
}

async fn run_broker(broker: Arc<Broker>, shutdown: CancellationToken) {
    // Boxed, as the connections that it keeps make for a large future.
    Box::pin(broker.run(shutdown)).await;
}

async fn run_presence(pipeline: Arc<Pipeline>, shutdown: CancellationToken) {
    pipeline.run_presence(shutdown).await;
}

async fn sweep(pipeline: Arc<Pipeline>, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        pipeline.hub.sweep(Timestamp::now());
        pipeline.hub.leave_idle(|channel| pipeline.broker.unsubscribe(channel));
        pipeline.metrics.broker_up.set(i64::from(pipeline.broker.readiness().is_ok()));
    }
}
