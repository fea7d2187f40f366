//! Filters drop what they should, and a script that fails does what the configuration says.

use serde_json::{Value, json};

use crate::support::{Scenario, TestServer, order, with};

/// The shop, whose orders go through a filter.
fn filtered(script: &str, on_error: &str) -> Scenario {
    let scenario = Scenario::shop()
        .with(&format!(
            "[plugins.mine]\nscript = \"mine.rhai\"\non_error = \"{on_error}\"\nparams = {{ most = 5_000 }}"
        ))
        .replace("when = { type = \"order.updated\" }\n", "when = { type = \"order.updated\" }\nfilter = \"mine\"\n");
    std::fs::write(scenario.file("plugins/mine.rhai"), script).unwrap();
    scenario
}

#[tokio::test]
async fn a_filter_sees_the_notification_and_its_parameters() {
    let script =
        "fn filter(n) { if n.get(\"data.total_cents\", 0) > params.most { drop(\"too-dear\") } else { pass() } }";
    let server = TestServer::start(filtered(script, "drop")).await;
    let mut customer = server.subscribe("user.c7").await;
    let receipt = server.publish(with(order("c7", 1), "data.total_cents", 5_001)).await.accepted();
    assert_eq!(
        (&receipt["reason"], &receipt["dropped"][0]["reason"]),
        (&json!("dropped_by_filter"), &json!("too-dear"))
    );
    server.publish(order("c7", 2)).await.accepted();
    assert_eq!(customer.next_order().await, "2");
}

#[tokio::test]
async fn a_filter_that_fails_or_never_ends_does_as_its_on_error_says() {
    for script in ["fn filter(n) { throw \"broken\" }", "fn filter(n) { loop {} }", "fn filter(n) { 7 }"] {
        let pass = TestServer::start(filtered(script, "pass")).await;
        assert_eq!(pass.publish(order("c7", 1)).await.accepted()["outcome"], "routed", "{script}");
        let drop = TestServer::start(filtered(script, "drop")).await;
        let receipt = drop.publish(order("c7", 1)).await.accepted();
        assert_eq!((&receipt["outcome"], &receipt["reason"]), (&json!("dropped"), &json!("filter_failed")), "{script}");
        let skip = TestServer::start(filtered(script, "skip-rule")).await;
        skip.publish(order("c7", 1)).await.refused(422, "unmatched");
    }
}

#[tokio::test]
async fn a_filter_that_keeps_failing_is_left_alone_until_it_is_mended() {
    let server = TestServer::start(filtered("fn filter(n) { throw \"broken\" }", "drop")).await;
    for number in 0..25 {
        assert_eq!(server.publish(order("c7", number)).await.accepted()["reason"], "filter_failed");
    }
    let tripped = "fanfare_plugin_results_total{plugin=\"mine\",result=\"tripped\"}";
    assert_eq!(server.metric(tripped).await, 5.0);
    std::fs::write(server.scenario.file("plugins/mine.rhai"), "fn filter(n) { pass() }").unwrap();
    server.apply().await;
    assert_eq!(server.publish(order("c7", 26)).await.accepted()["outcome"], "routed");
}

#[tokio::test]
async fn a_dry_run_leaves_no_trace_and_sees_a_filter_at_rest() {
    let script = "fn filter(n) { if n.get(\"data.total_cents\", 0) == 1 { throw \"broken\" } else { pass() } }";
    let server = TestServer::start(filtered(script, "drop")).await;
    let (bad, good) = (with(order("c7", 1), "data.total_cents", 1), order("c7", 2));
    let try_out = async |order: &Value| {
        let request = server.post("/v1/notifications?dry_run=1").body(order.to_string());
        server.send(request).await.ok()["reason"].clone()
    };
    let untouched = server.served().await;
    for _ in 0..25 {
        assert_eq!(try_out(&bad).await, "filter_failed");
    }
    server.send(server.post("/v1/notifications?dry_run=1").body("{}")).await.refused(400, "malformed");
    let undeclared = with(good.clone(), "type", "order.updatd").to_string();
    server.send(server.post("/v1/notifications?dry_run=1").body(undeclared)).await.refused(422, "unknown_type");
    assert_eq!(try_out(&good).await, "routed", "25 failures of dry runs rest no filter");
    assert_eq!(server.served().await, untouched);

    for _ in 0..20 {
        server.publish(bad.clone()).await.accepted();
    }
    let resting = server.served().await;
    assert_eq!(try_out(&good).await, "filter_failed", "as it would be for a publish");
    assert_eq!(server.served().await, resting);
    assert_eq!(server.publish(good).await.accepted()["reason"], "filter_failed");
}

#[tokio::test]
async fn a_script_that_does_not_compile_is_not_taken() {
    let server = TestServer::start(filtered("fn filter(n) { pass() }", "drop")).await;
    std::fs::write(server.scenario.file("plugins/mine.rhai"), "fn filter(n) { pass( }").unwrap();
    let answer = server.reload().await;
    assert_eq!(answer.status, 422);
    let report = answer.json();
    assert_eq!(report["result"], "failed");
    assert!(report["diagnostics"].as_str().unwrap().contains("mine.rhai"), "{report}");
    assert_eq!(server.publish(order("c7", 1)).await.accepted()["outcome"], "routed");
}
