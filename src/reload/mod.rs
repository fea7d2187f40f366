//! Hot reload: load, compile, swap, settle. One at a time, whatever asked for it, and all or nothing.

mod examined;
mod generations;
mod report;
mod retired;
mod started;

pub use generations::{Generation, Generations, Label, broken_name};
pub use report::{Declined, Effect, Order, ReloadResult, Report, Trigger};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Inputs, Secrets, Watcher};
use crate::pipeline::Pipeline;
use crate::snapshot::{Compiled, Depth, Snapshot, compile};
use examined::{Examined, Foreseen, Verdict, examine, foresee};
use retired::Retired;
use started::Started;

/// Asks for a reload and waits for what comes of it.
#[derive(Debug, Clone)]
pub struct ReloadHandle(mpsc::Sender<Request>);

/// Someone who waits for the report of a reload.
#[derive(Debug)]
struct Request {
    order: Order,
    asker: oneshot::Sender<Result<Report, Declined>>,
}

impl ReloadHandle {
    /// Reloads now.
    ///
    /// # Errors
    /// [`Declined`].
    pub async fn reload(&self, order: Order) -> Result<Report, Declined> {
        let (asker, report) = oneshot::channel();
        self.0.send(Request { order, asker }).await.map_err(|_| Declined::Stopping)?;
        report.await.map_err(|_| Declined::Stopping)?
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
    started: Arc<Started>,
    taken: Taken,
    /// Those that were in force before.
    retired: Retired<Snapshot>,
    requests: mpsc::Receiver<Request>,
}

/// How the revision in force came to be.
#[derive(Debug)]
struct Taken {
    by: Trigger,
    effect: Effect,
}

/// Loads and compiles the configuration at `path`, as a server takes it.
#[must_use]
pub fn load_and_compile(path: &Path) -> Compiled {
    compile(config::load(path, Secrets::Create), Depth::Serve)
}

/// As [`load_and_compile`], and nothing is made that the files ask for.
fn load_to_try(path: &Path) -> Compiled {
    compile(config::load(path, Secrets::Read), Depth::Serve)
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
        let started = Started::with(&pipeline.live.load().config).into();
        let (taken, retired) = (Taken { by: Trigger::Start, effect: Effect::default() }, Retired::default());
        (Self { path, pipeline, watcher, seen: inputs, started, taken, retired, requests }, ReloadHandle(tx))
    }

    /// Reloads on changes and requests until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.keep_generation().await;
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
                    let report = self.carry_out(request.order).await;
                    // Whoever asked may have gone; the reload happened all the same.
                    let _ = request.asker.send(report);
                }
                () = self.retired.due() => self.retired.free(),
            }
        }
    }

    async fn carry_out(&mut self, order: Order) -> Result<Report, Declined> {
        let revision = self.pipeline.live.revision();
        if order.expected.is_some_and(|expected| !expected.contains(&revision.to_string())) {
            return Err(Declined::OtherRevision(revision));
        }
        Ok(if order.dry_run { self.try_out().await } else { self.reload(order.trigger).await })
    }

    async fn reload(&mut self, trigger: Trigger) -> Report {
        let report = match self.load().await {
            Ok(examined) => self.take(examined, trigger).await,
            Err(panic) => self.keep(not_compiled(&panic)),
        };
        match report.result {
            ReloadResult::Failed => self.pipeline.metrics.config_refused(),
            _ => self.pipeline.metrics.config_loaded(report.revision.as_bytes(), Timestamp::now()),
        }
        log(&report);
        if report.result == ReloadResult::Applied {
            self.keep_generation().await;
        }
        report
    }

    /// Keeps the revision in force on disk, if the configuration says where. What is kept is a convenience: when it
    /// cannot be, the server goes on.
    async fn keep_generation(&self) {
        let snapshot = self.pipeline.live.load();
        let Some(folder) = snapshot.config.paths.generations.clone() else { return };
        let label = Label {
            revision: snapshot.revision.to_string(),
            taken_at: self.pipeline.live.status().loaded_at,
            trigger: self.taken.by.as_str(),
            // What was in force before a start is not known, and may have been edited since.
            changes: (self.taken.by != Trigger::Start).then(|| self.taken.effect.diff.to_string()),
        };
        let (files, inputs) = (snapshot.files(), self.seen.clone());
        let generations = Generations::within(folder.clone());
        let keep = move || generations.keep(label, &files, |file| inputs.hash_of(file));
        let kept = tokio::task::spawn_blocking(keep).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        if let Err(error) = kept {
            let folder = folder.display();
            tracing::warn!(%error, "revision {} is not kept in {folder}: {error}", snapshot.revision);
        }
    }

    /// Does all that a reload does but for the swap. It leaves no trace: what it has seen is not noted either, as the
    /// watcher would take no more notice of it.
    async fn try_out(&self) -> Report {
        // Waits out half a write, as a reload does.
        self.settled().await;
        let (path, pipeline, started) = (self.path.clone(), Arc::clone(&self.pipeline), Arc::clone(&self.started));
        let foresee = move || foresee(load_to_try(&path), &pipeline, &started);
        match tokio::task::spawn_blocking(foresee).await {
            Err(panic) => self.report(ReloadResult::Failed, not_compiled(&panic)),
            Ok((diagnostics, None)) => self.report(ReloadResult::Failed, diagnostics),
            Ok((diagnostics, Some(Foreseen { result, tried, effect, needs_restart }))) => {
                let (tried, effect) = (Some(tried), Some(effect));
                Report { tried, effect, needs_restart, ..self.report(result, diagnostics) }
            }
        }
    }

    /// Loads, compiles and compares. Inputs are noted as they were before they were read, so what changes meanwhile is
    /// seen by the next comparison.
    async fn load(&mut self) -> Result<Examined, JoinError> {
        self.seen = self.settled().await;
        let (path, current, started) = (self.path.clone(), self.pipeline.live.load(), Arc::clone(&self.started));
        let examined =
            tokio::task::spawn_blocking(move || examine(load_and_compile(&path), &current, &started)).await?;
        if examined.compiles {
            self.seen.clone_from(&examined.inputs);
        } else {
            // A file that does not parse names no includes: what was watched before is watched on.
            self.seen.extend(examined.inputs.clone());
        }
        self.watcher.watch(&self.seen);
        Ok(examined)
    }

    async fn settled(&self) -> Inputs {
        Inputs::settled(self.seen.paths().cloned().collect()).await
    }

    async fn take(&mut self, Examined { verdict, diagnostics, .. }: Examined, trigger: Trigger) -> Report {
        let live = &self.pipeline.live;
        let (snapshot, diff) = match verdict {
            Verdict::Refused => return self.keep(diagnostics),
            Verdict::Same => {
                live.clear_failure();
                return self.report(ReloadResult::Unchanged, diagnostics);
            }
            Verdict::Other { snapshot, diff } => (snapshot, diff),
        };
        let before = live.load();
        live.swap(*snapshot, Timestamp::now());
        let (pipeline, old) = (Arc::clone(&self.pipeline), Arc::clone(&before));
        // Looking at each of thousands of streams must not hold up the workers either.
        let streams = tokio::task::spawn_blocking(move || pipeline.settle(&old)).await.unwrap_or_default();
        self.taken = Taken { by: trigger, effect: Effect { diff, streams } };
        self.retired.take(before);
        self.report(ReloadResult::Applied, diagnostics)
    }

    fn keep(&self, failure: String) -> Report {
        self.pipeline.live.keep(failure.clone());
        self.report(ReloadResult::Failed, failure)
    }

    fn report(&self, result: ReloadResult, diagnostics: String) -> Report {
        let snapshot = self.pipeline.live.load();
        Report {
            result,
            revision: snapshot.revision,
            tried: None,
            loaded_at: self.pipeline.live.status().loaded_at,
            loaded_by: self.taken.by,
            diagnostics,
            needs_restart: self.started.differing(&snapshot.config),
            effect: (result != ReloadResult::Failed).then(|| self.taken.effect.clone()),
        }
    }
}

fn not_compiled(panic: &JoinError) -> String {
    format!("error: the configuration could not be compiled: {panic}\n")
}

fn log(report: &Report) {
    let revision = report.revision;
    match (report.result, &report.effect) {
        (ReloadResult::Applied, Some(Effect { diff, streams })) => {
            let by = report.loaded_by.as_str();
            tracing::info!(
                %revision, by, changes = %diff, streams.ended, streams.narrowed, streams.rechecked,
                "configuration {revision} is in force: {diff}",
            );
        }
        (ReloadResult::Failed, _) => {
            tracing::error!(%revision, "configuration was refused, {revision} stays in force\n{}", report.diagnostics);
        }
        _ => tracing::debug!(%revision, "configuration is unchanged"),
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
    async fn a_file_that_is_only_tried_makes_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fanfare.toml");
        fs::write(&path, TEXT).unwrap();
        let compiled = load_and_compile(&path);
        let started = Started::with(&compiled.snapshot.as_ref().unwrap().config);
        let pipeline = pipeline(compiled);
        let issuer = "[auth.issuers.app]\nissuer = \"app\"\naudience = \"fanfare\"\nalgorithms = [\"HS256\"]\n";
        let secret = "secret = { file = \"app.secret\", create = true }\n";
        fs::write(&path, format!("{TEXT}{issuer}{secret}")).unwrap();
        let (diagnostics, foreseen) = foresee(load_to_try(&path), &pipeline, &started);
        assert_eq!(foreseen.expect(&diagnostics).result, ReloadResult::Applicable);
        assert!(!folder.path().join("app.secret").exists());
        drop(load_and_compile(&path));
        assert!(folder.path().join("app.secret").exists(), "what is taken makes it");
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
        let old = Arc::downgrade(&pipeline.live.load());
        let (reloader, _handle) = Reloader::new(path, inputs, Arc::clone(&pipeline));
        let applied = async {
            // What was in force before is freed.
            while pipeline.live.revision() == first || old.strong_count() > 0 {
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
