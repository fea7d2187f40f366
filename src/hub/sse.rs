//! Events as bytes: the one encoder of Server-Sent Events (WHATWG HTML, section 9.2).
//!
//! Frame rules that real clients need: LF only; `event`, `retry`, `data`, then `id` last, so that a cut inside an
//! event never moves a client's cursor past it; one `data:` line of compact JSON; `retry:` only in an event with
//! data; never an event of an id alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::notification::ChannelName;
use crate::stream::{Gap, Lane, Message};

/// The comment that keeps a connection alive. One line and no blank one: some clients take `:\n\n` for an
/// empty message.
pub(super) const HEARTBEAT: &[u8] = b":\n";

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The server shuts down.
    Draining,
    /// The credential's time is over.
    TokenExpired,
    /// A reload took the grant away.
    Revoked,
    /// The principal has too many streams, or the server too many connections.
    Overloaded,
    /// The broker cannot be reached, so no position can be given.
    Unavailable,
    /// The credential is missing or not valid.
    Unauthenticated,
    /// A channel's policy does not let the principal in.
    Forbidden,
    /// The request names no channel or one that does not exist, its query cannot be read, or another request follows.
    BadRequest,
    /// Nothing could be written for too long.
    Stalled,
    /// The client went away.
    Disconnected,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Draining,
        Self::TokenExpired,
        Self::Revoked,
        Self::Overloaded,
        Self::Unavailable,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::BadRequest,
        Self::Stalled,
        Self::Disconnected,
    ];

    /// The code used on the wire and in metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::TokenExpired => "token_expired",
            Self::Revoked => "revoked",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::BadRequest => "bad_request",
            Self::Stalled => "stalled",
            Self::Disconnected => "disconnected",
        }
    }
}

/// The last event of a stream: why it ends, and when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bye {
    /// Why.
    pub reason: CloseReason,
    /// After how long the client shall reconnect.
    pub retry: Duration,
}

impl Bye {
    /// Says goodbye for `reason`, with a random time to come back between half and one and a half of `around`,
    /// so that clients which leave together do not come back together.
    #[must_use]
    pub fn jittered(reason: CloseReason, around: Duration) -> Self {
        Self { reason, retry: around.mul_f64(rand::random_range(0.5..1.5)) }
    }
}

/// The whole body of a refused subscription.
///
/// An `EventSource` gives up for good on any status but 200, so what may pass is told inside a stream that ends.
#[must_use]
pub fn refusal(bye: &Bye, detail: &str, id: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let data = json!({"code": bye.reason.code(), "detail": detail, "retry": bye.retry.as_millis() as u64});
    event(&mut frame, Some("bye"), Some(bye.retry), data.to_string().as_bytes());
    if id.is_empty() {
        // No id keeps the cursor that the client has.
        frame.push(b'\n');
    } else {
        end_with_id(&mut frame, |out| out.extend_from_slice(id));
    }
    frame
}

/// Appends an event without its end: [`end_with_id`] must follow.
pub(super) fn event(out: &mut Vec<u8>, name: Option<&str>, retry: Option<Duration>, data: &[u8]) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    if let Some(retry) = retry {
        // 0 makes clients reconnect in a hot loop, and absurd numbers wrap to it in some.
        let retry = retry.as_millis().clamp(500, 60_000);
        out.extend_from_slice(format!("retry: {retry}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.push(b'\n');
}

/// Appends a notification without its end.
pub(super) fn message(out: &mut Vec<u8>, message: &Message) {
    event(out, message.event.as_deref(), None, &message.json);
}

/// Ends an event with the id that `write` appends.
pub(super) fn end_with_id(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"id: ");
    write(out);
    out.extend_from_slice(b"\n\n");
}

/// The name and data of the event that tells of missing records: `gap` when it is known which, else `reset`.
pub(super) fn gap(channel: &ChannelName, lane: Lane, gap: &Gap) -> (&'static str, Value) {
    let reason = gap.reason.as_str();
    match gap.range {
        Some((from, to)) => (
            "gap",
            json!({"channel": channel.as_str(), "lane": lane.as_str(), "reason": reason, "from": from, "to": to}),
        ),
        None => ("reset", json!({"channel": channel.as_str(), "lane": lane.as_str(), "reason": reason})),
    }
}
