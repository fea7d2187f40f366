//! Hot reload: load, compile, swap, settle. One at a time, whatever asked for it, and all or nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Broker, Config, Diagnostics, Inputs, Server, Watcher};
use crate::pipeline::Pipeline;
use crate::snapshot::{Compiled, Depth, Revision, compile};

/// What came of a reload.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it led to.
    pub result: ReloadResult,
    /// The revision in force now.
    pub revision: Revision,
    /// When it was taken.
    pub loaded_at: Timestamp,
    /// Why it was: whoever asks after an edit may find that the edit was seen before.
    pub loaded_by: Trigger,
    /// Errors and warnings, rendered.
    pub diagnostics: String,
    /// Restart-only sections that are not what the server was started with, and do not apply yet.
    pub needs_restart: Vec<&'static str>,
    /// Streams that ended when it was taken, because their grant was gone.
    pub ended_streams: usize,
}

/// Why files were loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The server started.
    Start,
    /// They changed.
    Change,
    /// SIGHUP.
    Signal,
    /// The admin listener was asked.
    Request,
}

impl Trigger {
    /// The name used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Change => "change",
            Self::Signal => "signal",
            Self::Request => "request",
        }
    }
}

/// What a reload led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// A new revision is in force, or the same one with other secrets.
    Applied,
    /// The files are those of the revision in force.
    Unchanged,
    /// The files have errors; the revision in force stays.
    Failed,
}

impl ReloadResult {
    /// The name used in metrics, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

/// Asks for a reload and waits for what comes of it.
#[derive(Debug, Clone)]
pub struct ReloadHandle(mpsc::Sender<Request>);

/// Someone who waits for the report of a reload.
#[derive(Debug)]
struct Request {
    trigger: Trigger,
    asker: oneshot::Sender<Report>,
}

impl ReloadHandle {
    /// Reloads now; none when the server is shutting down.
    pub async fn reload(&self, trigger: Trigger) -> Option<Report> {
        let (asker, report) = oneshot::channel();
        self.0.send(Request { trigger, asker }).await.ok()?;
        report.await.ok()
    }
}

/// Keeps the snapshot in force in step with the files.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    pipeline: Arc<Pipeline>,
    watcher: Watcher,
    /// What the snapshot in force, and a later one that was refused, depend on, as it was at the last load.
    seen: Inputs,
    started: Started,
    taken: Taken,
    requests: mpsc::Receiver<Request>,
}

/// How the revision in force came to be.
#[derive(Debug)]
struct Taken {
    by: Trigger,
    ended_streams: usize,
}

/// The sections that the server was started with, which hold until it ends, whatever the files say by now.
#[derive(Debug)]
struct Started {
    server: Server,
    broker: Broker,
}

/// Loads and compiles the configuration at `path`, as a server takes it.
#[must_use]
pub fn load_and_compile(path: &Path) -> Compiled {
    compile(config::load(path), Depth::Serve)
}

impl Reloader {
    /// A reloader of the file at `path`, and the handle that asks it. The snapshot of `pipeline` was compiled from
    /// `inputs`.
    #[must_use]
    pub fn new(path: PathBuf, inputs: Inputs, pipeline: Arc<Pipeline>) -> (Self, ReloadHandle) {
        // One place: askers wait their turn, and each gets the report of a load that began after it asked.
        let (tx, requests) = mpsc::channel(1);
        let mut watcher = Watcher::new(Watcher::POLL);
        watcher.watch(&inputs);
        // No event tells of an edit between the load and this watch.
        watcher.hint();
        let started = Started::with(&pipeline.live.load().config);
        let taken = Taken { by: Trigger::Start, ended_streams: 0 };
        (Self { path, pipeline, watcher, seen: inputs, started, taken, requests }, ReloadHandle(tx))
    }

    /// Reloads on changes and requests until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                // A hint: the content decides.
                () = self.watcher.changed() => {
                    if self.settled().await != self.seen {
                        self.reload(Trigger::Change).await;
                    }
                }
                Some(request) = self.requests.recv() => {
                    let report = self.reload(request.trigger).await;
                    // Whoever asked may have gone; the reload happened all the same.
                    let _ = request.asker.send(report);
                }
            }
        }
    }

    async fn reload(&mut self, trigger: Trigger) -> Report {
        let report = match self.load().await {
            Ok(compiled) => self.take(compiled, trigger),
            Err(panic) => self.keep(format!("error: the configuration could not be compiled: {panic}\n")),
        };
        match report.result {
            ReloadResult::Failed => self.pipeline.metrics.config_refused(),
            ReloadResult::Applied | ReloadResult::Unchanged => {
                self.pipeline.metrics.config_loaded(report.revision.as_bytes(), Timestamp::now());
            }
        }
        log(&report);
        report
    }

    /// Loads and compiles. Inputs are noted as they were before they were read, so what changes meanwhile is seen by
    /// the next comparison.
    async fn load(&mut self) -> Result<Compiled, JoinError> {
        self.seen = self.settled().await;
        let path = self.path.clone();
        // Compiling thousands of rules and scripts must not hold up the workers.
        let compiled = tokio::task::spawn_blocking(move || load_and_compile(&path)).await?;
        if compiled.snapshot.is_some() {
            self.seen.clone_from(&compiled.inputs);
        } else {
            // A file that does not parse names no includes: what was watched before is watched on.
            self.seen.extend(compiled.inputs.clone());
        }
        self.watcher.watch(&self.seen);
        Ok(compiled)
    }

    async fn settled(&self) -> Inputs {
        Inputs::settled(self.seen.paths().cloned().collect()).await
    }

    fn take(&mut self, compiled: Compiled, trigger: Trigger) -> Report {
        let live = &self.pipeline.live;
        let diagnostics = compiled.diagnostics;
        let Some(snapshot) = compiled.snapshot else { return self.keep(diagnostics.to_string()) };
        if let Some(address) = self.started.admin_opened_by(&snapshot.config) {
            return self.keep(format!("error: without `server.admin_policy` anyone could administer at {address}\n"));
        }
        let current = live.load();
        // Secrets and keys are each node's own and not part of the revision, but they apply.
        if snapshot.revision == current.revision && snapshot.config == current.config {
            live.clear_failure();
            return self.report(ReloadResult::Unchanged, &diagnostics);
        }
        live.swap(snapshot, Timestamp::now());
        self.taken = Taken { by: trigger, ended_streams: self.pipeline.settle() };
        self.report(ReloadResult::Applied, &diagnostics)
    }

    fn keep(&self, failure: String) -> Report {
        self.pipeline.live.keep(failure.clone());
        Report { diagnostics: failure, ..self.report(ReloadResult::Failed, &Diagnostics::default()) }
    }

    fn report(&self, result: ReloadResult, diagnostics: &Diagnostics) -> Report {
        let snapshot = self.pipeline.live.load();
        Report {
            result,
            revision: snapshot.revision,
            loaded_at: self.pipeline.live.status().loaded_at,
            loaded_by: self.taken.by,
            diagnostics: if diagnostics.is_empty() { String::new() } else { diagnostics.to_string() },
            needs_restart: self.started.differing(&snapshot.config),
            ended_streams: self.taken.ended_streams,
        }
    }
}

impl Started {
    fn with(config: &Config) -> Self {
        Self { server: config.server.clone(), broker: config.broker.clone() }
    }

    /// Where the admin listener would be open to anyone under `config`: its policy applies at once, its address does
    /// not.
    fn admin_opened_by(&self, config: &Config) -> Option<SocketAddr> {
        let address = self.server.admin;
        (!address.ip().is_loopback() && config.server.admin_policy.is_none()).then_some(address)
    }

    /// The sections of `config` that would take a restart.
    fn differing(&self, config: &Config) -> Vec<&'static str> {
        let server = Server { admin_policy: self.server.admin_policy.clone(), ..config.server.clone() };
        let sections = [("[server]", self.server != server), ("[broker]", self.broker != config.broker)];
        sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

fn log(report: &Report) {
    let revision = report.revision;
    match report.result {
        ReloadResult::Applied => {
            tracing::info!(%revision, streams.ended = report.ended_streams, "configuration {revision} is in force");
        }
        ReloadResult::Unchanged => tracing::debug!(%revision, "configuration is unchanged"),
        ReloadResult::Failed => {
            tracing::error!(%revision, "configuration was refused, {revision} stays in force\n{}", report.diagnostics);
        }
    }
    for section in &report.needs_restart {
        tracing::warn!("{section} changed and applies after a restart");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::broker::Broker;
    use crate::hub::{Hub, HubSettings};
    use crate::snapshot::Live;
    use crate::stream::{Inlet, RingBounds};
    use crate::telemetry::Metrics;

    const TEXT: &str = "unmatched = 'drop'\nallow_empty = true\n";

    fn pipeline(compiled: Compiled) -> Arc<Pipeline> {
        let snapshot = compiled.snapshot.unwrap();
        let config = snapshot.config.clone();
        let metrics = Arc::new(Metrics::new([]).unwrap());
        let settings = HubSettings {
            shards: 1,
            ring: RingBounds { records: 1, bytes: 1 },
            heartbeat: config.server.heartbeat,
            stall_timeout: config.server.stall_timeout,
            max_streams_per_principal: 1,
        };
        let hub = Arc::new(Hub::new(settings, Arc::clone(&metrics)));
        let broker = Arc::new(Broker::new(&config.broker, Arc::clone(&hub) as Arc<dyn Inlet>).unwrap());
        let live = Arc::new(Live::new(snapshot, Timestamp::now()));
        Arc::new(Pipeline::new(live, hub, broker, metrics, &config.server))
    }

    #[tokio::test]
    async fn an_edit_between_the_first_load_and_the_watcher_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fanfare.toml");
        fs::write(&path, TEXT).unwrap();
        let compiled = load_and_compile(&path);
        let inputs = compiled.inputs.clone();
        let pipeline = pipeline(compiled);
        let first = pipeline.live.revision();
        fs::write(&path, format!("{TEXT}[policies.a]\nallow = [{{ anyone = true }}]\n")).unwrap();
        let (reloader, _handle) = Reloader::new(path, inputs, Arc::clone(&pipeline));
        let applied = async {
            while pipeline.live.revision() == first {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // Well before the poll would find it.
        let in_time = tokio::time::timeout(Watcher::POLL / 2, applied);
        tokio::select! {
            () = reloader.run(CancellationToken::new()) => panic!("it runs until it is stopped"),
            applied = in_time => applied.unwrap(),
        }
    }
}
