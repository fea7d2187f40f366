//! What a decision costs, by how many rules there are and whether a script is asked.
#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected shall panic")]

use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use divan::{Bencher, black_box};
use fanfare::notification::{Draft, Notification};
use fanfare::reload::load_and_compile;
use fanfare::snapshot::{Snapshot, evaluate};
use jiff::Timestamp;
use serde_json::json;

/// Rules of a type where rules are spread over types.
const RULES_OF_A_TYPE: usize = 10;

fn main() {
    divan::main();
}

const HEAD: &str = r#"
unmatched = "reject"
[policies.everybody]
allow = [{ anyone = true }]
[channels.user]
pattern = "user.{user}"
subscribe = "everybody"
[plugins.muted-threads]
script = "muted_threads.rhai"
params = { keep_direct = true }
on_error = "pass"
[[rules]]
name = "asks"
priority = 1
when = { type = "filtered" }
filter = "muted-threads"
to = ["user.{userId}"]
"#;
const SCHEMA: &str = r#"{"type": "object", "required": ["userId"],
    "properties": {"data": {"type": "object", "properties": {"total": {"type": "integer"}}}}}"#;

/// A configuration of so many rules, so many of them of one type; the last of each type takes what the others leave.
fn snapshot(rules: usize, of_a_type: usize) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let mut config = HEAD.to_owned();
    let types = rules / of_a_type;
    let names = (0..types).map(|n| format!("t{n}")).chain(["filtered".to_owned()]);
    for name in names {
        write!(config, "[types.{name}]\nschema = \"any.json\"\npublish = \"everybody\"\n").unwrap();
    }
    for rule in 0..rules {
        let (type_name, place) = (rule / of_a_type, rule % of_a_type);
        let when = if place == 0 { String::new() } else { format!(", \"data.total\" = {{ gte = {} }}", place * 1_000) };
        write!(config, "[[rules]]\nname = \"r{rule}\"\npriority = {}\n", 10 + rule).unwrap();
        write!(config, "when = {{ type = \"t{type_name}\"{when} }}\nto = [\"user.{{userId}}\"]\n").unwrap();
    }
    for name in ["schemas", "plugins"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("schemas/any.json"), SCHEMA).unwrap();
    fs::write(folder.path().join("plugins/muted_threads.rhai"), include_str!("../plugins/muted_threads.rhai")).unwrap();
    fs::write(folder.path().join("fanfare.toml"), config).unwrap();
    let compiled = load_and_compile(&folder.path().join("fanfare.toml"));
    compiled.snapshot.unwrap_or_else(|| panic!("{}", compiled.diagnostics))
}

fn decide(bencher: Bencher<'_, '_>, snapshot: &Snapshot, type_name: &str) {
    let now = Timestamp::now();
    let value = json!({ "type": type_name, "userId": "c7", "title": "Paid",
        "data": { "total": 1, "muted_by": ["a", "b"], "thread_id": "launch" } });
    let notification = Arc::new(Notification::accept(Draft::from_value(value).unwrap(), now));
    let decision = evaluate(snapshot, &notification, now, &mut ());
    assert_eq!((decision.deliveries.len(), &decision.dropped), (1, &Vec::new()));
    bencher.bench_local(|| evaluate(snapshot, black_box(&notification), now, &mut ()));
}

/// Ten rules of the notification's type are tried, however many there are of other types.
#[divan::bench(args = [10, 1_000, 10_000])]
fn rules_spread_over_types(bencher: Bencher<'_, '_>, rules: usize) {
    decide(bencher, &snapshot(rules, RULES_OF_A_TYPE), "t0");
}

/// All rules are tried.
#[divan::bench(args = [10, 1_000, 10_000])]
fn rules_of_one_type(bencher: Bencher<'_, '_>, rules: usize) {
    decide(bencher, &snapshot(rules, rules), "t0");
}

/// One rule, whose filter is a script.
#[divan::bench]
fn a_rule_with_a_filter(bencher: Bencher<'_, '_>) {
    decide(bencher, &snapshot(RULES_OF_A_TYPE, RULES_OF_A_TYPE), "filtered");
}
