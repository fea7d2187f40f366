//! The admin listener: metrics, the configuration in force, reload, explain, and the decisions of late.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Context;
use super::error::Problem;
use super::extract::{self, From};
use crate::auth::{Action, AuthError, Credential, Proof};
use crate::limits::Remaining;
use crate::notification::{ChannelName, Draft, Notification, Reason};
use crate::pipeline::{Listeners, PublishError, Receives, Traced};
use crate::reload::{ReloadResult, Trigger};
use crate::snapshot::{self, Snapshot};

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

/// What explanations are asked about besides the notification.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// When it is accepted, such as `2026-03-29T23:10:00Z`; now when absent.
    at: Option<String>,
    /// A principal such as `app:u42`: whether they would receive it.
    user: Option<String>,
    /// The principal who publishes it: how its limit stands.
    producer: Option<String>,
}

impl Asked {
    fn at(&self) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = &self.at else { return Ok(None) };
        let at = text.parse().map_err(|_| {
            let detail = format!("`at` is not a time such as 2026-03-29T23:10:00Z: {text}");
            Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
        })?;
        Ok(Some(at))
    }
}

/// `POST /v1/admin/explain`: what would become of a notification, and why. Nothing is sent or counted.
pub(super) async fn explain(
    State(context): State<Context>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Query(asked) = asked.map_err(|rejection| bad_query(&rejection))?;
    let body = super::body::read(&context, &headers, body, &["application/json"]).await?;
    let snapshot = context.pipeline.live.load();
    let now = asked.at()?.unwrap_or_else(Timestamp::now);
    let draft = Draft::parse(&body).map_err(PublishError::Malformed)?;
    let draft = snapshot.schemas.validate(draft).map_err(PublishError::Invalid)?;
    let notification = Arc::new(Notification::accept(draft, now));
    let mut told = explained(&context, &snapshot, &notification, now, &asked).await;
    told["revision"] = snapshot.revision.to_string().into();
    Ok(Json(told))
}

async fn explained(
    context: &Context,
    snapshot: &Snapshot,
    notification: &Arc<Notification>,
    now: Timestamp,
    asked: &Asked,
) -> Value {
    let explanation = snapshot::explain(snapshot, notification, now);
    let (pipeline, decision) = (&context.pipeline, &explanation.decision);
    let producer = asked.producer.as_deref().unwrap_or("anonymous");
    let reach = pipeline.reach(snapshot, &notification.draft, producer, decision).await;
    let mut told = explanation.to_json();
    told["listeners"] = reach.channels.iter().map(listeners).collect();
    told["limit"] = match reach.limit {
        None => Value::Null,
        Some(Ok(Remaining { limit, burst, remaining, .. })) => {
            json!({"limit": limit.as_str(), "burst": burst, "remaining": remaining})
        }
        Some(Err(limited)) => json!({"remaining": 0, "retryAfter": limited.retry_after_seconds()}),
    };
    if let Some(user) = &asked.user {
        let channels: Vec<_> = decision.deliveries.iter().map(|delivery| delivery.channel.clone()).collect();
        told["user"] = receives(user, &pipeline.receives(user, &channels));
    }
    told
}

fn listeners(listeners: &Listeners) -> Value {
    json!({"channel": listeners.channel.as_str(), "node": listeners.here, "elsewhere": listeners.elsewhere})
}

fn receives(user: &str, receives: &Receives) -> Value {
    let names = |channels: &[ChannelName]| channels.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    let (channels, streams, why) = match receives {
        Receives::Yes(channels, streams) => (names(channels), *streams, None),
        Receives::NoChannel => (Vec::new(), 0, Some("it goes to no channel".to_owned())),
        Receives::NoStream => (Vec::new(), 0, Some("they have no stream on this node".to_owned())),
        Receives::OtherChannels(heard) => {
            let why = format!("their streams on this node listen to {} only", names(heard).join(", "));
            (Vec::new(), 0, Some(why))
        }
    };
    json!({"user": user, "receives": why.is_none(), "channels": channels, "streams": streams, "why": why})
}

/// Which of the decisions of late are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// How many at most; 100 when absent.
    limit: Option<usize>,
    /// Such as `dropped`.
    outcome: Option<String>,
    /// Of this type.
    #[serde(rename = "type")]
    type_name: Option<String>,
    /// Only those whose notification was kept.
    kept: Option<bool>,
}

/// `GET /v1/admin/decisions`: what was decided of late on this node, newest first.
pub(super) async fn decisions(
    State(context): State<Context>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|rejection| bad_query(&rejection))?;
    let fits = |traced: &Traced| {
        wanted.type_name.as_ref().is_none_or(|wanted| traced.type_name.as_str() == wanted)
            && wanted.outcome.as_ref().is_none_or(|wanted| traced.reason().outcome().as_str() == wanted)
            && wanted.kept.is_none_or(|kept| traced.notification.is_some() == kept)
    };
    let latest = context.pipeline.trace.latest(wanted.limit.unwrap_or(100), fits);
    Ok(Json(json!({ "decisions": latest.iter().map(|traced| traced.to_json()).collect::<Vec<_>>() })))
}

/// `GET /v1/admin/decisions/{id}`: what became of a notification on this node. Where it was kept, also why, by the
/// configuration in force now.
pub(super) async fn decision(
    State(context): State<Context>,
    path: Result<Path<String>, PathRejection>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let bad = |detail| Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail);
    let Path(id) = path.map_err(|rejection| bad(rejection.body_text()))?;
    let id: Uuid = id.parse().map_err(|_| bad(format!("`{id}` is no id of a notification")))?;
    let Query(asked) = asked.map_err(|rejection| bad_query(&rejection))?;
    let Some(traced) = context.pipeline.trace.find(id) else {
        let detail = format!("no decision about {id} is kept on this node");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
    };
    let mut told = traced.to_json();
    if let Some(notification) = &traced.notification {
        let snapshot = context.pipeline.live.load();
        let at = asked.at()?.unwrap_or(traced.at);
        told["explanation"] = explained(&context, &snapshot, notification, at, &asked).await;
        told["explanation"]["revision"] = snapshot.revision.to_string().into();
    }
    Ok(Json(told))
}

fn bad_query(rejection: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", rejection.body_text())
}
