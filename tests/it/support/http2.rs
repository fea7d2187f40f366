//! A client of HTTP/2: several streams on one connection, as browsers open them behind a proxy.

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Event, Frame, TestServer, take_frame, within_deadline};

/// A client's one connection.
pub(crate) struct Http2 {
    requests: SendRequest<Body>,
    _driver: JoinSet<()>,
}

impl Http2 {
    pub(crate) async fn connect(server: &TestServer) -> Self {
        let socket = TcpStream::connect(server.address).await.unwrap();
        let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        Self { requests, _driver: driver }
    }

    /// Subscribes to the default channels of a token, and reads the greeting.
    pub(crate) async fn subscribe(&mut self, server: &TestServer, token: &str) -> Http2Stream {
        let mut stream = self.open(server, token, "", None).await;
        assert_eq!(stream.next().await.unwrap().name.as_deref(), Some("hello"));
        stream
    }

    /// Subscribes to what `query` names, from `cursor` on.
    pub(crate) async fn open(
        &mut self,
        server: &TestServer,
        token: &str,
        query: &str,
        cursor: Option<&str>,
    ) -> Http2Stream {
        let mut request = hyper::Request::get(format!("http://{}/v1/events?{query}", server.address))
            .header("accept", "text/event-stream")
            .header("authorization", format!("Bearer {token}"));
        if let Some(cursor) = cursor {
            request = request.header("last-event-id", cursor);
        }
        let sent = self.requests.send_request(request.body(Body::empty()).unwrap());
        let response = within_deadline("the server answers", sent).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("connection"));
        Http2Stream { body: response.into_body(), text: Vec::new() }
    }
}

/// An open stream.
pub(crate) struct Http2Stream {
    body: Incoming,
    text: Vec<u8>,
}

impl Http2Stream {
    /// The next event; none when the stream has ended as it should.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            match take_frame(&mut self.text) {
                Some(Frame::Event(event)) => return Some(event),
                Some(Frame::Heartbeat) => {}
                None => {
                    let frame = within_deadline("something is said", self.body.frame()).await?;
                    let frame = frame.expect("the connection was cut");
                    self.text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                }
            }
        }
    }
}
