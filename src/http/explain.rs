//! `POST /v1/admin/explain`: why a notification would go where it goes, for operators.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use super::error::Problem;
use super::fault::RequestFault;
use super::unknown::check_principal;
use crate::config::{Config, Moment};
use crate::limits::{Limited, Remaining};
use crate::notification::{ChannelName, Draft, Notification};
use crate::pipeline::{Listeners, PublishError, Receives, Standing};
use crate::snapshot::{self, Snapshot};

/// What explanations are asked about besides the notification.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Questions {
    /// When it is accepted, such as `2026-03-29T23:10:00Z`, or by the time zone of `[defaults]`; now when absent.
    at: Option<String>,
    /// A principal such as `app:u42`: whether they would receive it.
    pub(super) user: Option<String>,
    /// The principal who publishes it: how its limit stands.
    pub(super) producer: Option<String>,
}

impl Questions {
    pub(super) fn at(&self, snapshot: &Snapshot) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = &self.at else { return Ok(None) };
        let at = text.parse().and_then(|at: Moment| at.by_default(snapshot.config.timezone.as_ref()));
        at.map(Some).map_err(|error| Problem::new(RequestFault::BadQuery, format!("`at` is `{text}`, which {error}")))
    }

    /// That whom it names can be: principals of an issuer or a key that is declared.
    pub(super) fn check_principals(&self, config: &Config) -> Result<(), Problem> {
        for (parameter, named) in [("user", &self.user), ("producer", &self.producer)] {
            named.as_deref().map_or(Ok(()), |id| check_principal(parameter, id, config))?;
        }
        Ok(())
    }
}

/// `POST /v1/admin/explain`: what would become of a notification, and why. Nothing is sent or counted.
pub(super) async fn explain(
    State(context): State<Arc<Context>>,
    asked: Result<Query<Questions>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Query(asked) = asked?;
    let body = super::body::read(&context, &headers, body, &["application/json"]).await?;
    let snapshot = context.pipeline.live.load();
    asked.check_principals(&snapshot.config)?;
    let now = asked.at(&snapshot)?.unwrap_or_else(Timestamp::now);
    let draft = Draft::parse(&body).and_then(|draft| snapshot.schemas.validate(draft)).map_err(PublishError::from)?;
    let notification = Arc::new(Notification::accept(draft, now));
    Ok(Json(explained(&context, &snapshot, &notification, now, &asked).await))
}

/// What becomes of `notification` at `now`, and whatever else is asked.
pub(super) async fn explained(
    context: &Context,
    snapshot: &Snapshot,
    notification: &Arc<Notification>,
    now: Timestamp,
    asked: &Questions,
) -> Value {
    let explanation = snapshot::explain(snapshot, notification, now);
    let (pipeline, decision) = (&context.pipeline, &explanation.decision);
    let reach = pipeline.reach(snapshot, &notification.draft, asked.producer.as_deref(), decision).await;
    let mut told = json!(explanation.told());
    told["revision"] = snapshot.revision.to_string().into();
    told["type"] = notification.draft.type_name.as_str().into();
    told["at"] = now.to_string().into();
    told["listeners"] = reach.channels.iter().map(listeners).collect();
    told["limit"] = reach.limit.as_ref().map_or(Value::Null, standing);
    if let Some(user) = &asked.user {
        let channels: Vec<_> = decision.deliveries.iter().map(|delivery| delivery.channel.clone()).collect();
        told["user"] = receives(user, &pipeline.receives(user, &channels));
    }
    told
}

fn standing(standing: &Standing) -> Value {
    match standing {
        Standing::Left(Remaining { limit, burst, remaining, .. }) => {
            json!({"limit": limit.as_str(), "burst": burst, "remaining": remaining})
        }
        Standing::UsedUp(limited) => {
            let Limited { limit, burst, .. } = limited;
            let retry_after = limited.retry_after_seconds();
            json!({"limit": limit.as_str(), "burst": burst, "remaining": 0, "retryAfter": retry_after})
        }
        Standing::OfNobody(limit) => json!({"limit": limit.as_str(), "remaining": null}),
    }
}

fn listeners(listeners: &Listeners) -> Value {
    json!({"channel": listeners.channel.as_str(), "node": listeners.here, "elsewhere": listeners.elsewhere})
}

/// Whether `user` would receive it, and if not, why.
pub(super) fn receives(user: &str, receives: &Receives) -> Value {
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
