//! Refusals as problem documents (RFC 9457). The only place that turns errors into statuses.

use std::any::Any;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::auth::AuthError;
use crate::hub::CloseReason;
use crate::limits::Limited;
use crate::notification::{Reason, Violation};
use crate::pipeline::{AttachError, PublishError};
use crate::snapshot::{NotSubscribable, Refusal};

/// A refusal, as the caller reads it.
#[derive(Debug, Clone)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<Violation>,
    /// What a policy asked for, entry by entry.
    why: Vec<String>,
    headers: HeaderMap,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (errors, why, headers) = (Vec::new(), Vec::new(), HeaderMap::new());
        Self(Box::new(Parts { status, code, detail: detail.into(), errors, why, headers }))
    }

    pub(super) fn of(status: StatusCode, reason: Reason) -> Self {
        Self::new(status, reason.code(), reason.describe())
    }

    pub(super) fn code(&self) -> &'static str {
        self.0.code
    }

    fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers.insert(name, value);
        }
        self
    }

    fn errors(mut self, errors: Vec<Violation>) -> Self {
        self.0.errors = errors;
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
        let Parts { status, code, detail, errors, why, .. } = &*self.0;
        let mut body = json!({
            "type": format!("urn:fanfare:problem:{code}"),
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        if !errors.is_empty() {
            let error = |violation: &Violation| json!({"pointer": violation.pointer, "detail": violation.detail});
            body["errors"] = errors.iter().map(error).collect();
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
        let mut response = (self.0.status, body).into_response();
        response.headers_mut().extend(self.0.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let code = error.reason().code();
        let plain = |status| Self::new(status, code, error.to_string());
        match error {
            PublishError::Unauthenticated(error) => error.into(),
            PublishError::Malformed(errors) => Self::of(StatusCode::BAD_REQUEST, Reason::Malformed).errors(errors),
            PublishError::Invalid(errors) => Self::of(StatusCode::UNPROCESSABLE_ENTITY, Reason::Invalid).errors(errors),
            PublishError::UnknownType { .. } => {
                let error = Violation::new("/type", "is not a declared type");
                plain(StatusCode::UNPROCESSABLE_ENTITY).errors(vec![error])
            }
            PublishError::Forbidden(denied) => {
                Self::new(StatusCode::FORBIDDEN, code, denied.to_string()).why(&denied.why)
            }
            PublishError::Limited(ref limited) => rate_limited(plain(StatusCode::TOO_MANY_REQUESTS), limited),
            PublishError::Refused(Refusal::BadSegment { .. } | Refusal::Unmatched) => {
                plain(StatusCode::UNPROCESSABLE_ENTITY)
            }
            PublishError::KeyReused => plain(StatusCode::UNPROCESSABLE_ENTITY),
            PublishError::InFlight => plain(StatusCode::CONFLICT).retry_after(Duration::from_secs(1)),
            PublishError::NotAccepted(_)
            | PublishError::UnknownOutcome(_)
            | PublishError::PartlyStored(_)
            | PublishError::Draining => plain(StatusCode::SERVICE_UNAVAILABLE).retry_after(Duration::from_secs(1)),
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
        Self::new(StatusCode::UNAUTHORIZED, Reason::Unauthenticated.code(), error.to_string())
            .header(header::WWW_AUTHENTICATE, challenge)
    }
}

impl From<AttachError> for Problem {
    fn from(error: AttachError) -> Self {
        let plain = |status, code| Self::new(status, code, error.to_string());
        match &error {
            AttachError::Unauthenticated(error) => error.clone().into(),
            AttachError::BadParameter { .. } => plain(StatusCode::BAD_REQUEST, "bad_query"),
            AttachError::NoChannel => plain(StatusCode::BAD_REQUEST, "no_channel"),
            AttachError::TooManyChannels(_) => plain(StatusCode::BAD_REQUEST, "too_many_channels"),
            AttachError::BadChannel(_) => plain(StatusCode::BAD_REQUEST, "bad_channel"),
            AttachError::NotSubscribable(NotSubscribable::Unknown(_)) => {
                plain(StatusCode::NOT_FOUND, "unknown_channel")
            }
            AttachError::NotSubscribable(NotSubscribable::Denied(denied)) => {
                plain(StatusCode::FORBIDDEN, Reason::Forbidden.code()).why(&denied.why)
            }
            AttachError::TooManyStreams(_) => {
                plain(StatusCode::TOO_MANY_REQUESTS, "too_many_streams").retry_after(Duration::from_secs(5))
            }
            AttachError::Unavailable(_) => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "unavailable").retry_after(Duration::from_secs(2))
            }
            AttachError::Draining => {
                plain(StatusCode::SERVICE_UNAVAILABLE, Reason::Draining.code()).retry_after(Duration::from_secs(2))
            }
        }
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
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
}

pub(super) fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged it; the caller learns nothing of the inside.
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed on this request").into_response()
}
