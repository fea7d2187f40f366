//! `GET /v1/events`: a stream of Server-Sent Events.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use http_body::Body as _;

use super::Context;
use super::error::{Problem, SoftRefusal};
use super::extract::{self, From};
use super::fault::RequestFault;
use super::server::Connection;
use crate::hub::{Bye, CloseReason, Framing, Reader, SseBody, Start, refusal};
use crate::pipeline::{AttachError, Request};
use crate::stream::Cursor;

/// Ends the id of a refusal that coming back cannot change. The client sends it back with its cursor, and is then
/// answered 204, which makes an `EventSource` stop.
const REFUSED: &str = "~refused";

/// Opens a stream.
pub(super) async fn events(
    State(context): State<Arc<Context>>,
    Extension(connection): Extension<Connection>,
    RawQuery(query): RawQuery,
    version: Version,
    headers: HeaderMap,
    sent: Body,
) -> Response {
    if !sent.is_end_stream() {
        // Bytes of it may come when the socket has left hyper, and would be taken for another request.
        let detail = "a request for a stream has no body";
        return Problem::new(RequestFault::UnexpectedBody, detail).into_response();
    }
    if !accepts_events(&headers) {
        let detail = "this path answers with text/event-stream only";
        return Problem::new(RequestFault::NotAcceptable, detail).into_response();
    }
    let query = Query::parse(query.as_deref().unwrap_or_default());
    let last_event_id = headers.get("last-event-id").map(HeaderValue::as_bytes).filter(|id| !id.is_empty());
    let cursor = last_event_id.or(query.last_event_id.as_deref().map(str::as_bytes));
    let (cursor, refused) = match cursor.and_then(|id| id.strip_suffix(REFUSED.as_bytes())) {
        Some(cursor) => (Some(cursor).filter(|cursor| !cursor.is_empty()), true),
        None => (cursor, false),
    };
    let attached = match request(&headers, &query, cursor, &connection) {
        Ok(request) => context.pipeline.attach(request).await,
        Err(error) => Err(error),
    };
    match attached {
        Ok(reader) => stream(body(reader, &connection, version), version),
        Err(error) if wants_status(&headers) => Problem::from(error).into_response(),
        Err(_) if refused => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(&context, &error, cursor, version),
    }
}

/// The body of an open stream. On HTTP/1 its socket leaves hyper; HTTP/2 keeps it, as it carries others.
fn body(reader: Reader, connection: &Connection, version: Version) -> Body {
    match &connection.handoff {
        Some(handoff) if version == Version::HTTP_11 => Body::new(handoff.body(reader, Framing::Chunked)),
        Some(handoff) => Body::new(handoff.body(reader, Framing::Plain)),
        None => Body::new(SseBody::new(reader)),
    }
}

/// `EventSource` asks for `text/event-stream`; other clients may take anything.
fn accepts_events(headers: &HeaderMap) -> bool {
    let mut accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    accepts.peek().is_none()
        || accepts.flat_map(|value| value.split(',')).any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            ["text/event-stream", "text/*", "*/*"].iter().any(|known| range.eq_ignore_ascii_case(known))
        })
}

/// Whether the client reads statuses, which an `EventSource` does not.
fn wants_status(headers: &HeaderMap) -> bool {
    is_strict(headers) || !has(headers, &header::ACCEPT, "text/event-stream")
}

/// Whether the client wants a fault to be an error, rather than the server to make the best of it (RFC 7240).
fn is_strict(headers: &HeaderMap) -> bool {
    has(headers, &header::HeaderName::from_static("prefer"), "handling=strict")
}

fn has(headers: &HeaderMap, name: &header::HeaderName, text: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.to_ascii_lowercase().contains(text))
}

/// What is asked for. A cursor that cannot be read is no reason to refuse: a page cannot mend it, and is told in the
/// stream that its place is lost.
fn request(
    headers: &HeaderMap,
    query: &Query,
    cursor: Option<&[u8]>,
    connection: &Connection,
) -> Result<Request, AttachError> {
    let last = query.last()?;
    let credential = extract::credential(headers, From::HeaderOrCookie)?;
    let start = match (cursor, last) {
        (Some(text), _) => Cursor::parse(text).map_or(Start::Unreadable, Start::Cursor),
        (None, Some(count)) => Start::Last(count),
        (None, None) => Start::Live,
    };
    let (channels, kill) = (query.channels.clone(), connection.kill.clone());
    Ok(Request { credential, channels, start, is_strict: is_strict(headers), kill })
}

fn refuse(context: &Context, error: &AttachError, cursor: Option<&[u8]>, version: Version) -> Response {
    let soft = SoftRefusal::from(error);
    let bye = Bye::jittered(soft.reason, soft.retry);
    let cursor = cursor.filter(|text| Cursor::parse(text).is_ok());
    let mut id = cursor.map(<[u8]>::to_vec).unwrap_or_default();
    if !soft.passing {
        id.extend_from_slice(REFUSED.as_bytes());
    }
    count_refusal(context, soft.reason);
    stream(Body::from(refusal(&bye, &error.to_string(), &id)), version)
}

fn count_refusal(context: &Context, reason: CloseReason) {
    context.pipeline.metrics.stream_closed(reason.code());
}

fn stream(body: Body, version: Version) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform"));
    // nginx would hold events back until its buffer is full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if version < Version::HTTP_2 {
        // A stream ends with its connection, so that ending the one from outside cannot hit another request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What the query asks for. Unknown parameters are left alone, as proxies and caches add their own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    channels: Vec<String>,
    last_event_id: Option<String>,
    last: Option<String>,
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "channel" => parsed.channels.push(value.into_owned()),
                "last_event_id" | "lastEventId" if !value.is_empty() => parsed.last_event_id = Some(value.into_owned()),
                "last" => parsed.last = Some(value.into_owned()),
                _ => {}
            }
        }
        parsed
    }

    /// How many of the last are asked for; more than there are is all of them.
    fn last(&self) -> Result<Option<u64>, AttachError> {
        let wanted = "a whole number from 0 to 18446744073709551615";
        let last = self.last.as_deref().map(str::parse).transpose();
        last.map_err(|_| AttachError::BadParameter { parameter: "last", wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_channels_and_a_start() {
        let query = Query::parse("channel=user.42&channel=team.a%2Eb&last=5&_ga=1");
        assert_eq!(query.channels, ["user.42", "team.a.b"]);
        assert_eq!(query.last(), Ok(Some(5)));
        assert_eq!(Query::parse("channel=a").last(), Ok(None));
    }

    #[test]
    fn a_count_that_is_none_is_not_passed_over() {
        for last in ["", "abc", "-1", "1.5", "5%20", "0x5", "18446744073709551616", "%FF"] {
            let refused = Query::parse(&format!("last={last}")).last().unwrap_err();
            assert!(refused.to_string().starts_with("`last` is not a whole number"), "{last}: {refused}");
        }
        assert_eq!(Query::parse("last=18446744073709551615").last(), Ok(Some(u64::MAX)));
    }

    #[test]
    fn only_clients_that_read_statuses_get_them() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(k, v)| ((*k).parse().unwrap(), (*v).parse().unwrap())).collect::<HeaderMap>()
        };
        assert!(!wants_status(&headers(&[("accept", "text/event-stream")])));
        assert!(wants_status(&headers(&[("accept", "*/*")])));
        assert!(wants_status(&headers(&[("accept", "text/event-stream"), ("prefer", "handling=strict")])));
        assert!(!accepts_events(&headers(&[("accept", "application/json")])));
        assert!(accepts_events(&headers(&[("accept", "application/json, */*;q=0.1")])));
    }
}
