//! What a decision costs, by how many rules there are and whether a script is asked.
#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected shall panic")]

use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use divan::{Bencher, black_box};
use fanfare::config::{self, Secrets};
use fanfare::notification::{Draft, Notification};
use fanfare::snapshot::{Depth, Snapshot, compile, evaluate};
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

// As the server has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rules of a type where rules are spread over types: of 10 000 rules over 200 types.
const RULES_OF_A_TYPE: usize = 50;

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
const SCHEMA: &str = r#"{"type": "object", "required": ["userId"], "properties": {"data": {"type": "object",
    "properties": {"total": {"type": "integer"}, "kind": {"enum": ["a", "b", "c"]}, "note": {"type": "string"}}}}}"#;

/// A folder with a configuration of so many rules, so many of them of one type; the last of each type takes what the others leave.
fn written(rules: usize, of_a_type: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut config = HEAD.to_owned();
    let types = rules / of_a_type;
    let names = (0..types).map(|n| format!("t{n}")).chain(["filtered".to_owned()]);
    for name in names {
        write!(config, "[types.{name}]\nschema = \"any.json\"\npublish = \"everybody\"\n").unwrap();
    }
    for rule in 0..rules {
        let (type_name, place) = (rule / of_a_type, rule % of_a_type);
        write!(config, "[[rules]]\nname = \"r{rule}\"\npriority = {}\n", 10 + rule).unwrap();
        write!(config, "when = {{ type = \"t{type_name}\"").unwrap();
        if place > 0 {
            let (low, kind) = (place * 1_000, ["a", "b", "c"][place % 3]);
            write!(config, ", \"data.total\" = {{ gte = {low}, lt = {} }}, \"data.kind\" = \"{kind}\"", low + 500)
                .unwrap();
            write!(config, ", \"data.note\" = {{ starts_with = \"n{kind}\" }}").unwrap();
        }
        config.push_str(" }\nto = [\"user.{userId}\"]\n");
    }
    for name in ["schemas", "plugins"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("schemas/any.json"), SCHEMA).unwrap();
    fs::write(folder.path().join("plugins/muted_threads.rhai"), include_str!("../plugins/muted_threads.rhai")).unwrap();
    fs::write(folder.path().join("fanfare.toml"), config).unwrap();
    folder
}

fn compiled(folder: &TempDir, depth: Depth) -> Snapshot {
    let compiled = compile(config::load(&folder.path().join("fanfare.toml"), Secrets::Create), depth);
    compiled.snapshot.unwrap_or_else(|| panic!("{}", compiled.diagnostics))
}

fn snapshot(rules: usize, of_a_type: usize) -> Snapshot {
    compiled(&written(rules, of_a_type), Depth::Serve)
}

/// Files to a snapshot: as a reload takes it, and with the advice of `check`, which proves what it says of rules.
#[divan::bench(args = [Depth::Serve, Depth::Advise], sample_count = 20)]
fn compile_10_000_rules(bencher: Bencher<'_, '_>, depth: Depth) {
    let folder = written(10_000, RULES_OF_A_TYPE);
    bencher.bench_local(|| compiled(&folder, depth));
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

/// Fifty rules of the notification's type are tried, however many there are of other types.
#[divan::bench(args = [RULES_OF_A_TYPE, 1_000, 10_000])]
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
