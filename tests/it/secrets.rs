//! Who makes a secret, and which commands need one.

use serde_json::{Value, json};

use crate::support::{Program, Scenario, err, eventually, fanfare, order, out, run};

fn written(scenario: &Scenario, name: &str, content: &Value) -> String {
    let path = scenario.file(name);
    std::fs::write(&path, content.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What `GET /v1/admin/decisions` answers about one notification that was kept.
fn decided(scenario: &Scenario) -> String {
    let id = "00000000-0000-4000-8000-000000000000";
    let decision = json!({ "id": id, "at": "2026-03-28T12:00:00Z", "notification": order("c7", 1) });
    written(scenario, "decided", &json!({ "decisions": [decision] }))
}

#[tokio::test]
async fn only_a_server_makes_a_secret() {
    let scenario = Scenario::shop().replace("\"app.secret\"", "\"made.secret\", create = true");
    let config = scenario.path();
    let config = config.to_str().unwrap();
    let kept = scenario.file("generations");
    let kept = kept.to_str().unwrap();
    let (order, decided) = (written(&scenario, "order", &order("c7", 1)), decided(&scenario));
    let commands: [&[&str]; 6] = [
        &["check"],
        &["check", "--against", config, "--decisions", &decided],
        &["test", "--coverage"],
        &["explain", &order],
        &["schema"],
        &["config", "log", "--generations", kept],
    ];
    for command in commands {
        let done = run(&[command, &["--config", config]].concat());
        assert!(done.status.success(), "{command:?}: {}", err(&done));
        assert!(!scenario.file("made.secret").exists(), "{command:?}");
    }
    // What it is needed for cannot go on without.
    let token = || run(&["token", "--sub", "c7", "--config", config]);
    let refused = token();
    assert_eq!(refused.status.code(), Some(1), "{}", out(&refused));
    assert!(err(&refused).contains("made.secret`, which is missing until a server is started"), "{}", err(&refused));
    let _server = Program::serve(&scenario.path(), &scenario.file("log"));
    eventually("it is made", async || scenario.file("made.secret").exists()).await;
    assert!(token().status.success());
}

#[test]
fn a_command_needs_the_secrets_that_it_uses_and_no_others() {
    let scenario = Scenario::shop()
        .replace("{ file = \"app.secret\" }", "{ env = \"SHOP_SECRET\" }")
        .replace("{ file = \"orders-service.sha256\" }", "{ env = \"SHOP_KEY_SHA256\" }")
        .replace("url = \"memory:\"", "url = { env = \"SHOP_REDIS_URL\" }\ndurability = \"replica:1\"")
        .with("[auth.issuers.partner]\nissuer = \"https://partner.test\"\naudience = \"fanfare\"\njwks_file = \"partner.jwks\"\nalgorithms = [\"ES256\"]")
        .with("[auth.issuers.admins]\nissuer = \"https://admins.test\"\naudience = \"fanfare\"\nsecret = { env = \"ADMINS_SECRET\" }\nalgorithms = [\"HS256\"]");
    let config = scenario.path();
    let config = config.to_str().unwrap();
    let order = written(&scenario, "order", &order("c7", 1));
    for command in [["test"].as_slice(), &["explain", &order], &["schema"]] {
        let done = run(&[command, &["--config", config]].concat());
        assert!(done.status.success(), "{command:?}: {}", err(&done));
        if command == ["schema"] {
            assert!(out(&done).contains("\"partner\""), "an issuer whose keys are elsewhere is one");
        }
    }
    let token = |options: &[&str], environment: &[(&str, &str)]| {
        let mut command = fanfare(&[&["token", "--sub", "c7", "--config", config], options].concat());
        command.envs(environment.iter().copied()).output().unwrap()
    };
    let secret = ("SHOP_SECRET", "a secret that is long enough for HS256");
    assert!(token(&[], &[secret]).status.success(), "the only one that is at hand");
    for (options, environment, told, untold) in [
        (&["--issuer", "app"][..], &[][..], "SHOP_SECRET`, which is not set", "ADMINS_SECRET"),
        (&["--issuer", "app"], &[("SHOP_SECRET", "short")], "shorter than 32 bytes", "ADMINS_SECRET"),
        (&["--issuer", "admins"], &[secret], "ADMINS_SECRET`, which is not set", "SHOP_SECRET"),
        (&[], &[], "ADMINS_SECRET`, which is not set", "SHOP_KEY_SHA256"),
        (&[], &[], "2 errors", "partner.jwks"),
        (&["--issuer", "partner"], &[secret], "issuer has no `secret`", "partner.jwks"),
        (&["--issuer", "apps"], &[], "no issuer `apps` is configured", "SHOP"),
    ] {
        let refused = token(options, environment);
        assert_eq!((refused.status.code(), out(&refused)), (Some(1), ""), "{options:?}");
        assert!(err(&refused).contains(told) && !err(&refused).contains(untold), "{options:?}: {}", err(&refused));
    }
    // A server needs them all, and nothing follows from what is missing.
    let checked = run(&["check", "--config", config]);
    assert_eq!(checked.status.code(), Some(1));
    for missing in ["SHOP_SECRET", "SHOP_KEY_SHA256", "SHOP_REDIS_URL", "partner.jwks", "ADMINS_SECRET"] {
        assert!(err(&checked).contains(missing), "{missing}: {}", err(&checked));
    }
    assert!(err(&checked).contains("5 errors, 0 warnings"), "{}", err(&checked));
}
