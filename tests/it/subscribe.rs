//! A reader opens a stream, and gets what it may, in the right order, until it shall end.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{Frame, Scenario, TestServer, alert, eventually, order, with};

#[tokio::test]
async fn a_stream_greets_before_anything_happens() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.listen(&["user.c7"]).open().await;
    assert_eq!(customer.head.status, 200);
    assert_eq!(customer.head.header("content-type"), "text/event-stream");
    assert_eq!(customer.head.header("cache-control"), "no-cache, no-store, no-transform");
    assert_eq!(customer.head.header("x-accel-buffering"), "no");
    assert_eq!(customer.head.header("content-encoding"), "");
    let hello = customer.next_event("hello").await;
    assert!(hello.retry.is_some_and(|retry| (1_000..6_500).contains(&retry)), "{hello:?}");
    assert!(hello.id.is_some(), "who is cut off now must know where to go on");
    let data = hello.json();
    assert_eq!(data["channels"], json!(["user.c7"]));
    assert_eq!(data["heartbeat"], 15.0);
    assert!(data["expiresAt"].is_string());
}

#[tokio::test]
async fn who_names_no_channel_gets_the_own_one() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.listen(&[]).token(&server.token("c7")).open().await;
    assert_eq!(customer.next_event("hello").await.json()["channels"], json!(["user.c7"]));
    server.publish(order("c8", 1)).await.accepted();
    server.publish(order("c7", 2)).await.accepted();
    assert_eq!(customer.next_order().await, "2", "what is for others is not for c7");
}

#[tokio::test]
async fn one_stream_carries_several_channels() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut seller = server.listen(&["user.c7", "team.t2", "ops.all", "team.t2"]).open().await;
    let channels = seller.next_event("hello").await.json()["channels"].clone();
    assert_eq!(channels, json!(["ops.all", "team.t2", "user.c7"]));
    server.publish(with(order("c7", 1), "data.total_cents", 200_000)).await.accepted();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let event = seller.next().await.unwrap();
        seen.push((event.name.clone(), event.json()["channel"].as_str().unwrap().to_owned()));
    }
    seen.sort();
    // The team's channel asks for event names; an `onmessage` of the customer's page gets the other.
    let team = (Some("order.updated".to_owned()), "team.t2".to_owned());
    assert_eq!(seen, [(None, "user.c7".to_owned()), team]);
}

#[tokio::test]
async fn a_quiet_stream_beats() {
    let server = TestServer::start(Scenario::shop().server("heartbeat = \"1s\"")).await;
    let mut customer = server.subscribe("user.c7").await;
    for _ in 0..2 {
        assert_eq!(customer.next_frame().await, Some(Frame::Heartbeat));
    }
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(customer.next_order().await, "1");
}

#[tokio::test]
async fn what_is_urgent_overtakes_a_backlog_and_nothing_is_lost_by_it() {
    let server = TestServer::start(Scenario::shop()).await;
    let cursor = server.subscribe("user.c7").await.disconnect();
    for number in 1..=20 {
        server.publish(order("c7", number)).await.accepted();
    }
    server.publish(alert("c7", "!")).await.accepted();
    let mut customer = server.resume("user.c7", &cursor).await;
    assert_eq!(customer.next_notification().await["title"], "!");
    assert_eq!(customer.next_order().await, "1");
    let mut customer = server.resume("user.c7", &customer.disconnect()).await;
    for number in 2..=20 {
        assert_eq!(customer.next_order().await, number.to_string());
    }
    server.publish(alert("c7", "again")).await.accepted();
    assert_eq!(customer.next_notification().await["title"], "again", "the first alert does not come twice");
}

#[tokio::test]
async fn a_head_request_gets_a_head() {
    let server = TestServer::start(Scenario::shop()).await;
    let answer = server.listen(&["user.c7"]).method("HEAD").open().await;
    assert_eq!((answer.head.status, answer.head.header("content-type")), (200, "text/event-stream"));
    assert_eq!(answer.body().await, "");
    eventually("its subscription is gone", async || server.metric("fanfare_subscribers").await == 0.0).await;
}

#[tokio::test]
async fn who_takes_no_events_is_told_so() {
    let server = TestServer::start(Scenario::shop()).await;
    let answer = server.listen(&["user.c7"]).header("accept", "application/json").open().await;
    assert_eq!((answer.head.status, answer.head.header("content-type")), (406, "application/problem+json"));
    assert!(answer.body().await.contains("not_acceptable"));
}

#[tokio::test]
async fn a_proxy_of_http_1_0_gets_a_stream_without_chunks() {
    let server = TestServer::start(Scenario::shop().server("heartbeat = \"1s\"")).await;
    let mut customer = server.listen(&["user.c7"]).http_1_0().greeted().await;
    for name in ["transfer-encoding", "content-length"] {
        assert_eq!(customer.head.header(name), "", "{:?}", customer.head);
    }
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(customer.next_order().await, "1");
    assert_eq!(customer.next_frame().await, Some(Frame::Heartbeat));
    server.stop().await;
    assert_eq!(customer.next_event("bye").await.json()["code"], "draining");
    customer.ended().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_closed_and_may_come_back() {
    let scenario = Scenario::shop().server("stall_timeout = \"1s\"").server("heartbeat = \"1s\"");
    let server = TestServer::start(scenario.user_channel("history = { size = 1_000, ttl = \"1h\" }")).await;
    let stalled = server.listen(&["user.c7"]).open_narrow().await;
    let mut healthy = server.subscribe("user.c7").await;
    let long = "x".repeat(16_000);
    let closed = r#"fanfare_stream_closes_total{reason="stalled"}"#;
    let mut number = 0;
    // As much as the system's buffers take, and more.
    eventually("the stalled reader is closed", async || {
        for _ in 0..50 {
            number += 1;
            server.publish(with(order("c7", number), "message", long.clone())).await.accepted();
            assert_eq!(healthy.next_order().await, number.to_string());
        }
        server.metric(closed).await == 1.0
    })
    .await;
    assert_eq!(server.metric("fanfare_subscribers").await, 1.0);
    drop(stalled);
    server.publish(order("c7", "last")).await.accepted();
    assert_eq!(healthy.next_order().await, "last");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = TestServer::start(Scenario::shop()).await;
    let token = server.token_for("c7", Some(Duration::from_secs(2)));
    let mut customer = server.listen(&["user.c7"]).token(&token).greeted().await;
    let bye = customer.next_event("bye").await;
    assert_eq!(bye.json()["code"], "token_expired");
    assert!(bye.retry.is_some());
    customer.ended().await;

    // Coming back with it does not end the browser's stream for good, and does not make it anonymous.
    let cursor = customer.disconnect();
    let mut again = server.listen(&["user.c7"]).token(&token).cursor(&cursor).open().await;
    assert_eq!(again.head.status, 200);
    let bye = again.next_event("bye").await;
    assert_eq!((bye.json()["code"].as_str(), bye.id), (Some("token_expired"), Some(cursor.clone())));
    again.ended().await;

    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(server.resume("user.c7", &cursor).await.next_order().await, "1");
}

#[tokio::test]
async fn a_principal_has_its_share_of_streams() {
    let server = TestServer::start(Scenario::shop().server("max_streams_per_principal = 2")).await;
    let first = server.subscribe("user.c7").await;
    let _second = server.subscribe("user.c7").await;
    let _other = server.subscribe("user.c8").await;
    let mut third = server.listen(&["user.c7"]).open().await;
    let bye = third.next_event("bye").await;
    assert_eq!((bye.json()["code"].as_str(), bye.id), (Some("overloaded"), None));
    third.ended().await;
    let strict = server.listen(&["user.c7"]).strict().open().await;
    assert_eq!((strict.head.status, strict.head.header("retry-after")), (429, "5"));
    first.disconnect();
    eventually("there is room again", async || server.metric("fanfare_subscribers").await == 2.0).await;
    server.subscribe("user.c7").await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_to_every_stream() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(server.subscribe("user.c7").await);
    }
    server.publish(order("c7", 1)).await.accepted();
    let ready = server.get("/readyz");
    let publish = server.post("/v1/notifications").body(order("c7", 2).to_string());
    let late = server.listen(&["user.c7"]);
    let stopping = tokio::task::LocalSet::new();
    let stopped = stopping.run_until(async {
        let stop = tokio::task::spawn_local(server.stop());
        eventually("it is not ready", async || {
            let answer = ready.try_clone().unwrap().send().await.unwrap();
            answer.status() == 503 && answer.text().await.unwrap().contains("draining")
        })
        .await;
        let refusal = crate::support::Answer::read(publish.send().await.unwrap()).await;
        refusal.refused(503, "draining");
        let mut late = late.open().await;
        assert_eq!(late.next_event("bye").await.json()["code"], "draining");
        stop.await.unwrap();
    });
    stopped.await;
    for reader in &mut readers {
        assert_eq!(reader.next_order().await, "1");
        let bye = reader.next_event("bye").await;
        assert_eq!(bye.json()["code"], "draining");
        assert!(bye.retry.is_some_and(|retry| retry >= 1_000), "{bye:?}");
        reader.ended().await;
    }
}

#[tokio::test]
async fn line_ends_after_a_request_do_no_harm() {
    let server = TestServer::start(Scenario::shop()).await;
    // The header's value ends the head early, and what `Listen` adds is one line end more.
    let mut reader = server.listen(&["user.c7"]).header("x-last", "1\r\n").open().await;
    reader.next_event("hello").await;
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(reader.next_order().await, "1");
}

#[tokio::test]
async fn a_request_behind_that_for_a_stream_is_told_that_it_is_not_answered() {
    let server = TestServer::start(Scenario::shop()).await;
    // The header's value ends the head, and what `Listen` adds belongs to what follows: another request, or much that
    // is none.
    for behind in ["\r\nGET /livez HTTP/1.1\r\nhost: shop.test".to_owned(), format!("\r\n{}", "x".repeat(50_000))] {
        let mut reader = server.listen(&["user.c7"]).header("x-last", &format!("1\r\n{behind}")).greeted().await;
        assert_eq!(reader.next_event("bye").await.json()["code"], "bad_request");
        reader.ended_whole().await;
    }
    let mut reader = server.listen(&["user.c7"]).http_1_0().header("x-last", "1\r\n\r\nGET / HTTP/1.0").greeted().await;
    assert_eq!(reader.next_event("bye").await.json()["code"], "bad_request");
    reader.ended().await;
    eventually("all are forgotten", async || server.metric("fanfare_subscribers").await == 0.0).await;
    assert_eq!(server.metric(r#"fanfare_stream_closes_total{reason="bad_request"}"#).await, 3.0);
}

/// Its bytes may come late, and be taken for another request.
#[tokio::test]
async fn a_request_for_a_stream_has_no_body() {
    let server = TestServer::start(Scenario::shop()).await;
    for header in [("content-length", "5"), ("transfer-encoding", "chunked")] {
        let refused = server.listen(&["user.c7"]).header(header.0, header.1).open().await;
        assert_eq!(refused.head.status, 400);
        assert!(refused.body().await.contains("unexpected_body"));
    }
    let _reader = server.listen(&["user.c7"]).header("content-length", "0").greeted().await;
    assert_eq!(server.metric("fanfare_subscribers").await, 1.0);
}

/// So many that the shards are not done when the last is asked to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_at_once_says_goodbye_to_every_stream_too() {
    let server = TestServer::start(Scenario::shop().server("max_streams_per_principal = 1_000")).await;
    let mut readers = futures_util::future::join_all((0..200).map(|_| server.subscribe("user.c7"))).await;
    server.stop_at_once().await;
    for reader in &mut readers {
        assert_eq!(reader.next_event("bye").await.json()["code"], "draining");
        reader.ended().await;
    }
}

#[tokio::test]
async fn who_leaves_is_forgotten() {
    let server = TestServer::start(Scenario::shop()).await;
    let readers = futures_util::future::join_all((0..20).map(|_| server.subscribe("user.c7"))).await;
    assert_eq!(server.metric("fanfare_subscribers").await, 20.0);
    drop(readers);
    eventually("all are gone", async || server.metric("fanfare_subscribers").await == 0.0).await;
}

/// A balancer learns from `/readyz` alone: it must be able to ask until the window is over.
#[tokio::test]
async fn a_server_without_streams_drains_for_its_whole_window_too() {
    let server = TestServer::start(Scenario::shop()).await;
    let ready = server.get("/readyz");
    let started = Instant::now();
    let asked = async {
        let mut last_told = Duration::ZERO;
        while let Ok(answer) = ready.try_clone().unwrap().send().await {
            if answer.status() == 503 {
                last_told = started.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        last_told
    };
    let (last_told, _) = tokio::join!(asked, server.stop());
    // The window is 1 s; the poll's own steps are left out.
    assert!(last_told >= Duration::from_millis(800), "not ready was last told after {last_told:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "stopped after {:?}", started.elapsed());
}
