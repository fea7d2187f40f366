//! Operators, windows and mismatches, on one notification.

use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::config::DailyRange;
use crate::notification::Draft;

fn notification(data: Value) -> Notification {
    let body = json!({"type": "order.updated", "priority": "high", "tags": ["eu", "vip"], "data": data});
    Notification::accept(Draft::from_value(body).unwrap(), Timestamp::UNIX_EPOCH)
}

fn field(path: &str, operator: Operator, value: Value) -> Matcher {
    Field::compile(path, operator, &value).unwrap().into()
}

fn holds(path: &str, operator: Operator, value: Value, data: Value) -> bool {
    let notification = notification(data);
    field(path, operator, value).matches(Facts { notification: &notification, now: Timestamp::UNIX_EPOCH })
}

#[test]
fn operators_compare_as_documented() {
    use Operator as O;
    let data = json!({"total": 100, "rate": 1.5, "status": "disputed", "city": "Köln", "big": u64::MAX, "none": null});
    let cases = [
        ("data.total", O::Eq, json!(100.0), true),
        ("data.total", O::Eq, json!("100"), false),
        ("data.status", O::In, json!(["paid", "disputed"]), true),
        ("data.status", O::Ne, json!("paid"), true),
        ("data.total", O::Gt, json!(100), false),
        ("data.total", O::Gte, json!(100), true),
        ("data.rate", O::Lt, json!(2), true),
        ("data.rate", O::Lte, json!(1.5), true),
        ("data.big", O::Gt, json!(u64::MAX - 1), true),
        ("data.status", O::Gt, json!(1), false),
        ("priority", O::AtLeast, json!("high"), true),
        ("priority", O::AtLeast, json!("critical"), false),
        ("data.status", O::StartsWith, json!("dis"), true),
        ("data.status", O::EndsWith, json!("ted"), true),
        ("data.status", O::Glob, json!("dis*"), true),
        ("data.status", O::Glob, json!("dis"), false),
        ("data.city", O::Glob, json!("K[ö-ü]?n"), true),
        ("data.status", O::Regex, json!("^d.s"), true),
        ("tags", O::Contains, json!("vip"), true),
        ("tags", O::Contains, json!("vi"), false),
        ("data.status", O::Contains, json!("put"), true),
        ("data.none", O::Exists, json!(true), true),
    ];
    for (path, operator, value, expected) in cases {
        assert_eq!(holds(path, operator, value.clone(), data.clone()), expected, "{path} {operator:?} {value}");
    }
}

#[test]
fn numbers_compare_exactly_where_floats_are_coarse() {
    let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
    for (less, more) in [
        ("9007199254740992.0", "9007199254740993"),
        ("9007199254740992", "9007199254740993"),
        ("9223372036854775807", "9223372036854775808.0"),
        ("18446744073709551615", "18446744073709551616.0"),
        ("-9223372036854775809.0e1", "-9223372036854775808"),
        ("-1e300", "-9223372036854775808"),
        ("18446744073709551615", "1e300"),
        ("-1", "-0.5"),
        ("1", "1.5"),
    ] {
        let (less, more) = (number(less), number(more));
        assert_eq!(compare(&less, &more), Some(Ordering::Less), "{less} {more}");
        assert_eq!(compare(&more, &less), Some(Ordering::Greater), "{less} {more}");
    }
    for (one, other) in [("-0.0", "0"), ("1.0", "1"), ("1e3", "1000"), ("9007199254740993.0", "9007199254740992")] {
        assert_eq!(compare(&number(one), &number(other)), Some(Ordering::Equal), "{one} {other}");
    }
}

#[test]
fn a_missing_field_makes_every_comparison_false() {
    use Operator as O;
    for operator in [O::Eq, O::Ne, O::Contains] {
        assert!(!holds("data.missing", operator, json!("x"), json!({})), "{operator:?}");
    }
    assert!(holds("data.missing", O::Exists, json!(false), json!({})));
}

#[test]
fn a_known_type_decides_its_tests() {
    let either = Matcher::any(
        [field("type", Operator::Eq, json!("order.updated")), field("data.x", Operator::Eq, json!(1))].into_iter(),
    );
    assert!(matches!(either.for_type("order.updated"), Matcher::Always(true)));
    assert!(matches!(either.for_type("chat.mention"), Matcher::Field(_)));
}

#[test]
fn a_type_that_is_named_twice_is_one() {
    let both = [field("type", Operator::In, json!(["b", "a", "b"])), field("data.x", Operator::Eq, json!(1))];
    assert_eq!(Matcher::all(both.into_iter()).types(), Some(BTreeSet::from(["a", "b"])));
}

#[test]
fn a_mismatch_names_the_first_failed_test_and_the_value_it_saw() {
    let both =
        Matcher::all([field("data.a", Operator::Eq, json!(1)), field("data.b", Operator::Gte, json!(10))].into_iter());
    let notification = notification(json!({"a": 1, "b": 9}));
    let saw = both.mismatch(Facts { notification: &notification, now: Timestamp::UNIX_EPOCH });
    let expected = Mismatch::Field { path: "data.b".into(), wanted: "gte 10".into(), saw: Some(json!(9)) };
    assert_eq!(saw, Some(expected));
}

#[test]
fn what_must_not_be_is_told_with_the_values_that_made_it_so() {
    let any = |parts: Vec<Matcher>| Matcher::any(parts.into_iter());
    let all = |parts: Vec<Matcher>| Matcher::all(parts.into_iter());
    let glob = || field("data.x", Operator::Glob, json!("a*"));
    let one = |path: &str| field(path, Operator::Eq, json!(1));
    let notification = notification(json!({"x": "abc", "y": 1, "z": 2}));
    for (condition, told) in [
        (glob(), "data.x is \"abc\", wanted not: data.x glob \"a*\""),
        (
            all(vec![glob(), one("data.y"), field("data.y", Operator::Lt, json!(2))]),
            "data.x is \"abc\" and data.y is 1, wanted not: data.x glob \"a*\" and data.y = 1 and data.y lt 2",
        ),
        (any(vec![one("data.z"), one("data.y")]), "data.y is 1, wanted not: data.z = 1 or data.y = 1"),
        (
            Matcher::none(any(vec![one("data.z"), one("data.none")])),
            "data.z is 2 and data.none is missing, wanted not: not (data.z = 1 or data.none = 1)",
        ),
    ] {
        let facts = Facts { notification: &notification, now: Timestamp::UNIX_EPOCH };
        let mismatch = Matcher::none(condition).mismatch(facts).map(|mismatch| mismatch.to_string());
        assert_eq!(mismatch.as_deref(), Some(told));
    }
}

#[test]
fn a_window_is_just_another_test() {
    let range = DailyRange { start: 22 * 60, end: 7 * 60 };
    let night =
        Arc::new(Window::new("night", Box::new([range]), Box::new([jiff::civil::Weekday::Thursday]), TimeZone::UTC));
    let notification = notification(json!({}));
    let at = |now: &str| Facts { notification: &notification, now: now.parse().unwrap() };
    let during = Matcher::During(Arc::clone(&night), Side::Inside);
    assert!(during.matches(at("1970-01-01T23:00:00Z")));
    let closed = during.mismatch(at("1970-01-01T12:00:00Z"));
    assert_eq!(closed, Some(Mismatch::Window { name: "night".into(), open: false }));
    let open = Matcher::none(during).mismatch(at("1970-01-01T23:00:00Z")).map(|mismatch| mismatch.to_string());
    assert_eq!(open.as_deref(), Some("window night is open, wanted not: during night"));
}
