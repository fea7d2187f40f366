//! `fanfare serve`.

use std::process::ExitCode;

use axum::Router;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigArgs;
use crate::app::{App, Stop};
use crate::reload::{Order, Trigger};

/// Runs until SIGTERM, then drains, or SIGINT, then ends all streams; a second one of either ends at once. SIGHUP
/// reloads.
pub(super) async fn serve(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let app = App::start(&args.config, Router::new()).await?;
    let revision = app.pipeline.live.revision();
    tracing::info!(listen = %app.address, admin = %app.admin_address, %revision,
        "serving {} at http://{}, admin at http://{}", args.config.display(), app.address, app.admin_address);
    let how = loop {
        tokio::select! {
            Some(()) = hangup.recv() => {
                // The reload loop logs what comes of it.
                let _ = app.reload.reload(Order::of(Trigger::Signal)).await;
            }
            _ = terminate.recv() => break Stop::Drain,
            // A person at a terminal has no balancer to wait for.
            _ = interrupt.recv() => break Stop::AtOnce,
        }
    };
    tracing::info!("stopping; a second signal ends at once");
    tokio::select! {
        () = app.stop(how) => tracing::info!("stopped"),
        _ = terminate.recv() => tracing::warn!("stopped at once"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    Ok(ExitCode::SUCCESS)
}
