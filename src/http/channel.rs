//! `GET /v1/channels/{channel}`: what is kept of a channel, and who listens.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::Context;
use super::error::Problem;
use super::extract::{self, From};
use crate::broker::LaneInfo;

/// Whoever may subscribe to a channel may look at it.
pub(super) async fn info(
    State(context): State<Context>,
    Path(channel): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let credential = extract::credential(&headers, From::HeaderOrCookie)?;
    let ([express, normal], subscribers) = context.pipeline.inspect(credential.as_ref(), &channel).await?;
    let lane = |info: LaneInfo| json!({"position": info.top.to_string(), "length": info.length});
    Ok(Json(json!({
        "channel": channel,
        "subscribers": { "node": subscribers },
        "lanes": { "express": lane(express), "normal": lane(normal) },
    })))
}
