//! A subscriber on a bare socket, so that nothing between it and the server forgives or hides anything.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::sse::{Event, Frame, take_frame};
use super::{scenario, within_deadline};

/// A subscription that is about to be asked for.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    address: SocketAddr,
    method: &'static str,
    version: &'static str,
    channels: Vec<String>,
    query: Vec<String>,
    headers: Vec<(String, String)>,
}

impl Listen {
    /// With a token that may listen to all of `channels`.
    pub(crate) fn new(address: SocketAddr, channels: &[&str]) -> Self {
        let channels: Vec<String> = channels.iter().map(ToString::to_string).collect();
        let new = Self { address, method: "GET", version: "1.1", channels, query: Vec::new(), headers: Vec::new() };
        let token = scenario::token(claims(&new.channels), Some(Duration::from_secs(3_600)));
        new.header("accept", "text/event-stream").token(&token)
    }

    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn http_1_0(mut self) -> Self {
        self.version = "1.0";
        self
    }

    /// Sets a header; an earlier one of that name goes.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn anonymous(mut self) -> Self {
        self.headers.retain(|(known, _)| known != "authorization");
        self
    }

    pub(crate) fn cookie(self, token: &str) -> Self {
        self.anonymous().header("cookie", &format!("theme=dark; fanfare_token={token}"))
    }

    pub(crate) fn cursor(self, cursor: &str) -> Self {
        self.header("last-event-id", cursor)
    }

    /// Wants to be refused by a status, as no `EventSource` does.
    pub(crate) fn strict(self) -> Self {
        self.header("prefer", "handling=strict")
    }

    pub(crate) fn query(mut self, pair: &str) -> Self {
        self.query.push(pair.to_owned());
        self
    }

    /// Connects, and reads the head of the answer.
    pub(crate) async fn open(self) -> Subscriber {
        let socket = TcpSocket::new_v4().unwrap();
        within_deadline("the server answers", self.open_at(socket)).await
    }

    /// As [`Listen::open`], with little room for what the client does not read.
    pub(crate) async fn open_narrow(self) -> Subscriber {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        within_deadline("the server answers", self.open_at(socket)).await
    }

    async fn open_at(self, socket: TcpSocket) -> Subscriber {
        let mut stream = socket.connect(self.address).await.unwrap();
        let channels = self.channels.iter().map(|channel| format!("channel={channel}"));
        let query: Vec<String> = channels.chain(self.query).collect();
        let mut request =
            format!("{} /v1/events?{} HTTP/{}\r\nhost: shop.test\r\n", self.method, query.join("&"), self.version);
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all((request + "\r\n").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the connection ended before the answer");
        };
        let head = Head::parse(std::str::from_utf8(&bytes[..end]).unwrap());
        bytes.drain(..end + 4);
        let body = match (head.header("transfer-encoding"), head.header("content-length").parse()) {
            ("chunked", _) => Body::Chunked { left: 0 },
            _ if head.status == 204 => Body::Sized { left: 0 },
            (_, Ok(left)) => Body::Sized { left },
            _ => Body::UntilTheEnd,
        };
        Subscriber { stream, head, body, raw: bytes, text: Vec::new(), cursor: String::new() }
    }

    /// Connects, and reads the greeting that comes first.
    pub(crate) async fn greeted(self) -> Subscriber {
        let mut subscriber = self.open().await;
        assert_eq!(subscriber.head.status, 200, "{:?}", subscriber.head);
        subscriber.next_event("hello").await;
        subscriber
    }
}

/// Claims that suffice for `channels`.
fn claims(channels: &[String]) -> Value {
    let parts = |kind: &str| channels.iter().filter_map(|name| name.strip_prefix(kind)).collect::<Vec<_>>();
    let roles: &[&str] = if parts("ops.").is_empty() { &[] } else { &["operator"] };
    json!({ "sub": parts("user.").first().unwrap_or(&"nobody"), "teams": parts("team."), "roles": roles })
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: HashMap<String, String>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Self { status, headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }

    /// A header's value; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug)]
enum Body {
    /// `left`: bytes of the chunk that are still to come.
    Chunked {
        left: usize,
    },
    Sized {
        left: usize,
    },
    UntilTheEnd,
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Subscriber {
    stream: TcpStream,
    pub(crate) head: Head,
    body: Body,
    /// What came and is not decoded yet.
    raw: Vec<u8>,
    /// What is decoded and not taken yet.
    text: Vec<u8>,
    cursor: String,
}

impl Subscriber {
    /// The id of the last event, which is what a client sends when it comes back.
    pub(crate) fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The next thing that is said; none when the stream has ended.
    pub(crate) async fn next_frame(&mut self) -> Option<Frame> {
        let frame = within_deadline("something is said", self.read_frame()).await;
        self.note(frame.as_ref());
        frame
    }

    /// The next event of any kind; none when the stream has ended. Heartbeats do not prolong the wait.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        within_deadline("an event comes", async {
            loop {
                let frame = self.read_frame().await;
                self.note(frame.as_ref());
                match frame {
                    Some(Frame::Event(event)) => return Some(event),
                    Some(Frame::Heartbeat) => {}
                    None => return None,
                }
            }
        })
        .await
    }

    fn note(&mut self, frame: Option<&Frame>) {
        if let Some(Frame::Event(Event { id: Some(id), .. })) = frame {
            self.cursor.clone_from(id);
        }
    }

    /// The next event, which must be the system's `name`.
    pub(crate) async fn next_event(&mut self, name: &str) -> Event {
        let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before `{name}`"));
        assert_eq!(event.name.as_deref(), Some(name), "{event:?}");
        event
    }

    /// The next event, which must be a notification.
    pub(crate) async fn next_notification(&mut self) -> Value {
        let event = self.next().await.expect("the stream ended before a notification");
        assert!(!event.is_system(), "{event:?}");
        event.json()
    }

    /// The next event, which must be an order; its number.
    pub(crate) async fn next_order(&mut self) -> String {
        let notification = self.next_notification().await;
        notification["data"]["order_id"].as_str().unwrap_or_else(|| panic!("no order: {notification}")).to_owned()
    }

    /// The end of the stream, which must come next.
    pub(crate) async fn ended(&mut self) {
        let more = self.next().await;
        assert_eq!(more, None, "the stream goes on");
    }

    /// The end of the stream, which must come next, and be one that a client can tell from a cut.
    pub(crate) async fn ended_whole(&mut self) {
        self.ended().await;
        assert!(self.raw.starts_with(b"0\r\n"), "the last chunk is missing: {:?}", self.raw);
    }

    /// The whole body of an answer that is no stream.
    pub(crate) async fn body(mut self) -> String {
        while within_deadline("the answer ends", self.fill()).await {}
        String::from_utf8(self.text).unwrap()
    }

    /// Sends what no client of a stream sends.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Goes away, and says where it stood.
    pub(crate) fn disconnect(self) -> String {
        self.cursor
    }

    async fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = take_frame(&mut self.text) {
                return Some(frame);
            }
            if !self.fill().await {
                let left = String::from_utf8_lossy(&self.text);
                assert!(left.is_empty(), "the stream ended inside an event: {left:?}");
                return None;
            }
        }
    }

    /// Decodes more; false at the end. A reset is an end too.
    async fn fill(&mut self) -> bool {
        loop {
            match self.decode() {
                Decoded::Some => return true,
                Decoded::End => return false,
                Decoded::None => {}
            }
            if !matches!(self.stream.read_buf(&mut self.raw).await, Ok(1..)) {
                return false;
            }
        }
    }

    fn decode(&mut self) -> Decoded {
        let mut all = self.raw.len();
        // How much may be taken, and how much of it is text.
        let (left, text) = match &mut self.body {
            Body::Sized { left: 0 } => return Decoded::End,
            Body::Sized { left } => (left, usize::MAX),
            Body::UntilTheEnd => (&mut all, usize::MAX),
            Body::Chunked { left } => {
                if *left == 0 {
                    let Some(end) = self.raw.windows(2).position(|pair| pair == b"\r\n") else { return Decoded::None };
                    let size = std::str::from_utf8(&self.raw[..end]).unwrap();
                    let size = usize::from_str_radix(size, 16).unwrap();
                    if size == 0 {
                        return Decoded::End;
                    }
                    self.raw.drain(..end + 2);
                    *left = size + 2; // with the line end that closes it
                }
                let text = left.saturating_sub(2);
                (left, text)
            }
        };
        let taken: Vec<u8> = self.raw.drain(..self.raw.len().min(*left)).collect();
        *left -= taken.len();
        self.text.extend_from_slice(&taken[..taken.len().min(text)]);
        if taken.is_empty() { Decoded::None } else { Decoded::Some }
    }
}

enum Decoded {
    Some,
    None,
    End,
}
