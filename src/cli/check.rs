//! `fanfare check`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::replay::ReplayArgs;
use super::{ConfigArgs, TESTS_FAILED, WARNINGS_DENIED, print};
use crate::config::{self, Colour, Diagnostics, Secrets, Severity};
use crate::snapshot::{Depth, Snapshot, compile};

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

/// Compiles the configuration as the server would, and prints every finding.
pub(super) async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let compiled = compile(config::load_with_tests(&args.config.config, Secrets::Read), Depth::Advise);
    report(&compiled.diagnostics, args.format)?;
    let Some(snapshot) = compiled.snapshot else {
        return Ok(if compiled.only_tests_fail { ExitCode::from(TESTS_FAILED) } else { ExitCode::FAILURE });
    };
    if args.deny_warnings && compiled.diagnostics.count(Severity::Warning) > 0 {
        return Ok(ExitCode::from(WARNINGS_DENIED));
    }
    if matches!(args.format, Format::Text) {
        print(&summary(&args, &snapshot))?;
    }
    args.replay.replay(&snapshot, &args.config.config).await
}

fn report(diagnostics: &Diagnostics, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Text => {
            let colour = if io::stderr().is_terminal() { Colour::Ansi } else { Colour::Plain };
            // To standard error, so that standard output stays empty when something is wrong.
            Ok(io::stderr().write_all(diagnostics.render(colour).as_bytes())?)
        }
        Format::Json => print(&format!("{:#}\n", diagnostics.json())),
        Format::Github => print(&diagnostics.github()),
        Format::Sarif => print(&format!("{:#}\n", diagnostics.sarif())),
    }
}

fn summary(args: &CheckArgs, snapshot: &Snapshot) -> String {
    let config = &snapshot.config;
    format!(
        "{} is revision {}: {} types, {} channels, {} rules, {} plugins, {} tests passed\n",
        args.config.config.display(),
        snapshot.revision,
        config.types.len(),
        config.channels.len(),
        config.rules.len(),
        config.plugins.len(),
        config.tests.len(),
    )
}
