//! The accept loop: connections, their time limits, their number, and their end.
//!
//! It is ours because streams need what a general one lacks: a limit on the time for a request's head, a cap on
//! connections, and a way to end a connection from outside when nobody reads from it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntGauge;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::ServiceExt;

use super::handoff::{Handoff, Watched};
use super::streams::Streams;
use crate::hub::{Framing, Reader, Socket};

/// Bytes that hyper may hold back for one connection, and the largest request head.
const MAX_BUFFER: usize = 64 * 1024;
/// Streams on one HTTP/2 connection.
const MAX_H2_STREAMS: u32 = 100;
/// Bytes on their way to the client of a stream, sent or not, before it acknowledges them.
const SEND_BUFFER: usize = 64 * 1024;
/// Of these, bytes that have not been sent yet.
const NOT_SENT: u32 = 8 * 1024;
/// A peer that acknowledges nothing for this long is gone.
const PEER_TIMEOUT: Duration = Duration::from_secs(20);
/// After an accept error such as too many open files: retrying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Most open connections.
    pub max_connections: usize,
    /// How long a request's head may take.
    pub header_timeout: Duration,
    /// How long a client may take nothing of a stream; the system must not end its connection earlier.
    pub stall_timeout: Duration,
}

/// One listening socket and what it serves.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    server: Arc<Server>,
}

#[derive(Debug)]
struct Server {
    routes: Router,
    limits: ServerLimits,
    permits: Arc<Semaphore>,
    open: IntGauge,
    /// Stops taking requests; what is under way goes on.
    drain: CancellationToken,
}

/// What a handler can do about what it answers on.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// Ends it at once: the connection, or the stream of an HTTP/2 connection.
    pub(super) kill: CancellationToken,
    /// Takes the socket out of hyper, where it carries nothing else.
    pub(super) handoff: Option<Handoff>,
}

/// How requests of a connection are answered on it.
#[derive(Debug)]
enum Transport {
    Http1 { kill: CancellationToken, handoff: Handoff },
    Http2(Streams),
}

/// A connection's place among those that the server allows, and that a stop waits for: also when a shard of the hub
/// has the socket, and the task of the connection is gone.
#[derive(Debug)]
struct Seat {
    _permit: OwnedSemaphorePermit,
    _tracked: TaskTrackerToken,
    open: IntGauge,
}

impl Seat {
    fn taken(permit: OwnedSemaphorePermit, tracked: TaskTrackerToken, open: IntGauge) -> Self {
        open.inc();
        Self { _permit: permit, _tracked: tracked, open }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Listener {
    /// Listens at `address`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        routes: Router,
        limits: ServerLimits,
        open: IntGauge,
        drain: CancellationToken,
    ) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let permits = Arc::new(Semaphore::new(limits.max_connections));
        Ok(Self { socket, server: Arc::new(Server { routes, limits, permits, open, drain }) })
    }

    /// Where it listens; the port is known even when it was chosen by the system.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections until drained; each is a task of `tasks`.
    pub async fn run(self, tasks: TaskTracker) {
        loop {
            // A place is taken before the connection is, so that what is beyond the cap waits in the kernel's
            // backlog, where a full server looks like a slow one and not like a broken one.
            let Ok(permit) = Arc::clone(&self.server.permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = self.server.drain.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    let seat = Seat::taken(permit, tasks.token(), self.server.open.clone());
                    tasks.spawn(Arc::clone(&self.server).serve(stream, seat));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Server {
    async fn serve(self: Arc<Self>, stream: TcpStream, seat: Seat) {
        let kill = CancellationToken::new();
        if let Err(error) = tune(&stream, self.limits) {
            tracing::debug!(%error, "a connection could not be tuned: {error}");
        }
        // Ended from outside, the future is dropped and the socket with it, wherever it was waiting.
        let _ = kill.run_until_cancelled(self.serve_http(stream, seat, kill.clone())).await;
    }

    async fn serve_http(&self, stream: TcpStream, seat: Seat, kill: CancellationToken) {
        match tokio::time::timeout(self.limits.header_timeout, speaks_http2(&stream)).await {
            Ok(true) => self.serve_http2(stream).await,
            Ok(false) => self.serve_http1(stream, seat, kill).await,
            Err(_) => {}
        }
    }

    // How a connection ends is the client's affair: errors here are resets, time-outs and bad requests.
    async fn serve_http2(&self, stream: TcpStream) {
        let streams = Streams::default();
        let mut builder = hyper::server::conn::http2::Builder::new(streams.clone());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_H2_STREAMS)
            .max_send_buf_size(MAX_BUFFER)
            .max_header_list_size(MAX_BUFFER as u32 / 4)
            .keep_alive_interval(PEER_TIMEOUT);
        let service = self.service(Transport::Http2(streams));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.drain.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    async fn serve_http1(&self, stream: TcpStream, seat: Seat, kill: CancellationToken) {
        let handoff = Handoff::default();
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.limits.header_timeout).max_buf_size(MAX_BUFFER);
        let service = self.service(Transport::Http1 { kill, handoff: handoff.clone() });
        let mut connection = builder.serve_connection(handoff.watch(stream), service);
        let stream = tokio::select! {
            stream = opened(&mut connection, &handoff) => stream,
            () = self.drain.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                opened(&mut connection, &handoff).await
            }
        };
        let Some((reader, framing)) = stream else { return };
        let parts = connection.into_parts();
        let stream = parts.io.into_inner();
        if let Err(error) = bound(&stream) {
            tracing::debug!(%error, "a stream's buffers could not be bounded: {error}");
        }
        reader.feed(Socket { stream, framing, early: parts.read_buf, seat: Box::new(seat) });
    }

    fn service(&self, transport: Transport) -> Served {
        Served { routes: self.routes.clone(), transport }
    }
}

impl Transport {
    /// Called once for each request, by its service.
    fn connection(&self) -> Connection {
        match self {
            Self::Http1 { kill, handoff } => Connection { kill: kill.clone(), handoff: Some(handoff.clone()) },
            Self::Http2(streams) => Connection { kill: streams.kill_next(), handoff: None },
        }
    }
}

/// The routes, as one connection sees them.
#[derive(Debug)]
struct Served {
    routes: Router,
    transport: Transport,
}

impl Service<hyper::Request<Incoming>> for Served {
    type Response = Response;
    type Error = Infallible;
    /// Boxed, as a connection is mostly idle, and the future of a request is large.
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.transport.connection());
        Box::pin(self.routes.clone().oneshot(request))
    }
}

/// Serves a connection until it ends, or until a stream is open whose socket can be taken.
async fn opened(
    connection: &mut hyper::server::conn::http1::Connection<Watched, Served>,
    handoff: &Handoff,
) -> Option<(Reader, Framing)> {
    poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => handoff.take().map_or(Poll::Pending, |stream| Poll::Ready(Some(stream))),
    })
    .await
}

/// Whether the client opens with the HTTP/2 preface (RFC 9113, section 3.4), without taking it from the stream.
async fn speaks_http2(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI ";
    let mut seen = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut seen).await {
            Ok(read) if read > 0 && read < PREFACE.len() && PREFACE.starts_with(&seen[..read]) => {
                // The rest is on its way; peeking again at once would only spin.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(read) => return seen[..read] == *PREFACE,
            Err(_) => return false,
        }
    }
}

fn tune(stream: &TcpStream, limits: ServerLimits) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // Linux counts a client that lives and reads nothing, whose window is zero, as one that acknowledges nothing.
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT.max(limits.stall_timeout)))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PEER_TIMEOUT))
}

/// Bounds what the system holds for a stream whose client does not read: what is in there cannot be overtaken.
fn bound(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_notsent_lowat(NOT_SENT)
}
