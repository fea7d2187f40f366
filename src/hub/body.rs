//! A subscription as an HTTP response body: the writer for connections that hyper keeps (HTTP/2, TLS).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::Reader;
use super::turn::{Framing, Turn};

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
        let reader = &mut self.0;
        if reader.is_over() {
            return Poll::Ready(None);
        }
        // hyper asks when it has room: the last turn is on its way.
        reader.subscriber().settled();
        let mut turn = Turn::new(Framing::Plain);
        reader.stage(cx, &mut turn);
        if turn.is_empty() {
            return Poll::Pending;
        }
        reader.delivered(turn.notifications());
        if reader.has_more() {
            reader.subscriber().owe();
        }
        Poll::Ready(Some(Ok(Frame::data(turn.into_bytes().into()))))
    }
}
