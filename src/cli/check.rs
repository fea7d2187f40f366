//! `fanfare check`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;

use super::{ConfigArgs, print};
use crate::config::{self, Colour, Severity};
use crate::snapshot::{Depth, compile};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Exit with status 1 for warnings too
    #[arg(long)]
    deny_warnings: bool,
}

/// Compiles the configuration as the server would, and prints every finding.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let compiled = compile(config::load(&args.config.config), Depth::Advise);
    let colour = if io::stderr().is_terminal() { Colour::Ansi } else { Colour::Plain };
    // What is found goes to standard error, so that standard output stays empty when something is wrong.
    io::stderr().write_all(compiled.diagnostics.render(colour).as_bytes())?;
    let denied = args.deny_warnings && compiled.diagnostics.count(Severity::Warning) > 0;
    let Some(snapshot) = compiled.snapshot.filter(|_| !denied) else { return Ok(ExitCode::FAILURE) };
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
    Ok(ExitCode::SUCCESS)
}
