//! `POST /v1/notifications` and its batch.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tracing::Instrument;

use super::Context;
use super::error::{Problem, rate_limit_fields};
use super::extract::{self, From};
use super::fault::RequestFault;
use crate::notification::Reason;
use crate::pipeline::{Mode, PublishError, Receipt, Submission};

/// Most notifications in one batch.
const MAX_BATCH: usize = 1_000;
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// The query of a publish. A slip such as `dryrun` is refused: it would send what was only to be tried.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// `1` or `true`: decide, and send nothing.
    dry_run: Option<String>,
}

/// What the query asks for; one that cannot be read is a problem of the same kind as any other.
pub(super) type Asked = Result<Query<Options>, QueryRejection>;

/// Whether the query asks for a dry run.
pub(super) fn mode(asked: Asked) -> Result<Mode, Problem> {
    let Query(options) = asked?;
    match options.dry_run.as_deref() {
        None | Some("0" | "false") => Ok(Mode::Publish),
        Some("" | "1" | "true") => Ok(Mode::DryRun),
        Some(_) => Err(Problem::new(RequestFault::BadQuery, "dry_run is neither 1 nor 0")),
    }
}

/// Publishes one notification.
pub(super) async fn one(
    State(context): State<Arc<Context>>,
    asked: Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mode = mode(asked)?;
    let credential = extract::credential(&headers, From::Header)?;
    let idempotency_key = extract::idempotency_key(&headers)?;
    let body = super::body::read(&context, &headers, body, &[JSON]).await.inspect_err(|problem| {
        if mode == Mode::Publish && problem.is(Reason::BodyTooLarge) {
            context.pipeline.metrics.ended(Reason::BodyTooLarge.code());
        }
    })?;
    let submission = Submission { credential: credential.as_ref(), body: &body, idempotency_key, mode };
    let receipt = accept(&context, submission, &headers).await?;
    let status = if mode == Mode::DryRun { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, Json(&*receipt)).into_response();
    if let Some(remaining) = &receipt.remaining {
        rate_limit_fields(response.headers_mut(), &remaining.policy_field, &remaining.field());
    }
    Ok(response)
}

/// Publishes several, as a JSON array or one a line. Each item has its own result, in the order of the items. An
/// idempotency key counts for each item at its place, so a repeat sends only what the first try did not. Once the
/// broker has not answered for one, the rest are not tried: each would wait as long.
pub(super) async fn batch(
    State(context): State<Arc<Context>>,
    asked: Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mode = mode(asked)?;
    let credential = extract::credential(&headers, From::Header)?;
    let idempotency_key = extract::idempotency_key(&headers)?;
    let body = super::body::read(&context, &headers, body, &[JSON, NDJSON]).await?;
    let (mut results, mut broker) = (Vec::new(), Answers::AsFarAsKnown);
    for (place, item) in items(&body)?.iter().enumerate() {
        // No key that a producer can send has a space in it, so these are never the key of a single publish.
        let key = idempotency_key.map(|key| format!("{key} {place}"));
        let (credential, idempotency_key) = (credential.as_ref(), key.as_deref());
        let submission = Submission { credential, body: item.as_bytes(), idempotency_key, mode };
        let result = match broker {
            Answers::AsFarAsKnown => accept(&context, submission, &headers).await,
            Answers::NotInTime => {
                Err(PublishError::NotAccepted("it did not answer for an earlier item in time".to_owned()))
            }
        };
        if matches!(result, Err(PublishError::UnknownOutcome(_))) {
            broker = Answers::NotInTime;
        }
        results.push(result.map_or_else(|error| Problem::from(error).to_json(), |receipt| receipt.to_json()));
    }
    Ok(Json(json!({ "results": results })))
}

/// What a batch has seen of the broker.
enum Answers {
    AsFarAsKnown,
    NotInTime,
}

async fn accept(
    context: &Context,
    submission: Submission<'_>,
    headers: &HeaderMap,
) -> Result<Arc<Receipt>, PublishError> {
    let span = tracing::debug_span!("publish", trace.id = extract::trace_id(headers), revision = tracing::field::Empty);
    let timer = context.pipeline.metrics.publish_duration.start_timer();
    let result = context.pipeline.accept(submission).instrument(span.clone()).await;
    match submission.mode {
        Mode::Publish => timer.observe_duration(),
        // It waits for no broker, and would make publishes look faster.
        Mode::DryRun => drop(timer.stop_and_discard()),
    }
    let _entered = span.enter();
    match &result {
        Ok(receipt) => tracing::debug!(
            notification.id = %receipt.id, outcome = receipt.reason.code(),
            "notification {}: {}", receipt.id, receipt.reason.code()),
        Err(error) => tracing::debug!(outcome = error.reason().code(), "notification refused: {error}"),
    }
    result
}

/// The texts of a batch's items: of an array's elements, or of the lines.
fn items(body: &[u8]) -> Result<Vec<String>, Problem> {
    let bad = |detail: String| Problem::new(Reason::Malformed, detail);
    let text = std::str::from_utf8(body).map_err(|error| bad(format!("the body is not UTF-8: {error}")))?;
    let items: Vec<String> = if text.trim_start().starts_with('[') {
        let elements: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| bad(format!("the body is not a JSON array: {error}")))?;
        elements.into_iter().map(|element| element.get().to_owned()).collect()
    } else {
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    };
    if items.len() > MAX_BATCH {
        return Err(bad(format!("the batch has {} items; {MAX_BATCH} is the most", items.len())));
    }
    Ok(items)
}
