//! A publisher under measurement: one connection that is kept, on a thread of its own, as a timer of the runtime is
//! too coarse for a rate.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hdrhistogram::Histogram;
use http::StatusCode;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::answer::Head;
use super::marker::Mark;
use super::meter::{Meter, histogram};
use super::target::Target;
use crate::cli::client::problem;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that was idle for longer is not used again: the server may be about to close it.
const MAX_IDLE: u64 = 5_000_000_000;
/// Longest sleep before it looks whether it shall stop.
const NAP: u64 = 50_000_000;
/// How often it looks whether enough has arrived.
const LOOK: Duration = Duration::from_micros(200);
/// Longest answer that is read.
const MAX_ANSWER: usize = 1024 * 1024;

/// A stretch of publishing.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    pub(super) publishers: usize,
    /// When it begins, on the meter's clock.
    pub(super) start: u64,
    pub(super) until: Until,
    /// Nanoseconds from one publish to the next; none: flat out.
    pub(super) pace: Option<f64>,
    /// Most deliveries on their way before publishers that go flat out wait.
    pub(super) window: u64,
    pub(super) purpose: Purpose,
    pub(super) stop: CancellationToken,
}

/// What a phase is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Faults count; times do not.
    WarmUp,
    Measure,
}

/// When a phase is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After so many publishes of all publishers.
    Messages(u64),
    /// At this time of the meter's clock.
    Time(u64),
}

/// A publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    index: usize,
    target: Arc<Target>,
    meter: Arc<Meter>,
    /// Subscribers of each channel.
    audience: Arc<[u64]>,
    connection: TcpStream,
    /// When the connection was used last.
    used: u64,
    /// The next number of each channel: how many were published to it.
    pub(super) published: Vec<u64>,
    /// From sending a publish to its answer.
    pub(super) answers: Histogram<u64>,
    answer: Vec<u8>,
}

impl Publisher {
    /// Connects.
    pub(super) fn connect(
        index: usize,
        target: &Arc<Target>,
        meter: &Arc<Meter>,
        audience: &Arc<[u64]>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            index,
            connection: connect(target)?,
            target: Arc::clone(target),
            meter: Arc::clone(meter),
            audience: Arc::clone(audience),
            used: meter.now(),
            published: vec![0; target.channels()],
            answers: histogram()?,
            answer: Vec::new(),
        })
    }

    /// Its place among all.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Publishes, to one channel after the other, until the phase is over.
    pub(super) fn run(&mut self, phase: &Phase) -> anyhow::Result<()> {
        for turn in 0.. {
            let place = turn * phase.publishers as u64 + self.index as u64;
            let due = phase.start + phase.pace.map_or(0, |pace| (pace * place as f64) as u64);
            if phase.is_over(place, due) {
                break;
            }
            let sent = self.wait(phase, due);
            if phase.is_over(place, self.meter.now()) || phase.stop.is_cancelled() {
                break;
            }
            let channel = (place % self.target.channels() as u64) as usize;
            self.publish(channel, if phase.purpose == Purpose::Measure { sent } else { 0 })
                .with_context(|| self.failed(channel))?;
        }
        Ok(())
    }

    fn failed(&self, channel: usize) -> String {
        let accepted: u64 = self.published.iter().sum();
        format!("publisher {}, to `{}`, after {accepted} were accepted", self.index, self.target.channel(channel))
    }

    /// Waits until it is time for a publish that is due then, and says from when on its latency counts.
    ///
    /// That is when it was due if the answer to the one before kept it from being sent, as whoever waits for the
    /// notification waits for that too. A timer that is late is no fault of the server's.
    fn wait(&self, phase: &Phase, due: u64) -> u64 {
        if phase.pace.is_none() {
            self.wait_for_room(phase);
        }
        let free = self.meter.now();
        if free >= due {
            return if phase.pace.is_some() { due } else { free };
        }
        let mut now = free;
        while now < due && !phase.stop.is_cancelled() {
            std::thread::sleep(Duration::from_nanos((due - now).min(NAP)));
            now = self.meter.now();
        }
        now
    }

    /// Waits until not too much is on its way. When nothing arrives any more, all publishers stop: what is lost is
    /// told in the end.
    fn wait_for_room(&self, phase: &Phase) {
        let (mut under_way, mut since) = (self.meter.under_way(), self.meter.now());
        while under_way > phase.window && !phase.stop.is_cancelled() && !phase.is_over(0, self.meter.now()) {
            std::thread::sleep(LOOK);
            let now = self.meter.under_way();
            if now != under_way {
                (under_way, since) = (now, self.meter.now());
            } else if self.meter.now() - since > PATIENCE.as_nanos() as u64 {
                phase.stop.cancel();
            }
        }
    }

    fn publish(&mut self, channel: usize, sent: u64) -> anyhow::Result<()> {
        let begun = self.meter.now();
        if begun - self.used > MAX_IDLE {
            self.connection = connect(&self.target)?;
        }
        let mark = Mark { publisher: self.index, channel, seq: self.published[channel], sent };
        let request = self.target.publication(&self.meter.marks, mark);
        self.meter.expect(self.audience[channel]);
        self.connection.write_all(request.as_bytes()).context("cannot publish")?;
        let status = self.read_answer().context("no answer to a publish")?;
        ensure!(
            status.is_success(),
            "the server refuses it: {}",
            problem(status, &String::from_utf8_lossy(&self.answer))
        );
        let is_first = self.published[channel] == 0;
        self.published[channel] += 1;
        self.used = self.meter.now();
        if sent > 0 {
            self.answers.saturating_record(self.used - begun);
        }
        // What one receipt says of where it went holds for those after it.
        if is_first { self.check_receipt(channel) } else { Ok(()) }
    }

    /// Reads an answer, whose body is then in `answer`.
    fn read_answer(&mut self) -> anyhow::Result<StatusCode> {
        self.answer.clear();
        let head = loop {
            self.read_more()?;
            if let Some(head) = Head::parse(&self.answer)? {
                break head;
            }
        };
        let mut body = head.body;
        let mut pending = self.answer.split_off(head.len);
        self.answer.clear();
        loop {
            let mut rest = &*pending;
            while !rest.is_empty() && !body.is_over() {
                self.answer.extend_from_slice(body.next(&mut rest)?);
            }
            if body.is_over() {
                return Ok(StatusCode::from_u16(head.status)?);
            }
            let taken = self.answer.len();
            self.read_more()?;
            pending = self.answer.split_off(taken);
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut room = [0; 4_096];
        match self.connection.read(&mut room)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if self.answer.len() > MAX_ANSWER => Err(io::Error::other("the answer is too long")),
            read => {
                self.answer.extend_from_slice(&room[..read]);
                Ok(())
            }
        }
    }

    /// Makes sure that what was published goes where it is waited for.
    fn check_receipt(&self, channel: usize) -> anyhow::Result<()> {
        let name = self.target.channel(channel);
        let receipt: Value = serde_json::from_slice(&self.answer).context("the answer to a publish is no receipt")?;
        let Some(sent) = receipt["channels"].as_array() else { bail!("the answer to a publish is no receipt") };
        let sent: Vec<&str> = sent.iter().filter_map(|sent| sent["channel"].as_str()).collect();
        if !sent.contains(&name) {
            let dropped = receipt["dropped"][0]["reason"].as_str().map(|reason| format!(", dropped as {reason}"));
            bail!("the server sends it to {sent:?}{}, and not to `{name}`", dropped.unwrap_or_default());
        }
        Ok(())
    }
}

impl Phase {
    /// Whether nothing is published any more at that place among all publishes, or at that time.
    fn is_over(&self, place: u64, time: u64) -> bool {
        match self.until {
            Until::Messages(messages) => place >= messages,
            Until::Time(end) => time >= end,
        }
    }
}

fn connect(target: &Target) -> anyhow::Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&target.address, PATIENCE).context("a publisher cannot connect")?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(connection)
}
