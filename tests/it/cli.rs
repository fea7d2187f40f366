//! The commands, as an operator types them.

use serde_json::{Value, json};

use crate::support::{
    Program, Scenario, TestServer, err, eventually, fanfare, mention, order, out, run, run_with_input,
};

#[test]
fn check_says_what_a_good_configuration_has() {
    let scenario = Scenario::shop();
    let checked = run(&["check", "--config", scenario.path().to_str().unwrap()]);
    assert!(checked.status.success(), "{}", err(&checked));
    assert!(out(&checked).contains("4 types, 3 channels, 5 rules, 1 plugin, 0 tests passed"), "{}", out(&checked));
}

#[test]
fn check_shows_where_a_bad_configuration_is_wrong() {
    let scenario = Scenario::shop().replace("filter = \"muted-threads\"", "filter = \"muted-thread\"");
    let checked = run(&["check", "--config", scenario.path().to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(out(&checked), "");
    for part in ["muted-thread", "fanfare.toml:", "did you mean `muted-threads`"] {
        assert!(err(&checked).contains(part), "{part}: {}", err(&checked));
    }
    let missing = run(&["check", "--config", "/nowhere/fanfare.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(err(&missing).contains("/nowhere/fanfare.toml"), "{}", err(&missing));
}

#[test]
fn check_tells_programs_on_standard_output() {
    let bad = Scenario::shop().replace("filter = \"muted-threads\"", "filter = \"muted-thread\"");
    let good = Scenario::shop();
    let unused = Scenario::shop().with("[limits.slow]\nkey = \"{principal}\"\nrate = \"1/s\"");
    let check = |scenario: &Scenario, format: &str| {
        run(&["check", "--deny-warnings", "--format", format, "--config", scenario.path().to_str().unwrap()])
    };
    for (scenario, status, code) in [(&bad, 1, Some("F202")), (&unused, 3, Some("F203")), (&good, 0, None)] {
        let [json, github, sarif] = ["json", "github", "sarif"].map(|format| {
            let checked = check(scenario, format);
            assert_eq!((checked.status.code(), err(&checked)), (Some(status), ""), "{format}");
            out(&checked).to_owned()
        });
        let json: Value = serde_json::from_str(&json).unwrap();
        let sarif: Value = serde_json::from_str(&sarif).unwrap();
        // Beside notes, of which the shop has some.
        let told = |findings: &Value, code_is: &str, grave_is: &str| -> Vec<String> {
            let grave = findings.as_array().unwrap().iter().filter(|finding| finding[grave_is] != "note");
            grave.map(|finding| finding[code_is].as_str().unwrap().to_owned()).collect()
        };
        let expected = Vec::from_iter(code.map(str::to_owned));
        assert_eq!(told(&json["findings"], "code", "severity"), expected, "{json}");
        assert_eq!(told(&sarif["runs"][0]["results"], "ruleId", "level"), expected, "{sarif}");
        let commands: Vec<_> = github.lines().filter(|line| !line.starts_with("::notice ")).collect();
        assert_eq!(commands.len(), expected.len(), "{github}");
        assert!(
            commands.iter().zip(&expected).all(|(line, code)| line.contains(&format!("title={code}::"))),
            "{github}"
        );
    }
    let text = check(&unused, "text");
    assert_eq!((text.status.code(), out(&text)), (Some(3), ""));
    assert!(err(&text).contains("warning[F203]: limit `slow` is never used"), "{}", err(&text));
}

#[test]
fn schema_knows_the_declared_names_where_there_is_a_configuration() {
    let scenario = Scenario::shop();
    let policy = |config: &str| {
        let printed = run(&["schema", "--config", config]);
        assert!(printed.status.success(), "{}", err(&printed));
        let schema: Value = serde_json::from_str(out(&printed)).unwrap();
        schema["definitions"]["channel"]["properties"]["subscribe"].clone()
    };
    let known = policy(scenario.path().to_str().unwrap());
    assert!(known["enum"].as_array().is_some_and(|names| names.contains(&"operators".into())), "{known}");
    let unknown = policy("/nowhere/fanfare.toml");
    assert_eq!(unknown["allOf"], json!([{ "$ref": "#/definitions/text" }]));
    assert_eq!(
        (&unknown["description"], &known["description"]),
        (&json!("The policy that subscribers must satisfy."), &unknown["description"])
    );
}

#[test]
fn check_runs_the_tests_of_the_configuration() {
    let test = "[[tests]]\nname = \"a small order\"\n\
         given = { type = \"order.updated\", userId = \"c7\", data = { order_id = \"1\", status = \"paid\", \
         seller_team_id = \"t2\", total_cents = 1 } }\n";
    let good = Scenario::shop().with(&format!("{test}expect = {{ channels = [\"user.c7\"] }}"));
    let checked = run(&["check", "--config", good.path().to_str().unwrap()]);
    assert!(out(&checked).contains("1 test passed"), "{}", err(&checked));
    let bad = Scenario::shop().with(&format!("{test}expect = {{ channels = [\"user.c8\"] }}"));
    let checked = run(&["check", "--config", bad.path().to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(4));
    assert!(err(&checked).contains("a small order"), "{}", err(&checked));
}

#[test]
fn every_configuration_that_is_shipped_is_good() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut configurations = vec![root.join("config/fanfare.toml")];
    for entry in std::fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path().join("fanfare.toml");
        configurations.extend(path.exists().then_some(path));
    }
    assert!(configurations.len() >= 2);
    for path in configurations {
        let checked = run(&["check", "--deny-warnings", "--config", path.to_str().unwrap()]);
        assert!(checked.status.success(), "{}: {}", path.display(), err(&checked));
    }
}

#[test]
fn explain_shows_every_rule_that_was_tried() {
    let scenario = Scenario::shop();
    let config = scenario.path();
    let explain = |extra: &[&str], notification: &Value| {
        let mut command = fanfare(&["explain", "-", "--config", config.to_str().unwrap()]);
        command.args(extra);
        run_with_input(command, &notification.to_string())
    };
    let explained = explain(&["--at", "2026-03-28T12:00:00Z"], &order("c7", 1));
    for part in ["order-notable", "order", "user.c7"] {
        assert!(out(&explained).contains(part), "{part}: {}", out(&explained));
    }
    let explained = explain(&["--json"], &mention("u1", &["u1"]));
    let json: Value = serde_json::from_str(out(&explained)).unwrap();
    assert!(json.to_string().contains("muted-thread"), "{json}");
    let refused = explain(&["--at", "2026-12-01T03:00"], &order("c7", 1));
    assert!(err(&refused).contains("[defaults] has no `timezone`"), "{}", err(&refused));
    assert_eq!(explain(&["--at", "noon"], &order("c7", 1)).status.code(), Some(2));
    let refused = explain(&[], &json!({ "type": "order.updated" }));
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("/userId"), "{}", err(&refused));
}

#[test]
fn explain_takes_a_local_time_by_the_default_time_zone() {
    let scenario = Scenario::shop().with("[defaults]\ntimezone = \"Europe/Berlin\"");
    let explain = |at: &str| {
        let command = fanfare(&["explain", "-", "--config", scenario.path().to_str().unwrap(), "--at", at]);
        run_with_input(command, &order("c7", 1).to_string())
    };
    let explained = explain("2026-12-01T03:00");
    assert!(out(&explained).contains(", at 2026-12-01T02:00:00Z"), "{}{}", out(&explained), err(&explained));
    assert!(err(&explain("2026-10-25T02:30:00")).contains("show twice"));
}

#[test]
fn explain_shows_why_a_test_of_the_configuration_fails_and_serve_refuses() {
    let test = "[[tests]]\nname = \"all orders reach c8\"\ngiven = { type = \"order.updated\", userId = \"c7\", \
         data = { order_id = \"1\", status = \"paid\", seller_team_id = \"t2\", total_cents = 1 } }\n\
         expect = { channels = [\"user.c8\"] }";
    let scenario = Scenario::shop().with(test);
    let config = scenario.path();
    let config = config.to_str().unwrap();
    let explained = run_with_input(fanfare(&["explain", "-", "--config", config]), &order("c7", 1).to_string());
    assert!(explained.status.success(), "{}", err(&explained));
    assert!(out(&explained).contains("user.c7"), "{}", out(&explained));
    assert!(err(&explained).starts_with("warning: the configuration fails its own tests"), "{}", err(&explained));
    assert!(err(&explained).contains("all orders reach c8"), "{}", err(&explained));
    assert_eq!(run(&["serve", "--config", config]).status.code(), Some(1));
    // What would not even compile is explained by its diagnostics alone.
    scenario.append("[broken]");
    let refused = run_with_input(fanfare(&["explain", "-", "--config", config]), &order("c7", 1).to_string());
    assert_eq!((refused.status.code(), out(&refused)), (Some(1), ""));
}

#[test]
fn every_command_says_once_that_it_failed() {
    let scenario = Scenario::shop().with("[broken]");
    let broken = scenario.path();
    let broken = broken.to_str().unwrap();
    let notification = scenario.file("notification.json");
    std::fs::write(&notification, order("c7", 1).to_string()).unwrap();
    let notification = notification.to_str().unwrap();
    let commands: [&[&str]; 7] = [
        &["serve"],
        &["check"],
        &["test"],
        &["explain", notification],
        &["publish", notification],
        &["subscribe"],
        &["token", "--sub", "c7"],
    ];
    for command in commands {
        for (config, told) in [(broken, "unknown key `broken`"), ("/nowhere/fanfare.toml", "/nowhere/fanfare.toml")] {
            let failed = run(&[command, &["--config", config]].concat());
            assert_eq!((failed.status.code(), out(&failed)), (Some(1), ""), "{command:?}: {}", err(&failed));
            assert!(err(&failed).starts_with("error") && err(&failed).contains(told), "{command:?}: {}", err(&failed));
            assert!(!err(&failed).contains("error: error:"), "{command:?}: {}", err(&failed));
            assert!(!err(&failed).ends_with("\n\n"), "{command:?}: {}", err(&failed));
        }
        let misused = run(&[command, &["--no-such-option"]].concat());
        assert_eq!((misused.status.code(), out(&misused)), (Some(2), ""), "{command:?}: {}", err(&misused));
    }
}

#[test]
fn options_without_effect_are_refused() {
    let commands: [(&[&str], &str); 14] = [
        (&["check", "--max-change", "5%"], "--against"),
        (&["check", "--replay", "5"], "--against"),
        (&["check", "--token", "t"], "--against"),
        (&["check", "--against", "a", "--decisions", "d", "--key", "k"], "--key"),
        (&["check", "--against", "a", "--decisions", "d", "--replay", "5"], "--replay"),
        (&["explain", "-", "--token", "t"], "--admin <URL>|--user <PRINCIPAL>|--producer <PRINCIPAL>|--id <ID>"),
        (&["explain", "-", "--admin", "http://a", "--token", "t", "--key", "k"], "--key"),
        (&["publish", "-", "--dry-run", "--idempotency-key", "k"], "--idempotency-key"),
        (&["publish", "-", "--token", "t", "--key", "k"], "--key"),
        (&["bench", "--token", "t"], "--url"),
        (&["bench", "--rate", "5", "--window", "5"], "--window"),
        (&["bench", "--url", "http://a"], "--channel"),
        (&["bench", "--url", "http://a", "--channel", "c"], "--type <NAME>|--body <JSON>"),
        (
            &["bench", "--url", "http://a", "--channel", "c", "--body", "{mark}", "--payload", "5"],
            "--payload has no effect",
        ),
    ];
    for (command, told) in commands {
        let refused = run(command);
        assert_eq!((refused.status.code(), out(&refused)), (Some(2), ""), "{command:?}: {}", err(&refused));
        assert!(err(&refused).starts_with("error: ") && err(&refused).contains(told), "{command:?}: {}", err(&refused));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_wins_over_the_environment() {
    let server = TestServer::start(Scenario::shop()).await;
    let config = server.scenario.path();
    let config = config.to_str().unwrap();
    let url = format!("http://{}", server.address);
    let (token, key) = (server.token("c7"), server.scenario.api_key());
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = fanfare(arguments);
        command.envs(environment.iter().copied());
        run_with_input(command, &order("c7", 1).to_string())
    };
    let both = [("FANFARE_TOKEN", &*token), ("FANFARE_KEY", key)];
    // Nobody is asked, so nobody asks who wants to know.
    for arguments in [["check", "--config", config].as_slice(), &["explain", "-", "--config", config]] {
        let done = run(arguments, &both);
        assert!(done.status.success(), "{arguments:?}: {}", err(&done));
    }
    let publish = ["publish", "-", "--url", &url];
    let undecided = run(&publish, &both);
    assert_eq!((undecided.status.code(), out(&undecided)), (Some(2), ""));
    let told = "error: FANFARE_TOKEN and FANFARE_KEY are both set: unset one, or give --token or --key\n";
    assert_eq!(err(&undecided), told);
    for (options, environment) in [
        (&["--key", key][..], &both[..]),
        (&["--key", key], &[("FANFARE_KEY", "wrong")]),
        (&[], &both[1..]),
        (&[], &[("FANFARE_TOKEN", ""), both[1]]),
    ] {
        let published = run(&[&publish, options].concat(), environment);
        assert!(published.status.success(), "{options:?}: {}", err(&published));
    }
    // A customer may not publish, whatever the environment has.
    let refused = run(&[&publish[..], &["--token", &token]].concat(), &both[1..]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("403"), "{}", err(&refused));
}

#[test]
fn a_new_key_comes_with_its_hash() {
    let made = run(&["key", "orders-service"]);
    assert!(made.status.success());
    let key = out(&made).lines().find_map(|line| line.strip_prefix("key: ")).unwrap().trim();
    assert!(key.starts_with("fanfare~orders-service~"), "{key}");
    assert!(out(&made).contains("[auth.keys.orders-service]"));
    assert_eq!(run(&["key", "Not A Name"]).status.code(), Some(2));
}

#[test]
fn a_token_that_no_server_takes_is_not_minted() {
    let scenario = Scenario::shop();
    let config = scenario.path();
    let token = |arguments: &[&str]| run(&[&["token", "--config", config.to_str().unwrap()], arguments].concat());
    for (arguments, told) in [
        (&["--sub", ""][..], "'--sub <SUB>': is empty"),
        (&["--sub", "c7", "--ttl", "0s"], "'--ttl <TTL>': is less than a second"),
        (&["--sub", "c7", "--ttl", "999ms"], "'--ttl <TTL>': is less than a second"),
        (&["--sub", "c7", "--ttl", "1"], "'--ttl <TTL>': is not a duration"),
        (&["--sub", "c7", "--claim", "sub=c8"], "the claim `sub` is set by --sub"),
        (&["--sub", "c7", "--claim", "exp=1"], "the claim `exp` is set by --ttl"),
    ] {
        let refused = token(arguments);
        assert_eq!((refused.status.code(), out(&refused)), (Some(2), ""), "{arguments:?}");
        assert!(err(&refused).contains(told), "{arguments:?}: {}", err(&refused));
    }
    assert!(token(&["--sub", "c7", "--ttl", "1s"]).status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_and_a_subscriber_need_no_other_tool() {
    let server = TestServer::start(Scenario::shop()).await;
    let config = server.scenario.path();
    let config = config.to_str().unwrap();
    let url = format!("http://{}", server.address);
    let token = |arguments: &[&str]| {
        let mut command = fanfare(&["token", "--config", config]);
        let minted = command.args(arguments).output().unwrap();
        assert!(minted.status.success(), "{}", err(&minted));
        out(&minted).trim().to_owned()
    };
    let received = server.scenario.file("received");
    let subscribe = fanfare(&["subscribe", "user.c7", "--url", &url, "--token", &token(&["--sub", "c7"])]);
    let _subscriber = Program::run(subscribe, &received);
    eventually("it subscribes", async || server.metric("fanfare_subscribers").await == 1.0).await;

    let producer = token(&["--sub", "svc", "--claim", "scope=publish", "--ttl", "5m"]);
    let publish = |credential: [&str; 2], notification: Value| {
        let mut command = fanfare(&["publish", "-", "--url", &url]);
        command.args(credential).args(["--idempotency-key", "k"]);
        run_with_input(command, &notification.to_string())
    };
    let published = publish(["--token", &producer], order("c7", 1));
    let receipt: Value = serde_json::from_str(out(&published)).unwrap_or_else(|_| panic!("{}", err(&published)));
    assert_eq!(receipt["channels"][0]["channel"], "user.c7");
    let again = publish(["--token", &producer], order("c7", 1));
    assert!(out(&again).contains("\"duplicate\": true"), "{}", out(&again));
    let by_key = publish(["--key", server.scenario.api_key()], order("c7", 2));
    assert!(by_key.status.success(), "{}", err(&by_key));
    let refused = publish(["--token", &producer], json!({ "type": "order.updated" }));
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("/userId"), "{}", err(&refused));

    let lines = || std::fs::read_to_string(&received).unwrap();
    eventually("both arrive", async || lines().lines().count() == 2).await;
    let numbers: Vec<Value> = lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&numbers[0]["data"]["order_id"], &numbers[1]["data"]["order_id"]), (&json!("1"), &json!("2")));
}

#[test]
fn a_subscriber_who_may_not_is_told_so_at_once() {
    let scenario = Scenario::shop();
    let refused = run(&["subscribe", "user.c7", "--url", "http://127.0.0.1:1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("cannot reach"), "{}", err(&refused));
    let no_secret = run(&["token", "--sub", "c7", "--issuer", "other", "--config", scenario.path().to_str().unwrap()]);
    assert_eq!(no_secret.status.code(), Some(1));
    assert!(err(&no_secret).contains("`other`"), "{}", err(&no_secret));
}

#[test]
fn the_demo_shows_the_main_job_and_ends() {
    let mut demo = fanfare(&["demo", "--once", "--port", "0"]);
    // Many a desk has a proxy in its environment, and it does not lead to this server.
    let shown =
        demo.env("http_proxy", "http://127.0.0.1:9").env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap();
    assert!(shown.status.success(), "{}", err(&shown));
    let delivered = out(&shown).lines().filter(|line| line.contains(" by ") && !line.contains("dropped")).count();
    assert_eq!(delivered, 3, "{}", out(&shown));
}
