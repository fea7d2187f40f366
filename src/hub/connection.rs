//! A connection that its shard writes to itself: a socket, and the reader that feeds it.
//!
//! It has left hyper once its response's head was sent, so it costs no task, no buffers, and no poll of an HTTP
//! state machine for each event: the shard hands the bytes of a turn to the socket. What the socket does not take
//! is put back into the rings, but for the rest of the event that is under way.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::turn::{Framing, Turn};
use super::wake::Wake;
use super::{Bye, CloseReason, Reader};

/// Line ends that a client may send after its request (RFC 9112, section 2.2 knows such); anything else is another
/// request, which a stream never comes to.
const MAX_STRAY: usize = 8;
/// What is read of another request in one turn: closing a socket with unread bytes would be a reset, which takes away
/// from the client what it has not read yet.
const MAX_READS: usize = 64;
/// Around when a client comes back that sent another request.
const RETRY: Duration = Duration::from_secs(5);

/// A socket on which the head of a stream's response has been sent.
#[derive(Debug)]
pub struct Socket {
    /// The socket.
    pub stream: TcpStream,
    /// How the body is delimited.
    pub framing: Framing,
    /// What its client had sent by then after its request.
    pub early: Bytes,
    /// Lives as long as the connection does: its place among those that the server allows.
    pub seat: Box<dyn Any + Send>,
}

/// A connection of a shard.
#[derive(Debug)]
pub(super) struct Connection {
    reader: Reader,
    socket: Socket,
    wake: Arc<Wake>,
    waker: Waker,
    /// The rest of what the socket did not take.
    unsent: Vec<u8>,
    stray: usize,
}

/// What is to be done with a connection after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until it is woken or its channels have news.
    Wait,
    /// Another turn, after the others had theirs.
    Again,
    /// It is over.
    Close,
}

impl Connection {
    pub(super) fn new(reader: Reader, mut socket: Socket, wake: Arc<Wake>) -> Self {
        let waker = Waker::from(Arc::clone(&wake));
        let early = std::mem::take(&mut socket.early);
        let mut new = Self { reader, socket, wake, waker, unsent: Vec::new(), stray: 0 };
        new.hear(&early);
        new
    }

    /// Asks for a turn.
    pub(super) fn queue(&self) {
        self.waker.wake_by_ref();
    }

    pub(super) fn framing(&self) -> Framing {
        self.socket.framing
    }

    pub(super) fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    /// Looks at everything that may have woken it.
    pub(super) fn attend(&mut self, turn: &mut Turn) -> Next {
        self.wake.attended();
        // Also while it is blocked and takes no news: it may have to end.
        self.reader.subscriber().watch(&self.waker);
        if self.reader.subscriber().is_killed() || self.listen() == Client::Left {
            return Next::Close;
        }
        self.run(turn)
    }

    /// Sends what there is, until the socket takes no more or the turn is over.
    pub(super) fn run(&mut self, turn: &mut Turn) -> Next {
        match self.flush() {
            Err(_) => return Next::Close,
            Ok(false) => return Next::Wait,
            Ok(true) if self.reader.is_over() => return Next::Close,
            Ok(true) => {}
        }
        turn.reset(self.socket.framing);
        self.reader.stage(&mut Context::from_waker(&self.waker), turn);
        if self.reader.is_over() {
            turn.finish();
        }
        self.hand_over(turn)
    }

    /// Sends a turn that was staged for it, or for another that stands where it does.
    pub(super) fn hand_over(&mut self, turn: &Turn) -> Next {
        let Ok(sent) = self.send(turn.bytes()) else { return Next::Close };
        if sent < turn.bytes().len() {
            let (rest, back) = turn.unsent(sent);
            self.unsent = rest.to_vec();
            self.reader.count(turn.tally().less(back));
            self.reader.put_back(back);
            self.reader.fell_behind();
            self.note_progress(sent);
            return Next::Wait;
        }
        self.reader.count(turn.tally());
        self.reader.subscriber().settled();
        if self.reader.is_over() {
            Next::Close
        } else if self.reader.has_more() {
            Next::Again
        } else {
            self.reader.caught_up();
            Next::Wait
        }
    }

    /// Whether the socket has not taken all that it was given.
    pub(super) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends the rest of an earlier turn. False when the socket does not take all of it.
    fn flush(&mut self) -> io::Result<bool> {
        if !self.is_blocked() {
            return Ok(true);
        }
        let sent = self.send(&self.unsent)?;
        self.note_progress(sent);
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
            self.reader.subscriber().settled();
        }
        Ok(self.unsent.is_empty())
    }

    /// Sends what the socket takes, and says how much that was. When it was not all, it is woken when there is room.
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.stream.try_write(&bytes[sent..]) {
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.socket.stream.poll_write_ready(&mut Context::from_waker(&self.waker)) {
                        Poll::Pending => break,
                        Poll::Ready(ready) => ready?,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    fn note_progress(&self, sent: usize) {
        let subscriber = self.reader.subscriber();
        if sent > 0 {
            subscriber.progressed();
        } else {
            subscriber.owe();
        }
    }

    /// Looks whether the client has left, and hears what it sends. It is woken when there is more.
    fn listen(&mut self) -> Client {
        let mut bytes = [0; 1_024];
        for _ in 0..MAX_READS {
            match self.socket.stream.poll_read_ready(&mut Context::from_waker(&self.waker)) {
                Poll::Pending => return Client::Stays,
                Poll::Ready(Err(_)) => return Client::Left,
                Poll::Ready(Ok(())) => {}
            }
            match self.socket.stream.try_read(&mut bytes) {
                Ok(0) => return Client::Left,
                Ok(read) => self.hear(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Client::Left,
            }
        }
        // It sends on and on, and was asked to end long ago: what it sends need not wake it.
        Client::Stays
    }

    /// Takes what a client sends after its request. Anything but a few line ends is another request, which is never
    /// answered: the stream ends, and says why.
    fn hear(&mut self, bytes: &[u8]) {
        self.stray = self.stray.saturating_add(bytes.len());
        if self.stray > MAX_STRAY || bytes.iter().any(|byte| !b"\r\n".contains(byte)) {
            let Reader { hub, registration, .. } = &self.reader;
            hub.close(&registration.subscriber, Bye::jittered(CloseReason::BadRequest, RETRY));
        }
    }
}

/// What became of the client of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Stays,
    Left,
}
