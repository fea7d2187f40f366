//! Who may do what: credentials are believed only when they are proven, and refusals do not end a browser for good.

use serde_json::json;

use crate::support::{Scenario, TestServer, order};

#[tokio::test]
async fn a_credential_that_proves_nothing_publishes_nothing() {
    let server = TestServer::start(Scenario::shop()).await;
    let body = order("c7", 1).to_string();
    let publish = |credential: &str| {
        server.anonymous_post("/v1/notifications").header("authorization", credential).body(body.clone())
    };
    let token = server.token_with(json!({ "sub": "s", "scope": "publish" }));
    let (signed, _) = token.rsplit_once('.').unwrap();
    let foreign = server.token_with(json!({ "sub": "s", "scope": "publish", "iss": "https://id.other.test" }));
    let other_audience = server.token_with(json!({ "sub": "s", "scope": "publish", "aud": "other" }));
    let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lkLnNob3AudGVzdCIsInN1YiI6InMifQ.";
    let key = server.scenario.api_key();
    for credential in [
        "Bearer x".to_owned(),
        format!("Basic {token}"),
        format!("Bearer {signed}."),
        format!("Bearer {signed}.AAAA"),
        format!("Bearer {foreign}"),
        format!("Bearer {other_audience}"),
        format!("Bearer {unsigned}"),
        format!("Bearer {}", server.token_for("s", None)),
        format!("Bearer {}x", key),
        format!("Bearer {}", key.replace("orders", "other")),
    ] {
        let answer = server.send(publish(&credential)).await;
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{credential}: {answer:?}");
        assert!(!answer.text.contains(&token[..20]), "the credential is repeated: {}", answer.text);
        answer.refused(401, "unauthenticated");
    }
    let nothing = server.send(server.anonymous_post("/v1/notifications").body(body.clone())).await;
    assert_eq!(nothing.header("www-authenticate"), "Bearer realm=\"fanfare\"");
    nothing.refused(401, "unauthenticated");
    server.send(publish(&format!("Bearer {token}"))).await.accepted();
    server.send(publish(&format!("bearer {key}"))).await.accepted();
}

#[tokio::test]
async fn who_may_not_publish_is_told_what_is_missing() {
    let server = TestServer::start(Scenario::shop()).await;
    let reader = server.token("c7");
    let request = server.anonymous_post("/v1/notifications").bearer_auth(&reader).body(order("c7", 1).to_string());
    let problem = server.send(request).await.refused(403, "forbidden");
    assert_eq!(problem["why"].as_array().unwrap().len(), 2, "one reason for each way in: {problem}");
}

#[tokio::test]
async fn a_cookie_opens_streams_and_publishes_nothing() {
    let server = TestServer::start(Scenario::shop()).await;
    let token = server.token_with(json!({ "sub": "c7", "scope": "publish" }));
    let mut customer = server.listen(&[]).cookie(&token).greeted().await;
    let request = server.anonymous_post("/v1/notifications").header("cookie", format!("fanfare_token={token}"));
    // A page of somebody else's would have it sent by its visitors.
    server.send(request.body(order("c7", 1).to_string())).await.refused(401, "unauthenticated");
    server.publish(order("c7", 2)).await.accepted();
    assert_eq!(customer.next_order().await, "2");
}

#[tokio::test]
async fn a_channel_of_others_is_refused_by_status_to_who_reads_it() {
    let server = TestServer::start(Scenario::shop()).await;
    let foreign = server.listen(&["user.c8"]).token(&server.token("c7"));
    let by_accept = foreign.clone().header("accept", "*/*");
    for request in [foreign.strict(), by_accept] {
        let refusal = request.open().await;
        assert_eq!((refusal.head.status, refusal.head.header("content-type")), (403, "application/problem+json"));
        let problem: serde_json::Value = serde_json::from_str(&refusal.body().await).unwrap();
        assert_eq!((problem["code"].as_str(), problem["why"][0].is_string()), (Some("forbidden"), true));
    }
    let nobody = server.listen(&["user.c7"]).anonymous().strict().open().await;
    assert_eq!((nobody.head.status, nobody.head.header("www-authenticate")), (401, "Bearer realm=\"fanfare\""));
    for (query, status, code) in [
        ("channel=unknown.c7", 404, "unknown_channel"),
        ("channel=user.c7.x", 404, "unknown_channel"),
        ("channel=user.*", 400, "bad_channel"),
        ("channel=", 400, "bad_channel"),
    ] {
        let refusal = server.listen(&[]).token(&server.token("c7")).query(query).strict().open().await;
        assert_eq!(refusal.head.status, status, "{query}");
        assert!(refusal.body().await.contains(code), "{query}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("team.t{number}")).collect();
    let refusal = server.listen(&many.iter().map(String::as_str).collect::<Vec<_>>()).strict().open().await;
    assert_eq!(refusal.head.status, 400);
    assert!(refusal.body().await.contains("too_many_channels"));
}

#[tokio::test]
async fn a_browser_is_refused_once_softly_and_stops_when_it_comes_back() {
    let server = TestServer::start(Scenario::shop()).await;
    let foreign = server.listen(&["user.c8"]).token(&server.token("c7"));
    let mut refusal = foreign.clone().open().await;
    assert_eq!((refusal.head.status, refusal.head.header("content-type")), (200, "text/event-stream"));
    let bye = refusal.next_event("bye").await;
    assert_eq!((bye.json()["code"].as_str(), bye.id.as_deref()), (Some("forbidden"), Some("~refused")));
    assert!(bye.retry.is_some());
    refusal.ended().await;
    let stop = foreign.cursor("~refused").open().await;
    assert_eq!((stop.head.status, stop.body().await.as_str()), (204, ""));
}

#[tokio::test]
async fn a_page_that_is_not_signed_in_is_told_so_whatever_it_asks_for() {
    let server = TestServer::start(Scenario::shop()).await;
    let told = async |query: &str| {
        let page = server.listen(&[]).anonymous().query(query);
        let mut refusal = page.clone().open().await;
        let bye = refusal.next_event("bye").await;
        assert_eq!(bye.id.as_deref(), Some("~refused"), "{query}");
        (bye.json()["code"].as_str().unwrap().to_owned(), page.strict().open().await.head.status)
    };
    // Without a channel it wants its own, and has one as soon as somebody is signed in.
    for query in ["", "channel=user.c7"] {
        assert_eq!(told(query).await, ("unauthenticated".to_owned(), 401), "{query}");
    }
    // Signing in does not mend a name.
    assert_eq!(told("channel=user.*").await, ("bad_request".to_owned(), 400));
    server.scenario.edit("default = true\n", "");
    server.apply().await;
    assert_eq!(told("").await, ("bad_request".to_owned(), 400), "there is no default that anybody could have");
}

#[tokio::test]
async fn of_the_default_channels_each_gets_those_that_are_theirs() {
    let scenario = Scenario::shop().replace("[channels.ops]\n", "[channels.ops]\ndefault = true\n");
    let server = TestServer::start(scenario).await;
    let own = async |token: &str| {
        let hello = server.listen(&[]).token(token).open().await.next_event("hello").await;
        hello.json()["channels"].clone()
    };
    assert_eq!(own(&server.token("c7")).await, json!(["user.c7"]));
    let operator = server.token_with(json!({ "sub": "c7", "roles": ["operator"] }));
    assert_eq!(own(&operator).await, json!(["ops.all", "user.c7"]));
    // A key is nobody's user, and no operator.
    let none = server.listen(&[]).token(server.scenario.api_key());
    let mut refusal = none.clone().open().await;
    assert_eq!(refusal.next_event("bye").await.json()["code"], "forbidden");
    assert_eq!(none.strict().open().await.head.status, 403);
    assert_eq!(server.listen(&[]).anonymous().strict().open().await.head.status, 401);
    server.scenario.edit("{ claim = \"roles\", contains = \"operator\" }", "{ anyone = true }");
    server.apply().await;
    let mut guest = server.listen(&[]).anonymous().open().await;
    assert_eq!(guest.next_event("hello").await.json()["channels"], json!(["ops.all"]));
}

/// A site behind a password has the browser send that one with every request.
#[tokio::test]
async fn a_browser_with_a_credential_of_another_kind_is_refused_softly_too() {
    let server = TestServer::start(Scenario::shop()).await;
    let basic = server.listen(&["user.c7"]).header("authorization", "Basic c2hvcDpzaG9w");
    let mut refusal = basic.clone().open().await;
    assert_eq!(refusal.head.status, 200);
    assert_eq!(refusal.next_event("bye").await.json()["code"], "unauthenticated");
    assert_eq!(basic.strict().open().await.head.status, 401);
}

#[tokio::test]
async fn a_refusal_keeps_the_place_of_who_is_let_in_again() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    server.publish(order("c7", 1)).await.accepted();
    customer.next_order().await;
    let cursor = customer.disconnect();
    server.publish(order("c7", 2)).await.accepted();
    let mut refusal = server.listen(&["user.c7"]).anonymous().cursor(&cursor).open().await;
    let bye = refusal.next_event("bye").await;
    assert_eq!(bye.json()["code"], "unauthenticated");
    assert_eq!(bye.id, Some(format!("{cursor}~refused")));
    let mut customer = server.resume("user.c7", &bye.id.unwrap()).await;
    assert_eq!(customer.next_order().await, "2");
}

#[tokio::test]
async fn pages_of_listed_origins_may_call_and_others_may_not() {
    let server = TestServer::start(Scenario::shop().server("allowed_origins = [\"https://shop.test\"]")).await;
    let mut customer = server.listen(&["user.c7"]).header("origin", "https://shop.test").greeted().await;
    assert_eq!(customer.head.header("access-control-allow-origin"), "https://shop.test");
    assert_eq!(customer.head.header("access-control-allow-credentials"), "true");
    assert!(customer.head.header("vary").contains("origin"));
    let other = server.listen(&["user.c7"]).header("origin", "https://evil.test").greeted().await;
    assert_eq!(other.head.header("access-control-allow-origin"), "");
    let asked = server
        .listen(&[])
        .method("OPTIONS")
        .header("origin", "https://shop.test")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "last-event-id");
    let asked = asked.open().await;
    for name in ["authorization", "last-event-id", "idempotency-key", "prefer", "traceparent"] {
        assert!(asked.head.header("access-control-allow-headers").contains(name), "{:?}", asked.head);
    }
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(customer.next_order().await, "1");
}

/// A browser keeps what is answered from the page, as nothing in it says that it may have it.
#[tokio::test]
async fn without_a_list_no_page_of_another_origin_is_let_in() {
    let server = TestServer::start(Scenario::shop()).await;
    let page = |method| server.listen(&["user.c7"]).header("origin", "https://shop.test").method(method);
    let stream = page("GET").greeted().await;
    let asked = page("OPTIONS").header("access-control-request-method", "GET").open().await;
    for head in [&stream.head, &asked.head] {
        assert_eq!(head.header("access-control-allow-origin"), "", "{head:?}");
    }
    assert_eq!(asked.head.status, 405);
    assert!(asked.body().await.contains("method_not_allowed"));
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_read_when_to_come_back_and_what_was_wrong() {
    let server = TestServer::start(Scenario::shop().server("allowed_origins = [\"https://shop.test\"]")).await;
    let publish = |origin: &str| server.anonymous_post("/v1/notifications").header("origin", origin).body("{}");
    let answer = server.send(publish("https://shop.test")).await;
    let exposed: Vec<&str> = answer.header("access-control-expose-headers").split(',').collect();
    for name in ["retry-after", "www-authenticate", "ratelimit", "ratelimit-policy"] {
        assert!(exposed.contains(&name), "{name}: {answer:?}");
    }
    let stream = server.listen(&["user.c7"]).header("origin", "https://shop.test").greeted().await;
    assert!(stream.head.header("access-control-expose-headers").contains("retry-after"), "{:?}", stream.head);
}

#[tokio::test]
async fn operators_must_be_who_the_policy_says() {
    let server = TestServer::start(Scenario::shop().server("admin_policy = \"operators\"")).await;
    server.reload().await.refused(401, "unauthenticated");
    server.admin_get("/metrics").await.refused(401, "unauthenticated");
    assert_eq!(server.admin_get("/livez").await.status, 200);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |token: String| client.get(format!("http://{}/v1/admin/config", server.admin)).bearer_auth(token);
    server.send(ask(server.token("c7"))).await.refused(403, "forbidden");
    server.send(ask(server.token_with(json!({ "sub": "o", "roles": ["operator"] })))).await.ok();
}
