//! `fanfare check`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::replay::{ReplayArgs, Replayed};
use super::status::Status;
use super::{ConfigArgs, print};
use crate::config::{self, Colour, Diagnostics, Secrets, Severity, counted};
use crate::snapshot::{Compiled, Depth, Snapshot, compile};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Exit with status 3 when there are warnings and no errors
    #[arg(long)]
    deny_warnings: bool,
    /// How findings are written; all but text go to standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    replay: ReplayArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people: the line, the place in it, and what would be right
    Text,
    /// One JSON object
    Json,
    /// Commands that a GitHub workflow shows beside the lines
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// Compiles the configuration as the server would, replays what was asked for through it, and prints every finding and
/// what changes as one report.
pub(super) async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let compiled = compile(config::load_with_tests(&args.config.config, Secrets::Read), Depth::Advise);
    let Compiled { snapshot, diagnostics, only_tests_fail, .. } = &compiled;
    let denied = args.deny_warnings && diagnostics.count(Severity::Warning) > 0;
    let replayed = match snapshot {
        Some(snapshot) if !denied => args.replay.replay(snapshot, &args.config.config).await,
        _ => Ok(None),
    };
    report(diagnostics, replayed.as_ref().ok().and_then(Option::as_ref), args.format)?;
    let Some(snapshot) = snapshot else {
        return Ok(if *only_tests_fail { Status::TestsFailed.into() } else { Status::Failed.into() });
    };
    if denied {
        return Ok(Status::WarningsDenied.into());
    }
    let is_text = matches!(args.format, Format::Text);
    if is_text {
        print(&summary(&args, snapshot))?;
    }
    let Some(replayed) = replayed? else { return Ok(Status::Done.into()) };
    if is_text {
        print(&replayed.to_string())?;
    }
    Ok(if replayed.is_too_much() { Status::Failed.into() } else { Status::Done.into() })
}

/// Prints the findings. What goes to standard output is one document, so what a replay found is part of it; as text it
/// is printed apart.
fn report(diagnostics: &Diagnostics, replayed: Option<&Replayed>, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Text => {
            let colour = if io::stderr().is_terminal() { Colour::Ansi } else { Colour::Plain };
            // To standard error, so that standard output stays empty when something is wrong.
            Ok(io::stderr().write_all(diagnostics.render(colour).as_bytes())?)
        }
        Format::Json => {
            let mut report = diagnostics.json();
            if let Some(replayed) = replayed {
                report["replay"] = serde_json::to_value(replayed)?;
            }
            print(&format!("{report:#}\n"))
        }
        Format::Github => {
            let replayed = replayed.map(|replayed| {
                let command = if replayed.is_too_much() { "error" } else { "notice" };
                format!("::{command} title=replay::{}\n", replayed.sum().replace('%', "%25"))
            });
            print(&(diagnostics.github() + replayed.unwrap_or_default().as_str()))
        }
        Format::Sarif => {
            let mut report = diagnostics.sarif();
            if let Some(replayed) = replayed {
                // What the standard has no place for goes into a bag of properties (SARIF 2.1.0, section 3.8).
                report["runs"][0]["properties"]["replay"] = serde_json::to_value(replayed)?;
            }
            print(&format!("{report:#}\n"))
        }
    }
}

fn summary(args: &CheckArgs, snapshot: &Snapshot) -> String {
    let config = &snapshot.config;
    format!(
        "{} is revision {}: {}, {}, {}, {}, {} passed\n",
        args.config.config.display(),
        snapshot.revision,
        counted(config.types.len(), "type"),
        counted(config.channels.len(), "channel"),
        counted(config.rules.len(), "rule"),
        counted(config.plugins.len(), "plugin"),
        counted(config.tests.len(), "test"),
    )
}
