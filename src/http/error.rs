//! Refusals as problem documents (RFC 9457). The only place that turns errors into faults, which have a status each.

use std::any::Any;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fault::{Fault, RequestFault};
use crate::auth::AuthError;
use crate::hub::CloseReason;
use crate::limits::Limited;
use crate::notification::{Reason, Violation};
use crate::pipeline::{AttachError, PublishError};
use crate::snapshot::NotSubscribable;

/// A refusal, as the caller reads it.
#[derive(Debug, Clone)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    fault: Fault,
    detail: String,
    errors: Vec<Violation>,
    /// What a policy asked for, entry by entry.
    why: Vec<String>,
    headers: HeaderMap,
}

impl Problem {
    pub(super) fn new(fault: impl Into<Fault>, detail: impl Into<String>) -> Self {
        let (errors, why, headers) = (Vec::new(), Vec::new(), HeaderMap::new());
        Self(Box::new(Parts { fault: fault.into(), detail: detail.into(), errors, why, headers }))
    }

    pub(super) fn is(&self, fault: impl Into<Fault>) -> bool {
        self.0.fault == fault.into()
    }

    fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers.insert(name, value);
        }
        self
    }

    fn errors(mut self, errors: &[Violation]) -> Self {
        self.0.errors = errors.to_vec();
        self
    }

    fn why(mut self, why: &[String]) -> Self {
        self.0.why = why.to_vec();
        self
    }

    fn retry_after(self, wait: Duration) -> Self {
        self.header(header::RETRY_AFTER, wait.as_secs_f64().ceil().max(1.0).to_string())
    }

    /// The body, which a batch also embeds for one item.
    pub(super) fn to_json(&self) -> Value {
        let Parts { fault, detail, errors, why, .. } = &*self.0;
        let code = fault.code();
        let mut body = json!({
            "type": format!("urn:fanfare:problem:{code}"),
            "title": fault.describe(),
            "status": fault.status().as_u16(),
            "code": code,
            "detail": detail,
        });
        if !errors.is_empty() {
            body["errors"] = errors.iter().map(Violation::to_json).collect();
        }
        if !why.is_empty() {
            body["why"] = json!(why);
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json().to_string();
        let mut response = (self.0.fault.status(), body).into_response();
        response.headers_mut().extend(self.0.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let problem = Self::new(error.reason(), error.to_string()).errors(&error.violations()).why(error.why());
        match error {
            PublishError::Unauthenticated(error) => error.into(),
            PublishError::Limited(limited) => rate_limited(problem, &limited),
            PublishError::Unfit(_)
            | PublishError::Forbidden(_)
            | PublishError::Refused(_)
            | PublishError::KeyReused => problem,
            PublishError::InFlight
            | PublishError::NotAccepted(_)
            | PublishError::UnknownOutcome(_)
            | PublishError::PartlyStored(_)
            | PublishError::Draining => problem.retry_after(Duration::from_secs(1)),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        // RFC 6750: what was wrong with the token, for clients that look for it there.
        let challenge = match error {
            AuthError::Missing => "Bearer realm=\"fanfare\"".to_owned(),
            _ => format!("Bearer realm=\"fanfare\", error=\"invalid_token\", error_description=\"{}\"", error.code()),
        };
        Self::new(Reason::Unauthenticated, error.to_string()).header(header::WWW_AUTHENTICATE, challenge)
    }
}

impl From<AttachError> for Problem {
    fn from(error: AttachError) -> Self {
        let problem = Self::new(fault(&error), error.to_string());
        match error {
            AttachError::Unauthenticated(error) => error.into(),
            AttachError::NotSubscribable(NotSubscribable::Denied(denied)) => problem.why(&denied.why),
            AttachError::TooManyStreams(_) => problem.retry_after(Duration::from_secs(5)),
            AttachError::Unavailable(_) | AttachError::Draining => problem.retry_after(Duration::from_secs(2)),
            AttachError::BadParameter { .. }
            | AttachError::NoChannel
            | AttachError::TooManyChannels(_)
            | AttachError::BadChannel(_)
            | AttachError::NotSubscribable(NotSubscribable::Unknown(_)) => problem,
        }
    }
}

fn fault(error: &AttachError) -> Fault {
    match error {
        AttachError::Unauthenticated(_) => Reason::Unauthenticated.into(),
        AttachError::BadParameter { .. } => RequestFault::BadQuery.into(),
        AttachError::NoChannel => RequestFault::NoChannel.into(),
        AttachError::TooManyChannels(_) => RequestFault::TooManyChannels.into(),
        AttachError::BadChannel(_) => RequestFault::BadChannel.into(),
        AttachError::NotSubscribable(NotSubscribable::Unknown(_)) => RequestFault::UnknownChannel.into(),
        AttachError::NotSubscribable(NotSubscribable::Denied(_)) => Reason::Forbidden.into(),
        AttachError::TooManyStreams(_) => RequestFault::TooManyStreams.into(),
        AttachError::Unavailable(_) => RequestFault::Unavailable.into(),
        AttachError::Draining => Reason::Draining.into(),
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(RequestFault::BadQuery, rejection.body_text())
    }
}

/// How a refused subscription is told to an `EventSource`, which gives up for good on any status but 200.
pub(super) struct SoftRefusal {
    pub(super) reason: CloseReason,
    /// Whether coming back can help.
    pub(super) passing: bool,
    /// Around when.
    pub(super) retry: Duration,
}

impl From<&AttachError> for SoftRefusal {
    fn from(error: &AttachError) -> Self {
        let (reason, passing, retry) = match error {
            AttachError::Unauthenticated(AuthError::Expired(_)) => (CloseReason::TokenExpired, true, 5),
            AttachError::Unauthenticated(_) => (CloseReason::Unauthenticated, false, 5),
            AttachError::BadParameter { .. }
            | AttachError::NoChannel
            | AttachError::TooManyChannels(_)
            | AttachError::BadChannel(_)
            | AttachError::NotSubscribable(NotSubscribable::Unknown(_)) => (CloseReason::BadRequest, false, 5),
            AttachError::NotSubscribable(NotSubscribable::Denied(_)) => (CloseReason::Forbidden, false, 5),
            AttachError::TooManyStreams(_) => (CloseReason::Overloaded, true, 10),
            AttachError::Unavailable(_) => (CloseReason::Unavailable, true, 2),
            AttachError::Draining => (CloseReason::Draining, true, 2),
        };
        Self { reason, passing, retry: Duration::from_secs(retry) }
    }
}

fn rate_limited(problem: Problem, limited: &Limited) -> Problem {
    let mut problem = problem.header(header::RETRY_AFTER, limited.retry_after_seconds().to_string());
    rate_limit_fields(&mut problem.0.headers, &limited.policy_field, &limited.field());
    problem
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
pub(super) fn rate_limit_fields(headers: &mut HeaderMap, policy: &str, state: &str) {
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(RequestFault::NotFound, "there is nothing at this path")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(RequestFault::MethodNotAllowed, "this path does not take that method")
}

pub(super) fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged it; the caller learns nothing of the inside.
    Problem::new(RequestFault::Internal, "the server failed on this request").into_response()
}
