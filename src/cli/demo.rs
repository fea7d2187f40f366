//! `fanfare demo`.
use std::process::ExitCode;
use clap::Args;
#[derive(Debug, Args)]
pub(super) struct DemoArgs { #[arg(long)] once: bool }
pub(super) async fn demo(_args: DemoArgs) -> anyhow::Result<ExitCode> { Ok(ExitCode::SUCCESS) }
