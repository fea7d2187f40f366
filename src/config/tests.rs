//! Whole files: fixtures with their expected reports, and the reference.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::fixtures::{expect_reports, toml_files};
use super::load::load_recording;
use super::{
    At, BrokerUrl, Colour, Condition, Config, DailyRange, Operator, Rate, Retention, Secret, Secrets, Span, Then, load,
    load_with_tests,
};

#[test]
fn good_files_load_without_findings() {
    for path in toml_files("tests/config/good") {
        let loaded = load(&path, Secrets::Create);
        assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics);
    }
}

#[test]
fn bad_files_are_refused_with_the_expected_report() {
    expect_reports("tests/config/bad", |path| load(path, Secrets::Create).diagnostics.to_string());
}

#[test]
fn no_report_shows_a_literal_secret() {
    for path in toml_files("tests/config/bad") {
        assert!(
            !load(&path, Secrets::Create).diagnostics.render(Colour::Ansi).contains("hunter2"),
            "{}",
            path.display()
        );
    }
}

/// Puts `text` into `folder` as the main file, with the key files that the reference names.
pub(super) fn reference_in(folder: &Path, text: &str) -> PathBuf {
    let secrets = folder.join("secrets");
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("partner.pem"), "-----BEGIN PUBLIC KEY-----").unwrap();
    fs::write(secrets.join("redis-ca.pem"), "-----BEGIN CERTIFICATE-----").unwrap();
    fs::write(secrets.join("company.jwks.json"), "{}").unwrap();
    fs::write(secrets.join("orders-service.sha256"), "0".repeat(64)).unwrap();
    let path = folder.join("reference.toml");
    fs::write(&path, text).unwrap();
    path
}

fn loaded(path: &Path) -> Config {
    let loaded = load(path, Secrets::Create);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics);
    loaded.draft
}

#[test]
fn the_reference_has_every_key_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string("config/reference.toml").unwrap();
    let (loaded, asked) = load_recording(&reference_in(folder.path(), &text), Secrets::Create);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics);
    // The comments tell of this one: a test cannot set a variable of its own process without harm to others.
    let in_comments = [("a secret's table", "env")];
    let missing: Vec<_> = asked.iter().filter(|(_, place)| place.is_none()).map(|(asked, _)| *asked).collect();
    assert_eq!(missing, in_comments);
}

#[test]
fn the_reference_without_its_default_lines_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string("config/reference.toml").unwrap();
    let whole = loaded(&reference_in(folder.path(), &text));
    let (defaults, kept): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains("# default"));
    assert!(defaults.len() > 30, "{defaults:?}");
    assert_eq!(loaded(&reference_in(folder.path(), &kept.join("\n"))), whole);
}

#[test]
fn the_example_means_what_it_says() {
    let config = loaded(Path::new("tests/config/good/shop.toml"));
    assert_eq!(config.paths.schemas.as_deref().unwrap(), Path::new("tests/config/good/../../../schemas"));
    assert_eq!(config.channels["user"].history, Retention { size: 100, ttl: Duration::from_secs(86_400) });
    assert!(config.channels["user"].default && !config.channels["team"].default);
    assert_eq!(config.types["order.updated"].limit.as_ref().map(|limit| limit.as_str()), Some("producer"));
    assert_eq!(config.limits["producer"].rate.value, Rate { tokens: 200, per: Duration::from_secs(1) });
    assert_eq!(config.windows["night"].daily[0].value, DailyRange { start: 22 * 60, end: 7 * 60 });
    assert_eq!(config.windows["night"].days.len(), 7);
    assert_eq!(config.plugins["muted-threads"].params, json!({ "keep_direct": true }));
    let rules: Vec<_> = config
        .rules
        .iter()
        .map(|rule| (rule.name.as_ref().unwrap().as_str(), rule.priority.as_ref().unwrap().value, rule.then))
        .collect();
    let expected =
        [("security-urgent", 1_000, Then::Stop), ("order-notable", 310, Then::Continue), ("order", 300, Then::Stop)];
    assert_eq!(rules, expected);
    assert_eq!(config.tests[0].given["data"]["total_cents"], 250_000);
    assert_eq!(config.invariants.len(), 1);
}

#[test]
fn conditions_keep_their_shape() {
    let folder = tempfile::tempdir().unwrap();
    let when = |text: &str| {
        let path = folder.path().join("fanfare.toml");
        let rule = "unmatched = 'drop'\n[[rules]]\nname = 'a'\npriority = 1\ndrop = 'a'\nwhen = ";
        fs::write(&path, [rule, text].concat()).unwrap();
        loaded(&path).rules.remove(0).value.when
    };
    let at = |text: &str| At::new(text.to_owned(), Span::default());
    let field = |path: &str, operator, value: Value| {
        let operands = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let operands = operands.into_iter().map(|operand| At::new(operand, Span::default())).collect();
        Condition::Field { path: at(path), operator, value: At::new(value, Span::default()), operands }
    };
    let order = field("type", Operator::Eq, json!("order"));
    assert_eq!(when("{}"), Condition::All(vec![]));
    assert_eq!(when("{ type = 'order' }"), order);
    assert_eq!(when("{ type = ['a', 'b'] }"), field("type", Operator::In, json!(["a", "b"])));
    let range = vec![field("data.n", Operator::Gte, json!(1)), field("data.n", Operator::Lt, json!(2.5))];
    assert_eq!(when("{ 'data.n' = { gte = 1, lt = 2.5 } }"), Condition::All(range));
    let not_at_night = Condition::Not(Box::new(Condition::During(at("night"))));
    assert_eq!(
        when("{ not = { during = 'night' }, any = [{ type = 'order' }] }"),
        Condition::All(vec![not_at_night, Condition::Any(vec![order])])
    );
}

#[test]
fn secrets_come_from_the_environment_and_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fanfare.toml");
    // Every process has this variable, and its value is no URL.
    fs::write(&path, "unmatched = 'drop'\nallow_empty = true\nbroker.url = { env = 'PATH' }").unwrap();
    let report = load(&path, Secrets::Create).diagnostics.to_string();
    assert!(report.contains("`url` is neither `memory:`") && report.starts_with("error"), "{report}");
    assert!(!report.contains(&std::env::var("PATH").unwrap()), "{report}");
    let text = "unmatched = 'drop'\nallow_empty = true\nbroker.url = { file = 'url' }\n\
                auth.keys.a.sha256 = { file = 'a' }\nauth.keys.b.sha256 = { file = 'b', create = true }\n";
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("url"), "redis://:hunter2@a\n").unwrap();
    fs::write(folder.path().join("a"), format!("{}\r\n", "0".repeat(64))).unwrap();
    let config = loaded(&path);
    assert_eq!(config.broker.url.value, BrokerUrl::Redis(Secret::new("redis://:hunter2@a")));
    assert_eq!(config.keys["a"].sha256.expose(), "0".repeat(64));
    let created = fs::read_to_string(folder.path().join("b")).unwrap();
    assert_eq!(config.keys["b"].sha256.expose(), created.trim_end());
    assert_eq!(loaded(&path), config, "it is created once");
}

#[test]
fn windows_and_tests_that_name_no_time_zone_have_the_default_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let at = "[[tests]]\nname = 'a'\ngiven = {}\nexpect = { refused = 'invalid' }\nat = 2026-07-01T12:00:00\n";
    let windows = "[windows.a]\ndaily = ['22:00-07:00']\n[windows.b]\ndaily = ['22:00-07:00']\ntimezone = 'UTC'\n";
    fs::write(
        file("main.toml"),
        format!("include = ['z.toml']\nunmatched = 'drop'\nallow_empty = true\n{windows}{at}"),
    )
    .unwrap();
    // Also from a file that is read later.
    fs::write(file("z.toml"), "[defaults]\ntimezone = 'Europe/Berlin'\n").unwrap();
    let config = loaded(&file("main.toml"));
    let zones: Vec<_> = config.windows.values().map(|window| window.timezone.as_ref().unwrap().as_str()).collect();
    assert_eq!(zones, ["Europe/Berlin", "UTC"]);
    assert_eq!(config.tests[0].at.as_ref().unwrap().to_string(), "2026-07-01T10:00:00Z");
    // Where it could not be read nothing is called missing.
    fs::write(file("z.toml"), "[defaults").unwrap();
    let report = load(&file("main.toml"), Secrets::Create).diagnostics.to_string();
    assert!(report.contains("F003") && report.contains("1 error, 0 warnings"), "{report}");
}

#[test]
fn order_and_files_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let limit = |name: &str| format!("[limits.{name}]\nkey = '{{principal}}'\nrate = '1/s'\n");
    let head = "unmatched = 'drop'\nallow_empty = true\n";
    fs::create_dir(at("conf.d")).unwrap();
    fs::write(at("one.toml"), [head, &limit("a"), &limit("b")].concat()).unwrap();
    fs::write(at("two.toml"), [head, "include = ['conf.d/*.toml', 'conf.d/b.toml', '*.toml']\n"].concat()).unwrap();
    fs::write(at("conf.d/a.toml"), limit("a")).unwrap();
    fs::write(at("conf.d/b.toml"), limit("b")).unwrap();
    fs::write(at("conf.d/.#b.toml"), "not TOML, as an editor's lock").unwrap();
    let whole = loaded(&at("one.toml"));
    fs::remove_file(at("one.toml")).unwrap();
    let split = load(&at("two.toml"), Secrets::Create);
    assert!(split.diagnostics.is_empty(), "{}", split.diagnostics);
    assert_eq!(split.draft, whole);
    let inputs = [at(""), at("conf.d"), at("conf.d/a.toml"), at("conf.d/b.toml"), at("two.toml")];
    assert!(split.inputs.paths().eq(&inputs), "{:?}", split.inputs);
}

#[test]
fn the_hash_is_of_the_content_and_not_of_the_place() {
    let hash_of = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fanfare.toml");
        fs::write(&path, ["include = ['conf.d/*.toml']\n", text].concat()).unwrap();
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        fs::write(folder.path().join("conf.d/a.toml"), "").unwrap();
        load(&path, Secrets::Create).hash
    };
    assert_eq!(hash_of("unmatched = 'drop'"), hash_of("unmatched = 'drop'"));
    assert_ne!(hash_of("unmatched = 'drop'"), hash_of("unmatched = 'reject'"));
}

#[test]
fn test_files_are_found_by_name_and_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, include: &str| {
        let test = format!("[[tests]]\nname = '{name}'\ngiven = {{}}\nexpect = {{ rules = [] }}\n");
        fs::write(at(name), [include, &test].concat()).unwrap();
    };
    let names = |loaded: &super::Loaded| -> Vec<String> {
        assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics);
        loaded.draft.tests.iter().map(|test| test.name.value.clone()).collect()
    };
    fs::create_dir(at("conf.d")).unwrap();
    for name in ["main_test.toml", "conf.d/a.toml", "conf.d/a_test.toml", "conf.d/b_test.toml", "other_test.toml"] {
        write(name, "");
    }
    let head = "unmatched = 'drop'\nallow_empty = true\n";
    write("main.toml", &format!("include = ['conf.d/*.toml']\n{head}"));
    let served = load(&at("main.toml"), Secrets::Create);
    // Nothing of which it could be the test file is there.
    assert_eq!(names(&served), ["main.toml", "conf.d/a.toml", "conf.d/b_test.toml"]);
    let all = load_with_tests(&at("main.toml"), Secrets::Create);
    let last = ["main_test.toml", "conf.d/a_test.toml"];
    assert_eq!(names(&all), [&names(&served).iter().map(String::as_str).collect::<Vec<_>>()[..], &last].concat());
    assert_eq!(all.hash, served.hash);

    // Who asks for test files by name makes them part of the configuration.
    write("main.toml", &format!("include = ['conf.d/a*_test.toml', 'main_test.toml']\n{head}"));
    let included = load(&at("main.toml"), Secrets::Create);
    assert_eq!(names(&included), ["main.toml", "conf.d/a_test.toml", "main_test.toml"]);
    assert_eq!(names(&load_with_tests(&at("main.toml"), Secrets::Create)), names(&included));
}

#[test]
fn a_missing_file_is_an_input_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fanfare.toml");
    let loaded = load(&path, Secrets::Create);
    assert!(loaded.diagnostics.to_string().starts_with("error[F001]: cannot read `"), "{}", loaded.diagnostics);
    assert!(loaded.inputs.paths().eq([&path]));
    fs::write(&path, "include = ['a.toml']\n").unwrap();
    assert!(
        load(&path, Secrets::Create).inputs.paths().eq([&folder.path().join("a.toml"), &path]),
        "so that its creation is seen"
    );
}
