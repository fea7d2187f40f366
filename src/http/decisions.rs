//! `GET /v1/admin/decisions`: what was decided of late on this node, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Context;
use super::error::Problem;
use super::explain::{Questions, explained, receives};
use super::fault::RequestFault;
use super::unknown::unknown;
use crate::notification::{ChannelName, Name, Outcome};
use crate::pipeline::{Told, Traced};

/// What is said in place of an explanation.
const NOT_KEPT: &str = "the notification was not kept, which takes `trace = true` in its type";

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

impl Wanted {
    fn outcome(&self) -> Result<Option<Outcome>, Problem> {
        let Some(text) = &self.outcome else { return Ok(None) };
        let known = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        known.map(Some).ok_or_else(|| unknown("outcome", text, Outcome::ALL.map(Outcome::as_str).into_iter()))
    }

    /// The type that is asked for: one that is declared, or that a decision of late is about.
    fn type_name(&self, context: &Context) -> Result<Option<&str>, Problem> {
        let Some(text) = &self.type_name else { return Ok(None) };
        let snapshot = context.pipeline.live.load();
        let mut declared = snapshot.types.keys().map(Name::as_str);
        let is_known = declared.any(|name| name == text)
            || !context.pipeline.trace.latest(1, |traced| traced.type_name.as_str() == text).is_empty();
        if is_known { Ok(Some(text)) } else { Err(unknown("type", text, snapshot.types.keys().map(Name::as_str))) }
    }
}

/// The answer about the decisions of late.
#[derive(Debug, Serialize)]
struct Decisions<'a> {
    decisions: Vec<&'a Traced>,
}

/// `GET /v1/admin/decisions`: what was decided of late on this node, newest first.
pub(super) async fn decisions(
    State(context): State<Arc<Context>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) = wanted?;
    let (outcome, type_name) = (wanted.outcome()?, wanted.type_name(&context)?);
    let fits = |traced: &Traced| {
        type_name.is_none_or(|wanted| traced.type_name.as_str() == wanted)
            && outcome.is_none_or(|wanted| traced.reason().outcome() == wanted)
            && wanted.kept.is_none_or(|kept| traced.is_kept() == kept)
    };
    let latest = context.pipeline.trace.latest(wanted.limit.unwrap_or(100), fits);
    Ok(Json(Decisions { decisions: latest.iter().map(|traced| &**traced).collect() }).into_response())
}

/// `GET /v1/admin/decisions/{id}`: what became of a notification on this node. Where it was kept, also why, by the
/// configuration in force now.
pub(super) async fn decision(
    State(context): State<Arc<Context>>,
    path: Result<Path<String>, PathRejection>,
    asked: Result<Query<Questions>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let bad = |detail| Problem::new(RequestFault::BadId, detail);
    let Path(id) = path.map_err(|rejection| bad(rejection.body_text()))?;
    let id: Uuid = id.parse().map_err(|_| bad(format!("`{id}` is no id of a notification")))?;
    let Query(mut asked) = asked?;
    let snapshot = context.pipeline.live.load();
    asked.check_principals(&snapshot.config)?;
    let at = asked.at(&snapshot)?;
    let Some(traced) = context.pipeline.trace.find(id) else {
        let detail = format!("no decision about {id} is kept on this node");
        return Err(Problem::new(RequestFault::NotFound, detail));
    };
    asked.producer.get_or_insert_with(|| traced.producer.to_string());
    let mut told = json!(*traced);
    let not_explained = match traced.notification() {
        None => NOT_KEPT.to_owned(),
        Some(notification) => match snapshot.schemas.validate(notification.draft.clone()) {
            Ok(_) => {
                let at = at.unwrap_or(traced.at);
                told["explanation"] = explained(&context, &snapshot, &notification.into(), at, &asked).await;
                return Ok(Json(told));
            }
            Err(unfit) => format!("the configuration in force now refuses it as `{}`: {unfit}", unfit.reason().code()),
        },
    };
    told["notExplained"] = not_explained.into();
    if let Some(user) = &asked.user {
        told["user"] = receives(user, &context.pipeline.receives(user, &sent_to(&traced)));
    }
    Ok(Json(told))
}

/// The channels that it went to.
fn sent_to(traced: &Traced) -> Vec<ChannelName> {
    match &traced.told {
        Told::Accepted(receipt) => receipt.channels.iter().map(|sent| sent.channel.clone()).collect(),
        Told::Refused(_) => Vec::new(),
    }
}
