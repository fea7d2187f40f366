//! `fanfare publish`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::client::{ClientArgs, accepted};
use super::{print, read_input};

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// A file with one notification, or - for standard input
    notification: PathBuf,
    /// Decide, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Makes it harmless to publish the same again
    #[arg(long, value_name = "KEY", conflicts_with = "dry_run")]
    idempotency_key: Option<String>,
}

/// Publishes, and prints the receipt.
pub(super) async fn publish(args: PublishArgs) -> anyhow::Result<ExitCode> {
    let url = args.client.url()?;
    let query = if args.dry_run { "?dry_run=1" } else { "" };
    let request = reqwest::Client::new()
        .post(format!("{url}/v1/notifications{query}"))
        .header(CONTENT_TYPE, "application/json")
        .body(read_input(&args.notification)?);
    let request = match &args.idempotency_key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    };
    let response = args.client.authorize(request)?.send().await.with_context(|| format!("cannot reach {url}"))?;
    let receipt: Value = accepted(response).await?.json().await?;
    print(&format!("{receipt:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}
