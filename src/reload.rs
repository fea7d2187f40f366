//! Hot reload: load, compile, swap, settle. One at a time, whatever asked for it, and all or nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Diagnostics, Fingerprint, Watcher, fingerprint, stable_fingerprint};
use crate::pipeline::Pipeline;
use crate::snapshot::{Compiled, Revision, Snapshot, compile};

/// What came of a reload.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it led to.
    pub result: ReloadResult,
    /// The revision in force now.
    pub revision: Revision,
    /// Errors and warnings, rendered.
    pub diagnostics: String,
    /// Restart-only sections that changed and do not apply yet.
    pub needs_restart: Vec<&'static str>,
    /// Streams that were ended because their grant is gone.
    pub ended_streams: usize,
}

/// What a reload led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// A new revision is in force.
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
pub struct ReloadHandle(mpsc::Sender<oneshot::Sender<Report>>);

impl ReloadHandle {
    /// Reloads now; none when the server is shutting down.
    pub async fn reload(&self) -> Option<Report> {
        let (tx, rx) = oneshot::channel();
        self.0.send(tx).await.ok()?;
        rx.await.ok()
    }
}

/// Keeps the snapshot in force in step with the files.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    pipeline: Arc<Pipeline>,
    watcher: Watcher,
    /// What the snapshot in force, and a later one that was refused, depend on.
    inputs: Vec<PathBuf>,
    /// The content of `inputs` at the last load.
    seen: Fingerprint,
    requests: mpsc::Receiver<oneshot::Sender<Report>>,
}

/// Loads and compiles the configuration at `path`, for every command that needs one.
#[must_use]
pub fn load_and_compile(path: &Path) -> Compiled {
    compile(config::load(path))
}

impl Reloader {
    /// A reloader of the file at `path`, which was loaded from `inputs` before, and the handle that asks it.
    #[must_use]
    pub fn new(path: PathBuf, inputs: Vec<PathBuf>, pipeline: Arc<Pipeline>) -> (Self, ReloadHandle) {
        // One place: askers wait their turn, and each gets the report of a load that began after it asked.
        let (tx, requests) = mpsc::channel(1);
        let mut watcher = Watcher::new(Watcher::POLL);
        watcher.watch(&inputs);
        let seen = fingerprint(&inputs);
        (Self { path, pipeline, watcher, inputs, seen, requests }, ReloadHandle(tx))
    }

    /// Reloads on changes and requests until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                // A hint: the content decides.
                () = self.watcher.changed() => {
                    if stable_fingerprint(&self.inputs).await != self.seen {
                        self.reload().await;
                    }
                }
                Some(asker) = self.requests.recv() => {
                    let report = self.reload().await;
                    // Whoever asked may have gone; the reload happened all the same.
                    let _ = asker.send(report);
                }
            }
        }
    }

    async fn reload(&mut self) -> Report {
        let report = match self.load().await {
            Ok(compiled) => self.take(compiled),
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

    /// Loads and compiles, again when the load showed inputs whose content was not known before it: what changes
    /// while it reads is then seen by the next comparison.
    async fn load(&mut self) -> Result<Compiled, JoinError> {
        loop {
            self.seen = stable_fingerprint(&self.inputs).await;
            let path = self.path.clone();
            // Compiling thousands of rules and scripts must not hold up the workers.
            let compiled = tokio::task::spawn_blocking(move || load_and_compile(&path)).await?;
            let known = compiled.inputs.iter().all(|input| self.inputs.contains(input));
            if compiled.snapshot.is_some() {
                self.inputs.clone_from(&compiled.inputs);
            } else {
                // A file that does not parse names no includes: what was watched before is watched on.
                self.inputs.extend(compiled.inputs.iter().cloned());
                self.inputs.sort();
                self.inputs.dedup();
            }
            self.watcher.watch(&self.inputs);
            if known {
                return Ok(compiled);
            }
        }
    }

    fn take(&self, compiled: Compiled) -> Report {
        let live = &self.pipeline.live;
        let diagnostics = compiled.diagnostics;
        let Some(snapshot) = compiled.snapshot else { return self.keep(diagnostics.to_string()) };
        if snapshot.revision == live.revision() {
            live.clear_failure();
            return self.report(ReloadResult::Unchanged, &diagnostics);
        }
        let needs_restart = restart_only(&live.load(), &snapshot);
        live.swap(snapshot, Timestamp::now());
        let ended_streams = self.pipeline.settle();
        Report { needs_restart, ended_streams, ..self.report(ReloadResult::Applied, &diagnostics) }
    }

    fn keep(&self, failure: String) -> Report {
        self.pipeline.live.keep(failure.clone());
        Report { diagnostics: failure, ..self.report(ReloadResult::Failed, &Diagnostics::default()) }
    }

    fn report(&self, result: ReloadResult, diagnostics: &Diagnostics) -> Report {
        Report {
            result,
            revision: self.pipeline.live.revision(),
            diagnostics: if diagnostics.is_empty() { String::new() } else { diagnostics.to_string() },
            needs_restart: Vec::new(),
            ended_streams: 0,
        }
    }
}

/// Sections that are read at start only, and differ.
fn restart_only(old: &Snapshot, new: &Snapshot) -> Vec<&'static str> {
    let mut changed = Vec::new();
    if old.config.server != new.config.server {
        changed.push("[server]");
    }
    if old.config.broker != new.config.broker {
        changed.push("[broker]");
    }
    changed
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
