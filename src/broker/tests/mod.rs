//! What every broker must do, and what each must survive.

mod bucket;
mod cluster;
mod contract;
mod durability;
mod idempotency;
mod inspection;
mod login;
mod memory;
mod nodes;
mod presence;
mod proxy;
mod redis;
mod sentinel;
mod server;
mod tls;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::server::Server;
use super::{Batch, Broker, IdempotencyKey, Outgoing, PublishFailed, Published, Unfit};
use crate::config::{self, At, Retention, Span};
use crate::notification::{ChannelName, Priority};
use crate::stream::{Epoch, Gap, GapReason, History, Inlet, Lane, Message, Page, Position, Publication, Record};

/// Longest that a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(15);
const RETENTION: Retention = Retention { size: 10_000, ttl: Duration::from_secs(3_600) };

/// A broker that runs, with everything that its inlet was told.
struct Node {
    broker: Arc<Broker>,
    heard: Heard,
    /// While set, its inlet does not take what is delivered.
    stuck: Arc<AtomicBool>,
    _running: JoinSet<()>,
}

#[derive(Debug)]
enum Event {
    Delivered(Publication),
    Missed(Option<Vec<ChannelName>>),
}

#[derive(Debug)]
struct Recorder {
    events: mpsc::UnboundedSender<Event>,
    stuck: Arc<AtomicBool>,
}

impl Recorder {
    fn new() -> (Self, Heard) {
        let (events, heard) = mpsc::unbounded_channel();
        (Self { events, stuck: Arc::default() }, Heard(heard))
    }
}

impl Inlet for Recorder {
    fn deliver(&self, publication: Publication) {
        if self.stuck.load(Ordering::SeqCst) {
            // Others go on: a worker that only blocks may be the one that waits for all sockets.
            tokio::task::block_in_place(|| {
                while self.stuck.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let _ = self.events.send(Event::Delivered(publication));
    }

    fn missed(&self, channels: Option<&[ChannelName]>) {
        let _ = self.events.send(Event::Missed(channels.map(<[_]>::to_vec)));
    }
}

/// The events of an inlet, in order.
struct Heard(mpsc::UnboundedReceiver<Event>);

impl Heard {
    async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("nothing was heard").unwrap()
    }

    async fn publication(&mut self) -> Publication {
        loop {
            if let Event::Delivered(publication) = self.next().await {
                return publication;
            }
        }
    }

    /// What was heard already.
    fn try_next(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }

    fn is_silent(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

fn config(url: &str) -> config::Broker {
    config::Broker {
        url: At::new(url.parse().unwrap(), Span::default()),
        ca: None,
        prefix: "test".to_owned(),
        timeout: Duration::from_secs(1),
        max_in_flight: 1_024,
        durability: config::Durability::Primary,
        idempotency_ttl: Duration::from_secs(60),
        max_channels: 1_000,
    }
}

impl Node {
    fn start(config: &config::Broker) -> Self {
        let (recorder, heard) = Recorder::new();
        let stuck = Arc::clone(&recorder.stuck);
        let broker = Arc::new(Broker::new(config, Arc::new(recorder)).unwrap());
        let mut running = JoinSet::new();
        let runs = Arc::clone(&broker);
        running.spawn(async move { runs.run(CancellationToken::new()).await });
        Self { broker, heard, stuck, _running: running }
    }

    fn memory() -> Self {
        Self::start(&config("memory:"))
    }

    async fn redis(server: &Server) -> Self {
        let node = Self::start(&config(&server.url()));
        node.is_ready().await;
        node
    }

    async fn cluster(cluster: &nodes::Cluster) -> Self {
        let node = Self::start(&config(&cluster.url()));
        node.is_ready().await;
        node
    }

    async fn is_ready(&self) {
        eventually(|| self.broker.readiness().is_ok()).await;
    }

    async fn publishes_and_hears(&mut self) {
        let user = channel("user.1");
        self.broker.subscribe(&user).await.unwrap();
        self.publish(&user, "one").await;
        assert_eq!(text_of(&self.heard.publication().await.record), "one");
    }

    async fn publish(&self, channel: &ChannelName, text: &str) -> Published {
        self.try_publish(batch(channel, text, Priority::Medium)).await.unwrap()
    }

    async fn try_publish(&self, batch: Batch) -> Result<Published, PublishFailed> {
        Ok(self.store(batch).await?.remove(0))
    }

    /// Stores a batch; the message of its first channel goes to whichever others a repeat must go to.
    async fn store(&self, batch: Batch) -> Result<Vec<Published>, PublishFailed> {
        let message = batch.messages[0].clone();
        self.broker.store(batch, |_, channel| Outgoing { channel, ..message.clone() }, self.broker.deadline()).await
    }

    /// Publishes until it is known to be stored, as a producer with an idempotency key may.
    async fn persist(&self, batch: Batch) -> Published {
        assert!(batch.key.is_some());
        loop {
            match self.try_publish(batch.clone()).await {
                Ok(published) => return published,
                Err(PublishFailed::KeyReused) => panic!("the key was not reused"),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn read(&self, channel: &ChannelName, after: Position) -> Page {
        self.broker.read(channel, Lane::Normal, after, 10_000).await.unwrap()
    }

    /// Where the normal lane ends. A channel that has no position is given one by being read.
    async fn top(&self, channel: &ChannelName) -> Position {
        self.read(channel, Position::new(Epoch::from_bits(0), 0)).await.top
    }
}

/// Does what a hub does with one normal lane: takes what is delivered while it is contiguous, reads what is not.
struct Follower {
    channel: ChannelName,
    at: Position,
    texts: Vec<String>,
    /// How often its node may have missed something.
    missed: usize,
}

impl Follower {
    async fn start(node: &Node, channel: &ChannelName) -> Self {
        let [_, at] = node.broker.subscribe(channel).await.unwrap();
        Self { channel: channel.clone(), at, texts: Vec::new(), missed: 0 }
    }

    async fn follow(&mut self, node: &mut Node, count: usize) {
        while self.texts.len() < count {
            match node.heard.next().await {
                Event::Delivered(publication) => self.hear(node, publication).await,
                Event::Missed(_) => {
                    self.missed += 1;
                    self.catch_up(node).await;
                }
            }
        }
    }

    async fn hear(&mut self, node: &Node, Publication { epoch, record, .. }: Publication) {
        if epoch != self.at.epoch || record.seq > self.at.seq + 1 {
            self.catch_up(node).await;
        } else if record.seq == self.at.seq + 1 {
            self.take(epoch, record);
        }
    }

    /// Reads up to the top, however often it takes: what it was told it missed nobody tells again.
    async fn catch_up(&mut self, node: &Node) {
        loop {
            match node.broker.read(&self.channel, Lane::Normal, self.at, 1_000).await {
                Ok(page) if page.records.is_empty() => return assert_eq!(page.gap, None, "after {}", self.at),
                Ok(page) => {
                    assert_eq!(page.gap, None, "after {}", self.at);
                    page.records.into_iter().for_each(|record| self.take(page.top.epoch, record));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn take(&mut self, epoch: Epoch, record: Record) {
        self.at = Position::new(epoch, record.seq);
        self.texts.push(text_of(&record));
    }
}

fn channel(name: &str) -> ChannelName {
    name.parse().unwrap()
}

fn message(text: &str, priority: Priority) -> Message {
    Message { priority, expires_ms: None, collapse_key: None, event: None, json: text.to_owned().into() }
}

fn batch(channel: &ChannelName, text: &str, priority: Priority) -> Batch {
    let message = message(text, priority);
    let outgoing = Outgoing { channel: channel.clone(), retention: RETENTION, message };
    Batch { id: Uuid::now_v7(), key: None, messages: vec![outgoing] }
}

fn keyed(channel: &ChannelName, text: &str, key: u128) -> Batch {
    let mut fingerprint = [0; 16];
    text.bytes().zip(&mut fingerprint).for_each(|(byte, slot)| *slot = byte);
    let key = IdempotencyKey { digest: key.to_be_bytes(), fingerprint };
    Batch { key: Some(key), ..batch(channel, text, Priority::Medium) }
}

/// The same to several channels.
fn to_each(channels: &[&ChannelName], batch: Batch) -> Batch {
    let first = &batch.messages[0];
    let messages = channels.iter().map(|&channel| Outgoing { channel: channel.clone(), ..first.clone() }).collect();
    Batch { messages, ..batch }
}

fn text_of(record: &Record) -> String {
    String::from_utf8(record.message.json.to_vec()).unwrap()
}

fn seqs(page: &Page) -> Vec<u64> {
    page.records.iter().map(|record| record.seq).collect()
}

fn range(seqs: RangeInclusive<u64>) -> Vec<u64> {
    seqs.collect()
}

fn gap(reason: GapReason, range: Option<(u64, u64)>) -> Option<Gap> {
    Some(Gap { reason, range })
}

async fn eventually(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("did not become so");
}
