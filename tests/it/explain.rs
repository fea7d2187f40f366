//! Why a notification goes where it goes, asked of a running server: before it is published, and afterwards.

use serde_json::{Value, json};

use crate::support::{Scenario, TestServer, alert, mention, order, with};

async fn explain(server: &TestServer, query: &str, notification: &Value) -> Value {
    server.admin_post(&format!("/v1/admin/explain{query}"), notification).await.ok()
}

#[tokio::test]
async fn an_explanation_says_who_would_receive_it_and_who_would_not() {
    let server = TestServer::start(Scenario::shop()).await;
    let _customer = server.subscribe("user.c7").await;
    let told = explain(&server, "?user=app:c7", &order("c7", 1)).await;
    assert_eq!(told["listeners"][0], json!({"channel": "user.c7", "node": 1, "elsewhere": 0}));
    assert_eq!(told["user"]["receives"], true, "{told}");
    assert_eq!(told["user"]["channels"], json!(["user.c7"]));
    let told = explain(&server, "?user=app:c7", &order("c8", 1)).await;
    assert_eq!(told["user"]["receives"], false);
    assert!(told["user"]["why"].as_str().unwrap().contains("user.c7 only"), "{told}");
    let told = explain(&server, "?user=app:c9", &order("c9", 1)).await;
    assert_eq!(told["user"]["why"], "they have no stream on this node");
}

#[tokio::test]
async fn an_explanation_tells_windows_at_a_time_and_the_limit_as_it_stands() {
    let scenario = Scenario::shop()
        .with("[windows.night]\ndaily = [\"22:00-07:00\"]\ntimezone = \"Europe/Berlin\"\n[limits.orders]\nkey = \"{principal}\"\nrate = \"5/m\"\n[[rules]]\nname = \"at-night\"\npriority = 999\nwhen = { type = \"order.updated\", during = \"night\" }\ndrop = \"night\"")
        .replace("schema = \"order.updated.json\"\n", "schema = \"order.updated.json\"\nlimit = \"orders\"\n");
    let server = TestServer::start(scenario).await;
    let night = explain(&server, "?at=2026-01-10T23:00:00Z&producer=key:orders-service", &order("c7", 1)).await;
    assert_eq!((&night["reason"], &night["limit"]["remaining"]), (&json!("dropped_by_rule"), &json!(5)), "{night}");
    assert_eq!(night["steps"][0]["windows"], json!([{"window": "night", "open": true}]));
    let day = explain(&server, "?at=2026-01-10T12:00:00Z", &order("c7", 1)).await;
    assert_eq!(day["steps"][0]["windows"], json!([{"window": "night", "open": false}]));
    assert_eq!(day["outcome"], "routed");
    server.admin_post("/v1/admin/explain?at=noon", &order("c7", 1)).await.refused(400, "bad_request");
}

#[tokio::test]
async fn what_became_of_a_notification_is_told_afterwards() {
    let scenario = Scenario::shop()
        .with("[[rules]]\nname = \"test-orders\"\npriority = 999\nwhen = { type = \"order.updated\", userId = \"c0\" }\ndrop = \"test\"")
        .replace("when = { type = \"chat.mention\" }", "when = { type = \"chat.mention\", priority = \"critical\" }")
        .replace("schema = \"security.alert.json\"\n", "schema = \"security.alert.json\"\ntrace = true\n");
    let server = TestServer::start(scenario).await;
    let dropped = server.publish(with(order("c0", 1), "priority", "low")).await.accepted();
    let id = dropped["id"].as_str().unwrap();
    let told = server.admin_get(&format!("/v1/admin/decisions/{id}")).await.ok();
    assert_eq!((&told["dropped"], &told["revision"]), (&dropped["dropped"], &dropped["revision"]), "{told}");
    assert_eq!((&told["producer"], &told["notification"]), (&json!("key:orders-service"), &Value::Null));
    server.publish(mention("u1", &[])).await.refused(422, "unmatched");
    let latest = server.admin_get("/v1/admin/decisions?limit=1").await.ok();
    assert_eq!(latest["decisions"][0]["reason"], "unmatched", "{latest}");
    let of_drops = server.admin_get("/v1/admin/decisions?outcome=dropped&type=order.updated").await.ok();
    assert_eq!(of_drops["decisions"].as_array().unwrap().len(), 1);
    server.admin_get("/v1/admin/decisions/nonsense").await.refused(400, "bad_request");
    server.admin_get("/v1/admin/decisions/00000000-0000-4000-8000-000000000000").await.refused(404, "not_found");
    // Where its type says so, the notification is kept, and why it went its way.
    let receipt = server.publish(alert("c7", "x")).await.accepted();
    let told =
        server.admin_get(&format!("/v1/admin/decisions/{}?user=app:c7", receipt["id"].as_str().unwrap())).await.ok();
    assert_eq!(told["explanation"]["steps"][0]["rule"], "alert", "{told}");
    assert_eq!(
        (&told["explanation"]["user"]["receives"], &told["notification"]["title"]),
        (&json!(false), &json!("x"))
    );
}
