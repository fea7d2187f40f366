//! Producers that publish too much are told when to come back.

use serde_json::json;

use crate::support::{Scenario, TestServer, alert, order};

fn limited(key: &str) -> Scenario {
    Scenario::shop()
        .with(&format!("[limits.producer]\nkey = \"{key}\"\nrate = \"1/m\"\nburst = 3"))
        .replace("schema = \"order.updated.json\"\n", "schema = \"order.updated.json\"\nlimit = \"producer\"\n")
}

/// The `t` of a `RateLimit` that says how much is left.
#[track_caller]
fn window(field: &str, left: u64) -> u64 {
    let seconds = field.strip_prefix(&format!("\"producer\";r={left};t="));
    seconds.unwrap_or_else(|| panic!("{field} with {left} left")).parse().unwrap()
}

#[tokio::test]
async fn a_producer_over_its_limit_is_told_when_to_come_back() {
    let server = TestServer::start(limited("{principal}")).await;
    for left in [2, 1, 0] {
        let answer = server.publish(order("c7", left)).await;
        assert_eq!(answer.header("ratelimit-policy"), "\"producer\";q=3;w=180");
        // However much is left, the next token is never further away than the rate says.
        let window = window(answer.header("ratelimit"), left);
        assert!((1..=60).contains(&window), "{answer:?}");
        answer.accepted();
    }
    let answer = server.publish(order("c7", 4)).await;
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(window(answer.header("ratelimit"), 0), seconds, "both say when there is a token");
    answer.refused(429, "limited");
    // Neither another type nor another producer pays for it.
    server.publish(alert("c7", 1)).await.accepted();
    let other = server.token_with(json!({ "sub": "billing", "scope": "publish" }));
    let request = server.anonymous_post("/v1/notifications").bearer_auth(other).body(order("c7", 5).to_string());
    server.send(request).await.accepted();
    assert_eq!(server.metric("fanfare_limits_exceeded_total{limit=\"producer\"}").await, 1.0);
}

#[tokio::test]
async fn a_dry_run_takes_nothing_from_a_limit() {
    let server = TestServer::start(limited("{principal}")).await;
    for _ in 0..10 {
        let request = server.post("/v1/notifications?dry_run=1").body(order("c7", 1).to_string());
        server.send(request).await.ok();
    }
    for number in 0..3 {
        server.publish(order("c7", number)).await.accepted();
    }
    let request = server.post("/v1/notifications?dry_run=1").body(order("c7", 1).to_string());
    server.send(request).await.refused(429, "limited");
}

#[tokio::test]
async fn a_limit_may_count_for_each_user() {
    let server = TestServer::start(limited("{userId}")).await;
    for user in ["c7", "c8"] {
        for number in 0..3 {
            server.publish(order(user, number)).await.accepted();
        }
        server.publish(order(user, 4)).await.refused(429, "limited");
    }
}

#[tokio::test]
async fn a_limit_lives_through_a_reload_that_leaves_it_alone() {
    let server = TestServer::start(limited("{principal}")).await;
    for number in 0..3 {
        server.publish(order("c7", number)).await.accepted();
    }
    server.scenario.append("[policies.nobody-in-particular]\nallow = [{ claim = \"sub\", equals = \"x\" }]");
    server.apply().await;
    server.publish(order("c7", 4)).await.refused(429, "limited");
    server.scenario.edit("burst = 3", "burst = 4");
    server.apply().await;
    server.publish(order("c7", 5)).await.accepted();
}
