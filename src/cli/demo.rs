//! `fanfare demo`.
use clap::Args;
use std::process::ExitCode;
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[arg(long)]
    once: bool,
}
pub(super) async fn demo(_args: DemoArgs) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
