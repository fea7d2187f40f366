//! What scripts can say, and what they are told when they say it wrong.

use super::*;
use crate::plugins::engine::ENTRY;

/// Whether an expression is true, with `notification()` as `n`.
fn holds(expression: &str) {
    assert_eq!(verdict(expression), Verdict::Pass, "{expression}");
}

/// The message of the error that a filter's body ends with.
fn error(body: &str) -> String {
    match verdict(body) {
        Verdict::Failed(failure) => failure.to_string(),
        other => panic!("{body}: {other:?}"),
    }
}

/// The one message about a script that does not compile.
fn refused(script: &str) -> String {
    let (set, diagnostics) = compile(script, raw(json!({})));
    assert!(set.get("test").is_none());
    let findings: Vec<_> = diagnostics.iter().collect();
    assert_eq!(findings.len(), 1, "{script}");
    assert_eq!(findings[0].span, Some(Span { file: 0, start: 3, end: 14 }));
    findings[0].message.clone()
}

#[test]
fn a_verdict_is_a_bool_pass_or_drop() {
    assert_eq!(verdict("true"), Verdict::Pass);
    assert_eq!(verdict("pass()"), Verdict::Pass);
    assert_eq!(verdict("false"), dropped("test"));
    assert_eq!(verdict(r#"drop("muted-thread")"#), dropped("muted-thread"));
    assert_eq!(verdict(r#"return drop("a"); pass()"#), dropped("a"));
}

#[test]
fn anything_else_is_no_verdict() {
    for body in ["()", "1", r#""pass""#, "n", "[]", "#{}"] {
        assert!(matches!(verdict(body), Verdict::Failed(Failure::NoVerdict(_))), "{body}");
    }
    assert_eq!(error("1"), r#"returned a value of type i64, not pass(), drop("reason"), true or false"#);
    assert!(error(r#"drop("Bad Reason")"#).contains("is not a name"));
}

#[test]
fn members_of_the_notification_are_readable() {
    for expression in [
        r#"n.type == "chat.mention""#,
        r#"n.user_id == "u2" && n.userId == "u2""#,
        r#"n.priority == "medium""#,
        r#"n.title == "Hi" && n["title"].len == 2"#,
        r#"n.tags == ["a", "b"] && "a" in n.tags"#,
        "n.data.deep.n == 7 && n.data.deep.f == 1.5",
        "!n.data.direct",
        r#""u2" in n.data.muted_by && n.data.muted_by.contains("u1")"#,
        r#""deep" in n.data && !("shallow" in n.data)"#,
        r#"n.data.keys() == ["deep", "direct", "muted_by"]"#,
        r#"n.get("data.deep.n", 0) == 7"#,
        r#"n.get("data.deep.m", 5) == 5 && n.get("data.direct.x", 5) == 5"#,
        r#"n.data.get("deep.n", 0) == 7"#,
    ] {
        holds(expression);
    }
}

#[test]
fn what_a_producer_left_out_is_unit() {
    holds("n.message == () && n.data.absent == () && n.data.absent?.deeper == () && n.data.deep.none == ()");
    let bare = accept(json!({"type": "x"}), "2026-06-01T12:00:00Z");
    let run = plugin("fn filter(n) { n.data.a == () && n.data.keys() == [] }", json!({}));
    assert_eq!(run.filter(&bare, bare.created_at).verdict, Verdict::Pass);
}

#[test]
fn a_misspelt_member_or_parameter_is_an_error() {
    assert!(error("n.titel == ()").contains("a notification has no member `titel`"));
    assert!(error("params.absent").contains("there is no parameter `absent`"));
}

#[test]
fn parameters_and_time_are_visible_in_every_function() {
    let script = r#"
        fn filter(n) { is_noon() && [1, 2].all(|x| x <= params.most && ctx.now.minute("UTC") == 34) }
        fn is_noon() { ctx.now.hour("UTC") == params.noon.hour }
    "#;
    assert_eq!(run(script, json!({"noon": {"hour": 12}, "most": 2})).verdict, Verdict::Pass);
}

#[test]
fn nothing_that_a_script_sees_can_be_changed() {
    for body in [
        r#"n.title = "x"; true"#,
        r#"n.data.direct = true; true"#,
        r#"n["title"] = "x"; true"#,
        "params.x = 1; true",
        "params = 1; true",
        "ctx.now = 1; true",
        "this.x = 1; true",
    ] {
        let (set, diagnostics) = compile(&format!("fn filter(n) {{ {body} }}"), raw(json!({"x": 0})));
        let ran = set
            .get("test")
            .map(|plugin| plugin.filter(&accept(notification(), "2026-06-01T12:00:00Z"), Timestamp::UNIX_EPOCH));
        assert!(
            diagnostics.has_errors() || matches!(ran, Some(Run { verdict: Verdict::Failed(Failure::Script(_)), .. })),
            "{body}"
        );
    }
}

#[test]
fn a_local_array_is_the_scripts_own_copy() {
    let script = "fn filter(n) {
        let tags = n.tags;
        tags.push(1);
        let list = params.list;
        list.push(1);
        list.len() == 2 && n.tags.len() == 2
    }";
    let plugin = plugin(script, json!({"list": [0]}));
    let notification = accept(notification(), "2026-06-01T12:00:00Z");
    for _ in 0..2 {
        assert_eq!(plugin.filter(&notification, notification.created_at).verdict, Verdict::Pass);
    }
}

#[test]
fn arrays_and_maps_keep_their_own_filter() {
    holds("[1, 2, 3].filter(|x| x > 1) == [2, 3] && filter([1, 2], |x| x > 1) == [2]");
    holds(r#"n.tags.filter(|tag| tag != "a") == ["b"] && n.tags.filter(|tag, i| i == 0) == ["a"]"#);
    holds("#{a: 1, b: 2}.filter(|key, value| value > 1).keys() == [\"b\"]");
    holds("let least = 2; [[1, 2], [3]].map(|list| list.filter(|x| x >= least)) == [[2], [3]]");
    let script = "fn filter(n) { kept([1, 2]) == [2] } fn kept(list) { list.filter(|x| x > 1) }";
    assert_eq!(run(script, json!({})).verdict, Verdict::Pass);
    let own = "fn filter(n) { [1, 2].filter(1) == 2 } fn array.filter(at) { this[at] }";
    assert_eq!(run(own, json!({})).verdict, Verdict::Pass);
}

#[test]
fn the_filter_of_a_script_is_not_for_the_script_to_call() {
    for body in ["filter(n)", "n.data.filter(|x| x)", "5.filter(|x| x)", r#"Fn("filter").call(n)"#] {
        assert!(error(body).contains("unction not found"), "{body}: {}", error(body));
    }
}

#[test]
fn an_error_deep_in_a_script_names_functions_as_the_script_does() {
    let failed = run("fn filter(n) { deeper(n) } fn deeper(n) { n.titel }", json!({})).verdict;
    let Verdict::Failed(failure) = failed else { panic!("{failed:?}") };
    assert!(failure.to_string().contains("'deeper'") && !failure.to_string().contains(ENTRY), "{failure}");
}

#[test]
fn texts() {
    for expression in [
        r#"lower("ÄB") == "äb" && upper("äb") == "ÄB" && trim("  a ") == "a""#,
        r#""abc".starts_with("ab") && "abc".ends_with("bc") && "abc".contains("b") && "b" in "abc""#,
        r#""äb".len == 2 && "äb".len() == 2"#,
        r#""a,b,".split(",") == ["a", "b", ""]"#,
        r#""order.created".glob("order.*") && !glob("xorder.created", "order.*") && glob("a/b", "a*")"#,
        r#""é日".glob("?[!é]") && !"é".glob("??")"#,
        r#""order-17".matches("[0-9]+$") && !matches("order", "^[0-9]")"#,
        r#"`user ${n.user_id}` == "user u2""#,
    ] {
        holds(expression);
    }
    assert!(error(r#""a".split("")"#).contains("the separator is empty"));
    assert!(error(r#""a".matches("(?=a)")"#).contains("is not a pattern"));
    assert!(error(r#""a".glob("[")"#).contains("is not a pattern"));
}

#[test]
fn buckets_are_the_same_everywhere() {
    // `printf user-1 | sha256sum | head -c 16`, modulo 100.
    holds(r#"hash_bucket("user-1", 100) == 94 && hash_bucket("user-1", 1) == 0"#);
    holds("let seen = [0, 0, 0, 0]; for i in 0..64 { seen[hash_bucket(`${i}`, 4)] += 1; } seen.all(|n| n > 4)");
    assert!(error(r#"hash_bucket("a", 0)"#).contains("is not a number of buckets"));
}

#[test]
fn times() {
    holds(r#"ctx.now.hour("Asia/Kolkata") == 18 && ctx.now.minute("Asia/Kolkata") == 4"#);
    holds(r#"ctx.now.weekday("UTC") == "monday" && ctx.now.weekday("Pacific/Auckland") == "tuesday""#);
    holds(r#"ctx.now.minutes_since("2026-06-01T14:04:57+02:00") == 29"#);
    holds(r#"ctx.now.minutes_since("2026-06-01T12:35:00Z") == -1"#);
    assert!(error(r#"ctx.now.hour("Mars/Base")"#).contains("is not a time zone"));
    assert!(error(r#"ctx.now.minutes_since("noon")"#).contains("is not an RFC 3339 time"));
}

#[test]
fn a_script_that_does_not_compile_is_told_with_its_place() {
    assert_eq!(
        refused("fn filter(n) {\n  tru\n}"),
        "plugin `test`: script `test.rhai`: undefined variable: tru (line 2, position 3)"
    );
    assert!(refused("fn filter(n) { ").contains("line 1"));
    assert!(refused("fn other(n) { true }").ends_with("there is no `fn filter(n)`"));
    assert!(refused("fn filter() { true }").contains("takes 0 parameters"));
    assert!(refused("fn filter(n) { true } fn filter(n, m) { true }").contains("more than once"));
}
