//! The hub and a broker that call each other: neither may hold the other up.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use fanfare::hub::{Hub, HubSettings, Lease};
use fanfare::notification::{ChannelName, Priority};
use fanfare::stream::{
    Epoch, History, Inlet, Lane, Message, Page, Position, Publication, ReadFuture, Record, RingBounds, TopsFuture,
};
use fanfare::telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, eventually};

fn hub() -> Arc<Hub> {
    hub_counting_in(Arc::new(Metrics::new(std::iter::empty()).unwrap()))
}

fn hub_counting_in(metrics: Arc<Metrics>) -> Arc<Hub> {
    let settings = HubSettings {
        shards: 1,
        ring: RingBounds { records: 16, bytes: 65_536 },
        heartbeat: Duration::from_secs(15),
        stall_timeout: Duration::from_secs(10),
        max_streams_per_principal: 1,
    };
    Arc::new(Hub::new(settings, metrics))
}

/// The memory broker delivers under the lock that it also takes to unsubscribe.
#[tokio::test]
async fn while_an_idle_channel_is_left_others_are_delivered_to() {
    let hub = hub();
    let channel: ChannelName = "user.c7".parse().unwrap();
    let top = Position::new(Epoch::random(), 0);
    drop(hub.open(&channel, || async { Ok::<_, Infallible>([top; 2]) }).await.unwrap());
    let left = AtomicBool::new(false);
    eventually("the channel is left", async || {
        hub.leave_idle(|_| {
            left.store(true, Ordering::SeqCst);
            let (answer, answered) = mpsc::channel();
            let hub = Arc::clone(&hub);
            std::thread::spawn(move || answer.send(hub.channel(&"user.c8".parse().unwrap()).is_none()));
            answered.recv_timeout(DEADLINE / 4).expect("a delivery waits for the broker, and the broker for it");
        });
        left.load(Ordering::SeqCst)
    })
    .await;
    assert!(hub.channel(&channel).is_none());
}

/// A channel to whose normal lane the first record was published, and not delivered.
#[derive(Debug)]
struct OneRecord(Epoch);

fn record() -> Record {
    let (priority, json) = (Priority::Medium, "{}".into());
    Record { seq: 1, message: Message { priority, expires_ms: None, collapse_key: None, event: None, json } }
}

impl History for OneRecord {
    fn read<'a>(&'a self, _: &'a ChannelName, lane: Lane, after: Position, _: usize) -> ReadFuture<'a> {
        let top = Position::new(self.0, u64::from(lane == Lane::Normal));
        let records = (after.seq < top.seq).then(record).into_iter().collect();
        Box::pin(async move { Ok(Page { gap: None, records, top }) })
    }

    fn tops<'a>(&'a self, channels: &'a [ChannelName]) -> TopsFuture<'a> {
        let tops = [Position::new(self.0, 0), Position::new(self.0, 1)];
        Box::pin(async move { channels.iter().map(|_| Ok(Some(tops))).collect() })
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missed_while_a_channel_opens_comes() {
    let hub = hub();
    let epoch = Epoch::random();
    let mut repairs = JoinSet::new();
    repairs.spawn(Arc::clone(&hub).run_repairs(Arc::new(OneRecord(epoch)), CancellationToken::new()));
    let channel: ChannelName = "user.c7".parse().unwrap();
    let subscribe = async || {
        // The tops are known; then a record is published, its delivery is lost, and the broker says so.
        hub.missed(Some(std::slice::from_ref(&channel)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, Infallible>([Position::new(epoch, 0); 2])
    };
    let opened = hub.open(&channel, subscribe).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(opened.channel().head(Lane::Normal), Some(Position::new(epoch, 1)));
}

/// A hub that repairs and checks, and its one channel, of which it has nothing.
async fn behind(epoch: Epoch) -> (Arc<Hub>, Arc<Metrics>, JoinSet<()>, Lease) {
    let metrics = Arc::new(Metrics::new(std::iter::empty()).unwrap());
    let hub = hub_counting_in(Arc::clone(&metrics));
    let (mut running, history) = (JoinSet::new(), Arc::new(OneRecord(epoch)));
    running.spawn(Arc::clone(&hub).run_repairs(Arc::clone(&history) as Arc<dyn History>, CancellationToken::new()));
    running.spawn(Arc::clone(&hub).run_position_checks(history, CancellationToken::new()));
    let subscribe = async || Ok::<_, Infallible>([Position::new(epoch, 0); 2]);
    let lease = hub.open(&"user.c7".parse().unwrap(), subscribe).await.unwrap();
    (hub, metrics, running, lease)
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_without_a_sign_comes_within_the_period_of_the_position_check() {
    let epoch = Epoch::random();
    let (_hub, metrics, _running, lease) = behind(epoch).await;
    let head = || lease.channel().head(Lane::Normal).unwrap();
    tokio::time::sleep(Duration::from_secs(23)).await;
    assert_eq!(head(), Position::new(epoch, 0));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!((head(), metrics.position_drift.get()), (Position::new(epoch, 1), 1));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(metrics.position_drift.get(), 1, "it is level");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_not_taken_for_lost() {
    let epoch = Epoch::random();
    let (hub, metrics, _running, lease) = behind(epoch).await;
    let history = OneRecord(epoch);
    let check = hub.check_positions(&history);
    let deliver = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (channel, lane) = (lease.channel().name().clone(), Lane::Normal);
        hub.deliver(Publication { channel, lane, epoch, record: record() });
    };
    tokio::join!(check, deliver);
    assert_eq!((lease.channel().head(Lane::Normal), metrics.position_drift.get()), (Some(Position::new(epoch, 1)), 0));
}
