//! The admin listener: metrics, the configuration in force, reload, explain.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use super::error::Problem;
use super::extract::{self, From};
use crate::auth::{Action, AuthError, Credential, Proof};
use crate::notification::{Draft, Notification, Reason};
use crate::pipeline::PublishError;
use crate::reload::{ReloadResult, Trigger};
use crate::snapshot;

/// Lets through whom `server.admin_policy` allows; anyone when there is none, as the listener is then on loopback.
pub(super) async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let credential = extract::credential(request.headers(), From::Header);
    match credential.map_err(Problem::from).and_then(|credential| authorize(&context, credential.as_ref())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn authorize(context: &Context, credential: Option<&Credential>) -> Result<(), Problem> {
    let snapshot = context.pipeline.live.load();
    let Some(policy) = &snapshot.config.server.admin_policy else { return Ok(()) };
    let caller = context.pipeline.authenticate(&snapshot, credential, Timestamp::now())?;
    let allowed = snapshot.policies.get(&policy.value).map(|policy| policy.authorize(&caller, &[], Action::Administer));
    match allowed {
        Some(Ok(_)) => Ok(()),
        // Whoever presented nothing is asked for a credential.
        Some(Err(_)) if caller.proof == Proof::Anonymous => Err(AuthError::Missing.into()),
        Some(Err(denied)) => Err(PublishError::Forbidden(denied).into()),
        None => Err(Problem::of(StatusCode::FORBIDDEN, Reason::Forbidden)),
    }
}

/// `GET /metrics`: the Prometheus text format.
pub(super) async fn metrics(State(context): State<Context>) -> Response {
    let encoded = context.pipeline.metrics.encode();
    let mut response = match encoded {
        Ok(text) => text.into_response(),
        Err(error) => {
            let detail = format!("the metrics cannot be written: {error}");
            return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response();
        }
    };
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// `GET /v1/admin/config`: the revision in force, and why a later one was refused.
pub(super) async fn config(State(context): State<Context>) -> Json<Value> {
    let snapshot = context.pipeline.live.load();
    let status = context.pipeline.live.status();
    let files = snapshot.sources.iter().map(|source| source.path.display().to_string()).collect::<Vec<_>>();
    Json(json!({
        "revision": snapshot.revision.to_string(),
        "loadedAt": status.loaded_at.to_string(),
        "files": files,
        "rules": snapshot.config.rules.len(),
        "failure": status.failure,
    }))
}

/// `POST /v1/admin/reload`: 200 when the files are in force, 422 with the diagnostics when they are refused.
pub(super) async fn reload(State(context): State<Context>) -> Result<(StatusCode, Json<Value>), Problem> {
    let Some(report) = context.reload.reload(Trigger::Request).await else {
        return Err(Problem::of(StatusCode::SERVICE_UNAVAILABLE, Reason::Draining));
    };
    let status = match report.result {
        ReloadResult::Applied | ReloadResult::Unchanged => StatusCode::OK,
        ReloadResult::Failed => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let body = json!({
        "result": report.result.as_str(),
        "revision": report.revision.to_string(),
        "loadedAt": report.loaded_at.to_string(),
        "loadedBy": report.loaded_by.as_str(),
        "diagnostics": report.diagnostics,
        "needsRestart": report.needs_restart,
        "endedStreams": report.ended_streams,
    });
    Ok((status, Json(body)))
}

/// `POST /v1/admin/explain`: what would become of a notification, and why. Nothing is sent or counted.
pub(super) async fn explain(
    State(context): State<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let body = super::body::read(&context, &headers, body, &["application/json"]).await?;
    let snapshot = context.pipeline.live.load();
    let now = Timestamp::now();
    let draft = Draft::parse(&body).map_err(PublishError::Malformed)?;
    let draft = snapshot.schemas.validate(draft).map_err(PublishError::Invalid)?;
    let notification = Arc::new(Notification::accept(draft, now));
    Ok(Json(snapshot::explain(&snapshot, &notification, now).to_json()))
}
