//! A subscription as an HTTP response body: the writer for connections that hyper keeps (HTTP/2, TLS).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};

use super::Reader;
use super::turn::{Framing, Turn};

/// A reader whose connection takes nothing for this long lags. Far above what a busy worker needs to come round.
const LAG: Duration = Duration::from_millis(250);

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
        // hyper asks when it has room. What waited until then, while the reader was told of it, waited for the client.
        if reader.subscriber().waiting() >= LAG {
            reader.fell_behind();
        }
        reader.subscriber().settled();
        let mut turn = Turn::new(Framing::Plain);
        reader.stage(cx, &mut turn);
        if turn.is_empty() {
            return Poll::Pending;
        }
        reader.count(turn.tally());
        if reader.has_more() {
            reader.subscriber().owe();
        } else {
            reader.caught_up();
        }
        Poll::Ready(Some(Ok(Frame::data(turn.into_bytes().into()))))
    }
}
