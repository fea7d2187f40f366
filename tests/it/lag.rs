//! A reader that is slow gets what matters first, is spared what is out of date, and is told of all that it is spared.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Listen, Scenario, Subscriber, TestServer, alert, eventually, order, with};

/// Far more than the system's buffers take for a reader that reads nothing.
const FILLER: usize = 40;

fn scenario() -> Scenario {
    Scenario::shop()
        .server("ring_records = 4_096")
        .server("ring_bytes = 16_777_216")
        .user_channel("history = { size = 4_096, ttl = \"1h\" }\nshed = \"low\"")
}

async fn fill(server: &TestServer) {
    let long = "x".repeat(16_000);
    for number in 0..FILLER {
        server.publish(with(order("c7", number), "message", long.clone())).await.accepted();
    }
}

/// Publishes what the slow reader's buffers have no room for, then what it may be spared.
async fn publish_all(server: &TestServer) {
    fill(server).await;
    for number in 0..50 {
        server.publish(with(order("c7", format!("at-{number}")), "collapseKey", "position")).await.accepted();
    }
    for number in 0..10 {
        server.publish(with(order("c7", format!("soon-{number}")), "ttl", 1)).await.accepted();
        server.publish(with(order("c7", format!("low-{number}")), "priority", "low")).await.accepted();
    }
    server.publish(with(alert("c7", "break-in"), "ttl", 1)).await.accepted();
    server.publish(order("c7", "end")).await.accepted();
}

/// What a reader got: the orders' numbers and the alerts' titles, and the counts of its `lag` events.
#[derive(Debug, Default)]
struct Got {
    told: Vec<String>,
    expired: u64,
    conflated: u64,
    shed: u64,
}

impl Got {
    async fn until(reader: &mut Subscriber, last: &str) -> Self {
        let mut got = Self::default();
        while got.told.last().map(String::as_str) != Some(last) {
            let event = reader.next().await.expect("the stream goes on");
            let data = event.json();
            match event.name.as_deref() {
                None => got.told.push(name(&data)),
                Some("lag") => {
                    assert_eq!((&data["channel"], &data["lane"]), (&json!("user.c7"), &json!("normal")));
                    got.expired += data["expired"].as_u64().unwrap();
                    got.conflated += data["conflated"].as_u64().unwrap();
                    got.shed += data["shed"].as_u64().unwrap();
                }
                Some(other) => panic!("{other}: {data}"),
            }
        }
        got
    }
}

fn name(notification: &Value) -> String {
    let name = [&notification["data"]["order_id"], &notification["title"]].into_iter().find_map(Value::as_str);
    name.unwrap_or_else(|| panic!("{notification}")).to_owned()
}

async fn a_slow_reader_is_spared(listen: impl Fn(&TestServer) -> Listen) {
    let server = TestServer::start(scenario()).await;
    let mut slow = listen(&server).open_narrow().await;
    slow.next_event("hello").await;
    let mut quick = server.subscribe("user.c7").await;
    let ((), kept_up) = tokio::join!(publish_all(&server), Got::until(&mut quick, "end"));
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    let got = Got::until(&mut slow, "end").await;
    assert_eq!((got.expired, got.conflated, got.shed), (10, 49, 10), "{got:?}");
    let (alerts, orders): (Vec<_>, Vec<_>) = got.told.iter().partition(|name| *name == "break-in");
    assert_eq!(alerts.len(), 1, "what is critical is never skipped: {got:?}");
    assert!(got.told.iter().position(|name| name == "break-in") < Some(FILLER / 2), "it overtakes: {got:?}");
    let filler = (0..FILLER).map(|number| number.to_string());
    let expected: Vec<String> = filler.chain(["at-49".to_owned(), "end".to_owned()]).collect();
    assert_eq!(orders, expected.iter().collect::<Vec<_>>());
    assert_eq!(server.metric("fanfare_lag_skipped_total").await, 69.0);

    // A reader that keeps up is spared nothing, and nor is the slow one from now on.
    assert_eq!(kept_up.told.len(), FILLER + 50 + 20 + 2);
    assert_eq!(kept_up.expired + kept_up.conflated + kept_up.shed, 0);
    for number in 0..3 {
        server.publish(with(order("c7", number), "collapseKey", "position")).await.accepted();
        assert_eq!(slow.next_order().await, number.to_string());
    }
}

#[tokio::test]
async fn a_slow_reader_is_spared_what_is_out_of_date_and_is_told() {
    a_slow_reader_is_spared(|server| server.listen(&["user.c7"])).await;
}

#[tokio::test]
async fn so_is_one_behind_a_proxy_of_http_1_0() {
    a_slow_reader_is_spared(|server| server.listen(&["user.c7"]).http_1_0()).await;
}

/// What is on the way already cannot be overtaken; it is kept to a little more than the reader's own buffer.
#[tokio::test]
async fn what_is_critical_waits_for_16_kib_at_most() {
    let server = TestServer::start(scenario()).await;
    let mut slow = server.listen(&["user.c7"]).open_narrow().await;
    slow.next_event("hello").await;
    for number in 0..1_000 {
        let order = with(order("c7", number), "message", "x".repeat(200));
        server.publish(with(order, "priority", "low")).await.accepted();
    }
    server.publish(alert("c7", "break-in")).await.accepted();
    let mut before = 0;
    loop {
        let event = slow.next().await.expect("the stream goes on");
        if event.json()["title"] == "break-in" {
            break;
        }
        before += event.data.len();
    }
    assert!(before <= 16 * 1024, "the alert came after {before} bytes");
}

/// A stalled connection takes no goodbye, and ends all the same.
async fn stalled(server: &TestServer, token: &str) -> Subscriber {
    let mut stalled = server.listen(&["user.c7"]).token(token).open_narrow().await;
    stalled.next_event("hello").await;
    fill(server).await;
    stalled
}

async fn is_closed(server: &TestServer, reason: &str) {
    let closes = format!("fanfare_stream_closes_total{{reason=\"{reason}\"}}");
    eventually("the stalled stream is closed", async || server.metric(&closes).await == 1.0).await;
    eventually("its connection too", async || server.metric("fanfare_subscribers").await == 0.0).await;
}

#[tokio::test]
async fn a_token_that_expires_ends_a_stalled_stream() {
    let server = TestServer::start(scenario()).await;
    let token = server.token_for("c7", Some(Duration::from_secs(2)));
    let _stalled = stalled(&server, &token).await;
    is_closed(&server, "token_expired").await;
}

#[tokio::test]
async fn a_grant_that_is_revoked_ends_a_stalled_stream() {
    let server = TestServer::start(scenario()).await;
    let _stalled = stalled(&server, &server.token("c7")).await;
    server.scenario.edit(r#"{ claim = "sub", equals = "{user}" }"#, r#"{ claim = "never", equals = "{user}" }"#);
    server.reload().await.ok();
    is_closed(&server, "revoked").await;
}

#[tokio::test]
async fn a_drain_ends_stalled_streams_in_time() {
    let server = TestServer::start(scenario()).await;
    let _stalled = stalled(&server, &server.token("c7")).await;
    let started = Instant::now();
    server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(3), "a window of 1 s took {:?}", started.elapsed());
}

#[tokio::test]
async fn what_follows_the_request_of_a_stream_ends_it() {
    let server = TestServer::start(Scenario::shop()).await;
    server.publish(order("c7", 0)).await.accepted();
    let before = server.metric("fanfare_connections").await;
    let mut reader = server.subscribe("user.c7").await;
    reader.send(b"\r\n").await;
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(reader.next_order().await, "1");
    reader.send(b"GET /livez HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(reader.next_event("bye").await.json()["code"], "bad_request");
    reader.ended_whole().await;
    eventually("it is forgotten", async || server.metric("fanfare_subscribers").await == 0.0).await;
    assert_eq!(server.metric("fanfare_connections").await, before);
}
