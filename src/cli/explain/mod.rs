//! `fanfare explain`.

mod server;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use jiff::Timestamp;

use self::server::ServerArgs;
use super::{ConfigArgs, faulty, print, read_input};
use crate::config::{self, Moment, Secrets};
use crate::notification::{Draft, Notification, Violation};
use crate::snapshot::{self, Depth, compile};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A file with one notification, or - for standard input
    #[arg(required_unless_present = "id", conflicts_with = "id")]
    notification: Option<PathBuf>,
    /// When it is accepted, such as 2026-03-29T23:10:00Z, or without an offset by the time zone of [defaults]
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Decides as the server would, or asks one, and prints every rule that was tried.
pub(super) async fn explain(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    print(&if args.server.is_asked() { server::answer(&args).await? } else { decide(&args)? })?;
    Ok(ExitCode::SUCCESS)
}

impl ExplainArgs {
    fn notification(&self) -> anyhow::Result<Vec<u8>> {
        read_input(self.notification.as_ref().context("no notification is given")?)
    }
}

/// Decides here, by the files.
fn decide(args: &ExplainArgs) -> anyhow::Result<String> {
    let compiled = compile(config::load(&args.config.config, Secrets::Overlook), Depth::Serve);
    if compiled.failing.is_some() {
        // Who explains often wants to know why.
        let warning = "warning: the configuration fails its own tests, so a server would not take it";
        writeln!(io::stderr(), "{warning}\n{}", compiled.diagnostics)?;
    }
    let Some(snapshot) = compiled.snapshot.or(compiled.failing) else { return Err(faulty(&compiled.diagnostics)) };
    let at = args.at.map(|at| at.by_default(snapshot.config.timezone.as_ref())).transpose();
    let now = at.map_err(|error| anyhow!("--at {error}"))?.unwrap_or_else(Timestamp::now);
    let draft = Draft::parse(&args.notification()?);
    let draft = match draft.and_then(|draft| snapshot.schemas.validate(draft)) {
        Ok(draft) => draft,
        Err(unfit) => {
            let code = unfit.reason().code();
            bail!("the notification would be refused as `{code}`: {unfit}\n{}", list(&unfit.violations()))
        }
    };
    let type_name = draft.type_name.clone();
    let notification = Arc::new(Notification::accept(draft, now));
    let told = snapshot::explain(&snapshot, &notification, now).told();
    Ok(if args.json {
        format!("{}\n", serde_json::to_string_pretty(&told)?)
    } else {
        format!("revision {}, type {type_name}, at {now}\n{told}", snapshot.revision)
    })
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("  {violation}")).collect::<Vec<_>>().join("\n")
}
