//! Reads request bodies: of the right kind, within the size and the time that the server allows.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::Context;
use super::error::Problem;
use super::fault::RequestFault;
use crate::notification::Reason;

/// The charset that a content type names. JSON has none (RFC 8259, section 11), but producers send it.
fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })
}

/// Reads a body whose media type is one of `media_types`.
pub(super) async fn read(
    context: &Context,
    headers: &HeaderMap,
    body: Body,
    media_types: &[&str],
) -> Result<Bytes, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_types.iter().any(|allowed| media_type.eq_ignore_ascii_case(allowed)) {
        let detail = format!("content-type `{}` is not {}", media_type.escape_debug(), media_types.join(" or "));
        return Err(Problem::new(RequestFault::UnsupportedMediaType, detail));
    }
    if let Some(charset) = charset(content_type).filter(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
        let detail = format!("charset `{}` is not utf-8", charset.escape_debug());
        return Err(Problem::new(RequestFault::UnsupportedMediaType, detail));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "compressed bodies are not taken";
        return Err(Problem::new(RequestFault::UnsupportedMediaType, detail));
    }
    let read = Limited::new(body, context.max_body).collect();
    match tokio::time::timeout(context.body_timeout, read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the body is larger than {} bytes", context.max_body);
            Err(Problem::new(Reason::BodyTooLarge, detail))
        }
        Ok(Err(error)) => Err(Problem::new(RequestFault::IncompleteBody, format!("the body ended early: {error}"))),
        Err(_) => Err(Problem::new(RequestFault::BodyTimeout, "the body took too long")),
    }
}
