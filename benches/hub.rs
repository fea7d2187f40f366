//! From a publication to the bytes of each subscriber, by readers in memory: what the hub costs without sockets.
//! `fanfare bench` measures it with them.
#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected shall panic")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use fanfare::auth::Principal;
use fanfare::hub::{Hello, Hub, HubSettings, Listening, Reader, SseBody, Start, Subscription};
use fanfare::notification::{ChannelName, Priority};
use fanfare::stream::{
    Epoch, History, HistoryUnavailable, Inlet, Lane, Message, Position, Publication, ReadFuture, Record, RingBounds,
    TopsFuture,
};
use fanfare::telemetry::Metrics;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, yield_now};
use tokio_util::sync::CancellationToken;

fn main() {
    divan::main();
}

/// Readers never fall behind here.
#[derive(Debug)]
struct NoHistory;

impl History for NoHistory {
    fn read<'a>(&'a self, _: &'a ChannelName, _: Lane, _: Position, _: usize) -> ReadFuture<'a> {
        Box::pin(async { Err(HistoryUnavailable("there is none".to_owned())) })
    }

    fn tops<'a>(&'a self, channels: &'a [ChannelName]) -> TopsFuture<'a> {
        Box::pin(async { channels.iter().map(|_| Ok(None)).collect() })
    }
}

/// A hub of one shard, its subscribers, and where each channel stands.
struct Stage {
    runtime: Runtime,
    hub: Arc<Hub>,
    bodies: Vec<SseBody>,
    channels: Vec<ChannelName>,
    epoch: Epoch,
    seq: u64,
    json: Bytes,
    _shard: JoinSet<()>,
}

impl Stage {
    /// So many subscribers, each to so many channels.
    fn set(subscribers: usize, channels: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = HubSettings {
            shards: 1,
            ring: RingBounds { records: 256, bytes: 1024 * 1024 },
            heartbeat: Duration::from_secs(3_600),
            stall_timeout: Duration::from_secs(10),
            max_streams_per_principal: 1,
        };
        let hub = Arc::new(Hub::new(settings, Arc::new(Metrics::new(std::iter::empty()).unwrap())));
        let mut shard = JoinSet::new();
        shard.spawn_on(Arc::clone(&hub).run_shard(0, CancellationToken::new()), runtime.handle());
        let channels: Vec<ChannelName> = (0..channels).map(|n| format!("user.{n}").parse().unwrap()).collect();
        let json = Bytes::from(vec![b'x'; 250]);
        let (bodies, epoch, seq) = (Vec::new(), Epoch::random(), 0);
        let mut stage = Self { runtime, hub, bodies, channels, epoch, seq, json, _shard: shard };
        (0..subscribers).for_each(|_| stage.subscribe());
        stage
    }

    fn subscribe(&mut self) {
        let top = Position::new(self.epoch, 0);
        let open = async |channel| self.hub.open(channel, || async { Ok::<_, Infallible>([top; 2]) }).await.unwrap();
        let lease = |channel| Listening { lease: self.runtime.block_on(open(channel)), sheds_low: false };
        let listening = self.channels.iter().map(lease).collect();
        let subscription = Subscription {
            principal: Arc::new(Principal::anonymous()),
            listening,
            start: Start::Live,
            hello: Hello { data: serde_json::json!({}), retry: Duration::from_secs(3), gone: Vec::new() },
            history: Arc::new(NoHistory),
            kill: CancellationToken::new(),
        };
        let mut body = SseBody::new(Reader::attach(&self.hub, subscription).unwrap());
        let hello = self.runtime.block_on(body.frame()).unwrap().unwrap();
        assert!(hello.data_ref().is_some());
        self.bodies.push(body);
    }

    /// Publishes to every channel, and has the shard tell the subscribers.
    fn publish(&mut self) {
        self.seq += 1;
        for channel in &self.channels {
            let json = self.json.clone();
            let message =
                Message { priority: Priority::Medium, expires_ms: None, collapse_key: None, event: None, json };
            let record = Record { seq: self.seq, message };
            let (channel, lane) = (channel.clone(), Lane::Normal);
            self.hub.deliver(Publication { channel, lane, epoch: self.epoch, record });
        }
        self.runtime.block_on(async {
            for _ in 0..8 {
                yield_now().await;
            }
        });
    }

    /// What all subscribers have to send.
    fn take(&mut self) -> usize {
        let _entered = self.runtime.enter();
        let frames = self.bodies.iter_mut().map(|body| body.frame().now_or_never().unwrap().unwrap().unwrap());
        frames.map(|frame| frame.into_data().unwrap().len()).sum()
    }
}

/// One subscriber's turn: a notification of each of its channels is pulled, encoded and given its cursor.
#[divan::bench(args = [1, 4, 16], sample_size = 1, sample_count = 2_000)]
fn turn_of_a_reader(bencher: Bencher<'_, '_>, channels: usize) {
    let stage = std::cell::RefCell::new(Stage::set(1, channels));
    let counted = bencher.counter(ItemsCount::new(channels));
    counted.with_inputs(|| stage.borrow_mut().publish()).bench_local_values(|()| stage.borrow_mut().take());
}

/// As many notifications of one channel in one turn, as when the subscriber was busy.
#[divan::bench(args = [16, 128], sample_size = 1, sample_count = 1_000)]
fn turn_of_a_busy_reader(bencher: Bencher<'_, '_>, notifications: usize) {
    let stage = std::cell::RefCell::new(Stage::set(1, 1));
    let publish = || (0..notifications).for_each(|_| stage.borrow_mut().publish());
    let counted = bencher.counter(ItemsCount::new(notifications));
    counted.with_inputs(publish).bench_local_values(|()| stage.borrow_mut().take());
}

/// A publication on its way to all subscribers of one channel, until each has its bytes.
#[divan::bench(args = [1, 100, 1_000], sample_size = 1, sample_count = 300)]
fn fan_out(bencher: Bencher<'_, '_>, subscribers: usize) {
    let mut stage = Stage::set(subscribers, 1);
    bencher.counter(ItemsCount::new(subscribers)).bench_local(|| {
        stage.publish();
        stage.take()
    });
}
