//! A subscriber under measurement: a bare socket, so that thousands of them cost the generator little.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::answer::{Body, Head};
use super::events::Events;
use super::ledger::{Arrival, Ledger};
use super::meter::Meter;
use super::target::Target;
use crate::cli::client::problem;

/// How long the server may take to open a stream and greet.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes read at once.
const MAX_READ: usize = 64 * 1024;
/// Longest head or refusal that is read.
const MAX_HEAD: usize = 64 * 1024;

thread_local! {
    /// Reads end before another subscriber of the thread begins one, so they share the room.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_READ]);
}

/// What a subscriber has seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By publisher.
    pub(super) ledgers: Vec<Ledger>,
    /// Deliveries that are measured, repeats left out.
    pub(super) measured: u64,
    pub(super) doubled: u64,
    pub(super) out_of_order: u64,
    /// Deliveries of another channel's.
    pub(super) crossed: u64,
    /// System events that tell of a loss, and the first of them.
    pub(super) gaps: u64,
    pub(super) first_gap: Option<String>,
    /// Why the stream ended before the run did.
    pub(super) ended: Option<String>,
    is_greeted: bool,
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Subscriber {
    stream: TcpStream,
    body: Body,
    events: Events,
    /// Its place among all.
    index: usize,
    channel: usize,
    meter: Arc<Meter>,
    tally: Arc<Mutex<Tally>>,
}

impl Subscriber {
    /// Opens a stream and waits until it is greeted.
    pub(super) async fn open(
        target: &Target,
        meter: &Arc<Meter>,
        index: usize,
        publishers: usize,
    ) -> anyhow::Result<Self> {
        let opened = tokio::time::timeout(PATIENCE, Self::connect(target, meter, index, publishers)).await;
        let opened =
            opened.unwrap_or_else(|_| Err(anyhow!("no greeting within {PATIENCE:?}; does a proxy hold it back?")));
        opened.with_context(|| format!("subscriber {index} on `{}`", target.channel(index % target.channels())))
    }

    async fn connect(target: &Target, meter: &Arc<Meter>, index: usize, publishers: usize) -> anyhow::Result<Self> {
        let channel = index % target.channels();
        let mut stream = TcpStream::connect(target.address).await.context("cannot connect")?;
        stream.write_all(target.subscription(channel).as_bytes()).await?;
        let mut bytes = Vec::new();
        let head = loop {
            read_more(&mut stream, &mut bytes).await?;
            if let Some(head) = Head::parse(&bytes)? {
                break head;
            }
        };
        let rest = bytes.split_off(head.len);
        if head.status != StatusCode::OK.as_u16() {
            bail!(refusal(&mut stream, head, rest).await);
        }
        let ledgers = (0..publishers).map(|_| Ledger::default()).collect();
        let tally = Arc::new(Mutex::new(Tally { ledgers, ..Tally::default() }));
        let (body, events, meter) = (head.body, Events::default(), Arc::clone(meter));
        let mut opened = Self { stream, body, events, index, channel, meter, tally };
        opened.take(&rest)?;
        while !opened.tally.lock().is_greeted {
            if !opened.read().await? {
                bail!("the stream ended before its greeting");
            }
        }
        Ok(opened)
    }

    /// Its place among all.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// What it sees, also while it listens.
    pub(super) fn tally(&self) -> Arc<Mutex<Tally>> {
        Arc::clone(&self.tally)
    }

    /// Listens until the stream ends.
    pub(super) async fn listen(mut self) {
        let why = loop {
            match self.read().await {
                Ok(true) => {}
                Ok(false) => break "the connection ended".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        self.tally.lock().ended.get_or_insert(why);
    }

    /// Takes what has come; false at the end.
    async fn read(&mut self) -> anyhow::Result<bool> {
        let read = poll_fn(|cx| {
            ROOM.with_borrow_mut(|room| {
                let mut room = ReadBuf::new(room);
                match Pin::new(&mut self.stream).poll_read(cx, &mut room) {
                    Poll::Ready(Ok(())) => Poll::Ready(self.take(room.filled()).map(|()| !room.filled().is_empty())),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                    Poll::Pending => Poll::Pending,
                }
            })
        });
        Ok(read.await? && !self.body.is_over())
    }

    fn take(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        let now = self.meter.now();
        let mut tally = self.tally.lock();
        let mut latencies = self.meter.latencies(self.index);
        let mut reached = 0;
        while !bytes.is_empty() && !self.body.is_over() {
            let piece = self.body.next(&mut bytes)?;
            self.events.feed(piece, |name, data| match self.meter.marks.find(data) {
                Some(mark) if mark.channel != self.channel => tally.crossed += 1,
                Some(mark) => {
                    let ahead = tally.arrived(mark.publisher, mark.seq);
                    reached += ahead.unwrap_or_default();
                    if mark.sent > 0 && ahead.is_some() {
                        tally.measured += 1;
                        latencies.saturating_record(now.saturating_sub(mark.sent));
                    }
                }
                None => tally.note(name, data),
            });
        }
        self.meter.reach(reached, now);
        Ok(())
    }
}

impl Tally {
    /// Notes a delivery, and says by how much it is ahead of all before it; none for a repeat.
    fn arrived(&mut self, publisher: usize, seq: u64) -> Option<u64> {
        match self.ledgers.get_mut(publisher)?.take(seq) {
            Arrival::Ahead(by) => Some(by),
            Arrival::Late => {
                self.out_of_order += 1;
                Some(0)
            }
            Arrival::Again => {
                self.doubled += 1;
                None
            }
        }
    }

    /// Notes an event that is no notification of this run.
    fn note(&mut self, name: &[u8], data: &[u8]) {
        let text = || format!("{} {}", String::from_utf8_lossy(name), String::from_utf8_lossy(data));
        match name {
            b"hello" => self.is_greeted = true,
            b"gap" | b"reset" | b"lag" => {
                self.gaps += 1;
                self.first_gap.get_or_insert_with(text);
            }
            b"bye" => drop(self.ended.get_or_insert_with(text)),
            _ => {}
        }
    }
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    if bytes.len() > MAX_HEAD {
        return Err(io::Error::other("the answer is too long"));
    }
    match stream.read_buf(bytes).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// What a refusal says.
async fn refusal(stream: &mut TcpStream, head: Head, mut bytes: Vec<u8>) -> String {
    let (mut body, mut text) = (head.body, Vec::new());
    loop {
        let mut rest = &*bytes;
        while !rest.is_empty() && !body.is_over() {
            let Ok(piece) = body.next(&mut rest) else { break };
            text.extend_from_slice(piece);
        }
        bytes.clear();
        // Whatever there is of it is better than to say nothing.
        if body.is_over() || text.len() > MAX_HEAD || read_more(stream, &mut bytes).await.is_err() {
            break;
        }
    }
    let status = StatusCode::from_u16(head.status).unwrap_or_default();
    format!("the server refuses it: {}", problem(status, &String::from_utf8_lossy(&text)))
}
