//! A run: open the streams, warm up, publish and measure, wait for what is on its way, count.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::meter::{Meter, histogram};
use super::process::Process;
use super::publisher::{Phase, Publisher, Purpose, Until};
use super::subscriber::{Subscriber, Tally};
use super::target::Target;
use crate::notification::{InvalidDuration, parse_duration};

/// Streams that are opened at a time.
const OPENING: usize = 64;
/// Until the server's memory is measured, after the last stream was opened.
const SETTLE: Duration = Duration::from_millis(500);
/// From the last expected delivery to the count, so that repeats show.
const LINGER: Duration = Duration::from_millis(100);
/// How often it looks whether everything has arrived.
const LOOK: Duration = Duration::from_millis(1);
/// From setting the publishers going to the first publish.
const HEAD_START: u64 = 20_000_000;

/// Bytes of payload, unless others are asked for.
const PAYLOAD: u32 = 128;

/// How much load, and for how long.
#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// Streams that are open
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) subscribers: u32,
    /// Channels that the subscribers are spread over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) channels: u32,
    /// Connections that publish, each to all channels in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) publishers: u32,
    /// Notifications a second of all publishers together; 0: each as soon as the one before is answered
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "window")]
    pub(super) rate: u32,
    /// End after so many notifications, instead of after --duration
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) messages: Option<u64>,
    /// How long to publish
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    pub(super) duration: Duration,
    /// Bytes that each notification carries beside what it needs [default: 128]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) payload: Option<u32>,
    /// How long to publish before what is measured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    pub(super) warmup: Duration,
    /// Flat out: most notifications that a subscriber, on average, has not got yet before publishers wait
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) window: u32,
    /// How long to wait in the end for what is on its way
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    pub(super) drain: Duration,
}

impl LoadArgs {
    /// Bytes that each notification carries beside what it needs.
    pub(super) fn payload(&self) -> u32 {
        self.payload.unwrap_or(PAYLOAD)
    }
}

fn parse_time(text: &str) -> Result<Duration, InvalidDuration> {
    parse_duration(text)
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What was published while it was measured, and for how long.
    pub(super) published: u64,
    pub(super) publishing: Duration,
    /// What was published before.
    pub(super) warm_up: u64,
    /// Until the last measured delivery came.
    pub(super) delivering: Duration,
    pub(super) latencies: Histogram<u64>,
    pub(super) answers: Histogram<u64>,
    pub(super) lost: u64,
    pub(super) tallies: Vec<Tally>,
    pub(super) server: Option<Use>,
    pub(super) generator: Option<Use>,
}

/// What a process used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub(super) pid: u32,
    /// While it was measured.
    pub(super) cpu: Duration,
    pub(super) memory: Option<Memory>,
}

/// The memory of a process, in KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// When the first stream was open, so that what is made once does not count for the others.
    pub(super) first: u64,
    /// When all were, and nothing had been published.
    pub(super) open: u64,
    pub(super) end: u64,
}

/// Puts `target` under load.
pub(super) async fn run(args: &LoadArgs, target: Arc<Target>, server: Option<Process>) -> anyhow::Result<Outcome> {
    let stop = CancellationToken::new();
    // Publishers are threads, which end only when told, also when the run is given up.
    let _stops = stop.clone().drop_guard();
    let run = Run { args, target, meter: Arc::new(Meter::new()?), stop };
    let mut subscribers = run.open(0..1).await?;
    let first = server.and_then(Process::memory_kib);
    subscribers.extend(run.open(1..args.subscribers as usize).await?);
    tracing::info!("{} streams are open", subscribers.len());
    let tallies: Vec<_> = subscribers.iter().map(Subscriber::tally).collect();
    let mut listening = JoinSet::new();
    subscribers.into_iter().for_each(|subscriber| drop(listening.spawn(subscriber.listen())));
    tokio::time::sleep(SETTLE).await;
    let open = server.and_then(Process::memory_kib);
    let mut publishers = run.publishers()?;
    if !args.warmup.is_zero() {
        let time = Until::Time(args.warmup.as_nanos() as u64);
        publishers = run.phase(publishers, time, Purpose::WarmUp).await?;
        run.wait_for_arrivals().await;
    }
    let warm_up = total(&publishers);
    let cpu = [server, Some(Process::own())].map(|process| process.and_then(Process::cpu));
    let start = run.meter.now() + HEAD_START;
    let amount = args.messages.map_or(Until::Time(args.duration.as_nanos() as u64), Until::Messages);
    publishers = run.phase(publishers, amount, Purpose::Measure).await?;
    let since_start = |time: u64| Duration::from_nanos(time.saturating_sub(start));
    let publishing = since_start(run.meter.now());
    run.wait_for_arrivals().await;
    let memory = server.and_then(Process::memory_kib).zip(first).zip(open);
    let memory = memory.map(|((end, first), open)| Memory { first, open, end });
    let (server, generator) = (used(server, cpu[0], memory), used(Some(Process::own()), cpu[1], None));
    let delivering = since_start(run.meter.last());
    tokio::time::sleep(LINGER).await;
    listening.shutdown().await;
    let tallies: Vec<Tally> = tallies.iter().map(|tally| std::mem::take(&mut *tally.lock())).collect();
    let published = total(&publishers) - warm_up;
    ensure!(published > 0, "nothing was published, so nothing was measured: run it for longer");
    let (latencies, answers) = (run.meter.all_latencies()?, answers(&publishers)?);
    let lost = lost(&tallies, &publishers);
    Ok(Outcome { published, publishing, warm_up, delivering, latencies, answers, lost, tallies, server, generator })
}

fn used(process: Option<Process>, before: Option<Duration>, memory: Option<Memory>) -> Option<Use> {
    let process = process?;
    Some(Use { pid: process.pid(), cpu: process.cpu()?.saturating_sub(before?), memory })
}

fn answers(publishers: &[Publisher]) -> anyhow::Result<Histogram<u64>> {
    let mut all = histogram()?;
    publishers.iter().try_for_each(|publisher| all.add(&publisher.answers))?;
    Ok(all)
}

fn total(publishers: &[Publisher]) -> u64 {
    publishers.iter().flat_map(|publisher| &publisher.published).sum()
}

/// How many deliveries are missing of all that were published.
fn lost(tallies: &[Tally], publishers: &[Publisher]) -> u64 {
    let of = |(index, tally): (usize, &Tally)| {
        let ledgers = tally.ledgers.iter().zip(publishers);
        ledgers.map(|(ledger, it)| ledger.lost(it.published[index % it.published.len()])).sum::<u64>()
    };
    tallies.iter().enumerate().map(of).sum()
}

struct Run<'a> {
    args: &'a LoadArgs,
    target: Arc<Target>,
    meter: Arc<Meter>,
    stop: CancellationToken,
}

impl Run<'_> {
    async fn open(&self, places: Range<usize>) -> anyhow::Result<Vec<Subscriber>> {
        let publishers = self.args.publishers as usize;
        let opening = stream::iter(places).map(|place| Subscriber::open(&self.target, &self.meter, place, publishers));
        let mut opened: Vec<Subscriber> = opening.buffer_unordered(OPENING).try_collect().await?;
        opened.sort_by_key(Subscriber::index);
        Ok(opened)
    }

    fn publishers(&self) -> anyhow::Result<Vec<Publisher>> {
        let (subscribers, channels) = (self.args.subscribers, self.args.channels);
        let audience = |channel| u64::from(subscribers / channels + u32::from(channel < subscribers % channels));
        let audience: Arc<[u64]> = (0..channels).map(audience).collect();
        let publishers = 0..self.args.publishers as usize;
        publishers.map(|index| Publisher::connect(index, &self.target, &self.meter, &audience)).collect()
    }

    /// Publishes until `amount` is reached, in which time counts from the first publish.
    async fn phase(
        &self,
        publishers: Vec<Publisher>,
        amount: Until,
        purpose: Purpose,
    ) -> anyhow::Result<Vec<Publisher>> {
        let start = self.meter.now() + HEAD_START;
        let audience = self.args.subscribers.div_ceil(self.args.channels);
        let phase = Phase {
            publishers: publishers.len(),
            start,
            until: if let Until::Time(time) = amount { Until::Time(start + time) } else { amount },
            pace: (self.args.rate > 0).then(|| 1e9 / f64::from(self.args.rate)),
            window: u64::from(self.args.window) * u64::from(audience),
            purpose,
            stop: self.stop.child_token(),
        };
        let mut running = JoinSet::new();
        for mut publisher in publishers {
            let phase = phase.clone();
            running.spawn_blocking(move || publisher.run(&phase).map(|()| publisher));
        }
        let mut done = Vec::new();
        while let Some(publisher) = running.join_next().await {
            // The first failure ends the others.
            let publisher = publisher.context("a publisher panicked").and_then(|result| result);
            done.push(publisher.inspect_err(|_| phase.stop.cancel())?);
        }
        done.sort_by_key(Publisher::index);
        Ok(done)
    }

    async fn wait_for_arrivals(&self) {
        let deadline = tokio::time::Instant::now() + self.args.drain;
        while self.meter.under_way() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
    }
}
