//! The admin listener: metrics, the configuration in force, reload.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use super::error::Problem;
use super::extract::{self, From};
use super::fault::RequestFault;
use super::publish::{self, Asked};
use crate::auth::{Action, AuthError, Credential, Proof};
use crate::notification::Reason;
use crate::pipeline::{Affected, Mode, PublishError};
use crate::reload::{Declined, Effect, Order, ReloadResult, Report, Trigger};
use crate::snapshot::Revision;

/// Lets through whom `server.admin_policy` allows; anyone when there is none, as the listener is then on loopback.
pub(super) async fn guard(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
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
        None => Err(Problem::new(Reason::Forbidden, format!("there is no policy `{}`", policy.value))),
    }
}

/// `GET /metrics`: the Prometheus text format.
pub(super) async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let encoded = context.pipeline.metrics.encode();
    let mut response = match encoded {
        Ok(text) => text.into_response(),
        Err(error) => {
            let detail = format!("the metrics cannot be written: {error}");
            return Problem::new(RequestFault::Internal, detail).into_response();
        }
    };
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// `GET /v1/admin/config`: the revision in force, and why a later one was refused.
pub(super) async fn config(State(context): State<Arc<Context>>) -> Response {
    let snapshot = context.pipeline.live.load();
    let status = context.pipeline.live.status();
    let files = snapshot.sources.iter().map(|source| source.path.display().to_string()).collect::<Vec<_>>();
    let body = Json(json!({
        "revision": snapshot.revision.to_string(),
        "loadedAt": status.loaded_at.to_string(),
        "files": files,
        "rules": snapshot.config.rules.len(),
        "failure": status.failure,
    }));
    tagged(snapshot.revision, body)
}

/// `POST /v1/admin/reload`: 200 when the files are in force, 422 with the diagnostics when they are refused. With
/// `dry_run=1` the same of files that are only tried; with `If-Match` 412 when another revision is in force.
pub(super) async fn reload(
    State(context): State<Arc<Context>>,
    asked: Asked,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let dry_run = publish::mode(asked)? == Mode::DryRun;
    let order = Order { trigger: Trigger::Request, dry_run, expected: expected(&headers)? };
    let report = context.reload.reload(order).await.map_err(|declined| match declined {
        Declined::Stopping => Problem::new(Reason::Draining, declined.to_string()),
        Declined::OtherRevision(_) => Problem::new(RequestFault::OtherRevision, declined.to_string()),
    })?;
    let status = match report.result {
        ReloadResult::Applied | ReloadResult::Unchanged | ReloadResult::Applicable => StatusCode::OK,
        ReloadResult::Failed => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok((status, tagged(report.revision, Json(to_json(&report)))).into_response())
}

fn to_json(report: &Report) -> Value {
    let mut body = json!({
        "result": report.result.as_str(),
        "revision": report.revision.to_string(),
        "loadedAt": report.loaded_at.to_string(),
        "loadedBy": report.loaded_by.as_str(),
        "diagnostics": report.diagnostics,
        "needsRestart": report.needs_restart,
    });
    if let Some(Effect { diff, streams: Affected { ended, narrowed, rechecked } }) = &report.effect {
        body["diff"] = diff.to_json();
        body["endedStreams"] = json!(ended);
        body["narrowedStreams"] = json!(narrowed);
        body["recheckedStreams"] = json!(rechecked);
    }
    if let Some(tried) = report.tried {
        body["tried"] = json!(tried.to_string());
    }
    body
}

/// The revision in force as the entity tag, which `If-Match` takes.
fn tagged(revision: Revision, body: Json<Value>) -> Response {
    let mut response = body.into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The revisions that `If-Match` names; none when any will do. A weak tag matches nothing (RFC 9110, section 13.1.1).
fn expected(headers: &HeaderMap) -> Result<Option<Vec<String>>, Problem> {
    let mut revisions = None;
    for value in headers.get_all(header::IF_MATCH) {
        let text = value.to_str().unwrap_or_default();
        if text.trim() == "*" {
            continue;
        }
        for tag in text.split(',').map(str::trim) {
            let quoted = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let Some(revision) = quoted else {
                let detail = "If-Match takes revisions in quotes, or *";
                return Err(Problem::new(RequestFault::BadHeader, detail));
            };
            let revisions = revisions.get_or_insert_with(Vec::new);
            if !tag.starts_with("W/") {
                revisions.push(revision.to_owned());
            }
        }
    }
    Ok(revisions)
}
