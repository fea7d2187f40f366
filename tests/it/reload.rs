//! A changed configuration is taken while the server runs, all of it or nothing, and streams stay.

use std::fs;

use serde_json::json;

use crate::support::{Program, Scenario, TestServer, broadcast, eventually, order};

const REVOKE: (&str, &str) = (
    "allow = [{ claim = \"teams\", contains = \"{team}\" }]",
    "allow = [{ claim = \"roles\", contains = \"{team}\" }]",
);
const RULE: &str = "[[rules]]\nname = \"ops\"\npriority = 100\nwhen = { type = \"ops.broadcast\" }\nto = [\"ops.all\"]";

#[tokio::test]
async fn a_broken_edit_is_refused_with_every_fault_and_the_old_revision_serves() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let before = server.admin_get("/v1/admin/config").await.ok();
    server.scenario.append(
        "[[rules]]\nname = \"a\"\npriority = 1\nwhen = { type = \"order.updatd\" }\nto = [\"usr.{userId}\"]\n\
         [[rules]]\nname = \"b\"\npriority = 2\nwhen = { type = \"chat.mention\" }\nfilter = \"muted\"\n\
         to = [\"user.{user}\"]\n[channels.y]\npattern = \"y\"\nsubscribe = \"own-usr\"",
    );
    let answer = server.reload().await;
    assert_eq!(answer.status, 422);
    let report = answer.json();
    let diagnostics = report["diagnostics"].as_str().unwrap();
    for fault in ["order.updatd", "usr.{userId}", "`muted`", "{user}", "own-usr", "fanfare.toml"] {
        assert!(diagnostics.contains(fault), "`{fault}` is not told: {diagnostics}");
    }
    assert_eq!((&report["result"], &report["revision"]), (&json!("failed"), &before["revision"]));
    let config = server.admin_get("/v1/admin/config").await.ok();
    assert_eq!(config["revision"], before["revision"]);
    assert!(config["failure"].as_str().unwrap().contains("order.updatd"));
    assert_eq!(server.metric("fanfare_config_last_reload_successful").await, 0.0);
    assert_eq!(server.publish(order("c7", 1)).await.accepted()["revision"], before["revision"]);
    assert_eq!(customer.next_order().await, "1");

    fs::write(server.scenario.path(), "").unwrap();
    assert_eq!(server.reload().await.status, 422, "an empty file loosens nothing");
    server.scenario.write(include_str!("shop.toml"));
    assert_eq!(server.reload().await.ok()["result"], "unchanged");
    assert_eq!(server.admin_get("/v1/admin/config").await.ok()["failure"], json!(null));
}

#[tokio::test]
async fn a_good_edit_applies_by_itself_and_open_streams_go_on() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let mut operator = server.subscribe("ops.all").await;
    server.publish(broadcast("error")).await.refused(422, "unmatched");
    server.scenario.append(RULE);
    eventually("the rule applies", async || server.publish(broadcast("error")).await.status == 202).await;
    assert_eq!(operator.next_notification().await["type"], "ops.broadcast");
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(customer.next_order().await, "1");

    // Schemas and scripts are part of the configuration.
    let schema = server.scenario.file("schemas/order.updated.json");
    let text = fs::read_to_string(&schema).unwrap();
    fs::write(&schema, text.replacen("\"type\": \"object\",", "\"type\": \"object\", \"minProperties\": 99,", 1))
        .unwrap();
    eventually("the schema applies", async || server.publish(order("c7", "early")).await.status == 422).await;
    fs::write(&schema, text).unwrap();
    eventually("the first one applies again", async || server.publish(order("c7", "late")).await.status == 202).await;
    while customer.next_order().await != "late" {}
}

#[tokio::test]
async fn a_revoked_grant_ends_exactly_the_streams_that_had_it() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    let mut member = server.subscribe("team.t2").await;
    let mut both = server.listen(&["user.c7", "team.t2"]).greeted().await;
    server.scenario.edit(REVOKE.0, REVOKE.1);
    let report = server.reload().await.ok();
    assert_eq!(report["endedStreams"], 2, "{report}");
    for stream in [&mut member, &mut both] {
        assert_eq!(stream.next_event("bye").await.json()["code"], "revoked");
        stream.ended().await;
    }
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(customer.next_order().await, "1");
    let refusal = server.listen(&["team.t2"]).strict().open().await;
    assert_eq!(refusal.head.status, 403);
}

/// Whoever edits and then asks must not believe that nothing happened because the change was seen first.
#[tokio::test]
async fn a_reload_that_comes_second_tells_what_the_first_one_did() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut member = server.subscribe("team.t2").await;
    let before = server.reload().await.ok();
    assert_eq!((&before["result"], &before["loadedBy"]), (&json!("unchanged"), &json!("start")));
    let text = fs::read_to_string(server.scenario.path()).unwrap().replace(REVOKE.0, REVOKE.1);
    server.scenario.write(&text.replace("drain = \"1s\"", "drain = \"2s\""));
    member.next_event("bye").await;
    member.ended().await;
    for _ in 0..2 {
        let report = server.reload().await.ok();
        assert_eq!((&report["result"], &report["loadedBy"]), (&json!("unchanged"), &json!("change")));
        assert_eq!((&report["endedStreams"], &report["needsRestart"]), (&json!(1), &json!(["[server]"])));
        assert_ne!(report["revision"], before["revision"]);
        assert_ne!(report["loadedAt"], before["loadedAt"]);
        assert_eq!(report["loadedAt"], server.admin_get("/v1/admin/config").await.ok()["loadedAt"]);
    }
    server.scenario.append("[broken");
    let report = server.reload().await;
    assert_eq!(report.status, 422);
    assert_eq!(report.json()["loadedBy"], "change", "of what is in force still");
    for member in ["diff", "endedStreams", "narrowedStreams", "recheckedStreams"] {
        assert_eq!(report.json().get(member), None, "a refusal changes nothing");
    }
}

#[tokio::test]
async fn what_is_read_at_start_only_is_named() {
    let server = TestServer::start(Scenario::shop()).await;
    server.scenario.edit("[server]\n", "[server]\nheartbeat = \"1s\"\n");
    server.scenario.append(RULE);
    let report = server.reload().await.ok();
    assert_eq!(report["needsRestart"], json!(["[server]"]));
    server.publish(broadcast("error")).await.accepted();
}

/// The address applies at the next start, but the policy at once.
#[tokio::test]
async fn no_edit_opens_the_admin_listener() {
    const POLICIES: &str =
        "[policies.anybody]\nallow = [{ anyone = true }]\n[policies.guests]\nallow = [{ anyone = true }]";
    let open = "admin = \"0.0.0.0:0\"\nadmin_policy = \"anybody\"";
    let scenario = Scenario::shop().replace("admin = \"127.0.0.1:0\"", open);
    let server = TestServer::start(scenario.with(POLICIES)).await;
    server.scenario.edit("\"anybody\"", "\"guests\"");
    assert_eq!(server.reload().await.ok()["needsRestart"], json!([]));
    server.scenario.edit(&open.replace("anybody", "guests"), "admin = \"127.0.0.1:0\"");
    let answer = server.reload().await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("without `server.admin_policy` anyone could administer"), "{}", answer.text);
}

/// What the server was started with counts, and not what the last revision said.
#[tokio::test]
async fn what_is_read_at_start_only_is_named_until_it_is_changed_back() {
    let server = TestServer::start(Scenario::shop()).await;
    let needs_restart = async || {
        let report = server.reload().await.json();
        // The watcher may have taken the edit first.
        let failed = report["result"] == "failed";
        (failed, report["needsRestart"].clone())
    };
    server.scenario.edit("drain = \"1s\"", "drain = \"2s\"");
    assert_eq!(needs_restart().await, (false, json!(["[server]"])));
    assert_eq!(needs_restart().await, (false, json!(["[server]"])));
    server.scenario.append(RULE);
    assert_eq!(needs_restart().await, (false, json!(["[server]"])));
    server.scenario.edit("[broker]\n", "[broker]\nprefix = \"other\"\n");
    assert_eq!(needs_restart().await, (false, json!(["[server]", "[broker]"])));
    server.scenario.edit("drain = \"2s\"", "drain = \"1s\"");
    assert_eq!(needs_restart().await, (false, json!(["[broker]"])));
    server.scenario.edit("prefix = \"other\"\n", "");
    server.scenario.append("[broken");
    assert_eq!(needs_restart().await, (true, json!(["[broker]"])), "the revision in force has it still");
    server.scenario.edit("[broken", "");
    assert_eq!(needs_restart().await, (false, json!([])));
}

#[tokio::test]
async fn a_key_whose_hash_is_replaced_is_refused_from_then_on() {
    let server = TestServer::start(Scenario::shop()).await;
    let revision = server.publish(order("c7", 1)).await.accepted()["revision"].clone();
    fs::write(server.scenario.file("orders-service.sha256"), "0".repeat(64)).unwrap();
    server.apply().await;
    assert_eq!(server.reload().await.ok()["revision"], revision);
    server.publish(order("c7", 2)).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn no_publish_fails_while_revisions_change() {
    let server = TestServer::start(Scenario::shop().user_channel("history = { size = 1_000, ttl = \"1h\" }")).await;
    let mut customer = server.subscribe("user.c7").await;
    let mut revisions = std::collections::BTreeSet::new();
    for number in 0..20 {
        server.scenario.append(&format!("[policies.p{number}]\nallow = [{{ anyone = true }}]"));
        let (report, ..) = tokio::join!(server.reload(), async {
            for order_number in 0..10 {
                let receipt = server.publish(order("c7", number * 10 + order_number)).await.accepted();
                revisions.insert(receipt["revision"].as_str().unwrap().to_owned());
            }
        });
        report.ok();
    }
    assert!(revisions.len() > 10, "{revisions:?}");
    for number in 0..200 {
        assert_eq!(customer.next_order().await, number.to_string());
    }
}

#[tokio::test]
async fn a_hangup_reloads_and_a_termination_drains() {
    let scenario = Scenario::shop();
    let log = scenario.file("log");
    let mut program = Program::serve(&scenario.path(), &log);
    let read = || fs::read_to_string(&log).unwrap_or_default();
    eventually("it serves", async || read().contains("serving")).await;
    scenario.append("[policies.y]\nalow = []");
    program.signal("-HUP");
    eventually("the edit is refused", async || read().contains("alow")).await;
    scenario.write(&format!("{}\n{RULE}", include_str!("shop.toml")));
    program.signal("-HUP");
    eventually("the edit applies", async || read().contains("is in force")).await;
    program.signal("-TERM");
    program.succeeds().await;
    assert!(read().contains("stopped"), "{}", read());
}

/// What the next start would refuse is refused now.
#[tokio::test]
async fn a_broker_that_no_server_could_start_with_is_refused() {
    let server = TestServer::start(Scenario::shop()).await;
    server.scenario.edit("\"memory:\"", "\"http://127.0.0.1:6379\"");
    let answer = server.reload().await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("neither `memory:` nor the URL of a Redis server"), "{}", answer.text);
}

/// A channel, a rule and a limit come, a rule goes, a policy and a schema change.
fn edit_much(server: &TestServer) {
    let text = fs::read_to_string(server.scenario.path()).unwrap().replace(REVOKE.0, REVOKE.1);
    let text = text.replace("[[rules]]\nname = \"mention\"", "[[rules]]\nname = \"chat\"");
    server.scenario.write(&format!(
        "{text}\n{RULE}\n[limits.all]\nkey = \"{{type}}\"\nrate = \"1/s\"\n[channels.y]\npattern = \"y\"\nsubscribe = \"operators\"",
    ));
}

#[tokio::test]
async fn a_reload_tells_what_changed_by_name() {
    let server = TestServer::start(Scenario::shop()).await;
    assert_eq!(server.reload().await.ok()["diff"], json!({}), "nothing came before what it started with");
    let schema = server.scenario.file("schemas/order.updated.json");
    let text = fs::read_to_string(&schema).unwrap();
    let script = server.scenario.file("plugins/muted_threads.rhai");
    fs::write(&script, fs::read_to_string(&script).unwrap() + "// more\n").unwrap();
    fs::write(&schema, text.replacen("\"type\": \"object\",", "\"type\": \"object\", \"minProperties\": 1,", 1))
        .unwrap();
    edit_much(&server);
    let expected = json!({
        "rules": { "added": ["chat", "ops"], "removed": ["mention"], "changed": [] },
        "channels": { "added": ["y"], "removed": [], "changed": [] },
        "policies": { "added": [], "removed": [], "changed": ["team-members"] },
        "types": { "added": [], "removed": [], "changed": ["order.updated"] },
        "plugins": { "added": [], "removed": [], "changed": ["muted-threads"] },
        "limits": { "added": ["all"], "removed": [], "changed": [] },
    });
    // Read ahead of the watcher, which may take the edit file by file.
    let before = server.reload_with("dry_run=1", None).await.ok();
    assert!(before["result"] == "applicable" || before["result"] == "unchanged", "{before}");
    if before["result"] == "applicable" {
        assert_eq!(before["diff"], expected);
    }
}

#[tokio::test]
async fn a_dry_run_does_all_but_the_swap() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut member = server.subscribe("team.t2").await;
    let mut both = server.listen(&["user.c7", "ops.all"]).greeted().await;
    let before = server.admin_get("/v1/admin/config").await.ok();
    server.scenario.edit(REVOKE.0, REVOKE.1);
    let tried = server.reload_with("dry_run=1", None).await;
    assert_eq!(tried.header("etag"), format!("\"{}\"", before["revision"].as_str().unwrap()));
    let tried = tried.ok();
    assert_eq!((&tried["result"], &tried["revision"]), (&json!("applicable"), &before["revision"]), "{tried}");
    assert_eq!((&tried["endedStreams"], &tried["recheckedStreams"]), (&json!(1), &json!(1)), "{tried}");
    assert_eq!(tried["diff"], json!({ "policies": { "added": [], "removed": [], "changed": ["team-members"] } }));
    let taken = server.reload().await.ok();
    assert_eq!(taken["revision"], tried["tried"]);
    for member_of in ["diff", "endedStreams", "recheckedStreams", "narrowedStreams"] {
        assert_eq!(taken[member_of], tried[member_of], "{member_of}");
    }
    member.next_event("bye").await;
    server.publish(order("c7", 1)).await.accepted();
    assert_eq!(both.next_order().await, "1");

    // A broken edit is refused, and leaves no trace.
    let loads = server.metric("fanfare_config_reloads_total{result=\"failure\"}").await;
    let text = fs::read_to_string(server.scenario.path()).unwrap();
    fs::write(server.scenario.path(), format!("{text}\n[broken")).unwrap();
    let refused = server.reload_with("dry_run=1", None).await;
    fs::write(server.scenario.path(), &text).unwrap();
    assert_eq!(refused.status, 422);
    assert_eq!((&refused.json()["result"], refused.json().get("diff")), (&json!("failed"), None));
    assert!(refused.text.contains("fanfare.toml:"), "{}", refused.text);
    assert_eq!(server.reload_with("dry_run=1", None).await.ok()["result"], "unchanged");
    assert_eq!(server.admin_get("/v1/admin/config").await.ok()["failure"], json!(null));
    assert_eq!(server.metric("fanfare_config_reloads_total{result=\"failure\"}").await, loads);
    for slip in ["dry_run=maybe", "dryrun=1"] {
        server.reload_with(slip, None).await.refused(400, "bad_query");
    }
}

/// Of two people who edit, the second is told that what was read is no longer in force.
#[tokio::test]
async fn a_reload_may_depend_on_the_revision_in_force() {
    let server = TestServer::start(Scenario::shop()).await;
    let first = server.admin_get("/v1/admin/config").await.header("etag").to_owned();
    server.reload_with("", Some(&first)).await.ok();
    server.reload_with("", Some("*")).await.ok();
    server.reload_with("", Some(&format!("\"0\", {first}"))).await.ok();
    server.scenario.append(RULE);
    server.apply().await;
    for query in ["", "dry_run=1"] {
        server.reload_with(query, Some(&first)).await.refused(412, "other_revision");
    }
    server.reload_with("", Some(&format!("W/{first}"))).await.refused(412, "other_revision");
    server.reload_with("", Some("abc")).await.refused(400, "bad_header");
}
