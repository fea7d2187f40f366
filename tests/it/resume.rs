//! A reader comes back, and gets what it missed: all of it, once, or the truth about what is gone.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Scenario, TestServer, alert, eventually, order, with};

fn long_history() -> Scenario {
    Scenario::shop().user_channel("history = { size = 5_000, ttl = \"1h\" }")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_cut_at_any_moment_misses_nothing_and_gets_nothing_twice() {
    const ORDERS: u64 = 1_500;
    // A ring so small that some come back to it and some to history.
    let server = Arc::new(TestServer::start(long_history().server("ring_records = 8")).await);
    let mut customer = server.subscribe("user.c7").await;
    let publisher = Arc::clone(&server);
    let mut publishing = JoinSet::new();
    publishing.spawn(async move {
        for number in 1..=ORDERS {
            publisher.publish(order("c7", number)).await.accepted();
        }
    });
    let (mut next, mut cuts) = (1, 0);
    while next <= ORDERS {
        for _ in 0..rand::random_range(0..12) {
            if next <= ORDERS {
                assert_eq!(customer.next_order().await, next.to_string());
                next += 1;
            }
        }
        if next <= ORDERS {
            customer = server.resume("user.c7", &customer.disconnect()).await;
            cuts += 1;
        }
    }
    assert!(cuts >= 50, "{cuts}");
    publishing.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_a_reader_subscribes_reaches_it_once() {
    let server = Arc::new(TestServer::start(long_history()).await);
    let mut cursor = server.subscribe("user.c7").await.disconnect();
    for round in 0..60 {
        // The second is published while the reader comes back; that may be before, in or after each of its steps.
        server.publish(order("c7", 3 * round)).await.accepted();
        let publish = server.publish(order("c7", 3 * round + 1));
        let (mut reader, answer) = tokio::join!(server.resume("user.c7", &cursor), publish);
        answer.accepted();
        server.publish(order("c7", 3 * round + 2)).await.accepted();
        for number in 3 * round..3 * round + 3 {
            assert_eq!(reader.next_order().await, number.to_string());
        }
        cursor = reader.disconnect();
    }
}

#[tokio::test]
async fn an_event_cut_in_two_comes_again() {
    let server = TestServer::start(Scenario::shop()).await;
    let reader = server.subscribe("user.c7").await;
    let before = reader.cursor().to_owned();
    server.publish(order("c7", 1)).await.accepted();
    // What was received in part has no id yet, so the client comes back with the one before.
    drop(reader);
    let mut again = server.resume("user.c7", &before).await;
    assert_eq!(again.next_order().await, "1");
    assert_ne!(again.cursor(), before);
}

#[tokio::test]
async fn what_history_no_longer_has_is_told_exactly_and_the_rest_is_delivered() {
    let scenario = Scenario::shop().user_channel("history = { size = 5, ttl = \"1h\" }");
    let server = TestServer::start(scenario.server("ring_records = 2")).await;
    let mut reader = server.subscribe("user.c7").await;
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(reader.next_order().await, "1");
    let cursor = reader.disconnect();
    for number in 2..=20 {
        server.publish(order("c7", number)).await.accepted();
    }
    let mut reader = server.resume("user.c7", &cursor).await;
    let gap = reader.next_event("gap").await;
    let told = json!({ "channel": "user.c7", "lane": "normal", "reason": "trimmed", "from": 2, "to": 15 });
    assert_eq!(gap.json(), told);
    // The gap is told once: its id is after it.
    let mut reader = server.resume("user.c7", gap.id.as_deref().unwrap()).await;
    for number in 16..=20 {
        assert_eq!(reader.next_order().await, number.to_string());
    }
    server.publish(alert("c7", "live")).await.accepted();
    assert_eq!(reader.next_notification().await["title"], "live");
}

#[tokio::test]
async fn operators_see_how_resuming_goes() {
    let scenario = Scenario::shop().user_channel("history = { size = 2, ttl = \"1h\" }");
    let server = TestServer::start(scenario.server("ring_records = 2")).await;
    let counted = async |result: &str| server.metric(&format!("fanfare_resumes_total{{result=\"{result}\"}}")).await;
    let seen = async || {
        let mut all = Vec::new();
        for result in ["complete", "gap", "reset", "unreadable", "interrupted"] {
            all.push(counted(result).await as u32);
        }
        all
    };
    let cursor = server.subscribe("user.c7").await.disconnect();
    drop(server.listen(&["user.c7"]).query("last=2").greeted().await);
    assert_eq!(seen().await, [0; 5], "neither named a cursor");

    server.publish(order("c7", 1)).await.accepted();
    let mut reader = server.resume("user.c7", &cursor).await;
    reader.next_order().await;
    assert_eq!(seen().await, [1, 0, 0, 0, 0]);

    for number in 2..=9 {
        server.publish(order("c7", number)).await.accepted();
    }
    server.resume("user.c7", &cursor).await.next_event("gap").await;
    eventually("a gap counts, with or without what comes after", async || seen().await == [1, 1, 0, 0, 0]).await;

    let other_life = TestServer::start(Scenario::shop()).await.subscribe("user.c7").await.disconnect();
    let mut reader = server.resume("user.c7", &other_life).await;
    reader.next_event("reset").await;
    eventually("resets of both lanes count once", async || seen().await == [1, 1, 1, 0, 0]).await;

    let mut reader = server.resume("user.c7", "7").await;
    reader.next_event("reset").await;
    assert_eq!(seen().await, [1, 1, 1, 1, 0]);

    let asked = server.listen(&["user.c7"]).cursor(reader.cursor()).method("HEAD").open().await;
    assert_eq!(asked.head.status, 200);
    eventually("one that never was read from", async || seen().await == [1, 1, 1, 1, 1]).await;
}

#[tokio::test]
async fn what_is_too_old_to_be_kept_is_told() {
    let scenario = Scenario::shop().user_channel("history = { size = 100, ttl = \"1s\" }");
    let server = TestServer::start(scenario).await;
    let cursor = server.subscribe("user.c7").await.disconnect();
    server.publish(order("c7", 1)).await.accepted();
    let look = server.get("/v1/channels/user.c7").bearer_auth(server.token("c7"));
    eventually("the first is too old", async || {
        server.send(look.try_clone().unwrap()).await.ok()["lanes"]["normal"]["length"] == 0
    })
    .await;
    // The node may have it at hand still; what it may not do is to pass over it in silence.
    let event = server.resume("user.c7", &cursor).await.next().await.unwrap();
    match event.name.as_deref() {
        Some("gap") => assert_eq!((event.json()["from"].as_u64(), event.json()["to"].as_u64()), (Some(1), Some(1))),
        _ => assert_eq!(event.json()["data"]["order_id"], "1"),
    }
}

#[tokio::test]
async fn the_position_of_another_life_is_reset() {
    let before = TestServer::start(Scenario::shop()).await;
    let mut reader = before.subscribe("user.c7").await;
    before.publish(order("c7", 1)).await.accepted();
    reader.next_order().await;
    let cursor = reader.disconnect();
    before.stop().await;

    let after = TestServer::start(Scenario::shop()).await;
    after.publish(order("c7", 2)).await.accepted();
    let mut reader = after.resume("user.c7", &cursor).await;
    let mut reasons = Vec::new();
    let mut orders = Vec::new();
    while orders.is_empty() || reasons.len() < 2 {
        let event = reader.next().await.unwrap();
        match event.name.as_deref() {
            Some("reset") => reasons.push(event.json()["reason"].as_str().unwrap().to_owned()),
            _ => orders.push(event.json()["data"]["order_id"].as_str().unwrap().to_owned()),
        }
    }
    assert_eq!((reasons, orders), (vec!["unknown_epoch".to_owned(); 2], vec!["2".to_owned()]));
    let mut reader = after.resume("user.c7", &reader.disconnect()).await;
    after.publish(order("c7", 3)).await.accepted();
    assert_eq!(reader.next_order().await, "3");
}

#[tokio::test]
async fn what_is_no_cursor_is_said_to_be_none_and_the_stream_is_live() {
    let server = TestServer::start(Scenario::shop()).await;
    server.publish(order("c7", 1)).await.accepted();
    for garbage in ["7", "1", "1!", "1AAAA", "1.2-3", "v1.abc", &"1".repeat(2_000)] {
        let mut reader = server.resume("user.c7", garbage).await;
        if garbage != "1" {
            // A cursor of no channel at all is one.
            assert_eq!(reader.next_event("reset").await.json(), json!({ "reason": "unreadable_cursor" }), "{garbage}");
        }
        server.publish(order("c7", "live")).await.accepted();
        assert_eq!(reader.next_order().await, "live", "{garbage}");
    }
    // The same in the query, where a page has written it: the place is lost, and the stream is not.
    for garbage in ["last_event_id=7", "last_event_id=%FF%00", "lastEventId=1AAAA"] {
        let mut reader = server.listen(&["user.c7"]).query(garbage).greeted().await;
        assert_eq!(reader.next_event("reset").await.json(), json!({ "reason": "unreadable_cursor" }), "{garbage}");
        server.publish(order("c7", "live")).await.accepted();
        assert_eq!(reader.next_order().await, "live", "{garbage}");
    }
}

#[tokio::test]
async fn a_cursor_of_somebody_else_shows_nothing_of_theirs() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut victim = server.listen(&["user.c7", "team.t2"]).greeted().await;
    let cursor = victim.cursor().to_owned();
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(victim.next_order().await, "1");
    for query in [None, Some("channel=user.c7")] {
        let attacker = server.listen(&[]).token(&server.token("c8")).cursor(&cursor);
        let attacker = query.iter().fold(attacker, |attacker, query| attacker.query(query));
        let mut stream = attacker.open().await;
        let first = stream.next().await.unwrap();
        if query.is_some() {
            assert_eq!((first.name.as_deref(), first.json()["code"].as_str()), (Some("bye"), Some("forbidden")));
            stream.ended().await;
            continue;
        }
        assert_eq!(first.json()["channels"], json!(["user.c8"]));
        server.publish(order("c8", 2)).await.accepted();
        assert_eq!(stream.next_order().await, "2");
    }
}

#[tokio::test]
async fn a_reader_may_begin_with_the_last_few() {
    let server = TestServer::start(Scenario::shop().server("ring_records = 2")).await;
    for number in 1..=10 {
        server.publish(order("c7", number)).await.accepted();
    }
    for (last, first) in [("3", 8), ("10", 1), ("99", 1), ("18446744073709551615", 1)] {
        let mut reader = server.listen(&["user.c7"]).query(&format!("last={last}")).greeted().await;
        for number in first..=10 {
            assert_eq!(reader.next_order().await, number.to_string(), "last={last}");
        }
    }
    let mut reader = server.listen(&["user.c7"]).query("last=0").greeted().await;
    server.publish(order("c7", "live")).await.accepted();
    assert_eq!(reader.next_order().await, "live");
}

#[tokio::test]
async fn a_number_of_last_ones_that_is_none_is_refused_by_its_name() {
    let server = TestServer::start(Scenario::shop()).await;
    for last in ["abc", "-3", "", "2.5", "18446744073709551616"] {
        let asked = server.listen(&["user.c7"]).query(&format!("last={last}"));
        let mut page = asked.clone().open().await;
        assert_eq!(page.head.status, 200, "an EventSource would give up without a word");
        let bye = page.next_event("bye").await;
        assert_eq!((bye.json()["code"].as_str(), bye.id.as_deref()), (Some("bad_request"), Some("~refused")));
        assert!(bye.json()["detail"].as_str().unwrap().contains("`last`"), "{bye:?}");
        page.ended().await;
        assert_eq!(asked.clone().cursor("~refused").open().await.head.status, 204);

        let strict = asked.strict().open().await;
        assert_eq!((strict.head.status, strict.head.header("content-type")), (400, "application/problem+json"));
        let problem: serde_json::Value = serde_json::from_str(&strict.body().await).unwrap();
        assert_eq!(problem["code"], "bad_query");
        assert!(problem["detail"].as_str().unwrap().contains("`last`"), "{problem}");
    }
}

#[tokio::test]
async fn the_header_wins_over_the_query_which_a_browser_repeats() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut reader = server.subscribe("user.c7").await;
    let start = reader.cursor().to_owned();
    for number in 1..=3 {
        server.publish(order("c7", number)).await.accepted();
        reader.next_order().await;
    }
    let old = format!("last_event_id={start}");
    let mut by_query = server.listen(&["user.c7"]).query(&old).greeted().await;
    assert_eq!(by_query.next_order().await, "1");
    let header = by_query.cursor().to_owned();
    let mut by_both = server.listen(&["user.c7"]).query(&old).query("last=3").cursor(&header).greeted().await;
    assert_eq!(by_both.next_order().await, "2");
    let polyfill = format!("lastEventId={header}");
    let mut by_polyfill = server.listen(&["user.c7"]).query(&polyfill).greeted().await;
    assert_eq!(by_polyfill.next_order().await, "2");
}

#[tokio::test]
async fn who_began_with_the_last_few_is_told_of_what_is_lost_later() {
    let scenario = Scenario::shop().user_channel("history = { size = 2, ttl = \"1h\" }");
    let server = TestServer::start(scenario.server("ring_records = 2").server("stall_timeout = \"1m\"")).await;
    server.publish(order("c7", 1)).await.accepted();
    let mut slow = server.listen(&["user.c7"]).query("last=1").open_narrow().await;
    slow.next_event("hello").await;
    assert_eq!(slow.next_order().await, "1");
    let long = "x".repeat(16_000);
    const LAST: u64 = 1_000;
    for number in 2..=LAST {
        server.publish(with(order("c7", number), "message", long.clone())).await.accepted();
    }
    let (mut next, mut gaps) = (2, 0);
    while next <= LAST {
        let event = slow.next().await.unwrap();
        if event.name.as_deref() == Some("gap") {
            assert_eq!(event.json()["from"], next, "{event:?}");
            next = event.json()["to"].as_u64().unwrap() + 1;
            gaps += 1;
        } else {
            assert_eq!(event.json()["data"]["order_id"], next.to_string(), "lost without a word");
            next += 1;
        }
    }
    assert!(gaps > 0, "the reader was never behind");
}
