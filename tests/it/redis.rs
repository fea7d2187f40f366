//! Two servers on one Redis, and what happens to it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    Answer, Event, Program, Redis, Scenario, Subscriber, TestServer, alert, eventually, fanfare, order,
};

/// Two nodes that are ready.
async fn nodes(redis: &Redis) -> [TestServer; 2] {
    let start = async || {
        let scenario = Scenario::shop().at(&redis.url());
        TestServer::start(scenario.user_channel("history = { size = 10_000, ttl = \"1h\" }")).await
    };
    let nodes = [start().await, start().await];
    for node in &nodes {
        node.ready().await;
    }
    nodes
}

/// Publishes orders that have not been, until `enough`, and counts how each ended.
struct Producer {
    next: u64,
    /// Orders whose publish was accepted.
    accepted: Vec<u64>,
    /// Orders of which nobody knows.
    unknown: Vec<u64>,
}

impl Producer {
    fn new() -> Self {
        Self { next: 0, accepted: Vec::new(), unknown: Vec::new() }
    }

    /// One publish; how it ended. A failure must be told within about a second.
    async fn publish(&mut self, node: &TestServer) -> u16 {
        let (number, start) = (self.next, Instant::now());
        self.next += 1;
        let answer = node.publish(order("c7", number)).await;
        assert!(start.elapsed() < Duration::from_secs(5), "a publish took {:?}", start.elapsed());
        match answer.status.as_u16() {
            202 => self.accepted.push(number),
            503 => self.note_failure(number, answer),
            _ => panic!("{answer:?}"),
        }
        if self.accepted.last() == Some(&number) { 202 } else { 503 }
    }

    fn note_failure(&mut self, number: u64, answer: Answer) {
        assert!(answer.headers.contains_key("retry-after"));
        match answer.json()["code"].as_str() {
            Some("not_accepted") => {}
            Some("unknown_outcome") => self.unknown.push(number),
            code => panic!("{code:?}"),
        }
    }

    /// Every accepted order reaches `reader` exactly once and in order, up to the last; of the others only those of
    /// unknown outcome may.
    async fn all_reach(&self, reader: &mut Subscriber) {
        let last = *self.accepted.last().unwrap();
        let mut seen = BTreeMap::new();
        let mut previous = None;
        while previous != Some(last) {
            let event = reader.next().await.expect("the stream was closed");
            let number: u64 =
                event.json()["data"]["order_id"].as_str().unwrap_or_else(|| panic!("{event:?}")).parse().unwrap();
            assert!(previous < Some(number), "{number} came after {previous:?}");
            *seen.entry(number).or_insert(0) += 1;
            previous = Some(number);
        }
        for number in &self.accepted {
            assert_eq!(seen.remove(number), Some(1), "order {number} was accepted");
        }
        assert!(seen.keys().all(|number| self.unknown.contains(number)), "never accepted: {seen:?}");
    }
}

#[tokio::test]
async fn what_is_published_on_one_node_reaches_the_readers_of_another() {
    let redis = Redis::start().await;
    let [a, b] = nodes(&redis).await;
    let mut on_a = a.subscribe("user.c7").await;
    let mut on_b = b.subscribe("user.c7").await;
    let receipt = a.publish(order("c7", 1)).await.accepted();
    assert_eq!(receipt["durability"], "primary");
    b.publish(alert("c7", "2")).await.accepted();
    for reader in [&mut on_a, &mut on_b] {
        let mut seen =
            [reader.next_notification().await["type"].clone(), reader.next_notification().await["type"].clone()];
        seen.sort_by_key(|name| name.to_string());
        assert_eq!(seen, [json!("order.updated"), json!("security.alert")]);
    }
}

#[tokio::test]
async fn whoever_looks_at_channels_writes_nothing() {
    let redis = Redis::start().await;
    let open = Scenario::shop().replace("{ claim = \"sub\", equals = \"{user}\" }", "{ anyone = true }");
    let node = TestServer::start(open.replace("default = true\n", "").at(&redis.url())).await;
    node.ready().await;
    for number in 0..20 {
        let info = node.send(node.get(&format!("/v1/channels/user.c{number}"))).await.ok();
        assert_eq!(info["lanes"]["normal"]["position"], Value::Null);
    }
    assert_eq!(redis.run("KEYS *user.c*").await, redis::Value::Array(Vec::new()));
    node.publish(order("c7", 1)).await.accepted();
    let info = node.send(node.get("/v1/channels/user.c7")).await.ok();
    assert_eq!(info["lanes"]["normal"]["length"], 1);
    assert!(info["lanes"]["express"]["position"].is_string());
}

#[tokio::test]
async fn a_reader_goes_on_at_another_node_where_it_left_the_first() {
    let redis = Redis::start().await;
    let [a, b] = nodes(&redis).await;
    let mut cursor = a.subscribe("user.c7").await.disconnect();
    for round in 0..10_u64 {
        let (here, there) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        for number in 0..3 {
            here.publish(order("c7", 3 * round + number)).await.accepted();
        }
        let mut reader = there.resume("user.c7", &cursor).await;
        // One is left for the next node.
        for number in (3 * round).saturating_sub(1)..3 * round + 2 {
            assert_eq!(reader.next_order().await, number.to_string());
        }
        cursor = reader.disconnect();
    }
}

#[tokio::test]
async fn of_one_key_on_two_nodes_exactly_one_is_delivered() {
    let redis = Redis::start().await;
    let [a, b] = nodes(&redis).await;
    let mut reader = a.subscribe("user.c7").await;
    for round in 0..10 {
        let key = format!("k{round}");
        let publishes = [&a, &b, &a, &b].map(|node| node.publish_once(&key, order("c7", round)));
        let answers = futures_util::future::join_all(publishes).await;
        let accepted: Vec<_> =
            answers.into_iter().filter(|answer| answer.status != 409).map(Answer::accepted).collect();
        assert_eq!(accepted.iter().filter(|receipt| receipt["duplicate"] == false).count(), 1, "{accepted:?}");
        assert!(accepted.iter().all(|receipt| receipt["id"] == accepted[0]["id"]), "{accepted:?}");
        assert_eq!(reader.next_order().await, round.to_string());
    }
    b.publish_once("k0", order("c7", "other")).await.refused(422, "idempotency_key_reused");
    let mut operator = a.subscribe("ops.all").await;
    b.publish_once("k0", alert("c7", "other")).await.refused(422, "idempotency_key_reused");
    b.publish_once("k-live", alert("c7", "live")).await.accepted();
    assert_eq!(operator.next_notification().await["title"], "live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_redis_closes_no_stream_and_loses_nothing_that_was_accepted() {
    let mut redis = Redis::start().await;
    let nodes = nodes(&redis).await;
    let mut readers = [nodes[0].subscribe("user.c7").await, nodes[1].subscribe("user.c7").await];
    let mut producer = Producer::new();
    for _ in 0..50 {
        assert_eq!(producer.publish(&nodes[0]).await, 202);
    }
    redis.kill();
    let crash = Instant::now();
    let mut refused = 0;
    while crash.elapsed() < Duration::from_secs(4) {
        refused += u32::from(producer.publish(&nodes[refused as usize % 2]).await == 503);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused >= 2);
    assert_eq!(nodes[0].send(nodes[0].get("/readyz")).await.status, 503);
    assert_eq!(nodes[0].send(nodes[0].get("/livez")).await.status, 200);
    redis.restart().await;
    eventually("publishing works again", async || producer.publish(&nodes[0]).await == 202).await;
    for node in &nodes {
        node.ready().await;
    }
    for round in 0..50 {
        assert_eq!(producer.publish(&nodes[round % 2]).await, 202);
    }
    for reader in &mut readers {
        producer.all_reach(reader).await;
    }
}

/// Publishes through both nodes while the feeds of both are cut again and again.
async fn all_reach_though_feeds_are_cut(redis: &Redis, nodes: &[TestServer], readers: &mut [Subscriber]) {
    let mut producer = Producer::new();
    for round in 0..200 {
        assert_eq!(producer.publish(&nodes[round % 2]).await, 202);
        if round % 40 == 20 {
            redis.run("CLIENT KILL TYPE pubsub").await;
        }
    }
    for reader in readers {
        producer.all_reach(reader).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_that_are_cut_under_load_lose_nothing() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis).await;
    let mut readers = [nodes[0].subscribe("user.c7").await, nodes[1].subscribe("user.c7").await];
    all_reach_though_feeds_are_cut(&redis, &nodes, &mut readers).await;
    for node in &nodes {
        node.ready().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_cannot_be_read_keeps_no_other_waiting() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis).await;
    let mut spoilt = nodes[0].subscribe("user.c8").await;
    let mut readers = [nodes[0].subscribe("user.c7").await, nodes[1].subscribe("user.c7").await];
    let epoch = redis.edit_meta("user.c8", 1, "!!garbage!!").await;
    all_reach_though_feeds_are_cut(&redis, &nodes, &mut readers).await;
    let failures = async || nodes[0].metric("fanfare_repair_failures_total").await;
    eventually("the repair is tried again", async || failures().await >= 2.0).await;
    // It is stored under what is no epoch, so this producer is told nothing, and the nodes cannot read what is pushed.
    nodes[1].publish(order("c8", "late")).await.refused(503, "unknown_outcome");
    redis.edit_meta("user.c8", 1, &epoch).await;
    assert_eq!(spoilt.next_order().await, "late", "it goes on when it can be read again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_is_told_within_a_second_and_what_follows_is_delivered() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis).await;
    let mut reader = nodes[1].subscribe("user.c7").await;
    let mut producer = Producer::new();
    producer.publish(&nodes[0]).await;
    redis.freeze();
    assert_eq!(producer.publish(&nodes[0]).await, 503);
    let mut newcomer = nodes[0].listen(&["user.c8"]).open().await;
    let bye = newcomer.next_event("bye").await;
    assert_eq!((bye.json()["code"].as_str(), bye.id), (Some("unavailable"), None));
    redis.thaw();
    eventually("publishing works again", async || producer.publish(&nodes[0]).await == 202).await;
    producer.all_reach(&mut reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_waits_for_a_frozen_redis_once() {
    let redis = Redis::start().await;
    let [node, _other] = nodes(&redis).await;
    let batch: Value = (1..=30).map(|number| order("c7", number)).collect();
    redis.freeze();
    let request = node.post("/v1/notifications:batch").body(batch.to_string());
    // Each item would wait for a second, and the client's patience is DEADLINE.
    let results = node.send(request).await.ok()["results"].clone();
    redis.thaw();
    let codes: Vec<_> = results.as_array().unwrap().iter().map(|result| result["code"].as_str().unwrap()).collect();
    assert_eq!((codes[0], codes.len()), ("unknown_outcome", 30));
    assert!(codes[1..].iter().all(|code| *code == "not_accepted"), "{codes:?}");
}

#[tokio::test]
async fn a_flushed_redis_is_told_to_readers_as_a_reset() {
    let redis = Redis::start().await;
    let nodes = nodes(&redis).await;
    let mut live = nodes[0].subscribe("user.c7").await;
    nodes[1].publish(order("c7", 1)).await.accepted();
    assert_eq!(live.next_order().await, "1");
    let cursor = nodes[1].resume("user.c7", live.cursor()).await.disconnect();
    redis.run("FLUSHALL").await;
    nodes[1].publish(order("c7", 2)).await.accepted();
    let mut back = nodes[1].resume("user.c7", &cursor).await;
    for reader in [&mut live, &mut back] {
        let mut resets = Vec::new();
        let order = loop {
            let event: Event = reader.next().await.unwrap();
            if event.name.as_deref() == Some("reset") {
                assert_eq!(event.json()["reason"], "unknown_epoch");
                resets.push(event.json()["lane"].as_str().unwrap().to_owned());
            } else {
                break event.json()["data"]["order_id"].clone();
            }
        };
        assert_eq!(order, "2");
        assert!(resets.contains(&"normal".to_owned()), "{resets:?}");
    }
}

#[tokio::test]
async fn what_a_later_release_wrote_is_told_to_who_is_live_and_who_comes_back() {
    let redis = Redis::start().await;
    let [node, _] = nodes(&redis).await;
    let mut live = node.subscribe("user.c7").await;
    node.publish(order("c7", 1)).await.accepted();
    assert_eq!(live.next_order().await, "1");
    let cursor = node.resume("user.c7", live.cursor()).await.disconnect();
    redis.store_foreign("user.c7", 2, "\x02later").await;
    node.publish(order("c7", 3)).await.accepted();
    let mut back = node.resume("user.c7", &cursor).await;
    let told = json!({ "channel": "user.c7", "lane": "normal", "reason": "unreadable", "from": 2, "to": 2 });
    for reader in [&mut live, &mut back] {
        assert_eq!(reader.next_event("gap").await.json(), told);
        assert_eq!(reader.next_order().await, "3");
    }
    assert_eq!(node.metric("fanfare_gaps_total{reason=\"unreadable\"}").await, 2.0);
}

#[tokio::test]
async fn each_connection_that_is_made_again_is_counted() {
    let redis = Redis::start().await;
    let [node, other] = nodes(&redis).await;
    let count = async |node: &TestServer| node.metric("fanfare_broker_reconnects_total").await;
    assert_eq!(count(&node).await, 0.0);
    for (kind, least) in [("pubsub", 1.0), ("normal", 2.0), ("pubsub", 3.0)] {
        redis.run(&format!("CLIENT KILL TYPE {kind}")).await;
        for node in [&node, &other] {
            eventually("it is made again", async || count(node).await >= least).await;
        }
    }
    assert_eq!((count(&node).await, count(&other).await), (3.0, 3.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_goes_while_a_stream_opens_opens_nothing() {
    let redis = Redis::start().await;
    let scenario = Scenario::shop().at(&redis.url()).broker("timeout = \"15s\"");
    let node = TestServer::start(scenario).await;
    node.ready().await;
    // The stream is authorized, and waits for Redis.
    redis.freeze();
    let before = node.metric("fanfare_connections").await;
    let opening = node.listen(&["team.t2"]).open();
    let revoking = async {
        eventually("it is opening", async || node.metric("fanfare_connections").await > before).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        node.scenario.edit("{ claim = \"teams\", contains", "{ claim = \"roles\", contains");
        node.apply().await;
        redis.thaw();
    };
    let (mut stream, ()) = tokio::join!(opening, revoking);
    let bye = stream.next_event("bye").await;
    assert_eq!(bye.json()["code"], "forbidden");
    stream.ended().await;
}

#[tokio::test]
async fn doubtful_settings_are_told_once_and_a_user_without_rights_ends_the_start() {
    let redis = Redis::start().await;
    redis.run("CONFIG SET maxmemory 100mb maxmemory-policy allkeys-lru").await;
    let scenario = Scenario::shop().at(&redis.url());
    let log = scenario.file("log");
    let read = || std::fs::read_to_string(&log).unwrap();
    let program = Program::serve(&scenario.path(), &log);
    eventually("it is connected", async || read().contains("command connection to redis is up")).await;
    redis.run("CLIENT KILL TYPE normal").await;
    eventually("it is again", async || read().matches("command connection to redis is up").count() == 2).await;
    assert_eq!(read().matches("set `maxmemory-policy noeviction`").count(), 1, "{}", read());
    drop(program);
    redis.run("ACL SETUSER weak on >secret ~* &* +@all -rpush").await;
    let scenario = Scenario::shop().at(&redis.url().replace("//", "//weak:secret@"));
    let ended = fanfare(&["serve", "--config", scenario.path().to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && said.contains("+rpush") && !said.contains("secret@"), "{said}");
}
