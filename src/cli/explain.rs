//! `fanfare explain`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;

use super::{ConfigArgs, faulty, print, read_input};
use crate::notification::{Draft, Notification, Violation};
use crate::reload::load_and_compile;
use crate::snapshot;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A file with one notification, or - for standard input
    notification: PathBuf,
    /// When it is accepted, such as 2026-03-29T23:10:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Decides as the server would, and prints every rule that was tried.
pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let compiled = load_and_compile(&args.config.config);
    if compiled.failing.is_some() {
        // Who explains often wants to know why.
        let warning = "warning: the configuration fails its own tests, so a server would not take it";
        writeln!(io::stderr(), "{warning}\n{}", compiled.diagnostics)?;
    }
    let Some(snapshot) = compiled.snapshot.or(compiled.failing) else { return Err(faulty(&compiled.diagnostics)) };
    let now = args.at.unwrap_or_else(Timestamp::now);
    let draft = Draft::parse(&read_input(&args.notification)?);
    let draft = match draft.and_then(|draft| snapshot.schemas.validate(draft)) {
        Ok(draft) => draft,
        Err(violations) => bail!("the notification would be refused\n{}", list(&violations)),
    };
    let type_name = draft.type_name.clone();
    let notification = Arc::new(Notification::accept(draft, now));
    let explanation = snapshot::explain(&snapshot, &notification, now);
    print(&if args.json {
        format!("{:#}\n", explanation.to_json())
    } else {
        format!("revision {}, type {type_name}, at {now}\n{explanation}", snapshot.revision)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("  {violation}")).collect::<Vec<_>>().join("\n")
}
