//! What several nodes on one Redis know together: how much is left of a limit, and who listens.

use serde_json::{Value, json};

use crate::support::{Redis, Scenario, TestServer, eventually, order};

fn limited(url: &str) -> Scenario {
    Scenario::shop()
        .with("[limits.producer]\nkey = \"{principal}\"\nrate = \"1/h\"\nburst = 4\nscope = \"cluster\"")
        .replace("schema = \"order.updated.json\"\n", "schema = \"order.updated.json\"\nlimit = \"producer\"\n")
        .at(url)
}

async fn start(scenario: Scenario) -> TestServer {
    let node = TestServer::start(scenario).await;
    node.ready().await;
    node
}

async fn fallbacks(node: &TestServer) -> f64 {
    node.metric("fanfare_limits_fallback_total{limit=\"producer\"}").await
}

#[tokio::test]
async fn two_nodes_share_one_limit() {
    let redis = Redis::start().await;
    let nodes = [start(limited(&redis.url())).await, start(limited(&redis.url())).await];
    for left in [3_u64, 2, 1, 0] {
        let node = &nodes[left as usize % 2];
        let dry_run = node.post("/v1/notifications?dry_run=1").body(order("c7", left).to_string());
        node.send(dry_run).await.ok();
        let answer = node.publish(order("c7", left)).await;
        assert_eq!(answer.header("ratelimit-policy"), "\"producer\";q=4;w=14400");
        let state = answer.header("ratelimit").to_owned();
        assert!(state.starts_with(&format!("\"producer\";r={left};t=3")), "{state}");
        answer.accepted();
    }
    for node in &nodes {
        let answer = node.publish(order("c7", 5)).await;
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((3_500..=3_600).contains(&seconds), "{seconds}");
        answer.refused(429, "limited");
        let dry_run = node.post("/v1/notifications?dry_run=1").body(order("c7", 6).to_string());
        node.send(dry_run).await.refused(429, "limited");
        assert_eq!(node.metric("fanfare_limits_exceeded_total{limit=\"producer\"}").await, 1.0);
        assert_eq!(fallbacks(node).await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_node_limits_by_itself_and_says_so() {
    let mut redis = Redis::start().await;
    let node = start(limited(&redis.url())).await;
    for number in 0..4 {
        node.publish(order("c7", number)).await.accepted();
    }
    node.publish(order("c7", 4)).await.refused(429, "limited");
    redis.kill();
    eventually("it is seen", async || node.send(node.get("/readyz")).await.status == 503).await;
    for number in 0..4 {
        node.publish(order("c7", number)).await.refused(503, "not_accepted");
    }
    node.publish(order("c7", 4)).await.refused(429, "limited");
    assert_eq!(fallbacks(&node).await, 5.0);
    redis.restart().await;
    eventually("it is back", async || node.send(node.get("/readyz")).await.status == 200).await;
    // What was taken together is not forgotten.
    node.publish(order("c7", 5)).await.refused(429, "limited");
    assert_eq!(fallbacks(&node).await, 5.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_does_not_hold_up_the_limit() {
    let redis = Redis::start().await;
    let node = start(limited(&redis.url())).await;
    redis.freeze();
    let begun = tokio::time::Instant::now();
    for _ in 0..4 {
        let dry_run = node.post("/v1/notifications?dry_run=1").body(order("c7", 1).to_string());
        node.send(dry_run).await.ok();
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(fallbacks(&node).await, 0.0, "a dry run counts nothing");
    redis.thaw();
}

#[tokio::test]
async fn with_the_broker_in_memory_the_limit_of_the_cluster_is_that_of_the_node() {
    let node = TestServer::start(limited("memory:")).await;
    for number in 0..4 {
        node.publish(order("c7", number)).await.accepted();
    }
    node.publish(order("c7", 4)).await.refused(429, "limited");
    assert_eq!(fallbacks(&node).await, 0.0);
}

/// Who listens to `user.c7`, as a node tells.
async fn subscribers(node: &TestServer) -> Value {
    let look = node.get("/v1/channels/user.c7").bearer_auth(node.token("c7"));
    node.send(look).await.ok()["subscribers"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_shows_its_listeners_on_all_nodes() {
    let redis = Redis::start().await;
    let nodes = [start(Scenario::shop().at(&redis.url())).await, start(Scenario::shop().at(&redis.url())).await];
    let [a, b] = &nodes;
    let (_one, _two, three) =
        (a.subscribe("user.c7").await, a.subscribe("user.c7").await, b.subscribe("user.c7").await);
    // Its own each node knows at once.
    assert_eq!((subscribers(a).await["node"].clone(), subscribers(b).await["node"].clone()), (json!(2), json!(1)));
    for (node, here) in [(a, 2), (b, 1)] {
        eventually("they are told", async || subscribers(node).await == json!({ "node": here, "cluster": 3 })).await;
    }
    three.disconnect();
    eventually("it has left", async || subscribers(a).await == json!({ "node": 2, "cluster": 2 })).await;
    let [a, b] = nodes;
    a.stop_at_once().await;
    let nobody = json!({ "node": 0, "cluster": 0 });
    let begun = tokio::time::Instant::now();
    eventually("a node that ends says so", async || subscribers(&b).await == nobody).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "before what it said expires");
}
