//! `fanfare check`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;

use super::replay::ReplayArgs;
use super::{ConfigArgs, TESTS_FAILED, WARNINGS_DENIED, print};
use crate::config::{self, Colour, Severity};
use crate::snapshot::{Depth, compile};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Exit with status 3 when there are warnings
    #[arg(long)]
    deny_warnings: bool,
    #[command(flatten)]
    replay: ReplayArgs,
}

/// Compiles the configuration as the server would, and prints every finding.
pub(super) async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let compiled = compile(config::load_with_tests(&args.config.config), Depth::Advise);
    let colour = if io::stderr().is_terminal() { Colour::Ansi } else { Colour::Plain };
    // What is found goes to standard error, so that standard output stays empty when something is wrong.
    io::stderr().write_all(compiled.diagnostics.render(colour).as_bytes())?;
    let Some(snapshot) = compiled.snapshot else {
        return Ok(if compiled.only_tests_fail { ExitCode::from(TESTS_FAILED) } else { ExitCode::FAILURE });
    };
    if args.deny_warnings && compiled.diagnostics.count(Severity::Warning) > 0 {
        return Ok(ExitCode::from(WARNINGS_DENIED));
    }
    let config = &snapshot.config;
    print(&format!(
        "{} is revision {}: {} types, {} channels, {} rules, {} plugins, {} tests passed\n",
        args.config.config.display(),
        snapshot.revision,
        config.types.len(),
        config.channels.len(),
        config.rules.len(),
        config.plugins.len(),
        config.tests.len(),
    ))?;
    args.replay.replay(&snapshot).await
}
