//! What only the memory broker does: it lets go of records, keys and channels.

use tokio::time::Instant;

use super::*;
use crate::broker::Memory;

fn memory(max_channels: usize) -> (Memory, Heard) {
    let (recorder, heard) = Recorder::new();
    let config = config::Broker { max_channels, ..config("memory:") };
    (Memory::new(&config, Arc::new(recorder)), heard)
}

fn store(memory: &Memory, batch: &Batch, now: Instant) -> Position {
    memory.store(batch, now).unwrap()[0].position
}

#[test]
fn records_expire_while_numbers_go_on() {
    let (memory, _heard) = memory(10);
    let user = channel("user.1");
    let start = Instant::now();
    let short = |text| {
        let mut batch = batch(&user, text, Priority::Medium);
        batch.messages[0].retention.ttl = Duration::from_secs(10);
        batch
    };
    let first = store(&memory, &short("one"), start);
    store(&memory, &short("two"), start + Duration::from_secs(6));
    let read = |after, seconds| memory.read(&user, Lane::Normal, after, 10, start + Duration::from_secs(seconds));
    let before_all = Position::new(first.epoch, 0);
    assert_eq!(read(before_all, 9).gap, None);
    assert_eq!(read(before_all, 10).gap, gap(GapReason::Trimmed, Some((1, 1))));
    assert_eq!(read(first, 15).gap, None);
    let empty = read(first, 16);
    assert_eq!((empty.gap, empty.records.len()), (gap(GapReason::Trimmed, Some((2, 2))), 0));
    let third = store(&memory, &short("three"), start + Duration::from_secs(60));
    assert_eq!(third, Position::new(first.epoch, 3));
    assert_eq!(read(Position::new(first.epoch, 2), 61).gap, None, "an idle subscriber's position stays good");
}

#[test]
fn idempotency_keys_expire() {
    let (memory, _heard) = memory(10);
    let batch = keyed(&channel("user.1"), "one", 7);
    let start = Instant::now();
    assert_eq!(store(&memory, &batch, start).seq, 1);
    assert_eq!(store(&memory, &batch, start + Duration::from_secs(59)).seq, 1);
    assert_eq!(store(&memory, &batch, start + Duration::from_secs(60)).seq, 2);
}

#[test]
fn the_least_missed_channel_is_evicted() {
    let (memory, _heard) = memory(3);
    let [empty, old, subscribed, new] = ["user.1", "user.2", "user.3", "user.4"].map(channel);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let publish = |name: &ChannelName, seconds| store(&memory, &batch(name, "{}", Priority::Medium), at(seconds));
    memory.subscribe(&subscribed, at(0));
    let stayed = publish(&old, 1);
    memory.subscribe(&empty, at(2));
    memory.unsubscribe(&empty);
    memory.info(&channel("user.5"), at(2));

    publish(&new, 3);
    assert_eq!(memory.read(&old, Lane::Normal, stayed, 10, at(1)).gap, None, "the one without records went");
    let other = publish(&empty, 4);
    assert_eq!((other.seq, publish(&subscribed, 5).seq), (1, 1));
    let gone = memory.read(&old, Lane::Normal, stayed, 10, at(6));
    assert_eq!(gone.gap, gap(GapReason::UnknownEpoch, None), "then the longest unused");
}

#[tokio::test]
async fn a_subscription_outlives_the_eviction_of_its_channel() {
    let (memory, mut heard) = memory(1);
    let [user, other] = ["user.1", "user.2"].map(channel);
    let now = Instant::now();
    let [_, top] = memory.subscribe(&user, now);
    store(&memory, &batch(&other, "{}", Priority::Medium), now);
    let published = store(&memory, &batch(&user, "{}", Priority::Medium), now);
    assert_ne!(published.epoch, top.epoch);
    assert_eq!(heard.publication().await.epoch, published.epoch);
}
