//! A producer publishes, and is told what became of it or what is wrong with it.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Scenario, TestServer, alert, broadcast, mention, order, with, within_deadline};

#[tokio::test]
async fn a_receipt_says_which_rules_decided_and_where_it_went() {
    let server = TestServer::start(Scenario::shop()).await;
    let answer = server.publish(with(order("c7", 1), "data.total_cents", 250_000)).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let mut receipt = answer.accepted();
    let revision = server.admin_get("/v1/admin/config").await.ok()["revision"].clone();
    for channel in receipt["channels"].as_array_mut().unwrap() {
        let position = channel["position"].as_str().unwrap();
        let (epoch, seq) = position.split_once('-').unwrap();
        assert_eq!((epoch.len(), seq), (8, "1"), "{position}");
        channel["position"] = "[position]".into();
    }
    assert_eq!(receipt["id"].as_str().unwrap().len(), 36);
    receipt["id"] = "[id]".into();
    assert_eq!(
        receipt,
        json!({
            "id": "[id]",
            "outcome": "routed",
            "reason": "routed",
            "revision": revision,
            "rules": ["order-notable", "order"],
            "channels": [
                { "channel": "team.t2", "lane": "normal", "position": "[position]" },
                { "channel": "user.c7", "lane": "normal", "position": "[position]" },
            ],
            "dropped": [],
            "duplicate": false,
            "durability": "memory",
        })
    );
}

#[tokio::test]
async fn what_subscribers_get_is_what_was_published_with_its_identity() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let id = "0190f3c8-7b7e-7c3a-9d3e-0123456789ab";
    let published = with(with(order("c7", 1), "tags", json!(["a", "b"])), "id", id);
    let receipt = server.publish(published.clone()).await.accepted();
    assert_eq!(receipt["id"], id);
    let mut received = customer.next_notification().await;
    let created_at: jiff::Timestamp = received["createdAt"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(created_at).abs().as_secs() < 60);
    received.as_object_mut().unwrap().remove("createdAt");
    assert_eq!(received, with(with(published, "channel", "user.c7"), "priority", "medium"));
}

/// Whoever checks a notification on its way may take the first of two for what counts.
#[tokio::test]
async fn a_member_that_is_there_twice_is_refused_where_it_stands() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let body = order("c7", 1).to_string();
    for (once, twice, pointer) in [
        (r#""userId":"c7""#, r#""userId":"c8","userId":"c7""#, "/userId"),
        (r#""status":"paid""#, r#""status":"paid","st\u0061tus":"paid""#, "/data/status"),
    ] {
        assert!(body.contains(once), "{body}");
        let request = server.post("/v1/notifications").body(body.replace(once, twice));
        let problem = server.send(request).await.refused(400, "malformed");
        assert_eq!(problem["errors"], json!([{ "pointer": pointer, "detail": "is there more than once" }]));
        let items = format!("[{body},{}]", body.replace(once, twice));
        let results = server.send(server.post("/v1/notifications:batch").body(items)).await.ok();
        assert_eq!(results["results"][1]["errors"], problem["errors"]);
        assert_eq!(customer.next_order().await, "1", "the other item");
    }
}

#[tokio::test]
async fn every_fault_of_a_malformed_notification_is_told_at_once() {
    let server = TestServer::start(Scenario::shop()).await;
    let body = json!({ "type": "order.updated", "priority": "urgent", "userID": "c7", "tags": ["", 7], "ttl": 0 });
    let problem = server.publish(body).await.refused(400, "malformed");
    assert_eq!(pointers(&problem), ["/userID", "/priority", "/ttl", "/tags/0", "/tags/1"]);
    for body in ["", "{", "[]", "null", "\u{feff}{}", "{\"type\":\"order.updated\"} x"] {
        let answer = server.send(server.post("/v1/notifications").body(body)).await;
        answer.refused(400, "malformed");
    }
    let not_utf8 = b"{\"type\":\"\xff\"}".to_vec();
    server.send(server.post("/v1/notifications").body(not_utf8)).await.refused(400, "malformed");
    let deep = "[".repeat(10_000);
    server.send(server.post("/v1/notifications").body(deep)).await.refused(400, "malformed");
}

#[tokio::test]
async fn every_fault_against_the_schema_is_told_at_once() {
    let server = TestServer::start(Scenario::shop()).await;
    let wrong = with(with(order("c7", 1), "data.status", "lost"), "data.total_cents", -1);
    let problem = server.publish(wrong).await.refused(422, "invalid");
    let mut found = pointers(&problem);
    found.sort_unstable();
    assert_eq!(found, ["/data/status", "/data/total_cents"], "{problem}");
}

#[tokio::test]
async fn a_type_that_is_not_declared_is_refused_with_one_that_is_close() {
    let server = TestServer::start(Scenario::shop()).await;
    let problem = server.publish(with(order("c7", 1), "type", "order.updatd")).await.refused(422, "unknown_type");
    assert_eq!(pointers(&problem), ["/type"]);
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `order.updated`?"), "{problem}");
    assert_eq!(server.metric(r#"fanfare_notifications_received_total{type="other"}"#).await, 1.0);
}

#[tokio::test]
async fn names_of_types_are_told_to_nobody_who_may_not_publish_them() {
    let scenario = Scenario::shop().replace(
        "[types.\"ops.broadcast\"]\nschema = \"ops.broadcast.json\"\npublish = \"producers\"",
        "[types.\"ops.broadcast\"]\nschema = \"ops.broadcast.json\"\npublish = \"operators\"",
    );
    let server = TestServer::start(scenario).await;
    let misspelt = |name: &str| with(order("c7", 1), "type", name).to_string();
    // Nobody learns which types there are: not by a suggestion, and not by how the two answers differ.
    for name in ["order.updatd", "order.updated"] {
        let answer = server.send(server.anonymous_post("/v1/notifications").body(misspelt(name))).await;
        assert!(!answer.text.contains("did you mean"), "{answer:?}");
        answer.refused(401, "unauthenticated");
    }
    let told = async |claims: Value, name: &str| {
        let request = server.anonymous_post("/v1/notifications").bearer_auth(server.token_with(claims));
        let problem = server.send(request.body(misspelt(name))).await.refused(422, "unknown_type");
        problem["detail"].as_str().unwrap().split_once("; ").map(|(_, hint)| hint.to_owned())
    };
    assert_eq!(told(json!({ "sub": "c7" }), "order.updatd").await, None, "a customer publishes nothing");
    let producer = json!({ "sub": "s", "scope": "publish" });
    assert_eq!(told(producer.clone(), "order.updatd").await.as_deref(), Some("did you mean `order.updated`?"));
    assert_eq!(told(producer, "ops.broadcst").await, None, "another's type is no suggestion");
}

#[tokio::test]
async fn a_value_that_would_leave_its_part_of_a_channel_is_refused() {
    // Its own schema asks nothing of the user's id, so that only the placeholder guards it.
    let scenario = Scenario::shop().replace(
        "[types.\"order.updated\"]\nschema = \"order.updated.json\"",
        "[types.\"order.updated\"]\nschema = \"loose.json\"",
    );
    let loose = json!({ "type": "object", "required": ["userId", "data"], "properties": {
        "userId": { "type": "string" }, "data": { "type": "object", "required": ["seller_team_id", "total_cents"],
        "properties": { "seller_team_id": { "type": "string" }, "total_cents": { "type": "integer" } } } } });
    std::fs::write(scenario.file("schemas/loose.json"), loose.to_string()).unwrap();
    let server = TestServer::start(scenario).await;
    for user in ["c7.admin", "*", "c7/../c8", "{user}", "c 7", "ü", &"x".repeat(65)] {
        let problem = server.publish(order(user, 1)).await.refused(422, "bad_segment");
        assert!(problem["detail"].as_str().unwrap().contains("rule `order`"), "{problem}");
    }
    server.publish(order("c7", 1)).await.accepted();
}

#[tokio::test]
async fn what_no_rule_takes_is_refused_dropped_or_kept_as_the_configuration_says() {
    let reject = TestServer::start(Scenario::shop()).await;
    reject.publish(broadcast("error")).await.refused(422, "unmatched");

    let drop = Scenario::shop().replace("unmatched = \"reject\"", "unmatched = \"drop\"");
    let drop = TestServer::start(drop).await;
    let receipt = drop.publish(broadcast("error")).await.accepted();
    assert_eq!((&receipt["outcome"], &receipt["reason"]), (&json!("dropped"), &json!("unmatched_dropped")));
    assert_eq!(receipt["channels"], json!([]));

    let keep = Scenario::shop()
        .replace("unmatched = \"reject\"", "unmatched = \"dead-letter\"")
        .with("[channels.dead-letter]\npattern = \"dead-letter\"\nsubscribe = \"everybody\"")
        .with("[policies.everybody]\nallow = [{ anyone = true }]");
    let keep = TestServer::start(keep).await;
    let mut operator = keep.listen(&["dead-letter"]).anonymous().greeted().await;
    let receipt = keep.publish(broadcast("error")).await.accepted();
    assert_eq!(receipt["channels"][0]["channel"], "dead-letter");
    assert_eq!(operator.next_notification().await["id"], receipt["id"]);
}

#[tokio::test]
async fn a_dropped_notification_is_accepted_with_the_reason() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut reader = server.subscribe("user.u1").await;
    let receipt = server.publish(broadcast("info")).await.accepted();
    assert_eq!((&receipt["outcome"], &receipt["reason"]), (&json!("dropped"), &json!("dropped_by_rule")));
    let because =
        |rule: &str, reason: &str, because: &str| json!([{ "rule": rule, "reason": reason, "because": because }]);
    assert_eq!(receipt["dropped"], because("deploys-are-noise", "noise", "dropped_by_rule"));

    let receipt = server.publish(mention("u1", &["u1"])).await.accepted();
    assert_eq!(receipt["dropped"], because("mention", "muted-thread", "dropped_by_filter"));
    assert_eq!((&receipt["rules"], &receipt["durability"]), (&json!(["mention"]), &Value::Null));

    let receipt = server.publish(mention("u1", &["u9"])).await.accepted();
    assert_eq!(reader.next_notification().await["id"], receipt["id"], "the muted one was not sent");
}

#[tokio::test]
async fn a_dry_run_decides_and_sends_nothing() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    for query in ["?dry_run=1", "?dry_run=true", "?dry_run"] {
        let request = server.post(&format!("/v1/notifications{query}")).body(order("c7", 1).to_string());
        let receipt = server.send(request).await.ok();
        assert_eq!(receipt["channels"], json!([{ "channel": "user.c7", "lane": "normal", "position": null }]));
    }
    let request = server.post("/v1/notifications?dry_run=perhaps").body(order("c7", 1).to_string());
    server.send(request).await.refused(400, "bad_query");
    let request = server.post("/v1/notifications?dry_run=1&dry_run=0").body(order("c7", 1).to_string());
    server.send(request).await.refused(400, "bad_query");
    for path in ["/v1/notifications?dryrun=1", "/v1/notifications:batch?dryrun=1"] {
        let problem = server.send(server.post(path).body(order("c7", 1).to_string())).await.refused(400, "bad_query");
        assert!(problem["detail"].as_str().unwrap().contains("`dryrun`, expected `dry_run`"), "{problem}");
    }
    server.publish(order("c7", 2)).await.accepted();
    assert_eq!(customer.next_order().await, "2");
}

#[tokio::test]
async fn a_body_must_be_json_of_the_right_kind_and_size_and_in_time() {
    let scenario = Scenario::shop().server("max_body = 1024").server("body_timeout = \"1s\"");
    let server = TestServer::start(scenario).await;
    let publish_as = async |kind: &str| {
        let request = server.post("/v1/notifications").headers(content_type(kind)).body(order("c7", 1).to_string());
        server.send(request).await
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/x-ndjson", ""] {
        publish_as(kind).await.refused(415, "unsupported_media_type");
    }
    for charset in ["utf-16", "\"utf-16\"", "ISO-8859-1", "utf8", ""] {
        let refused = publish_as(&format!("application/json;v=1; Charset={charset}")).await;
        refused.refused(415, "unsupported_media_type");
    }
    for parameters in ["", ";", "; charset=utf-8", ";CHARSET=\"UTF-8\"", "; v=1"] {
        publish_as(&format!("application/json{parameters}")).await.accepted();
    }
    let zipped = server.post("/v1/notifications").header("content-encoding", "gzip").body("x");
    server.send(zipped).await.refused(415, "unsupported_media_type");
    let large = with(order("c7", 1), "message", "x".repeat(1_024));
    server.publish(large.clone()).await.refused(413, "body_too_large");
    let dry_run = server.post("/v1/notifications?dry_run=1").body(large.to_string());
    server.send(dry_run).await.refused(413, "body_too_large");
    let counted = r#"fanfare_notifications_total{outcome="rejected",reason="body_too_large"}"#;
    assert_eq!(server.metric(counted).await, 1.0, "neither what was of the wrong kind nor a dry run counts");

    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head =
        "POST /v1/notifications HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within_deadline("the slow body is given up", slow.read_buf(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_request_of_http_1_1_names_one_host() {
    let server = TestServer::start(Scenario::shop()).await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "host: a\r\nhost: a\r\n", 400),
        ("1.1", "host: a b\r\n", 400),
        ("1.1", "host: u@a\r\n", 400),
        ("1.1", "host: a/b\r\n", 400),
        ("1.1", "host: shop.test:8080\r\n", 200),
        ("1.1", "host: [::1]:8080\r\n", 200),
        ("1.1", "host:\r\n", 200),
        ("1.0", "", 200),
        ("1.0", "host: a\r\nhost: b\r\n", 400),
    ] {
        for address in [server.address, server.admin] {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let request = format!("GET /livez HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            within_deadline("it is answered", socket.read_to_string(&mut answer)).await.unwrap();
            assert_eq!(answer.split(' ').nth(1), Some(&*status.to_string()), "{request}{answer}");
            assert_eq!(answer.contains("bad_host"), status == 400, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let server = TestServer::start(Scenario::shop().server("header_timeout = \"1s\"")).await;
    for start in ["", "P", "POST /v1/notifications HTTP/1.1\r\nhost: x\r\n"] {
        let mut slow = TcpStream::connect(server.address).await.unwrap();
        slow.write_all(start.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // An end or a reset, but not a wait for ever.
        let _ = within_deadline("the connection is given up", slow.read_to_end(&mut answer)).await;
    }
}

#[tokio::test]
async fn a_batch_has_a_result_for_every_item() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let items = json!([order("c7", 1), { "type": "order.updated" }, order("c7", 2), 7]);
    let answer = server.send(server.post("/v1/notifications:batch").body(items.to_string())).await.ok();
    let results = answer["results"].as_array().unwrap();
    let codes: Vec<&Value> = results.iter().map(|result| result.get("code").unwrap_or(&result["reason"])).collect();
    assert_eq!(codes, ["routed", "invalid", "routed", "malformed"], "{answer}");
    assert_eq!(results[1]["errors"][0]["pointer"], "/userId", "{answer}");

    let lines = format!("{}\n\n{}\r\nnot json\n", order("c7", 3), order("c7", 4));
    let request = server.post("/v1/notifications:batch").headers(content_type("application/x-ndjson")).body(lines);
    let answer = server.send(request).await.ok();
    assert_eq!(answer["results"].as_array().unwrap().len(), 3, "{answer}");
    assert_eq!(answer["results"][2]["code"], "malformed");
    for number in ["1", "2", "3", "4"] {
        assert_eq!(customer.next_order().await, number);
    }
    let half = server.post("/v1/notifications:batch").body("[{}");
    server.send(half).await.refused(400, "malformed");
}

#[tokio::test]
async fn a_batch_with_an_idempotency_key_may_be_repeated() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let batch =
        |items: &Value| server.post("/v1/notifications:batch").header("idempotency-key", "k").body(items.to_string());
    let first = server.send(batch(&json!([order("c7", 1), order("c7", 2)]))).await.ok();
    let again = server.send(batch(&json!([order("c7", 1), order("c7", 2), order("c7", 3)]))).await.ok();
    let duplicates: Vec<&Value> = again["results"].as_array().unwrap().iter().map(|one| &one["duplicate"]).collect();
    assert_eq!(duplicates, [true, true, false], "{again}");
    assert_eq!(again["results"][0]["id"], first["results"][0]["id"]);
    for number in ["1", "2", "3"] {
        assert_eq!(customer.next_order().await, number);
    }
}

#[tokio::test]
async fn the_same_key_and_body_is_published_once() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let first = server.publish_once("a", order("c7", 1)).await.accepted();
    assert_eq!(first["duplicate"], false);
    let again = server.publish_once("\"a\"", order("c7", 1)).await.accepted();
    assert_eq!(again["duplicate"], true);
    assert_eq!((&again["id"], &again["outcome"]), (&first["id"], &json!("duplicate")));
    assert_eq!(again["channels"], first["channels"]);
    server.publish_once("a", order("c7", 2)).await.refused(422, "idempotency_key_reused");
    let long = "x".repeat(256);
    for key in ["", "a b", &long] {
        server.publish_once(key, order("c7", 3)).await.refused(400, "bad_idempotency_key");
    }
    // Another producer's key is another key.
    let other = server.token_with(json!({ "sub": "orders-service", "scope": "publish" }));
    let request = server.anonymous_post("/v1/notifications").bearer_auth(other).header("idempotency-key", "a");
    server.send(request.body(order("c7", 4).to_string())).await.accepted();
    assert_eq!((&*customer.next_order().await, &*customer.next_order().await), ("1", "4"));
}

#[tokio::test]
async fn another_body_under_a_key_reaches_no_channel() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut operator = server.subscribe("ops.all").await;
    server.publish_once("a", order("c7", 1)).await.accepted();
    server.publish_once("a", alert("c8", "refused")).await.refused(422, "idempotency_key_reused");
    server.publish(alert("c8", "live")).await.accepted();
    assert_eq!(operator.next_notification().await["title"], "live");
}

#[tokio::test]
async fn a_repeat_after_the_rules_have_changed_goes_where_the_first_went() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut team = server.subscribe("team.t2").await;
    let first = server.publish_once("a", order("c7", 1)).await.accepted();
    let to = |channel| format!("when = {{ type = \"order.updated\" }}\nto = [\"{channel}\"]");
    server.scenario.edit(&to("user.{userId}"), &to("team.{data.seller_team_id}"));
    server.apply().await;
    let again = server.publish_once("a", order("c7", 1)).await.accepted();
    assert_eq!((&again["duplicate"], &again["id"]), (&json!(true), &first["id"]));
    assert_eq!(again["channels"], first["channels"]);
    server.publish_once("b", order("c7", 2)).await.accepted();
    assert_eq!(team.next_order().await, "2");
}

#[tokio::test]
async fn of_publishes_with_one_key_at_the_same_time_exactly_one_is_delivered() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let publishes = (0..20).map(|_| server.publish_once("a", order("c7", 1)));
    let mut firsts = 0;
    for answer in futures_util::future::join_all(publishes).await {
        if answer.status == 409 {
            answer.refused(409, "idempotency_in_flight");
        } else {
            firsts += u32::from(answer.accepted()["duplicate"] == false);
        }
    }
    assert_eq!(firsts, 1);
    server.publish(order("c7", 2)).await.accepted();
    assert_eq!((&*customer.next_order().await, &*customer.next_order().await), ("1", "2"));
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems_too() {
    let server = TestServer::start(Scenario::shop()).await;
    server.send(server.get("/v2/notifications")).await.refused(404, "not_found");
    server.send(server.get("/v1/notifications")).await.refused(405, "method_not_allowed");
    server.send(server.get("/v1/channels/%ff")).await.refused(400, "bad_channel");
    server.send(server.get("/v1/admin/config")).await.refused(404, "not_found");
    server.send(server.get("/metrics")).await.refused(404, "not_found");
    assert_eq!(server.send(server.get("/livez")).await.text, "ok\n");
}

#[tokio::test]
async fn a_channel_shows_its_history_and_listeners_to_who_may_subscribe() {
    let server = TestServer::start(Scenario::shop()).await;
    let _customer = server.subscribe("user.c7").await;
    server.publish(order("c7", 1)).await.accepted();
    let receipt = server.publish(alert("c7", 2)).await.accepted();
    let look = |token: String| server.get("/v1/channels/user.c7").bearer_auth(token);
    let answer = server.send(look(server.token("c7"))).await;
    assert_eq!(answer.header("cache-control"), "no-store", "it is for its caller, and of this moment");
    let info = answer.ok();
    assert_eq!(info["subscribers"], json!({ "node": 1, "cluster": 1 }));
    assert_eq!(info["lanes"]["normal"]["length"], 1);
    assert_eq!(info["lanes"]["express"]["position"], receipt["channels"][0]["position"]);
    let unused = server.get("/v1/channels/user.c8").bearer_auth(server.token("c8"));
    let nothing = json!({ "position": null, "length": 0 });
    assert_eq!(server.send(unused).await.ok()["lanes"], json!({ "express": nothing, "normal": nothing }));
    let refused = server.send(look(server.token("c8"))).await;
    assert_eq!(refused.header("cache-control"), "no-store");
    refused.refused(403, "forbidden");
    server.send(server.get("/v1/channels/user.c7")).await.refused(401, "unauthenticated");
    for path in ["/readyz", "/v1/admin/config", "/v1/admin/decisions", "/metrics"] {
        assert_eq!(server.admin_get(path).await.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_time_to_live_is_part_of_what_subscribers_get() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    for ttl in [json!(60), json!("2h")] {
        server.publish(with(order("c7", 1), "ttl", ttl.clone())).await.accepted();
        assert_eq!(customer.next_notification().await["ttl"], ttl);
    }
}

fn content_type(kind: &str) -> HeaderMap {
    [(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect()
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}
