//! `fanfare bench`: load on a server, and what it does under it.
//!
//! Every notification carries a mark with its number and the time at which it was sent. Each subscriber checks each
//! one that arrives, so what is lost, doubled, out of order or on the wrong channel is counted, not sampled.

mod answer;
mod events;
mod ledger;
mod load;
mod marker;
mod meter;
mod own_server;
mod process;
mod publisher;
mod report;
mod subscriber;
mod target;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::print;
use super::status::Status;
use load::LoadArgs;
use own_server::OwnServer;
use process::{Process, allow_open_files};
use report::Report;
use target::{Target, TargetArgs};

/// Connections and files beside those that were asked for.
const SPARE: u64 = 128;

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Loads a server, its own unless one is named, and prints what came of it.
pub(super) async fn bench(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let report = tokio::select! {
        report = Box::pin(measure(&args)) => report?,
        // Awaited here rather than left to the system, so that a server of its own does not outlive it.
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("interrupted"),
    };
    print(&if args.json { format!("{}\n", serde_json::to_string_pretty(&report)?) } else { report.to_string() })?;
    Ok(if report.is_faultless() { Status::Done.into() } else { Status::Failed.into() })
}

async fn measure(args: &BenchArgs) -> anyhow::Result<Report> {
    let load = &args.load;
    let connections = u64::from(load.subscribers) + u64::from(load.publishers) + SPARE;
    allow_open_files(connections)?;
    let (channels, payload) = (load.channels as usize, load.payload() as usize);
    if args.target.is_named() {
        args.target.check(load.payload)?;
        let target = args.target.find(channels, payload).await?;
        let process = args.target.pid.map(Process::new);
        if let Some(process) = process {
            process.cpu().with_context(|| format!("nothing is known here of a process {}", process.pid()))?;
        }
        let outcome = load::run(load, Arc::new(target), process).await?;
        return Ok(Report::new(load, &outcome));
    }
    let server = OwnServer::start(connections).await?;
    let target = Target::new(server.plan(), channels, payload).await?;
    let outcome = load::run(load, Arc::new(target), Some(server.process())).await?;
    Ok(Report::new(load, &outcome))
}
