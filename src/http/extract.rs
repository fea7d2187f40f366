//! What requests carry: credentials, keys, cursors, trace ids.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version, header};

use super::error::Problem;
use super::fault::RequestFault;
use crate::auth::{AuthError, Credential};
use crate::telemetry::TraceParent;

/// Longest idempotency key.
const MAX_KEY: usize = 255;

/// Where a credential is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// `Authorization` only: a browser sends cookies by itself, also for a page that means harm.
    Header,
    /// `Authorization`, else the cookie `fanfare_token`: `EventSource` cannot set headers.
    HeaderOrCookie,
}

/// Checks that a request of HTTP/1.1 has one `Host` that can be one (RFC 9112, section 3.2).
pub(super) fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let valid = match (hosts.next(), hosts.next()) {
        (Some(host), None) => can_be_host(host),
        (None, _) => version != Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    let detail = "a request of HTTP/1.1 has one header `Host`, and it is a host";
    if valid { Ok(()) } else { Err(Problem::new(RequestFault::BadHost, detail)) }
}

/// Empty where the target has no authority (RFC 9110, section 7.2).
fn can_be_host(value: &HeaderValue) -> bool {
    let host = value.as_bytes();
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

/// The credential of a request.
pub(super) fn credential(headers: &HeaderMap, from: From) -> Result<Option<Credential>, AuthError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        return Credential::from_bearer(text).map(Some);
    }
    let cookie = headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
    match from {
        From::Header => Ok(None),
        From::HeaderOrCookie => Ok(cookie.and_then(Credential::from_cookie)),
    }
}

/// The `Idempotency-Key`, bare or as the quoted string that the draft asks for.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(text));
    }
    let detail = format!("Idempotency-Key is not 1 to {MAX_KEY} visible ASCII characters");
    Err(Problem::new(RequestFault::BadIdempotencyKey, detail))
}

/// The trace that the caller is part of, for the log.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let parent: TraceParent = value.parse().ok()?;
    Some(format!("{:032x}", parent.trace_id))
}
