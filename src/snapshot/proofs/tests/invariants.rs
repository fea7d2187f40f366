//! Invariants, of whole configurations.

use serde_json::json;

use super::{AUDIT, HEAD, checked, checked_whole, checked_with, rule, snapshot};
use crate::snapshot::proofs::{Proof, prove};

#[test]
fn a_dead_letter_is_reached_by_what_no_rule_is_for() {
    let head = HEAD.replace("unmatched = \"reject\"", "unmatched = \"dead-letter\"");
    let letter = "[channels.letter]\npattern = \"dead-letter\"\nsubscribe = \"all\"\n";
    let big = rule("big", 1, &format!("when = {{ \"data.total\" = {{ gt = 50 }} }}\n{AUDIT}"));
    let verdict = |for_all: &str, claim: &str| {
        let (snapshot, report) =
            checked_whole(&format!("{head}{letter}{big}[[invariants]]\nfor_all = {{ {for_all} }}\n{claim}\n"));
        assert!(!report.contains("F702"), "{report}");
        snapshot.is_some()
    };
    for target in ["dead-letter", "letter"] {
        assert!(verdict("\"data.total\" = { lte = 50 }", &format!("must_reach = \"{target}\"")));
        assert!(!verdict("\"data.total\" = { gte = 50 }", &format!("must_reach = \"{target}\"")));
        assert!(verdict("\"data.total\" = { gt = 50 }", &format!("must_never_reach = \"{target}\"")));
        assert!(!verdict("\"data.total\" = { gte = 50 }", &format!("must_never_reach = \"{target}\"")));
    }
    assert!(verdict("type = \"t\"", "must_not_drop = true"));
}

#[test]
fn invariants_are_proven_or_refuted() {
    let rules = [
        rule("night", 9, "when = { during = \"night\", \"data.total\" = { lt = 10 } }\ndrop = \"night\""),
        rule("big", 5, &format!("when = {{ \"data.total\" = {{ gte = 50 }} }}\n{AUDIT}then = \"continue\"")),
        rule("all", 1, "when = { type = \"t\" }\nto = [\"user.{userId}\"]"),
    ];
    let verdict = |invariant: &str| {
        let folder = format!("{}[[invariants]]\n{invariant}\n", rules.concat());
        checked(&folder)
    };
    for holds in [
        "for_all = { \"data.total\" = { gt = 49 } }\nmust_reach = \"audit\"",
        "for_all = { \"data.total\" = { gte = 10 } }\nmust_reach = \"user.{userId}\"",
        "for_all = { \"data.total\" = { lt = 50 } }\nmust_never_reach = \"audit\"",
        "for_all = { \"data.total\" = { gte = 10 } }\nmust_not_drop = true",
    ] {
        let (snapshot, report) = verdict(holds);
        assert!(snapshot.is_some(), "{holds}\n{report}");
        let snapshot = snapshot.unwrap();
        assert!(matches!(prove(&snapshot, &snapshot.invariants[0]), Proof::Proven), "{holds}");
    }
    for (broken, shown) in [
        ("for_all = { \"data.total\" = { gte = 49 } }\nmust_reach = \"audit\"", "\"total\":49"),
        ("for_all = { type = \"t\" }\nmust_reach = \"user\"", "matches `night`"),
        ("for_all = { \"data.kind\" = \"b\" }\nmust_never_reach = \"audit\"", "\"kind\":\"b\""),
        ("for_all = { type = \"t\" }\nmust_not_drop = true", " at 2026-01-0"),
    ] {
        let (snapshot, report) = verdict(broken);
        assert!(snapshot.is_none() && report.contains("does not hold") && report.contains(shown), "{broken}\n{report}");
    }
}

#[test]
fn what_a_placeholder_stands_for_decides_about_one_channel() {
    let team = json!({"required": ["team", "n"], "properties": {"team": {"const": "t1"}, "n": {"type": "integer"}}});
    let schema = json!({"required": ["data", "userId"], "properties": {"data": team}});
    let verdict = |rule: &str, invariant: &str| {
        let text = format!(
            "{HEAD}[channels.c]\npattern = \"c.{{c}}\"\nsubscribe = \"all\"\n{rule}[[invariants]]\n{invariant}\n"
        );
        let (snapshot, report) = checked_with(&text, &schema);
        assert!(!report.contains("F702"), "{invariant}\n{report}");
        (snapshot.is_some(), report)
    };
    let sends = |target: &str| rule("r", 1, &format!("when = {{ type = \"t\" }}\nto = [\"{target}\"]"));
    let user = sends("user.{userId}");
    for (rule, holds) in [
        (&user, "for_all = { type = \"t\", not = { userId = \"admin\" } }\nmust_never_reach = \"user.admin\""),
        (&user, "for_all = { userId = \"admin\" }\nmust_reach = \"user.admin\""),
        (&user, "for_all = { userId = { starts_with = \"a\" } }\nmust_never_reach = \"user.b\""),
        (&sends("user.admin"), "for_all = { userId = \"admin\" }\nmust_reach = \"user.{userId}\""),
        (&sends("c.{data.team}"), "for_all = { type = \"t\" }\nmust_reach = \"c.t1\""),
        (&sends("c.{data.team}"), "for_all = { type = \"t\" }\nmust_never_reach = \"c.t2\""),
        (&sends("c.{data.n}"), "for_all = { \"data.n\" = 7 }\nmust_reach = \"c.7\""),
        (&sends("c.{data.n}"), "for_all = { \"data.n\" = { gt = 7 } }\nmust_never_reach = \"c.7\""),
        (&sends("c.{data.n}"), "for_all = { type = \"t\" }\nmust_never_reach = \"c.07\""),
    ] {
        let (is_taken, report) = verdict(rule, holds);
        assert!(is_taken && !report.contains("does not hold"), "{holds}\n{report}");
    }
    for (rule, broken, shown) in [
        (&user, "for_all = { type = \"t\" }\nmust_never_reach = \"user.admin\"", "\"userId\":\"admin\""),
        (&user, "for_all = { type = \"t\" }\nmust_reach = \"user.admin\"", "\"userId\":\"x\""),
        (&sends("c.{data.team}"), "for_all = { type = \"t\" }\nmust_never_reach = \"c.t1\"", "\"team\":\"t1\""),
        (&sends("c.{data.n}"), "for_all = { type = \"t\" }\nmust_never_reach = \"c.7\"", "\"n\":7"),
    ] {
        let (is_taken, report) = verdict(rule, broken);
        assert!(!is_taken && report.contains("does not hold") && report.contains(shown), "{broken}\n{report}");
    }
}

#[test]
fn a_number_that_is_equal_to_an_integer_names_no_channel() {
    let n = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
    let schema = json!({"required": ["data", "userId"], "properties": {"data": n}});
    let number = "[channels.number]\npattern = \"number.{n}\"\nsubscribe = \"all\"\n";
    let claim = "[[invariants]]\nfor_all = { \"data.n\" = 7 }\nmust_reach = \"number.{data.n}\"\n";
    for (target, is_proven) in [("number.{data.n}", true), ("number.7", false)] {
        let rule = rule("r", 1, &format!("when = {{ type = \"t\" }}\nto = [\"{target}\"]"));
        let (snapshot, report) = checked_with(&format!("{HEAD}{number}{rule}{claim}"), &schema);
        let snapshot = snapshot.unwrap_or_else(|| panic!("{report}"));
        // With `7.0` the rule sends to `number.7`, and the invariant names nothing.
        assert_eq!(matches!(prove(&snapshot, &snapshot.invariants[0]), Proof::Proven), is_proven, "{target}");
    }
}

#[test]
fn an_invariant_about_nothing_is_told_with_the_reason() {
    let all = rule("all", 1, "when = { type = \"t\" }\nto = [\"audit\"]");
    for (for_all, why) in [
        ("\"data.total\" = { gt = 100 }", "`data.total gt 100` is never true: in the schema of `t`"),
        ("\"data.flag\" = true, not = { \"data.flag\" = true }", "exclude each other"),
        ("type = { starts_with = \"x\" }", "no declared type has `type starts_with \"x\"`"),
    ] {
        let invariant = format!("[[invariants]]\nfor_all = {{ {for_all} }}\nmust_never_reach = \"audit\"\n");
        let (snapshot, report) = checked(&format!("{all}{invariant}"));
        let is_told = report.contains("warning[F703]") && report.contains(why);
        assert!(snapshot.is_some() && is_told, "{for_all}\n{report}");
    }
}

#[test]
fn what_no_rule_matches_is_refused_and_breaks_no_claim() {
    let claim = "[[invariants]]\nfor_all = { type = \"t\" }\nmust_reach = \"audit\"\n";
    let big = rule("big", 2, &format!("when = {{ \"data.total\" = {{ gt = 50 }} }}\n{AUDIT}"));
    let proven = snapshot(&format!("{big}{claim}"));
    assert!(matches!(prove(&proven, &proven.invariants[0]), Proof::Proven));
    let other = rule("other", 1, "when = { \"data.total\" = 1 }\nto = [\"user.{userId}\"]");
    let (refuted, report) = checked(&format!("{big}{other}{claim}"));
    assert!(refuted.is_none() && report.contains("\"total\":1"), "{report}");
}

#[test]
fn only_a_filter_that_decides_is_named() {
    let filter = "[plugins.f]\nscript = \"choosy.rhai\"\non_error = \"pass\"\n";
    let undecided = |rules: &[String], claim: &str| {
        let (snapshot, report) =
            checked(&format!("{filter}{}[[invariants]]\nfor_all = {{ type = \"t\" }}\n{claim}\n", rules.concat()));
        assert!(snapshot.is_some() && report.contains("F702"), "{report}");
        report
    };
    // That no text is so is not known.
    let tests = "starts_with = \"A\", contains = \"b\", regex = \"^[a-z]$\"";
    let noted = rule("noted", 2, &format!("when = {{ \"data.note\" = {{ {tests} }} }}\n{AUDIT}then = \"continue\""));
    let filtered = rule("filtered", 1, "when = { type = \"t\" }\nfilter = \"f\"\nto = [\"user.{userId}\"]");
    let report = undecided(&[noted, filtered.clone()], "must_never_reach = \"audit\"");
    assert!(report.contains("no notification of `t` was found that shows it"), "{report}");
    let kept = rule("kept", 2, "when = { priority = \"low\" }\nfilter = \"f\"\nto = [\"audit\"]\nthen = \"continue\"");
    let report = undecided(&[kept, filtered], "must_never_reach = \"audit\"");
    assert!(report.contains("what the filter `f` of rule `kept` decides"), "{report}");
}
