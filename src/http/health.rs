//! `/livez` and `/readyz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Context;

/// Answers while the event loop turns. A broker that is away is no reason to restart the process: that would add a
/// wave of reconnects to the outage.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether this node should be sent traffic.
pub(super) async fn ready(State(context): State<Arc<Context>>) -> (StatusCode, Json<Value>) {
    let revision = context.pipeline.live.revision().to_string();
    match context.pipeline.readiness() {
        Ok(()) => (StatusCode::OK, Json(json!({"ready": true, "revision": revision}))),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "why": why, "revision": revision}))),
    }
}
