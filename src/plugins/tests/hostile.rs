//! Scripts that go wrong in every way we know: each must end, soon, with a failure, and leave the process alone.

use super::*;

/// Bodies that would run for ever or very long; the budget ends them.
const ENDLESS: &[(&str, &str)] = &[
    ("loop", "loop {} true"),
    ("while", "while true {} true"),
    ("for over a huge range", "for i in 0..9000000000000 { let x = i; } true"),
    ("do", "do {} while true; true"),
    ("try does not catch the end", "loop { try { loop {} } catch { } } true"),
    ("nested callbacks", "nest(3)"),
    (
        "sort with callbacks",
        "let a = []; for i in 0..900 { a.push(900 - i); } loop { a.sort(|x, y| x - y); a.reverse(); } true",
    ),
    ("a flood of prints", r#"loop { print("x"); } true"#),
    // The engine looks at the size of a map only when a function changes it, not when an index does.
    ("map growth by index", "let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; } true"),
    ("many big texts", r#"let s = "x"; for i in 0..14 { s += s; } loop { let t = s.upper(); } true"#),
    ("many patterns", r#"let i = 0; loop { "a".matches(`${i}(a{9}){9}`); i += 1; } true"#),
];

/// Bodies that raise an error by themselves.
const FAULTY: &[(&str, &str)] = &[
    ("recursion", "again(n)"),
    ("mutual recursion", "ping(n)"),
    ("recursive closure", "let f = |f| f.call(f); f.call(f)"),
    ("text doubling", r#"let s = "x"; loop { s += s; } true"#),
    ("text doubling by interpolation", r#"let s = "x"; loop { s = `${s}${s}`; } true"#),
    ("array doubling", "let a = [1]; loop { a += a; } true"),
    ("array doubling by push", "let a = [1]; loop { a.push(a); } true"),
    ("array padding", "let a = []; a.pad(1000000000, 0); true"),
    ("array nesting", "let a = []; loop { a = [a]; } true"),
    (
        "an array of big texts",
        r#"let s = "x"; for i in 0..14 { s += s; } let a = []; for i in 0..900 { a.push(s); } true"#,
    ),
    ("map nesting", "let m = #{}; loop { m = #{ a: m, b: m }; } true"),
    ("nested growth by index", "let a = [[]]; loop { a[0].push([1, 2, 3, 4]); } true"),
    ("a split into too many parts", r#"let s = "x,"; for i in 0..14 { s += s; } s.split(",").len() > 0"#),
    ("replace bomb", r#"let s = "a"; for i in 0..15 { s += s; } s.replace("a", s); true"#),
    ("endless pad", r#""x".pad(10, ""); true"#),
    ("sleep", "sleep(10); true"),
    ("division by zero", "1 / 0 == 1"),
    ("remainder by zero", "1 % 0 == 1"),
    ("overflow", "9223372036854775807 + 1 > 0"),
    ("overflow of the quotient", "(-9223372036854775807 - 1) / -1 > 0"),
    ("huge power", "10 ** 100 > 0"),
    ("a text as a number", r#"parse_int("9".upper() + "999999999999999999999") > 0"#),
    ("this", "this.x = 1; true"),
    ("unknown function", "frobnicate(n)"),
    ("exit", "exit(true)"),
    ("a thrown text", r#"let s = "x"; for i in 0..16 { s += s; } throw s;"#),
    (
        "a shared value in an array",
        "let x = [1]; let f = || x.push(1); let a = [x]; a.push(x); x.push(a); f.call(); a[5] == 1",
    ),
];

/// Scripts that are refused before they run.
const REFUSED: &[(&str, &str)] = &[
    ("eval", r#"eval("true")"#),
    ("import", r#"import "x" as x; true"#),
    ("export", "export n; true"),
    ("unknown variable", "x"),
    ("loop over nothing", "for { }"),
];

const HELPERS: &str = "
    fn again(n) { again(n) }
    fn ping(n) { pong(n) }
    fn pong(n) { ping(n) }
    fn nest(levels) {
        let a = [];
        a.pad(99, 0);
        a.map(|x| if levels == 0 { 0 } else { nest(levels - 1) })
    }
";

#[test]
fn what_would_not_end_is_ended_by_its_budget() {
    for (what, body) in ENDLESS {
        let run = run(&format!("fn filter(n) {{ {body} }} {HELPERS}"), json!({}));
        let Verdict::Failed(failure) = &run.verdict else { panic!("{what}: {run:?}") };
        assert!(matches!(failure, Failure::Operations | Failure::Time), "{what}: {run:?}");
        // One native call may overshoot by what its callbacks still count while it unwinds.
        assert!(run.operations < 200_000, "{what}: {run:?}");
    }
}

#[test]
fn what_asks_for_too_much_is_an_error() {
    for (what, body) in FAULTY {
        let run = run(&format!("fn filter(n) {{ {body} }} {HELPERS}"), json!({}));
        let Verdict::Failed(failure) = &run.verdict else { panic!("{what}: {run:?}") };
        assert!(matches!(failure, Failure::Script(_) | Failure::Panic), "{what}: {run:?}");
        assert!(failure.to_string().chars().count() <= MAX_MESSAGE, "{what}");
        assert!(run.operations <= 20_000, "{what}: {run:?}");
    }
}

#[test]
fn what_must_not_be_used_does_not_compile() {
    for (what, body) in REFUSED {
        let (_, diagnostics) = compile(&format!("fn filter(n) {{ {body} }}"), raw(json!({})));
        assert!(diagnostics.has_errors(), "{what}");
    }
}

#[test]
fn deep_and_huge_scripts_are_refused_and_not_crashed_on() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    for body in [
        deep("(", ")"),
        deep("[", "]"),
        deep("#{a:", "}"),
        deep("-", ""),
        deep("!", ""),
        deep("{", "}"),
        deep("if true {", "}"),
        format!("{}1", "1+".repeat(10_000)),
        format!("n{}", ".a".repeat(10_000)),
        format!("{:?}", "x".repeat(200_000)),
        format!("[{}]", "1,".repeat(10_000)),
    ] {
        let (set, diagnostics) = compile(&format!("fn filter(n) {{ {body} }}"), raw(json!({})));
        let notification = accept(notification(), "2026-06-01T12:00:00Z");
        let ran = set.get("test").map(|plugin| plugin.filter(&notification, Timestamp::UNIX_EPOCH).verdict);
        let failed = matches!(ran, Some(Verdict::Failed(_)));
        assert!(diagnostics.has_errors() || failed, "{}: {ran:?}", &body[..20]);
    }
}

#[test]
fn the_deepest_recursion_of_the_deepest_expressions_fits_the_stack() {
    let script = |depth| {
        let body = format!("{}deeper(n){}", "[".repeat(depth), "]".repeat(depth));
        format!("fn filter(n) {{ deeper(n) }} fn deeper(n) {{ {body} }}")
    };
    let compiles = |depth: &usize| !compile(&script(*depth), raw(json!({}))).1.has_errors();
    let deepest = (1..64).rev().find(compiles).unwrap();
    let Verdict::Failed(Failure::Script(message)) = run(&script(deepest), json!({})).verdict else {
        panic!("{deepest}")
    };
    assert!(message.starts_with("Stack overflow"), "{message}");
}

#[test]
fn what_a_producer_sends_is_bounded_too() {
    let list: Vec<_> = (0..5_000).collect();
    let large =
        accept(json!({"type": "x", "data": {"list": list, "text": "x".repeat(100_000)}}), "2026-06-01T12:00:00Z");
    for body in ["n.data.list.len() > 0", "n.data.text.len > 0", r#"n.get("data.list", []).len() > 0"#] {
        let plugin = plugin(&format!("fn filter(n) {{ {body} }}"), json!({}));
        assert!(
            matches!(plugin.filter(&large, large.created_at).verdict, Verdict::Failed(Failure::Script(_))),
            "{body}"
        );
    }
}

#[test]
fn a_panic_in_a_function_is_a_failure_and_the_next_call_works() {
    let mut engine = engine::build();
    engine.register_fn("explode", || -> bool { panic!("on purpose") });
    let ast = engine::compile(&engine, "fn filter(n) { n.title != () || explode() }").unwrap();
    let name = "test".parse().unwrap();
    let plugin = Plugin::new(&name, &raw(json!({})), &Arc::new(engine), ast, "");
    let untitled = accept(json!({"type": "x"}), "2026-06-01T12:00:00Z");
    assert_eq!(plugin.filter(&untitled, Timestamp::UNIX_EPOCH).verdict, Verdict::Failed(Failure::Panic));
    let titled = accept(notification(), "2026-06-01T12:00:00Z");
    assert_eq!(plugin.filter(&titled, Timestamp::UNIX_EPOCH).verdict, Verdict::Pass);
}
