//! `GET /v1/channels/{channel}`: what is kept of a channel, and who listens.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::Context;
use super::error::Problem;
use super::extract::{self, From};
use super::fault::RequestFault;
use crate::broker::LaneInfo;
use crate::pipeline::Inspection;

/// Whoever may subscribe to a channel may look at it.
pub(super) async fn info(
    State(context): State<Arc<Context>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let Path(channel) = path.map_err(|rejection| Problem::new(RequestFault::BadChannel, rejection.body_text()))?;
    let credential = extract::credential(&headers, From::HeaderOrCookie)?;
    let Inspection { lanes: [express, normal], here, elsewhere } =
        context.pipeline.inspect(credential.as_ref(), &channel).await?;
    let lane = |info: LaneInfo| json!({"position": info.top.map(|top| top.to_string()), "length": info.length});
    Ok(Json(json!({
        "channel": channel,
        "subscribers": { "node": here, "cluster": here + elsewhere },
        "lanes": { "express": lane(express), "normal": lane(normal) },
    })))
}
