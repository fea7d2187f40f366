//! The hub and a broker that call each other: neither may hold the other up.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use fanfare::hub::{Hub, HubSettings};
use fanfare::notification::ChannelName;
use fanfare::stream::{Epoch, Position, RingBounds};
use fanfare::telemetry::Metrics;

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
