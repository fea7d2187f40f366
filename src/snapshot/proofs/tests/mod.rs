//! Whole configurations and what is found of them.

mod any;
mod invariants;
mod trying;

use std::fs;

use serde_json::{Value, json};

use super::{Finding, examine};
use crate::config::{Secrets, load};
use crate::snapshot::{Depth, Snapshot, compile};

/// What every configuration here begins with: a type `t` with the fields of [`schema`].
const HEAD: &str = r#"unmatched = "reject"
[policies.all]
allow = [{ anyone = true }]
[channels.user]
pattern = "user.{user}"
subscribe = "all"
[channels.audit]
pattern = "audit"
subscribe = "all"
[windows.night]
daily = ["22:00-07:00"]
timezone = "Europe/Berlin"
[types.t]
schema = "t.json"
publish = "all"
"#;

/// A filter that drops, fails or passes.
const CHOOSY: &str = r#"fn filter(n) {
    if n.priority == "low" { return drop("low"); }
    if n.priority == "high" { throw "high"; }
    pass()
}"#;

fn schema() -> Value {
    json!({"required": ["data", "userId"], "properties": {"data": {
        "type": "object", "required": ["kind", "total"], "additionalProperties": false, "properties": {
            "kind": {"enum": ["a", "b", "c"]},
            "total": {"type": "integer", "minimum": 0, "maximum": 100},
            "note": {"type": "string", "pattern": "^[a-z-]+$"},
            "flag": {"type": "boolean"},
        }
    }}})
}

/// The snapshot of [`HEAD`] and `rest`, and what its check says.
fn checked(rest: &str) -> (Option<Snapshot>, String) {
    checked_whole(&format!("{HEAD}{rest}"))
}

fn checked_whole(text: &str) -> (Option<Snapshot>, String) {
    checked_with(text, &schema())
}

fn checked_with(text: &str, schema: &Value) -> (Option<Snapshot>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("schemas")).unwrap();
    fs::write(folder.path().join("schemas/t.json"), schema.to_string()).unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::write(folder.path().join("plugins/choosy.rhai"), CHOOSY).unwrap();
    let path = folder.path().join("fanfare.toml");
    fs::write(&path, text).unwrap();
    let compiled = compile(load(&path, Secrets::Create), Depth::Advise);
    (compiled.snapshot, compiled.diagnostics.to_string())
}

fn snapshot(rest: &str) -> Snapshot {
    let (snapshot, report) = checked(rest);
    snapshot.unwrap_or_else(|| panic!("{report}"))
}

fn rule(name: &str, priority: i64, rest: &str) -> String {
    format!("[[rules]]\nname = \"{name}\"\npriority = {priority}\n{rest}\n")
}

const AUDIT: &str = "to = [\"audit\"]\n";

#[test]
fn several_rules_cover_one_together() {
    let rules = [
        rule("low", 3, &format!("when = {{ \"data.total\" = {{ lt = 50 }} }}\n{AUDIT}")),
        rule(
            "high",
            2,
            &format!("when = {{ \"data.total\" = {{ gte = 50 }}, \"data.kind\" = [\"a\", \"b\"] }}\n{AUDIT}"),
        ),
        rule("b", 1, &format!("when = {{ \"data.kind\" = \"b\" }}\n{AUDIT}")),
    ];
    let findings = examine(&snapshot(&rules.concat()));
    let covered = findings.iter().find_map(|finding| match finding {
        Finding::Covered { rule, by, witness } => Some((rule.as_str(), by, witness)),
        _ => None,
    });
    let (rule, by, witness) = covered.unwrap();
    assert_eq!((rule, by.values().next().unwrap().len()), ("b", 2));
    assert_eq!(witness.notification.draft.members["data"]["kind"], "b");
    // One that leaves something is no cover.
    let leaky = rules.concat().replace("gte = 50", "gt = 50");
    assert!(!examine(&snapshot(&leaky)).iter().any(|finding| matches!(finding, Finding::Covered { .. })));
}

#[test]
fn a_rule_that_excludes_itself_or_its_schema_never_matches() {
    for when in [
        "{ \"data.total\" = { gt = 50, lt = 51 } }",
        "{ \"data.total\" = { gt = 100 } }",
        "{ \"data.kind\" = \"a\", not = { \"data.kind\" = [\"a\", \"c\"] } }",
        "{ \"data.note\" = { exists = false, starts_with = \"x\" } }",
    ] {
        let findings = examine(&snapshot(&rule("r", 1, &format!("when = {when}\n{AUDIT}"))));
        assert!(findings.iter().any(|finding| matches!(finding, Finding::NeverMatches { .. })), "{when}: {findings:?}");
    }
}

#[test]
fn a_rule_matches_where_a_number_is_between_its_bounds() {
    let both = |kind: &str, tests: &str| {
        let text = format!("{HEAD}{}", rule("r", 1, &format!("when = {{ \"data.n\" = {{ {tests} }} }}\n{AUDIT}")));
        let field = json!({"properties": {"data": {"properties": {"n": {"type": kind, "exclusiveMinimum": 0}}}}});
        let (snapshot, report) = checked_with(&text, &field);
        let findings = examine(&snapshot.unwrap_or_else(|| panic!("{report}")));
        !findings.iter().any(|finding| matches!(finding, Finding::NeverMatches { .. }))
    };
    for (tests, of_integers, of_numbers) in [
        ("gt = 1, lt = 2", false, true),
        ("gt = 1, lt = 3", true, true),
        ("gt = 1.5, lt = 1.75", false, true),
        ("gte = 2.0, lte = 2", true, true),
        ("lte = 0", false, false),
        ("lt = 1", false, true),
        ("eq = 2, ne = 2.0", false, false),
        ("gt = 9007199254740992, lt = 9007199254740994", true, true),
        ("gt = 9007199254740992, lt = 9007199254740993", false, false),
        ("gt = 9007199254740992.0, lte = 9007199254740993", true, true),
        ("gt = 9223372036854775807", true, true),
        ("gt = 9223372036854775806, lt = 9223372036854775807", false, false),
        ("gt = 1e300", true, true),
    ] {
        assert_eq!((both("integer", tests), both("number", tests)), (of_integers, of_numbers), "{tests}");
    }
}

#[test]
fn what_is_in_an_object_is_missing_without_it() {
    let inner = json!({"type": "object", "properties": {"x": {"type": "integer"}}});
    let schema = json!({"properties": {"data": {"properties": {"o": inner}}}});
    let (first, second) = ("\"data.o\" = { exists = false }", "\"data.o.x\" = { exists = true }");
    let both = rule("both", 3, &format!("when = {{ {first}, {second} }}\n{AUDIT}"));
    // Of one priority, as they exclude each other.
    let each = ["one", "two"]
        .map(|name| rule(name, 2, &format!("when = {{ {} }}\n{AUDIT}", if name == "one" { first } else { second })));
    let (snapshot, report) = checked_with(&format!("{HEAD}{both}{}", each.concat()), &schema);
    assert!(snapshot.is_some() && report.contains("rule `both` can never match"), "{report}");
    let why = "`data.o exists false` and `data.o.x exists true` exclude each other";
    assert!(report.contains(why), "{report}");
}

#[test]
fn tests_of_one_text_exclude_and_cover_each_other() {
    let note = |test: &str| format!("\"data.note\" = {{ {test} }}");
    let of = |when: &str| rule("r", 1, &format!("when = {{ {when} }}\n{AUDIT}"));
    for tests in [
        "starts_with = \"a-\", glob = \"b-*\"",
        "ends_with = \"-a\", regex = \"-b$\"",
        "regex = \"^(up|down)$\", contains = \"-\"",
        "glob = \"up\", ne = \"up\"",
        "starts_with = \"A\", contains = \"b\", regex = \"^[a-z]$\"",
    ] {
        let findings = examine(&snapshot(&of(&note(tests))));
        let never = findings.iter().any(|finding| matches!(finding, Finding::NeverMatches { .. }));
        assert_eq!(never, !tests.contains('A'), "{tests}: {findings:?}");
    }
    for (earlier, later) in [
        ("starts_with = \"a\"", "starts_with = \"ab\""),
        ("contains = \"-\"", "glob = \"a-*\", ends_with = \"b\""),
        ("regex = \"^a\"", "regex = \"^ab-[a-z]\""),
        ("glob = \"*\"", "regex = \"x\""),
    ] {
        let first = rule("first", 2, &format!("when = {{ {} }}\n{AUDIT}", note(earlier)));
        let findings = examine(&snapshot(&format!("{first}{}", of(&note(later)))));
        let covered = findings.iter().any(|finding| matches!(finding, Finding::Covered { .. }));
        assert!(covered, "{earlier} and {later}: {findings:?}");
    }
    // Of the elements of an array one is no part of another.
    let tag = |tag: &str| format!("when = {{ tags = {{ contains = \"{tag}\" }} }}\n{AUDIT}");
    let rules = [rule("a", 2, &tag("a")), rule("ab", 1, &tag("ab"))];
    assert!(!examine(&snapshot(&rules.concat())).iter().any(|finding| matches!(finding, Finding::Covered { .. })));
}

#[test]
fn a_rule_for_no_declared_type_never_matches() {
    for (when, why) in [
        ("type = { starts_with = \"x\" }", "no declared type has `type starts_with \"x\"`"),
        (
            "\"data.total\" = 1, all = [{ type = { glob = \"t*\" } }, { type = { glob = \"*x\" } }]",
            "no declared type has `type glob \"*x\"`",
        ),
        (
            "type = \"t\", not = { type = { glob = \"t*\" } }",
            "no declared type has `type = \"t\"` and `not (type glob \"t*\")` at once",
        ),
    ] {
        let other = "[types.u]\nschema = \"t.json\"\npublish = \"all\"\n";
        let rule = rule("r", 1, &format!("when = {{ {when} }}\n{AUDIT}"));
        let findings = examine(&snapshot(&format!("{other}{rule}")));
        let [Finding::NeverMatches { rule, why: told }] = &findings[..] else { panic!("{when}: {findings:?}") };
        assert_eq!((rule.as_str(), &told[..]), ("r", &[why.to_owned()][..]));
    }
}

#[test]
fn what_can_never_be_comes_with_the_reason() {
    for (when, why) in [
        (
            "\"data.total\" = { gt = 1, lt = 9, gte = 2 }, \"data.flag\" = true, not = { \"data.total\" = { lte = 9 } }",
            "`data.total lt 9` and `not (data.total lte 9)` exclude each other",
        ),
        (
            "\"data.total\" = { gt = 50, lt = 51 }",
            "`data.total gt 50` and `data.total lt 51` exclude each other: in the schema of `t` `data.total` is an integer",
        ),
        (
            "\"data.kind\" = { exists = false }",
            "`data.kind exists false` is never true: in the schema of `t` `data.kind` is required",
        ),
        (
            "\"data.note\" = \"A\"",
            "`data.note = \"A\"` is never true: in the schema of `t` `data.note` is a string with pattern \"^[a-z-]+$\"",
        ),
        ("during = \"night\", not_during = \"night\"", "`during night` and `not during night` exclude each other"),
        (
            "any = [{ \"data.total\" = { gt = 100 } }, { \"data.flag\" = true, not = { \"data.flag\" = true } }]",
            "`data.total gt 100` is never true: in the schema of `t` `data.total` is an integer of at most 100; \
             `data.flag = true` and `not (data.flag = true)` exclude each other",
        ),
    ] {
        let findings = examine(&snapshot(&rule("r", 1, &format!("when = {{ {when} }}\n{AUDIT}"))));
        let told = findings.iter().find_map(|finding| match finding {
            Finding::NeverMatches { why, .. } => Some(why.join("\n")),
            _ => None,
        });
        assert_eq!(told.as_deref(), Some(why), "{when}");
    }
}

#[test]
fn of_a_schema_the_reason_is_what_excludes_the_tests() {
    let (multiple, list) =
        (json!({"type": "integer", "multipleOf": 3, "minimum": 0}), json!({"enum": ["a", "b", "c"]}));
    for (field, tests, why) in [
        (multiple, "gt = 9, lt = 12", "`data.x` is an integer with multipleOf 3"),
        (
            json!({"type": "string", "maxLength": 3, "minLength": 1}),
            "eq = \"abcd\"",
            "`data.x` is a string with maxLength 3",
        ),
        (json!({"type": "string", "format": "date"}), "eq = \"b\"", "`data.x` is a string with format \"date\""),
        (
            json!({"type": ["integer", "string"], "minimum": 5}),
            "lt = 3",
            "`data.x` is an integer of at least 5 or a string",
        ),
        (
            json!({"allOf": [list.clone(), {"enum": ["a", "b"]}], "not": {"const": "a"}}),
            "ne = \"b\"",
            "`data.x` is \"b\"",
        ),
        (list, "exists = false", "`data.x` is required"),
        (json!({"type": "string", "not": {"const": "a"}}), "eq = \"a\"", "the schema of `t` admits no such value"),
    ] {
        let schema = json!({"required": ["data", "userId"], "properties": {"data": {
            "type": "object", "required": ["x"], "properties": {"x": field}
        }}});
        let rule = rule("r", 1, &format!("when = {{ \"data.x\" = {{ {tests} }} }}\n{AUDIT}"));
        let (_, report) = checked_with(&format!("{HEAD}{rule}"), &schema);
        assert!(report.contains("F704") && report.contains(&format!("{why}\n")), "{tests}\n{report}");
    }
}

#[test]
fn a_rule_may_be_for_types_by_a_part_of_their_name() {
    for test in ["starts_with = \"t\"", "ends_with = \"t\"", "contains = \"t\"", "glob = \"t*\"", "regex = \"^t\""] {
        let snapshot = snapshot(&rule("r", 1, &format!("when = {{ type = {{ {test} }} }}\n{AUDIT}")));
        assert_eq!(snapshot.routing.rules(&"t".parse().unwrap()).len(), 1, "{test}");
    }
}

#[test]
fn what_no_rule_is_for_is_shown() {
    let findings = examine(&snapshot(&rule("r", 1, &format!("when = {{ \"data.kind\" = [\"a\", \"b\"] }}\n{AUDIT}"))));
    let [Finding::Unrouted { witness, .. }] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(witness.notification.draft.members["data"]["kind"], "c");
    assert!(examine(&snapshot(&rule("r", 1, &format!("when = {{ type = \"t\" }}\n{AUDIT}")))).is_empty());
}

/// A condition that puts more pigeons than holes there are into one each: that it is never true is much to look at.
fn pigeons(holes: usize) -> String {
    let tag = |pigeon: usize, hole: usize| format!("{{ tags = {{ contains = \"{pigeon}-{hole}\" }} }}");
    let mut all = Vec::new();
    for pigeon in 0..=holes {
        let somewhere: Vec<_> = (0..holes).map(|hole| tag(pigeon, hole)).collect();
        all.push(format!("{{ any = [{}] }}", somewhere.join(", ")));
        for (other, hole) in (0..pigeon).flat_map(|other| (0..holes).map(move |hole| (other, hole))) {
            all.push(format!("{{ not = {{ all = [{}, {}] }} }}", tag(pigeon, hole), tag(other, hole)));
        }
    }
    format!("all = [{}]", all.join(", "))
}

#[test]
fn what_was_too_much_to_look_at_is_said() {
    let rules = [
        rule("many", 2, &format!("when = {{ {} }}\n{AUDIT}", pigeons(6))),
        rule("few", 1, &format!("when = {{ {} }}\n{AUDIT}", pigeons(2))),
    ];
    let invariant = format!("[[invariants]]\nfor_all = {{ {} }}\nmust_never_reach = \"user\"\n", pigeons(6));
    let (snapshot, report) = checked(&format!("{}{invariant}", rules.concat()));
    assert!(snapshot.is_some(), "{report}");
    let told: Vec<_> = report.lines().filter(|line| line.contains("[F7")).collect();
    let expected = [
        "note[F706]: no rule is for some notifications of type `t`",
        "note[F708]: whether rule `many` is ever reached was not decided",
        "warning[F704]: rule `few` can never match",
    ];
    assert_eq!(told, expected, "{report}");
    assert!(report.contains("the rules of `t` test too much at once"), "{report}");
}

#[test]
fn ties_are_decided_by_an_example() {
    let tie = |first: &str, second: &str| {
        let rules = [("one", first), ("two", second)]
            .map(|(name, when)| rule(name, 1, &format!("when = {{ {when} }}\n{AUDIT}")));
        checked(&rules.concat())
    };
    // Seen only by comparing bounds.
    assert!(tie("\"data.total\" = { lt = 50 }", "\"data.total\" = { gt = 49 }").0.is_some());
    let (snapshot, report) = tie("\"data.total\" = { lt = 50 }", "\"data.total\" = { gt = 48 }");
    assert!(snapshot.is_none() && report.contains("\"total\":49"), "{report}");
    let (snapshot, report) = tie("\"data.note\" = { glob = \"deploy-*\" }", "\"data.note\" = { regex = \"-x$\" }");
    assert!(snapshot.is_none(), "{report}");
}
