//! `fanfare test`: the tests of a configuration as their authors run them, and what `check` and a server make of them.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Scenario, TestServer, err, fanfare, order, out, run_with_input, with};

const ORDER: &str = "{ type = \"order.updated\", userId = \"c7\", data = { order_id = \"1\", status = \"paid\", \
     seller_team_id = \"t2\", total_cents = 1 } }";
const MENTION: &str = "{ type = \"chat.mention\", userId = \"u1\", message = \"hi\", data = { thread_id = \"x\", \
     author = { id = \"u2\", name = \"Ada\" }, direct = false } }";

fn test(name: &str, given: &str, rest: &str) -> String {
    format!("[[tests]]\nname = \"{name}\"\ngiven = {given}\n{rest}\n")
}

fn run(scenario: &Scenario, arguments: &[&str]) -> Output {
    fanfare(arguments).arg("--config").arg(scenario.path()).output().unwrap()
}

/// Exit status, standard output and standard error; the folder of the scenario is left out of paths.
fn outcome(scenario: &Scenario, arguments: &[&str]) -> (i32, String, String) {
    let output = run(scenario, arguments);
    let folder = format!("{}/", scenario.file("").display()).replace("//", "/");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&folder, "");
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn tests_that_pass_have_a_line_each() {
    let tests = [
        test("not muted", MENTION, "expect = { channels = [\"user.u1\"] }"),
        test("it keeps", MENTION, "stub = { muted-threads = \"pass\" }\nexpect = { rules = [\"mention\"] }"),
        test("it drops", MENTION, "stub = { muted-threads = \"drop\" }\nexpect = { dropped = \"muted-threads\" }"),
        test("for a reason", MENTION, "stub = { muted-threads = \"drop:late\" }\nexpect = { dropped = \"late\" }"),
        test("it fails", MENTION, "stub = { muted-threads = \"error\" }\nexpect = { channels = [\"user.u1\"] }"),
    ];
    let scenario = Scenario::shop().with(&tests.concat());
    let lines = "ok      not muted\nok      it keeps\nok      it drops\nok      for a reason\nok      it fails\n";
    let expected = (0, format!("{lines}5 passed, 0 failed\n"), String::new());
    assert_eq!(outcome(&scenario, &["test"]), expected);
    let one = (0, "ok      it drops\n1 passed, 0 failed\n".to_owned(), String::new());
    assert_eq!(outcome(&scenario, &["test", "drops"]), one);
    let none = (2, String::new(), "error: no test has `nothing` in its name\n".to_owned());
    assert_eq!(outcome(&scenario, &["test", "nothing"]), none);
    assert_eq!(outcome(&Scenario::shop(), &["test"]), (0, "0 passed, 0 failed\n".to_owned(), String::new()));
}

#[test]
fn an_error_in_a_stub_goes_the_way_of_on_error() {
    let told = |on_error: &str, expect: &str| {
        let rest = format!("stub = {{ muted-threads = \"error\" }}\nexpect = {expect}");
        let scenario = Scenario::shop().replace("on_error = \"pass\"", &format!("on_error = \"{on_error}\""));
        let scenario = scenario.with(&test("it fails", MENTION, &rest));
        let (status, out, err) = outcome(&scenario, &["test"]);
        assert_eq!(status, 0, "{on_error}: {out}{err}");
    };
    told("pass", "{ rules = [\"mention\"], channels = [\"user.u1\"] }");
    told("drop", "{ rules = [\"mention\"], channels = [], dropped = \"filter_failed\" }");
    told("skip-rule", "{ rules = [], refused = \"unmatched\" }");
}

#[test]
fn a_local_time_is_that_of_its_place() {
    let window = "[windows.night]\ndaily = [\"22:00-07:00\"]\ntimezone = \"Europe/Berlin\"\n\
         [[rules]]\nname = \"night\"\npriority = 305\nwhen = { type = \"order.updated\", during = \"night\" }\n\
         drop = \"night\"\n";
    let at = |at: &str, zone: &str, dropped: &str| {
        test(at, ORDER, &format!("at = {at}\ntimezone = \"{zone}\"\nexpect = {{ {dropped} }}"))
    };
    let tests = [
        at("2026-03-29T06:59:59", "Europe/Berlin", "dropped = \"night\""),
        at("2026-03-29T07:00:00", "Europe/Berlin", "rules = [\"order\"]"),
        at("2026-10-25T06:59:59", "Europe/Berlin", "dropped = \"night\""),
        at("2026-10-25T07:00:00", "Europe/Berlin", "rules = [\"order\"]"),
        at("2026-03-28T20:59:59", "UTC", "rules = [\"order\"]"),
        at("2026-03-28T21:00:00", "UTC", "dropped = \"night\""),
    ];
    let (status, out, err) = outcome(&Scenario::shop().with(&[window, &tests.concat()].concat()), &["test"]);
    assert_eq!(status, 0, "{out}{err}");
}

#[test]
fn a_failure_shows_the_difference_and_the_way() {
    let scenario = Scenario::shop();
    let muted = "stub = { muted-threads = \"drop:late\" }\nexpect = { channels = [\"user.u1\"] }";
    let tests = [
        test("a mention", MENTION, muted),
        test("an order", ORDER, "expect = { rules = [\"order-notable\", \"order\"] }"),
        test("an invalid one", "{ type = \"order.updated\" }", "expect = { refused = \"unmatched\" }"),
        test("a good one", ORDER, "expect = { channels = [\"user.c7\"] }"),
    ];
    fs::write(scenario.file("fanfare_test.toml"), tests.concat()).unwrap();
    let (status, out, err) = outcome(&scenario, &["test"]);
    assert_eq!((status, err.as_str()), (4, ""), "{out}");
    let expected = "\
FAILED  a mention
FAILED  an order
FAILED  an invalid one
ok      a good one

test `a mention` at fanfare_test.toml:2
  channels at fanfare_test.toml:5: - expected, + got
    - user.u1
    + nothing
   500  mention  fanfare.toml:69  MATCH
        filter muted-threads: drop `late`  (not run)
result: dropped_by_filter, 0 channels, 1 dropped

test `an order` at fanfare_test.toml:7
  rules at fanfare_test.toml:9: - expected, + got
    - order-notable
      order
   310  order-notable  fanfare.toml:76  no: data.total_cents is 1, wanted gte 100000
   300  order          fanfare.toml:83  MATCH
        -> user.c7
result: routed, 1 channel, 0 dropped

test `an invalid one` at fanfare_test.toml:11
  refused at fanfare_test.toml:13: - expected, + got
    - unmatched
    + invalid
result: invalid
  /userId is required
  /data is required

1 passed, 3 failed
";
    assert_eq!(out, expected);
}

#[tokio::test]
async fn a_refusal_has_the_code_that_the_server_gives() {
    let server = TestServer::start(Scenario::shop()).await;
    let refusals = [
        (json!({ "type": "order.updatd", "userId": "c7" }), 422, "unknown_type"),
        (json!({ "type": "order.updated", "userID": "c7" }), 400, "malformed"),
        (json!({ "type": "order.updated", "userId": "" }), 400, "malformed"),
        (json!({ "type": "order.updated", "userId": "c7" }), 422, "invalid"),
    ];
    for (number, (notification, status, code)) in refusals.iter().enumerate() {
        server.publish(notification.clone()).await.refused(*status, code);
        server.admin_post("/v1/admin/explain", notification).await.refused(*status, code);
        let mut command = fanfare(&["explain", "-", "--config"]);
        command.arg(server.scenario.path());
        let told = run_with_input(command, &notification.to_string());
        assert!(err(&told).contains(&format!("would be refused as `{code}`: ")), "{}", err(&told));
        let given = notification.as_object().unwrap().iter().map(|(name, value)| format!("{name} = {value}"));
        let given = format!("{{ {} }}", given.collect::<Vec<_>>().join(", "));
        server.scenario.append(&test(&number.to_string(), &given, &format!("expect = {{ refused = \"{code}\" }}")));
    }
    assert_eq!(outcome(&server.scenario, &["check"]).0, 0);
    let lines = "ok      0\nok      1\nok      2\nok      3\n4 passed, 0 failed\n";
    assert_eq!(outcome(&server.scenario, &["test"]), (0, lines.to_owned(), String::new()));
}

#[test]
fn a_replay_has_the_code_that_the_server_gives() {
    let scenario = Scenario::shop();
    let other = fs::read_to_string(scenario.path()).unwrap()
        + "[types.\"order.lost\"]\nschema = \"any.json\"\npublish = \"producers\"\n\
           [[rules]]\nname = \"lost\"\npriority = 1\nwhen = { type = \"order.lost\" }\nto = [\"user.{userId}\"]";
    fs::write(scenario.file("other.toml"), other).unwrap();
    fs::write(scenario.file("schemas/any.json"), "{\"type\": \"object\"}").unwrap();
    let decision = json!({ "id": "0199d1f0-7a3c-7000-8000-3b1f5c2d9e04", "at": "2026-01-10T12:00:00Z",
        "notification": with(order("c7", 1), "type", "order.lost") });
    fs::write(scenario.file("decisions.json"), json!({ "decisions": [decision] }).to_string()).unwrap();
    let (other, decisions) = (scenario.file("other.toml"), scenario.file("decisions.json"));
    let options = ["--against", other.to_str().unwrap(), "--decisions", decisions.to_str().unwrap()];
    let done = run(&scenario, &[&["check", "--format", "json"], &options[..]].concat());
    let report: Value = serde_json::from_str(out(&done)).unwrap();
    let change = &report["replay"]["changes"][0];
    let results = (&change["before"]["result"], &change["after"]["result"]);
    assert_eq!(results, (&json!("routed to user.c7"), &json!("unknown_type")));
}

#[test]
fn coverage_lists_the_rules_that_no_test_hits() {
    let test = test("an order", ORDER, "expect = { rules = [\"order\"] }");
    let (status, out, _) = outcome(&Scenario::shop().with(&test), &["test", "--coverage"]);
    let expected = "\
ok      an order
no test hits rule `alert` at fanfare.toml:63
no test hits rule `mention` at fanfare.toml:69
no test hits rule `order-notable` at fanfare.toml:76
no test hits rule `deploys-are-noise` at fanfare.toml:89
1 of 5 rules are hit, 20 %
1 passed, 0 failed
";
    assert_eq!((status, out.as_str()), (0, expected));
}

#[test]
fn the_exit_status_tells_failing_tests_from_errors_and_warnings() {
    let status = |scenario: &Scenario, arguments: &[&str]| run(scenario, arguments).status.code().unwrap();
    let fails = test("an order", ORDER, "expect = { channels = [] }");
    let scenario = Scenario::shop().with(&fails);
    assert_eq!((status(&scenario, &["test"]), status(&scenario, &["check"])), (4, 4));
    // What is declared and never used is worth a warning.
    scenario.append("[policies.unused]\nallow = [{ anyone = true }]");
    assert_eq!(status(&scenario, &["check", "--deny-warnings"]), 4, "tests that fail are worse than warnings");
    scenario.append("[[invariants]]\nfor_all = { type = \"order.updated\" }\nmust_reach = \"ops.all\"");
    assert_eq!((status(&scenario, &["test"]), status(&scenario, &["check"])), (1, 1), "errors are worse than both");
    let warned = Scenario::shop().with("[policies.unused]\nallow = [{ anyone = true }]");
    assert_eq!((status(&warned, &["check"]), status(&warned, &["check", "--deny-warnings"])), (0, 3));
    assert_eq!(status(&warned, &["test"]), 0);
}

#[test]
fn test_files_are_for_authors_and_no_part_of_what_a_server_takes() {
    let scenario = Scenario::shop().replace("unmatched =", "include = [\"conf.d/*.toml\"]\nunmatched =");
    fs::create_dir(scenario.file("conf.d")).unwrap();
    fs::write(scenario.file("conf.d/limits.toml"), "").unwrap();
    let explain = || {
        let command = fanfare(&["explain", "-", "--config", scenario.path().to_str().unwrap()]);
        let explained = run_with_input(command, &order("c7", 1).to_string());
        assert!(explained.status.success() && explained.stderr.is_empty(), "{explained:?}");
        String::from_utf8(explained.stdout).unwrap().lines().next().unwrap().split(',').next().unwrap().to_owned()
    };
    let revision = explain();
    let passes = test("one", ORDER, "expect = { channels = [\"user.c7\"] }");
    fs::write(scenario.file("fanfare_test.toml"), &passes).unwrap();
    fs::write(scenario.file("conf.d/limits_test.toml"), passes.replace("one", "two")).unwrap();
    let (status, out, err) = outcome(&scenario, &["check"]);
    assert_eq!(status, 0, "{err}");
    assert!(out.contains(&revision) && out.ends_with("2 tests passed\n"), "{revision}: {out}");
    assert_eq!(outcome(&scenario, &["test"]).1, "ok      one\nok      two\n2 passed, 0 failed\n");

    // What fails there keeps no server from starting.
    fs::write(scenario.file("fanfare_test.toml"), passes.replace("user.c7", "user.c8")).unwrap();
    assert_eq!(outcome(&scenario, &["check"]).0, 4);
    assert_eq!(explain(), revision);
    // And what stands there beside tests is not lost in silence.
    fs::write(scenario.file("fanfare_test.toml"), "[limits.a]\nkey = \"{principal}\"\n").unwrap();
    let (status, _, err) = outcome(&scenario, &["check"]);
    assert_eq!(status, 1);
    for part in ["unknown key `limits` in a test file", "--> fanfare_test.toml:1:2", "allowed are `tests`"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    fs::write(scenario.file("fanfare_test.toml"), "[[tests]\n").unwrap();
    assert_eq!((outcome(&scenario, &["check"]).0, outcome(&scenario, &["test"]).0), (1, 1));
    assert_eq!(explain(), revision);
}
