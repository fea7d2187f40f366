//! Why a notification goes where it goes, asked of a running server: before it is published, and afterwards.

use serde_json::{Value, json};

use crate::support::{Scenario, TestServer, alert, err, fanfare, mention, order, out, run_with_input, with};

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
        .with("[defaults]\ntimezone = \"Europe/Berlin\"\n[windows.night]\ndaily = [\"22:00-07:00\"]\n[limits.orders]\nkey = \"{principal}\"\nrate = \"5/m\"\n[[rules]]\nname = \"at-night\"\npriority = 999\nwhen = { type = \"order.updated\", during = \"night\" }\ndrop = \"night\"")
        .replace("schema = \"order.updated.json\"\n", "schema = \"order.updated.json\"\nlimit = \"orders\"\n");
    let server = TestServer::start(scenario).await;
    let night = explain(&server, "?at=2026-01-10T23:00:00Z&producer=key:orders-service", &order("c7", 1)).await;
    assert_eq!((&night["reason"], &night["limit"]["remaining"]), (&json!("dropped_by_rule"), &json!(5)), "{night}");
    assert_eq!(night["steps"][0]["windows"], json!([{"window": "night", "open": true}]));
    let day = explain(&server, "?at=2026-01-10T12:00:00Z", &order("c7", 1)).await;
    assert_eq!(day["steps"][0]["windows"], json!([{"window": "night", "open": false}]));
    assert_eq!(day["outcome"], "routed");
    let local = explain(&server, "?at=2026-01-10T22:30:00", &order("c7", 1)).await;
    assert_eq!(local["at"], "2026-01-10T21:30:00Z", "by the clocks of Berlin");
    server.admin_post("/v1/admin/explain?at=noon", &order("c7", 1)).await.refused(400, "bad_query");
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
    server.admin_get("/v1/admin/decisions/nonsense").await.refused(400, "bad_id");
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

#[tokio::test]
async fn what_was_refused_is_told_afterwards_with_what_was_wrong() {
    let scenario = Scenario::shop().with("[limits.orders]\nkey = \"{principal}\"\nrate = \"1/h\"").replace(
        "schema = \"order.updated.json\"\n",
        "schema = \"order.updated.json\"\nlimit = \"orders\"\ntrace = true\n",
    );
    let server = TestServer::start(scenario).await;
    let invalid = with(order("c7", 1), "data.total_cents", -1);
    server.publish(invalid.clone()).await.refused(422, "invalid");
    server.publish(order("c7", 1)).await.refused(429, "limited");
    server.publish(with(order("c7", 1), "type", "order.updatd")).await.refused(422, "unknown_type");
    let customer = server.anonymous_post("/v1/notifications").bearer_auth(server.token_with(json!({ "sub": "c7" })));
    server.send(customer.body(order("c7", 1).to_string())).await.refused(403, "forbidden");
    // Of these nothing is known that could be told: who it is, or what it is about.
    let nobody = server.anonymous_post("/v1/notifications").body(order("c7", 1).to_string());
    server.send(nobody).await.refused(401, "unauthenticated");
    server.send(server.post("/v1/notifications").body("{}")).await.refused(400, "malformed");
    let tried = server.post("/v1/notifications?dry_run=1").body(json!({ "type": "x" }).to_string());
    server.send(tried).await.refused(422, "unknown_type");

    let kept = server.admin_get("/v1/admin/decisions?outcome=rejected").await.ok();
    let kept = kept["decisions"].as_array().unwrap();
    let reasons: Vec<_> = kept.iter().map(|one| (&one["reason"], &one["producer"])).collect();
    let [key, user] = [json!("key:orders-service"), json!("app:c7")];
    let codes = ["forbidden", "unknown_type", "limited", "invalid"].map(|code| json!(code));
    assert_eq!(reasons, [(&codes[0], &user), (&codes[1], &key), (&codes[2], &key), (&codes[3], &key)]);
    assert_eq!(kept[0]["why"].as_array().unwrap().len(), 2, "{}", kept[0]);
    assert_eq!(kept[1]["detail"], "no type `order.updatd` is declared; did you mean `order.updated`?");
    assert_eq!(kept[3]["errors"][0]["pointer"], "/data/total_cents");
    assert_eq!((&kept[1]["notification"], &kept[3]["notification"]), (&Value::Null, &invalid));
    let id = kept[3]["id"].as_str().unwrap();
    let mut command = fanfare(&["explain", "--config"]);
    command.arg(server.scenario.path()).args(["--admin", &format!("http://{}", server.admin), "--id", id]);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    for part in [
        "result: invalid: the notification does not satisfy the schema of its type\n        /data/total_cents ",
        "not explained: the configuration in force now refuses it as `invalid`",
    ] {
        assert!(out(&done).contains(part), "{}", out(&done));
    }
}

#[tokio::test]
async fn decisions_are_not_asked_for_by_a_name_that_nothing_has() {
    let server = TestServer::start(Scenario::shop()).await;
    server.publish(order("c7", 1)).await.accepted();
    let refused = [
        ("outcome=droped", "`outcome` is unknown: `droped`; did you mean `dropped`?"),
        ("outcome=lost", "`outcome` is unknown: `lost`; there are dropped, duplicate, rejected, routed"),
        ("type=order.updatd", "`type` is unknown: `order.updatd`; did you mean `order.updated`?"),
        ("type=x", "`type` is unknown: `x`; there are chat.mention, ops.broadcast, order.updated, security.alert"),
    ];
    for (query, why) in refused {
        let answer = server.admin_get(&format!("/v1/admin/decisions?{query}")).await;
        assert_eq!(answer.json()["detail"], why);
        answer.refused(400, "bad_query");
    }
    // A type that is declared no more has decisions still.
    server.publish(mention("u1", &["u2"])).await.accepted();
    const TYPE: &str = "[types.\"chat.mention\"]\nschema = \"chat.mention.json\"\npublish = \"producers\"\n";
    const RULE: &str =
        "name = \"mention\"\npriority = 500\nwhen = { type = \"chat.mention\" }\nfilter = \"muted-threads\"";
    let text = std::fs::read_to_string(server.scenario.path()).unwrap();
    let other = RULE.replace("chat.mention", "security.alert");
    server.scenario.write(&text.replace(TYPE, "").replace(RULE, &other));
    server.reload().await.ok();
    let mentions = server.admin_get("/v1/admin/decisions?type=chat.mention").await.ok();
    assert_eq!(mentions["decisions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_decision_whose_notification_was_not_kept_says_so_and_who_receives_what_it_went_to() {
    let server = TestServer::start(Scenario::shop()).await;
    let _customer = server.subscribe("user.c7").await;
    let receipt = server.publish(order("c7", 1)).await.accepted();
    let id = receipt["id"].as_str().unwrap();
    let asked = async |query: &str| server.admin_get(&format!("/v1/admin/decisions/{id}{query}")).await.ok();
    let told = asked("?user=app:c7").await;
    assert!(told["notExplained"].as_str().unwrap().contains("`trace = true`"), "{told}");
    assert_eq!((&told["user"]["receives"], &told["user"]["channels"]), (&json!(true), &json!(["user.c7"])));
    assert_eq!(asked("?user=app:c8").await["user"]["why"], "they have no stream on this node");
    assert_eq!(asked("").await["user"], Value::Null);
    let mut command = fanfare(&["explain", "--config"]);
    let admin = format!("http://{}", server.admin);
    command.arg(server.scenario.path()).args(["--admin", &admin, "--id", id, "--user", "app:c7"]);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    for part in ["which takes `trace = true` in its type", "app:c7 would receive it on user.c7, by 1 stream"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn the_command_asks_a_server_for_what_only_a_server_knows() {
    let scenario = Scenario::shop().with("[limits.orders]\nkey = \"{principal}\"\nrate = \"5/m\"").replace(
        "schema = \"order.updated.json\"\n",
        "schema = \"order.updated.json\"\nlimit = \"orders\"\ntrace = true\n",
    );
    let server = TestServer::start(scenario).await;
    let _customer = server.subscribe("user.c7").await;
    let run = async |arguments: &[&str], input: String| {
        let mut command = fanfare(&["explain", "--config"]);
        command.arg(server.scenario.path()).args(arguments);
        tokio::task::spawn_blocking(move || run_with_input(command, &input)).await.unwrap()
    };
    let told = async |arguments: &[&str], input: String| {
        let done = run(arguments, input).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let admin = format!("http://{}", server.admin);
    let asked = ["--admin", &*admin, "--at", "2026-03-28T12:00:00Z"];

    // As without a server, and then what it knows.
    let notification = order("c7", 1).to_string();
    let bare = told(&[&asked[2..], &["-"]].concat(), notification.clone()).await;
    let producer = ["--user", "app:c7", "--producer", "key:orders-service", "-"];
    let full = told(&[&asked[..], &producer].concat(), notification.clone()).await;
    let without_costs =
        |text: &str| text.lines().filter(|line| !line.contains(" us)")).map(str::to_owned).collect::<Vec<_>>();
    let (bare, full) = (without_costs(&bare), without_costs(&full));
    assert_eq!(bare[..], full[..bare.len()]);
    let known = [
        "limit orders: 5 of 5 left",
        "user.c7: 1 listener on this node, 0 elsewhere",
        "app:c7 would receive it on user.c7, by 1 stream",
    ];
    assert_eq!(full[bare.len()..], known);
    let refused = run(&["--admin", &admin, "-"], json!({ "type": "order.updated" }).to_string()).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("/userId"));

    let receipt = server.publish(order("c7", 1)).await.accepted();
    let id = receipt["id"].as_str().unwrap();
    let decision = told(&["--admin", &admin, "--id", id, "--user", "app:c8"], String::new()).await;
    let position = receipt["channels"][0]["position"].as_str().unwrap();
    for part in [
        &format!("notification {id}, type order.updated, of key:orders-service"),
        &format!("-> user.c7  {position}\n"),
        "by the configuration in force now:",
        "app:c8 would not receive it: they have no stream on this node",
    ] {
        assert!(decision.contains(part), "{part}: {decision}");
    }
    let json = told(&["--admin", &admin, "--id", id, "--json"], String::new()).await;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["id"], id);
    let unknown = run(&["--admin", &admin, "--id", "00000000-0000-4000-8000-000000000000"], String::new()).await;
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no decision about"));
    assert_eq!(run(&["--admin", &admin], String::new()).await.status.code(), Some(2));
    assert_eq!(run(&["--id", id, "-"], String::new()).await.status.code(), Some(2));
}

#[tokio::test]
async fn a_limit_is_told_of_who_published_and_of_nobody_else() {
    let scenario = Scenario::shop().with("[limits.orders]\nkey = \"{principal}\"\nrate = \"1/h\"").replace(
        "schema = \"order.updated.json\"\n",
        "schema = \"order.updated.json\"\nlimit = \"orders\"\ntrace = true\n",
    );
    let server = TestServer::start(scenario).await;
    let receipt = server.publish(order("c7", 1)).await.accepted();
    let id = receipt["id"].as_str().unwrap();
    let told = explain(&server, "", &order("c7", 1)).await;
    assert_eq!(told["limit"], json!({"limit": "orders", "remaining": null}));
    let told = server.admin_get(&format!("/v1/admin/decisions/{id}")).await.ok();
    let limit = &told["explanation"]["limit"];
    assert_eq!((&limit["limit"], &limit["remaining"]), (&json!("orders"), &json!(0)), "it is the producer's: {told}");
    let other = server.admin_get(&format!("/v1/admin/decisions/{id}?producer=app:other")).await.ok();
    assert_eq!(other["explanation"]["limit"]["remaining"], 1);
    let run = async |arguments: &[&str], input: String| {
        let mut command = fanfare(&["explain", "--config"]);
        let admin = format!("http://{}", server.admin);
        command.arg(server.scenario.path()).args(["--admin", &admin]).args(arguments);
        tokio::task::spawn_blocking(move || run_with_input(command, &input)).await.unwrap()
    };
    let decided = run(&["--id", id], String::new()).await;
    assert!(out(&decided).contains("\nlimit orders: used up, try again in 3"), "{}", out(&decided));
    let tried = run(&["-"], order("c7", 1).to_string()).await;
    assert!(out(&tried).contains("\nlimit orders: counts each producer apart, and --producer names none\n"));
}

#[tokio::test]
async fn who_there_cannot_be_is_not_asked_about() {
    let server = TestServer::start(Scenario::shop()).await;
    let issuer = "is not a principal of a declared issuer, `ISSUER:SUB`";
    let refused = [
        ("user=nosuch:u1", format!("`user` {issuer}: `nosuch:u1`; there are app")),
        ("user=u1", format!("`user` {issuer}: `u1`; there are app")),
        ("user=ap:u1", format!("`user` {issuer}: `ap:u1`; did you mean `app`?")),
        ("user=app:", format!("`user` {issuer}: `app:`; there are app")),
        (
            "producer=key:order-service",
            "`producer` is not a key that is declared, `key:NAME`: \
            `key:order-service`; did you mean `orders-service`?"
                .to_owned(),
        ),
    ];
    let id = server.publish(order("c7", 1)).await.accepted()["id"].as_str().unwrap().to_owned();
    for (query, why) in refused {
        let answer = server.admin_post(&format!("/v1/admin/explain?{query}"), &order("c7", 1)).await;
        assert_eq!(answer.json()["detail"], why);
        answer.refused(400, "bad_query");
        server.admin_get(&format!("/v1/admin/decisions/{id}?{query}")).await.refused(400, "bad_query");
    }
    for query in ["user=app:u1&producer=key:orders-service", "user=anonymous&producer=anonymous"] {
        server.admin_post(&format!("/v1/admin/explain?{query}"), &order("c7", 1)).await.ok();
    }
}

#[tokio::test]
async fn a_change_is_tried_on_what_was_published_of_late() {
    let scenario = Scenario::shop()
        .replace("schema = \"order.updated.json\"\n", "schema = \"order.updated.json\"\ntrace = true\n");
    let server = TestServer::start(scenario).await;
    for (number, cents) in [50_000, 60_000, 200_000, 300_000].into_iter().enumerate() {
        server.publish(with(order("c7", number), "data.total_cents", cents)).await.accepted();
    }
    let other = server.scenario.file("other.toml");
    let text = std::fs::read_to_string(server.scenario.path()).unwrap();
    std::fs::write(&other, text.replace("gte = 100_000", "gte = 250_000")).unwrap();
    let check = async |extra: &[&str]| {
        let admin = format!("http://{}", server.admin);
        let mut command = fanfare(&["check", "--config"]);
        command.arg(server.scenario.path()).arg("--against").arg(&other).args(["--admin", &admin]).args(extra);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let done = check(&["--max-change", "25%"]).await;
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
    assert!(told.contains("1 of 4 outcomes change, 25.0 %"), "{told}");
    // Both with the way to it.
    assert!(told.contains("data.total_cents is 200000, wanted gte 250000") && told.contains("-> team."), "{told}");
    assert_eq!(check(&["--max-change", "24%"]).await.status.code(), Some(1));
    assert_eq!(check(&["--max-change", "much"]).await.status.code(), Some(2));
    assert_eq!(check(&["--replay", "0"]).await.status.code(), Some(2));

    // What goes to standard output for programs is one document, with the replay in it.
    let json = async |format: &str| -> Value {
        let done = check(&["--format", format, "--max-change", "24%"]).await;
        assert_eq!((done.status.code(), err(&done)), (Some(1), ""));
        serde_json::from_str(out(&done)).unwrap()
    };
    let report = json("json").await;
    let replay = &report["replay"];
    assert_eq!(
        (&report["errors"], &replay["notifications"], &replay["maxChange"]),
        (&json!(0), &json!(4), &json!(0.24))
    );
    let [change] = &replay["changes"].as_array().unwrap()[..] else { panic!("{replay}") };
    assert_eq!((&change["type"], &replay["against"]), (&json!("order.updated"), &json!(other)));
    assert_eq!(change["before"]["result"], "routed to user.c7");
    assert_eq!(change["after"]["explanation"]["rules"], json!(["order-notable", "order"]));
    assert_eq!(json("sarif").await["runs"][0]["properties"]["replay"], *replay);
    let commands = check(&["--format", "github"]).await;
    let lines = out(&commands).lines().collect::<Vec<_>>();
    assert!(lines.iter().all(|line| line.starts_with("::notice ")), "{lines:?}");
    assert_eq!(lines.last(), Some(&"::notice title=replay::1 of 4 outcomes change, 25.0 %25"));
}
