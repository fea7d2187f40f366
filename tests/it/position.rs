//! Nodes that are behind Redis without having been told, and how little they read to find out.

use std::time::Duration;

use fanfare::stream::Lane;
use futures_util::future::join_all;

use crate::support::{Cluster, Redis, Scenario, TestServer, eventually, order};

async fn start(redis: &Redis) -> TestServer {
    let node = TestServer::start(Scenario::shop().at(&redis.url())).await;
    node.ready().await;
    node
}

#[tokio::test]
async fn a_publication_that_nobody_was_told_of_is_delivered_after_the_position_check() {
    let redis = Redis::start().await;
    let node = start(&redis).await;
    let mut reader = node.subscribe("user.c7").await;
    let mut other = node.subscribe("user.c8").await;
    node.publish(order("c7", 1)).await.accepted();
    assert_eq!(reader.next_order().await, "1");
    redis.store_unheard("user.c7", 2).await;
    node.check_positions().await;
    assert_eq!(reader.next_order().await, "1", "the same was stored again");
    let drift = async || node.metric("fanfare_position_drift_total").await;
    assert_eq!(drift().await, 1.0);
    node.check_positions().await;
    assert_eq!(drift().await, 1.0, "it is level now");
    node.publish(order("c8", 3)).await.accepted();
    assert_eq!(other.next_order().await, "3");
}

#[tokio::test]
async fn a_flush_is_told_to_readers_though_nobody_publishes() {
    let redis = Redis::start().await;
    let node = start(&redis).await;
    let mut reader = node.subscribe("user.c7").await;
    redis.run("FLUSHALL").await;
    node.check_positions().await;
    assert_eq!(reader.next_event("reset").await.json()["reason"], "unknown_epoch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_feed_has_only_those_channels_read_that_missed_something() {
    let redis = Redis::start().await;
    let node = start(&redis).await;
    let names: Vec<_> = (0..600).map(|number| format!("user.c{number}")).collect();
    let _open = join_all(names.iter().map(|name| node.open(name))).await;
    let mut reader = node.subscribe("user.c590").await;
    for customer in ["c5", "c300", "c590"] {
        node.publish(order(customer, 1)).await.accepted();
        redis.store_unheard(&format!("user.{customer}"), 2).await;
    }
    assert_eq!(reader.next_order().await, "1");
    // Of another type, as if somebody else had written there.
    redis.run("DEL fanfare:{user.c6}:m").await;
    redis.run("RPUSH fanfare:{user.c6}:m spoilt").await;
    let asked = redis.calls("get").await;
    redis.run("CLIENT KILL TYPE pubsub").await;
    assert_eq!(reader.next_order().await, "1", "the same was stored again");
    let level = |name: &str| node.channel(name).unwrap().head(Lane::Normal).unwrap().seq == 2;
    eventually("the others are read", async || level("user.c5") && level("user.c300")).await;
    let failures = async || node.metric("fanfare_repair_failures_total").await;
    eventually("the spoilt one is told", async || failures().await > TRIES).await;
    let reads = redis.calls("evalsha_ro").await + redis.calls("eval_ro").await;
    assert!((6..60).contains(&reads), "{reads} reads");
    assert!(redis.calls("get").await - asked >= 600);
    // Nobody was left waiting for a repair: what is published now is delivered.
    for customer in ["c5", "c300", "c599"] {
        node.publish(order(customer, 2)).await.accepted();
    }
    let head = |name: &str| node.channel(name).unwrap().head(Lane::Normal).unwrap().seq;
    eventually("it comes", async || [head("user.c5"), head("user.c300"), head("user.c599")] == [3, 3, 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_each_server_tells_what_was_missed_of_its_own_channels() {
    let cluster = Cluster::start().await;
    let node = TestServer::start(Scenario::shop().at(&cluster.url())).await;
    node.ready().await;
    let users = cluster.users().await;
    let mut readers = Vec::new();
    for user in &users {
        let channel = format!("user.{user}");
        readers.push(node.subscribe(&channel).await);
        node.publish(order(user, 1)).await.accepted();
        cluster.primaries[cluster.owner(&channel).await].store_unheard(&channel, 2).await;
    }
    node.check_positions().await;
    assert_eq!(node.metric("fanfare_position_drift_total").await, users.len() as f64);
    for (reader, user) in readers.iter_mut().zip(&users) {
        assert_eq!([reader.next_order().await, reader.next_order().await], ["1", "1"], "of {user}");
    }
    // Only the first server's channels are asked for when its feed is cut.
    let [cut, whole] = [&cluster.primaries[0], &cluster.primaries[1]];
    cut.store_unheard(&format!("user.{}", users[0]), 3).await;
    let asked = [cut.calls("get").await, whole.calls("get").await];
    cut.run("CLIENT KILL TYPE pubsub").await;
    assert_eq!(readers[0].next_order().await, "1");
    assert!(cut.calls("get").await > asked[0]);
    assert_eq!(whole.calls("get").await, asked[1]);
}

/// How often a channel is asked for together with others before it is read on its own.
const TRIES: f64 = 4.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_who_come_back_to_one_place_together_share_what_is_read() {
    let redis = Redis::start().await;
    let scenario = Scenario::shop().at(&redis.url()).server("ring_records = 1\nmax_streams_per_principal = 200");
    let node = TestServer::start(scenario.user_channel("history = { size = 10_000, ttl = \"1h\" }")).await;
    node.ready().await;
    let keeps_it_open = node.subscribe("user.c7").await;
    let cursor = keeps_it_open.cursor().to_owned();
    // Two pages, of which the ring has only the last record.
    for number in 0..80 {
        node.publish(order("c7", number)).await.accepted();
    }
    let before = redis.calls("evalsha_ro").await + redis.calls("eval_ro").await;
    redis.freeze();
    let mut back = join_all((0..100).map(|_| node.resume("user.c7", &cursor))).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    redis.thaw();
    for reader in &mut back {
        for number in 0..80 {
            assert_eq!(reader.next_order().await, number.to_string());
        }
    }
    let reads = redis.calls("evalsha_ro").await + redis.calls("eval_ro").await - before;
    assert!(reads < 25, "{reads} reads for a hundred readers");
}
