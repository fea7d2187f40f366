//! Accepted revisions are kept on disk, compared by name and by line, and put back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::{Scenario, TestServer, broadcast, err, eventually, fanfare, order, with};

const RULE: &str = "[[rules]]\nname = \"ops\"\npriority = 100\nwhen = { type = \"ops.broadcast\" }\nto = [\"ops.all\"]";

fn kept() -> Scenario {
    let include = "include = [\"conf.d/*.toml\"]\nunmatched = \"reject\"";
    Scenario::shop()
        .replace("unmatched = \"reject\"", include)
        .replace("[paths]\n", "[paths]\ngenerations = \"state/generations\"\n")
}

fn config(scenario: &Scenario, arguments: &[&str]) -> Output {
    fanfare(&["config", "--config", scenario.path().to_str().unwrap()]).args(arguments).output().unwrap()
}

#[track_caller]
fn out(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// The revisions of `config log`, the newest first.
fn log(scenario: &Scenario) -> Vec<String> {
    let lines = out(fanfare(&["config", "log", "--config", scenario.path().to_str().unwrap()]).output().unwrap());
    lines.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found
}

/// The copy of a file that is kept under a name, the newest of several as a rollback takes that.
fn copy(scenario: &Scenario, name: &str, file: &str) -> PathBuf {
    let is_meant = |path: &PathBuf| path.to_str().unwrap().contains(name) && path.ends_with(format!("files/{file}"));
    files(&scenario.file("state/generations")).into_iter().filter(is_meant).max().unwrap()
}

fn revision(report: &Value) -> String {
    report["revision"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_the_server_took_is_listed_compared_and_put_back() {
    let server = TestServer::start(kept()).await;
    let scenario = &server.scenario;
    eventually("the first revision is kept", async || log(scenario).len() == 1).await;
    let first = log(scenario)[0].clone();

    // A rule in a new file, another schema.
    fs::create_dir(scenario.file("conf.d")).unwrap();
    fs::write(scenario.file("conf.d/ops.toml"), RULE).unwrap();
    let schema = scenario.file("schemas/order.updated.json");
    let text = fs::read_to_string(&schema).unwrap();
    fs::write(&schema, text.replacen("\"type\": \"object\",", "\"type\": \"object\",\n  \"minProperties\": 99,", 1))
        .unwrap();
    eventually("all is taken", async || {
        server.publish(broadcast("error")).await.status == 202 && server.publish(order("c7", 1)).await.status == 422
    })
    .await;
    let second = revision(&server.reload().await.ok());
    eventually("it is kept", async || log(scenario)[0] == second).await;

    // Nothing that a secret is read from is copied.
    for file in files(&scenario.file("state/generations")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(!name.contains("secret") && !name.contains("sha256"), "{}", file.display());
    }

    let diff = out(config(scenario, &["diff", &first]));
    for part in [
        "+ rules ops\n~ types order.updated\n",
        "+++ files/conf.d/ops.toml",
        "--- /dev/null",
        "+  \"minProperties\": 99,",
    ] {
        assert!(diff.contains(part), "{part}: {diff}");
    }
    assert!(!diff.contains("issuers") && !diff.contains("keys"), "the same secrets: {diff}");
    let back = out(config(scenario, &["diff", &second, &first[..8]]));
    assert!(back.starts_with("- rules ops\n~ types order.updated\n"), "{back}");
    assert_eq!(out(config(scenario, &["diff", &second])), "");

    let done = out(config(scenario, &["rollback", &first]));
    assert!(done.contains("- rules ops") && done.ends_with(&format!("is revision {first} again\n")), "{done}");
    assert!(!scenario.file("conf.d/ops.toml").exists());
    assert_eq!(fs::read_to_string(&schema).unwrap(), text);
    eventually("the server takes it", async || revision(&server.admin_get("/v1/admin/config").await.ok()) == first)
        .await;
    server.publish(order("c7", 2)).await.accepted();
    eventually("it is kept again", async || log(scenario)[0] == first).await;
    out(config(scenario, &["rollback", &second]));
    eventually("and forth", async || revision(&server.admin_get("/v1/admin/config").await.ok()) == second).await;
    assert!(scenario.file("conf.d/ops.toml").exists());
}

#[tokio::test]
async fn the_log_tells_what_was_edited_while_no_server_ran() {
    let server = TestServer::start(kept()).await;
    let told = |scenario: &Scenario| out(config(scenario, &["log"]));
    eventually("the first revision is kept", async || log(&server.scenario).len() == 1).await;
    let first = log(&server.scenario)[0].clone();
    assert!(told(&server.scenario).ends_with("  start     the first that is kept\n"), "{}", told(&server.scenario));
    let scenario = server.stop().await;
    scenario.edit("gte = 100_000", "gte = 250_000");
    fs::create_dir(scenario.file("conf.d")).unwrap();
    fs::write(scenario.file("conf.d/ops.toml"), RULE).unwrap();
    let server = TestServer::start(scenario).await;
    eventually("the second is kept", async || log(&server.scenario).len() == 2).await;
    let newest = told(&server.scenario).lines().next().unwrap().to_owned();
    assert!(newest.ends_with(&format!("  start     files +1 ~1 since {first}")), "{newest}");
}

#[tokio::test]
async fn a_rollback_removes_what_is_included_whatever_it_is_called() {
    let scenario = kept().replace("conf.d/*.toml", "conf.d/*.conf");
    let server = TestServer::start(scenario).await;
    let scenario = &server.scenario;
    eventually("the first revision is kept", async || log(scenario).len() == 1).await;
    let first = log(scenario)[0].clone();
    fs::create_dir(scenario.file("conf.d")).unwrap();
    fs::write(scenario.file("conf.d/ops.conf"), RULE).unwrap();
    fs::write(scenario.file("conf.d/notes.toml"), "# not included").unwrap();
    server.reload().await.ok();
    let told = out(config(scenario, &["rollback", &first]));
    assert!(told.contains("conf.d/ops.conf, which was not included then\n"), "{told}");
    assert!(!scenario.file("conf.d/ops.conf").exists() && scenario.file("conf.d/notes.toml").exists());
    assert_eq!(revision(&server.reload().await.ok()), first);
}

#[tokio::test]
async fn a_rollback_takes_back_a_broken_edit_and_keeps_it() {
    let server = TestServer::start(kept()).await;
    let scenario = &server.scenario;
    eventually("the first revision is kept", async || log(scenario).len() == 1).await;
    let first = log(scenario)[0].clone();
    let good = fs::read_to_string(scenario.path()).unwrap();
    scenario.write("[broken");
    assert!(refused(config(scenario, &["log"])).contains("--generations"));
    let folder = scenario.file("state/generations");
    let at = ["--generations", folder.to_str().unwrap()];
    let diff = out(config(scenario, &[&at[..], &["diff", &first]].concat()));
    assert!(diff.contains("+[broken"), "{diff}");
    assert!(!diff.contains("/dev/null"), "what is still there is not removed: {diff}");
    out(config(scenario, &[&at[..], &["rollback", &first]].concat()));
    assert_eq!(fs::read_to_string(scenario.path()).unwrap(), good);
    let broken = log(scenario)[0].clone();
    assert!(broken.starts_with("broken-"), "{broken}");
    let diff = out(config(scenario, &["diff", &broken[..9]]));
    assert!(diff.contains("-[broken") && !diff.contains("/dev/null"), "{diff}");
    let main = scenario.file("nowhere.toml");
    let error = refused(fanfare(&["config", "log", "--config", main.to_str().unwrap()]).output().unwrap());
    assert!(error.contains("nowhere.toml cannot be read: No such file"), "{error}");
    assert!(refused(config(scenario, &["rollback", "0000"])).contains("config log"));
    assert_eq!(fs::read_to_string(scenario.path()).unwrap(), good);

    // What was kept and altered since is not put back, nor what needs a key that is gone.
    let copy = copy(scenario, &first, "plugins/muted_threads.rhai");
    let script = fs::read_to_string(&copy).unwrap();
    fs::write(&copy, format!("{script}// altered")).unwrap();
    if log(scenario).iter().filter(|kept| **kept == first).count() == 1 {
        assert!(refused(config(scenario, &["rollback", &first])).contains("nothing was changed"));
    }
    fs::write(&copy, script).unwrap();
    fs::remove_file(scenario.file("app.secret")).unwrap();
    let error = refused(config(scenario, &["rollback", &first]));
    assert!(error.contains("app.secret") && error.contains("nothing was changed"), "{error}");
    // To compare them takes none.
    scenario.append("[auth.keys.other]\nsha256 = { env = \"SHOP_NOT_SET\" }");
    scenario.edit("gte = 100_000", "gte = 250_000");
    let compared = config(scenario, &["diff", &first]);
    assert_eq!(err(&compared), "");
    assert!(out(compared).starts_with("~ rules order-notable\n+ keys other\n\n"));
}

#[tokio::test]
async fn a_rollback_from_a_broken_edit_is_undone_with_all_that_was_edited() {
    let server = TestServer::start(kept()).await;
    let scenario = &server.scenario;
    eventually("the first revision is kept", async || log(scenario).len() == 1).await;
    let first = log(scenario)[0].clone();
    let schema = scenario.file("schemas/order.updated.json");
    let (good, good_schema) = (fs::read_to_string(scenario.path()).unwrap(), fs::read_to_string(&schema).unwrap());
    // Half a day's work: a rule in a file of its own, a schema, and a slip of the pen.
    fs::create_dir(scenario.file("conf.d")).unwrap();
    fs::write(scenario.file("conf.d/ops.toml"), RULE).unwrap();
    fs::write(&schema, good_schema.replacen('{', "{\n", 1)).unwrap();
    scenario.edit("filter = \"muted-threads\"", "filter = \"muted-thread\"");
    let work = [scenario.path(), schema.clone(), scenario.file("conf.d/ops.toml")];
    let edited = work.clone().map(|path| fs::read_to_string(path).unwrap());

    out(config(scenario, &["rollback", &first]));
    assert!(!work[2].exists());
    assert_eq!(
        (fs::read_to_string(scenario.path()).unwrap(), fs::read_to_string(&schema).unwrap()),
        (good, good_schema)
    );
    let told = out(config(scenario, &["rollback", "broken-"]));
    let broken = log(scenario).into_iter().find(|kept| kept.starts_with("broken-")).unwrap();
    assert!(told.ends_with(&format!("fanfare.toml is {broken} again\n")), "{told}");
    assert_eq!(work.map(|path| fs::read_to_string(path).unwrap()), edited);
    // The server takes no notice, and there is a way back again.
    assert_eq!(server.reload().await.status, 422);
    out(config(scenario, &["rollback", &first]));
    assert_eq!(revision(&server.reload().await.ok()), first);

    fs::write(copy(scenario, &broken, "conf.d/ops.toml"), "# altered").unwrap();
    assert!(refused(config(scenario, &["rollback", &broken])).contains("nothing was changed"));
}

#[tokio::test]
async fn a_rollback_reaches_the_oldest_revision_though_another_is_kept_first() {
    let server = TestServer::start(kept()).await;
    let scenario = &server.scenario;
    let good = fs::read_to_string(scenario.path()).unwrap();
    for revision in 1..=20 {
        scenario.write(&good.replacen("priority = 1000", &format!("priority = 1000{revision}"), 1));
        server.reload().await.ok();
    }
    eventually("as many are kept as may be", async || log(scenario).len() == 20).await;
    let oldest = log(scenario)[19].clone();
    let folder = scenario.file("state/generations");
    scenario.write("[broken");
    let at = ["--generations", folder.to_str().unwrap()];
    out(config(scenario, &[&at[..], &["rollback", &oldest]].concat()));
    assert!(fs::read_to_string(scenario.path()).unwrap().contains("priority = 10001\n"));
}

#[tokio::test]
async fn a_change_is_tried_against_a_revision_that_was_kept() {
    let scenario =
        kept().replace("schema = \"order.updated.json\"\n", "schema = \"order.updated.json\"\ntrace = true\n");
    let server = TestServer::start(scenario).await;
    let scenario = &server.scenario;
    eventually("the first revision is kept", async || log(scenario).len() == 1).await;
    let first = log(scenario)[0].clone();
    server.publish(with(order("c7", 1), "data.total_cents", 200_000)).await.accepted();
    let check = async |against: &str| {
        let admin = format!("http://{}", server.admin);
        let mut command = fanfare(&["check", "--against", against, "--admin", &admin, "--config"]);
        command.arg(scenario.path());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };

    scenario.edit("gte = 100_000", "gte = 250_000");
    let told = out(check(&first[..6]).await);
    assert!(told.contains("1 of 1 outcomes change"), "{told}");
    // A place in it is told by its name, and not by where it was compiled.
    let place = format!("{}/fanfare.toml:", &first[..6]);
    assert!(told.contains(&place) && told.contains(scenario.path().to_str().unwrap()), "{told}");
    assert!(!told.contains("/x/x/"), "{told}");

    let typed = format!("{}zz", &first[..3]);
    let error = refused(check(&typed).await);
    let wanted = format!("there is no file `{typed}`: no revision `{typed}` is kept, the nearest are ");
    assert!(error.contains(&wanted) && error.contains(&first), "{error}");
    scenario.edit("generations = \"state/generations\"\n", "");
    assert!(refused(check(&first).await).contains("which takes `paths.generations`"));
}
