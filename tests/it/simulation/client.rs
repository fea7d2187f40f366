//! One client: what it listens to, what it has heard, and its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fanfare::auth::Credential;
use fanfare::hub::{Reader, SseBody, Start};
use fanfare::stream::Cursor;
use http_body::Body;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use crate::checker::Heard;
use crate::support::{Begin, Ear, Frame, take_frame, token};

/// Somebody who subscribes again and again.
pub(super) struct Client {
    pub(super) principal: String,
    pub(super) channels: Vec<String>,
    pub(super) credential: Credential,
    /// Every cursor that it has seen.
    cursors: Vec<String>,
    pub(super) state: State,
}

pub(super) enum State {
    Away,
    /// Its subscription is being opened.
    Coming,
    There(Box<Connection>),
}

/// One connection, as the client and the server's HTTP stack see it.
pub(super) struct Connection {
    pub(super) ear: Ear,
    body: SseBody,
    kill: CancellationToken,
    woken: Arc<Woken>,
    /// The body had something when it was last asked: it is asked again without being woken.
    ready: bool,
    over: bool,
    /// Sent and not read.
    wire: Vec<u8>,
    /// Read, and not a whole event yet.
    text: Vec<u8>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Client {
    pub(super) fn new(name: &str, channels: &[&str]) -> Self {
        let part = |kind| channels.iter().filter_map(|name| name.strip_prefix(kind)).collect::<Vec<&str>>();
        let claims = json!({ "sub": name, "teams": part("team."), "roles": ["operator"] });
        Self {
            principal: name.to_owned(),
            channels: channels.iter().map(ToString::to_string).collect(),
            credential: Credential::new(token(claims, Some(Duration::from_secs(3_600)))),
            cursors: Vec::new(),
            state: State::Away,
        }
    }

    /// Where it begins this time.
    pub(super) fn start(&self, dice: &Dice) -> (Start, Begin) {
        let parse = |text: &str| Start::Cursor(Cursor::parse(text.as_bytes()).unwrap());
        let old = || (!self.cursors.is_empty() && dice.fault("old_cursor", 15)).then(|| dice.one_of(&self.cursors));
        match (old().or(self.cursors.last()), dice.below(20)) {
            (None, 0..15) | (Some(_), 0) => (Start::Live, Begin::Now),
            (None, last) | (Some(_), last @ 1) => (Start::Last(last as u64 - 1), Begin::Last),
            (Some(cursor), _) => (parse(cursor), Begin::Cursor(cursor.clone())),
        }
    }

    /// Reads up to `bytes`; then, and only then, is more asked for.
    pub(super) fn read(&mut self, bytes: usize, log: &mut Vec<Heard>) {
        let State::There(connection) = &mut self.state else { return };
        let before = connection.ear.cursor.clone();
        if connection.wire.is_empty() {
            connection.poll();
        }
        connection.take(bytes, log);
        let after = connection.ear.cursor.clone();
        self.cursors.extend(after.filter(|after| before.as_ref() != Some(after)));
        if connection.is_over() {
            self.state = State::Away;
        }
    }

    /// Loses its connection, wherever it was.
    pub(super) fn cut(&mut self, dice: &Dice, log: &mut Vec<Heard>) {
        if let State::There(connection) = &self.state {
            self.read(dice.below(connection.wire.len() + 1), log);
        }
        self.state = State::Away;
    }
}

impl Connection {
    pub(super) fn new(ear: Ear, reader: Reader, kill: CancellationToken) -> Self {
        let (body, woken) = (SseBody::new(reader), Arc::default());
        Self { ear, body, kill, woken, ready: true, over: false, wire: Vec::new(), text: Vec::new() }
    }

    /// Asks for more, as hyper does: after the last was taken, or when woken, and never else.
    fn poll(&mut self) {
        let woken = self.woken.0.swap(false, Ordering::SeqCst);
        if self.over || !(self.ready || woken) {
            return;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(&waker));
        self.ready = polled.is_ready();
        match polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.over = true,
            Poll::Ready(Some(Ok(frame))) => self.wire.extend_from_slice(frame.data_ref().unwrap()),
        }
    }

    fn take(&mut self, bytes: usize, log: &mut Vec<Heard>) {
        let bytes = bytes.min(self.wire.len());
        self.text.extend(self.wire.drain(..bytes));
        while let Some(frame) = take_frame(&mut self.text) {
            if let Frame::Event(event) = frame {
                self.ear.hear(&event, log);
            }
        }
    }

    /// Whether nothing more comes of it.
    fn is_over(&self) -> bool {
        self.kill.is_cancelled() || (self.over && self.wire.is_empty())
    }
}
