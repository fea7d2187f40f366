//! A subscription as an HTTP response body: the writer for connections that hyper keeps (HTTP/2, TLS).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::Reader;

/// The body of an open stream. hyper polls it while the client takes bytes.
#[derive(Debug)]
pub struct SseBody(Reader);

impl SseBody {
    /// The body that sends what `reader` reads.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self(reader)
    }
}

impl Body for SseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_turn(cx).map(|turn| turn.map(|bytes| Ok(Frame::data(bytes))))
    }
}
