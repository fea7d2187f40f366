//! The hub and a broker that call each other: neither may hold the other up.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use fanfare::hub::{Hub, HubSettings};
use fanfare::notification::{ChannelName, Priority};
use fanfare::stream::{Epoch, History, Inlet, Lane, Message, Page, Position, ReadFuture, Record, RingBounds};
use fanfare::telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, eventually};

fn hub() -> Arc<Hub> {
    let settings = HubSettings {
        shards: 1,
        ring: RingBounds { records: 16, bytes: 65_536 },
        heartbeat: Duration::from_secs(15),
        stall_timeout: Duration::from_secs(10),
        max_streams_per_principal: 1,
    };
    Arc::new(Hub::new(settings, Arc::new(Metrics::new(std::iter::empty()).unwrap())))
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

/// A stream whose first record was published, and not delivered.
#[derive(Debug)]
struct OneRecord(Epoch);

impl History for OneRecord {
    fn read<'a>(&'a self, _: &'a ChannelName, _: Lane, after: Position, _: usize) -> ReadFuture<'a> {
        let (priority, json) = (Priority::Medium, "{}".into());
        let message = Message { priority, expires_ms: None, collapse_key: None, event: None, json };
        let records = (after.seq == 0).then_some(Record { seq: 1, message }).into_iter().collect();
        Box::pin(async move { Ok(Page { gap: None, records, top: Position::new(self.0, 1) }) })
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
