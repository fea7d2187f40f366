//! How the socket of a stream leaves hyper: once the response's head is flushed, the socket and the stream's reader go
//! to the hub, and hyper's buffers and the connection's task are gone.
//!
//! hyper polls the response's body after it has encoded the head, and flushes the socket only when everything encoded
//! has been written. So the first flush after the first poll of a body that gives nothing says that the head is out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::hub::{Framing, Reader};

/// What a handler leaves for the task of its connection: the stream that it opened, if it did and that is not over.
#[derive(Debug, Clone, Default)]
pub(super) struct Handoff(Arc<Mutex<Option<Opened>>>);

/// A stream whose socket is still with hyper.
#[derive(Debug)]
struct Opened {
    reader: Reader,
    framing: Framing,
    head: Head,
}

/// How far the response's head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Made,
    Encoded,
    Flushed,
}

impl Handoff {
    /// The body of a response that leaves hyper, where `reader` goes on.
    pub(super) fn body(&self, reader: Reader, framing: Framing) -> HandoffBody {
        *self.0.lock() = Some(Opened { reader, framing, head: Head::Made });
        HandoffBody(self.clone())
    }

    /// The socket, watched for the flush of the head.
    pub(super) fn watch(&self, stream: TcpStream) -> Watched {
        Watched { stream: TokioIo::new(stream), handoff: self.clone() }
    }

    /// The reader, once the socket can be taken from hyper.
    pub(super) fn take(&self) -> Option<(Reader, Framing)> {
        let opened = self.0.lock().take_if(|opened| opened.head == Head::Flushed)?;
        Some((opened.reader, opened.framing))
    }

    /// Notes that the head is at `to`, if it was at `from`.
    fn advance(&self, from: Head, to: Head) {
        if let Some(opened) = self.0.lock().as_mut().filter(|opened| opened.head == from) {
            opened.head = to;
        }
    }
}

/// A body that gives nothing: the hub writes what follows.
#[derive(Debug)]
pub(super) struct HandoffBody(Handoff);

impl Body for HandoffBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.advance(Head::Made, Head::Encoded);
        Poll::Pending
    }
}

impl Drop for HandoffBody {
    /// A response that is dropped, such as that of a HEAD request, ends its subscription.
    fn drop(&mut self) {
        let opened = self.0.0.lock().take();
        drop(opened); // without the lock, as it leaves the hub
    }
}

/// A socket that tells when it is flushed.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TokioIo<TcpStream>,
    handoff: Handoff,
}

impl Watched {
    pub(super) fn into_inner(self) -> TcpStream {
        self.stream.into_inner()
    }
}

impl Read for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.handoff.advance(Head::Encoded, Head::Flushed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
