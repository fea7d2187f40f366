//! The pitfalls of hot reload that others fell into, one test each: how files may change under a server that watches
//! them, and what must come of it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::{Scenario, TestServer, broadcast, eventually, mention, order};

const RULE: &str = "[[rules]]\nname = \"ops\"\npriority = 100\nwhen = { type = \"ops.broadcast\" }\nto = [\"ops.all\"]";
/// Longer than a burst is waited out, and than half a write is.
const A_WHILE: Duration = Duration::from_millis(1_500);

fn shop() -> &'static str {
    include_str!("shop.toml")
}

fn shop_with_rule() -> String {
    format!("{}\n{RULE}", shop())
}

/// Whether broadcasts come to be routed, or not.
async fn answers(server: &TestServer, status: u16) {
    eventually("the change is seen", async || server.publish(broadcast("error")).await.status == status).await;
}

async fn loads(server: &TestServer) -> [f64; 2] {
    let count = async |result| server.metric(&format!("fanfare_config_reloads_total{{result=\"{result}\"}}")).await;
    [count("success").await, count("failure").await]
}

#[tokio::test]
async fn a_file_that_is_renamed_over_is_seen_every_time() {
    let server = TestServer::start(Scenario::shop()).await;
    for wanted in [true, false, true, false] {
        server.scenario.write(&if wanted { shop_with_rule() } else { shop().to_owned() });
        answers(&server, if wanted { 202 } else { 422 }).await;
    }
}

#[tokio::test]
async fn a_file_that_is_truncated_and_written_slowly_is_taken_whole() {
    let server = TestServer::start(Scenario::shop()).await;
    let before = loads(&server).await;
    let mut file = fs::File::create(server.scenario.path()).unwrap();
    for piece in shop_with_rule().as_bytes().chunks(400) {
        file.write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(file);
    answers(&server, 202).await;
    // It is counted when streams are settled, which is after it is in force.
    eventually("it is counted", async || loads(&server).await != before).await;
    assert_eq!(loads(&server).await, [before[0] + 1.0, before[1]], "half of it was looked at");
}

/// As Kubernetes replaces a ConfigMap: every file is a link through one link, which is swapped, again and again.
#[tokio::test]
async fn a_config_map_that_is_swapped_twice_is_seen_twice() {
    let scenario = Scenario::shop();
    let version = |name: &str, text: &str| {
        fs::create_dir(scenario.file(name)).unwrap();
        fs::write(scenario.file(name).join("fanfare.toml"), text).unwrap();
    };
    fs::remove_file(scenario.path()).unwrap();
    version("..1", shop());
    version("..2", &shop_with_rule());
    version("..3", shop());
    symlink("..1", scenario.file("..data")).unwrap();
    symlink("..data/fanfare.toml", scenario.path()).unwrap();
    let server = TestServer::start(scenario).await;
    answers(&server, 422).await;
    for (gone, next, wanted) in [("..1", "..2", true), ("..2", "..3", false)] {
        symlink(next, server.scenario.file("..next")).unwrap();
        fs::rename(server.scenario.file("..next"), server.scenario.file("..data")).unwrap();
        fs::remove_dir_all(server.scenario.file(gone)).unwrap();
        answers(&server, if wanted { 202 } else { 422 }).await;
    }
}

#[tokio::test]
async fn a_link_that_is_retargeted_is_seen() {
    let scenario = Scenario::shop();
    fs::rename(scenario.path(), scenario.file("one.toml")).unwrap();
    fs::create_dir(scenario.file("elsewhere")).unwrap();
    fs::write(scenario.file("elsewhere/two.toml"), shop_with_rule()).unwrap();
    symlink("one.toml", scenario.path()).unwrap();
    let server = TestServer::start(scenario).await;
    symlink("elsewhere/two.toml", server.scenario.file("next")).unwrap();
    fs::rename(server.scenario.file("next"), server.scenario.path()).unwrap();
    answers(&server, 202).await;
    // And what it leads to is watched from then on.
    fs::write(server.scenario.file("elsewhere/two.toml"), shop()).unwrap();
    answers(&server, 422).await;
}

#[tokio::test]
async fn an_empty_or_missing_file_loosens_nothing_and_its_return_clears_the_failure() {
    let server = TestServer::start(Scenario::shop()).await;
    let before = server.admin_get("/v1/admin/config").await.ok()["revision"].clone();
    let failure = async || server.admin_get("/v1/admin/config").await.ok()["failure"].clone();
    let empty = |path: &Path| fs::write(path, "").unwrap();
    let blank = |path: &Path| fs::write(path, "# nothing\nunmatched = \"drop\"\n").unwrap();
    let missing = |path: &Path| fs::remove_file(path).unwrap();
    for break_it in [&empty as &dyn Fn(&Path), &blank, &missing] {
        break_it(&server.scenario.path());
        eventually("it is refused", async || failure().await.is_string()).await;
        assert_eq!(server.metric("fanfare_config_last_reload_successful").await, 0.0);
        assert_eq!(server.publish(order("c7", 1)).await.accepted()["revision"], before);
        // The hash is that of the revision in force again: nothing to take, and all is well.
        server.scenario.write(shop());
        eventually("the failure is cleared", async || failure().await.is_null()).await;
        assert_eq!(server.metric("fanfare_config_last_reload_successful").await, 1.0);
    }
    fs::write(server.scenario.path(), "unmatched = \"drop\"\nallow_empty = true\n").unwrap();
    eventually("what is meant is taken", async || server.admin_get("/v1/admin/config").await.ok()["rules"] == 0).await;
}

#[tokio::test]
async fn reading_and_other_permissions_are_no_change() {
    let server = TestServer::start(Scenario::shop()).await;
    tokio::time::sleep(A_WHILE).await;
    let before = loads(&server).await;
    for file in ["fanfare.toml", "schemas/order.updated.json", "plugins/muted_threads.rhai", "app.secret"] {
        let path = server.scenario.file(file);
        fs::read(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    }
    fs::write(server.scenario.file("notes.txt"), "beside it").unwrap();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(loads(&server).await, before);
}

#[tokio::test]
async fn a_watched_folder_that_is_deleted_and_made_again_is_watched_again() {
    let server = TestServer::start(Scenario::shop()).await;
    let folder = server.scenario.file("schemas");
    let failure = async || server.admin_get("/v1/admin/config").await.ok()["failure"].clone();
    for round in 0..2 {
        fs::rename(&folder, server.scenario.file("away")).unwrap();
        eventually("its absence is seen", async || failure().await.is_string()).await;
        fs::rename(server.scenario.file("away"), &folder).unwrap();
        eventually("its return is seen", async || failure().await.is_null()).await;
        let schema = folder.join("order.updated.json");
        let text = fs::read_to_string(&schema).unwrap();
        let strict = text.replacen("\"type\": \"object\",", "\"type\": \"object\", \"minProperties\": 99,", 1);
        fs::write(&schema, strict).unwrap();
        let status = async || server.publish(order("c7", round)).await.status;
        eventually("the schema applies", async || status().await == 422).await;
        fs::write(&schema, &text).unwrap();
        eventually("the old one again", async || status().await == 202).await;
    }
}

#[tokio::test]
async fn a_storm_of_changes_is_one_reload_or_few() {
    let server = TestServer::start(Scenario::shop()).await;
    tokio::time::sleep(A_WHILE).await;
    let before = loads(&server).await;
    for number in 0..100 {
        let policy = format!("[policies.p{number}]\nallow = [{{ anyone = true }}]");
        server.scenario.write(&format!("{}\n{policy}", shop_with_rule()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    answers(&server, 202).await;
    tokio::time::sleep(A_WHILE).await;
    let [successes, failures] = loads(&server).await;
    assert!(successes - before[0] <= 3.0 && failures == before[1], "{successes} {failures} after {before:?}");
}

#[tokio::test]
async fn a_file_that_appears_under_an_include_is_seen_and_so_is_its_end() {
    let include = "include = [\"conf.d/*.toml\"]\nunmatched = \"reject\"";
    let server = TestServer::start(Scenario::shop().replace("unmatched = \"reject\"", include)).await;
    let file = server.scenario.file("conf.d/ops.toml");
    fs::create_dir(server.scenario.file("conf.d")).unwrap();
    fs::write(&file, RULE).unwrap();
    answers(&server, 202).await;
    fs::remove_file(&file).unwrap();
    answers(&server, 422).await;
}

#[tokio::test]
async fn a_script_that_changes_is_compiled_again_and_a_torn_set_is_not_taken() {
    let server = TestServer::start(Scenario::shop()).await;
    let script = server.scenario.file("plugins/muted_threads.rhai");
    let good = fs::read_to_string(&script).unwrap();
    let outcome = async || server.publish(mention("c7", &[])).await.accepted()["reason"].clone();
    assert_eq!(outcome().await, "routed");
    fs::write(&script, "fn filter(n) { drop(\"closed\") }").unwrap();
    eventually("the script applies", async || outcome().await == "dropped_by_filter").await;
    // The configuration is saved before its script is there.
    server.scenario.edit("muted_threads.rhai", "later.rhai");
    let failure = async || server.admin_get("/v1/admin/config").await.ok()["failure"].clone();
    eventually("half a set is refused", async || failure().await.is_string()).await;
    assert_eq!(outcome().await, "dropped_by_filter");
    fs::write(server.scenario.file("plugins/later.rhai"), good).unwrap();
    eventually("the whole set is taken", async || outcome().await == "routed").await;
    assert_eq!(failure().await, json!(null));
}
