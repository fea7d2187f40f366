//! `fanfare serve`.

use std::process::ExitCode;

use axum::Router;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigArgs;
use crate::app::App;

/// Runs until SIGINT or SIGTERM, then drains; a second one ends at once. SIGHUP reloads.
pub(super) async fn serve(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let app = App::start(&args.config, Router::new()).await?;
    let revision = app.pipeline.live.revision();
    tracing::info!(listen = %app.address, admin = %app.admin_address, %revision,
        "serving {} at http://{}, admin at http://{}", args.config.display(), app.address, app.admin_address);
    loop {
        tokio::select! {
            Some(()) = hangup.recv() => {
                // The reload loop logs what comes of it.
                app.reload.reload().await;
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("draining");
    tokio::select! {
        () = app.stop() => tracing::info!("stopped"),
        _ = terminate.recv() => tracing::warn!("stopped at once"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    Ok(ExitCode::SUCCESS)
}
