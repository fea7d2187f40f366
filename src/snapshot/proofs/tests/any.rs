//! Any schema, any rules and any invariant, of few fields and of values that stand close together.

use std::sync::Arc;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::config::{DailyRange, Operator, Then, Unmatched};
use crate::routing::{Field, Matcher, Side, Template, Window};
use crate::snapshot::proofs::{Claim, Target};

/// A schema and what is asked about it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) schema: Schema,
    pub(super) rules: Vec<AnyRule>,
    pub(super) unmatched: Unmatched,
    pub(super) for_all: Matcher,
    pub(super) claim: Claim,
}

/// A schema of a notification with `data.a`, `data.b` and `data.o.x`.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    /// The whole.
    pub(super) root: Value,
    /// What it says of each of these three, with what it refers to.
    pub(super) leaves: [Value; 3],
}

/// A rule, but for its name and priority.
#[derive(Debug, Clone)]
pub(super) struct AnyRule {
    pub(super) matcher: Matcher,
    /// None if it drops.
    pub(super) to: &'static [&'static str],
    pub(super) filter: Option<&'static str>,
    pub(super) then: Then,
}

/// What the generated schemas and rules tell apart.
pub(super) fn values() -> Vec<Value> {
    let numbers = "[0, 1, 1.0, 1.5, 2, 3, 4, -1, -0.0, 9007199254740992, 9007199254740993, 9007199254740992.0]";
    let mut values: Vec<Value> = serde_json::from_str(numbers).unwrap();
    values.extend(["", "a", "b", "ab", "ba", "aba", "bab", "aab", "x", "abc"].map(Value::from));
    values.extend([json!(null), json!(true), json!(false), json!([]), json!(["a"]), json!(["ab", 1]), json!({"x": 1})]);
    values
}

/// Every night.
pub(super) fn night() -> Arc<Window> {
    let ranges = Box::new([DailyRange { start: 22 * 60, end: 7 * 60 }]);
    let days = Weekday::Monday.cycle_forward().take(7).collect();
    Arc::new(Window::new("night", ranges, days, TimeZone::UTC))
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let unmatched = select(vec![Unmatched::Reject, Unmatched::Drop, Unmatched::DeadLetter]);
    let for_all = prop_oneof![1 => Just(Matcher::Always(true)), 3 => matcher()];
    (schema(), prop::collection::vec(rule(), 1..5), unmatched, for_all, claim())
        .prop_map(|(schema, rules, unmatched, for_all, claim)| Case { schema, rules, unmatched, for_all, claim })
}

fn rule() -> impl Strategy<Value = AnyRule> {
    const TARGETS: [&[&str]; 12] = [
        &["audit"],
        &["user.{userId}"],
        &["audit", "user.{userId}"],
        &["dead-letter"],
        &[],
        &["user.a"],
        &["pair.{data.a}.{data.b}"],
        &["pair.{data.a}.{data.b}"],
        &["pair.{data.a}.a"],
        &["pair.1.{data.o.x}", "user.{priority}"],
        &["user.{type}", "pair.1.1"],
        &["pair.1.1", "pair.a.1"],
    ];
    let filter = prop::option::weighted(0.2, select(vec!["passing", "dropping", "skipping"]));
    (matcher(), select(TARGETS.to_vec()), filter, select(vec![Then::Stop, Then::Stop, Then::Continue]))
        .prop_map(|(matcher, to, filter, then)| AnyRule { matcher, to, filter, then })
}

fn claim() -> impl Strategy<Value = Claim> {
    let declared = select(vec!["audit", "user", "letter"]).prop_map(|name| Target::Declared(name.parse().unwrap()));
    let named = vec![
        "audit",
        "user.{userId}",
        "user.x",
        "user.a",
        "user.high",
        "user.t",
        "{source}",
        "dead-letter",
        "pair.a.a",
        "pair.1.a",
        "pair.1.1",
        "pair.{data.a}.{data.b}",
        "pair.{data.b}.a",
        "pair.{data.a}.1",
        "pair.{data.b}.{data.a}",
    ];
    let named = select(named).prop_map(|name| Target::Named(Template::parse(name).unwrap()));
    (prop_oneof![declared, named], 0..5).prop_map(|(target, kind)| match kind {
        0 | 1 => Claim::Reaches(target),
        2 | 3 => Claim::NeverReaches(target),
        _ => Claim::NeverDrops,
    })
}

fn test() -> BoxedStrategy<Matcher> {
    let field = |path: &str, operator, operand: &Value| Matcher::from(Field::compile(path, operator, operand).unwrap());
    let path = || select(vec!["data.a", "data.a", "data.b", "data.o.x"]);
    let scalars: Vec<Value> = values().into_iter().filter(|value| !value.is_array() && !value.is_object()).collect();
    let numbers: Vec<Value> = scalars.iter().filter(|value| value.is_number()).cloned().collect();
    let texts = || select(vec!["", "a", "b", "ab", "ba", "aba"]);
    let globs = select(vec!["a*", "*b", "a*b", "ab", "?b", "*a*", "[ab]a", "*"]);
    let expressions = select(vec!["^a", "b$", "^a.*b$", "^(a|ba)$", "ab", "^[ab]+$", "^.$"]);
    let equal = vec![Operator::Eq, Operator::Ne];
    let bounds = vec![Operator::Gt, Operator::Gte, Operator::Lt, Operator::Lte];
    let parts = vec![Operator::StartsWith, Operator::EndsWith, Operator::Contains];
    prop_oneof![
        4 => (path(), select(bounds), select(numbers)).prop_map(move |(path, operator, bound)| field(path, operator, &bound)),
        3 => (path(), select(equal), select(scalars.clone())).prop_map(move |(path, operator, value)| field(path, operator, &value)),
        2 => (path(), subsequence(scalars, 2..8)).prop_map(move |(path, values)| field(path, Operator::In, &values.into())),
        3 => (path(), select(parts), texts()).prop_map(move |(path, operator, text)| field(path, operator, &text.into())),
        1 => (path(), globs).prop_map(move |(path, glob)| field(path, Operator::Glob, &glob.into())),
        1 => (path(), expressions).prop_map(move |(path, pattern)| field(path, Operator::Regex, &pattern.into())),
        2 => (select(vec!["data.a", "data.o", "data.o.x", "userId", "tags"]), any::<bool>())
            .prop_map(move |(path, exists)| field(path, Operator::Exists, &exists.into())),
        1 => select(vec!["medium", "high", "critical"]).prop_map(move |least| field("priority", Operator::AtLeast, &least.into())),
        1 => select(vec!["a", "b", "ab"]).prop_map(move |tag| field("tags", Operator::Contains, &tag.into())),
        1 => texts().prop_map(move |user| field("userId", Operator::Eq, &user.into())),
        1 => select(vec![Side::Inside, Side::Outside]).prop_map(|side| Matcher::During(night(), side)),
    ]
    .boxed()
}

fn matcher() -> BoxedStrategy<Matcher> {
    test()
        .prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| Matcher::all(parts.into_iter())),
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| Matcher::any(parts.into_iter())),
                inner.prop_map(Matcher::none),
            ]
        })
        .boxed()
}

/// Keywords that each are there or not.
fn some(keywords: Vec<(&'static str, Vec<Value>)>) -> impl Strategy<Value = Map<String, Value>> {
    let choices = keywords.into_iter().map(|(keyword, values)| {
        prop::option::weighted(0.4, select(values)).prop_map(move |value| Some((keyword.to_owned(), value?)))
    });
    choices.collect::<Vec<_>>().prop_map(|members| members.into_iter().flatten().collect())
}

fn leaf() -> BoxedStrategy<Value> {
    let whole = |values: &[i64]| values.iter().copied().map(Value::from).collect::<Vec<_>>();
    let texts = some(vec![
        ("minLength", whole(&[1, 2, 3])),
        ("maxLength", whole(&[1, 2, 3])),
        ("pattern", ["^a", "b$", "^[ab]+$", "^(a|b)$", "ab"].map(Value::from).into()),
    ]);
    let numbers = some(vec![
        ("minimum", vec![json!(0), json!(1), json!(1.5)]),
        ("exclusiveMinimum", vec![json!(0), json!(1), json!(9_007_199_254_740_992_i64)]),
        ("maximum", vec![json!(2), json!(3.5), json!(9_007_199_254_740_993_i64)]),
        ("exclusiveMaximum", vec![json!(2), json!(4)]),
        ("multipleOf", vec![json!(2), json!(3), json!(0.5)]),
    ]);
    let types = select(vec![
        json!(["string", "null"]),
        json!(["integer", "string"]),
        json!("boolean"),
        json!("array"),
        json!(["number", "array", "object"]),
    ]);
    let with = |kind: Value, mut rest: Map<String, Value>| {
        rest.insert("type".to_owned(), kind);
        Value::Object(rest)
    };
    prop_oneof![
        3 => texts.prop_map(move |rest| with("string".into(), rest)),
        4 => (select(vec!["integer", "number"]), numbers).prop_map(move |(kind, rest)| with(kind.into(), rest)),
        2 => subsequence(values(), 1..5).prop_map(|values| json!({"enum": values})),
        1 => select(values()).prop_map(|value| json!({"const": value})),
        2 => types.prop_map(|types| json!({"type": types})),
        1 => Just(json!({})),
    ]
    .boxed()
}

/// One that may be made of others.
fn made() -> BoxedStrategy<Value> {
    let limited = select(vec![json!({"minimum": 1}), json!({"maxLength": 2}), json!({"not": {"const": "a"}})]);
    prop_oneof![
        6 => leaf(),
        1 => Just(json!({"$ref": "#/$defs/d"})),
        1 => limited.clone().prop_map(|mut rest| {
            rest["$ref"] = "#/$defs/d".into();
            rest
        }),
        1 => (leaf(), limited).prop_map(|(leaf, rest)| json!({"allOf": [leaf, rest]})),
        1 => (leaf(), leaf()).prop_map(|(one, other)| json!({"anyOf": [one, other]})),
        1 => (leaf(), leaf()).prop_map(|(leaf, not)| {
            let mut leaf = leaf;
            leaf["not"] = not;
            leaf
        }),
    ]
    .boxed()
}

fn schema() -> BoxedStrategy<Schema> {
    let closed = || prop::option::of(Just(("additionalProperties".to_owned(), json!(false))));
    let required = |names: Vec<&'static str>| {
        let most = names.len();
        subsequence(names, 0..=most).prop_map(|names| ("required".to_owned(), json!(names)))
    };
    let kind =
        |kinds: Vec<Value>| prop::option::weighted(0.7, select(kinds).prop_map(|kind| ("type".to_owned(), kind)));
    let object = (kind(vec![json!("object"), json!(["object", "string"])]), required(vec!["x"]), closed());
    let data = (kind(vec![json!("object")]), required(vec!["a", "b", "o"]), closed());
    let more = select(vec![
        json!({}),
        json!({"allOf": [{"required": ["userId"]}]}),
        json!({"properties": {"priority": {"enum": ["low", "high"]}}}),
    ]);
    let root = (required(vec!["data", "userId", "tags"]), more);
    ([made(), made(), made()], leaf(), object, data, root)
        .prop_map(|(leaves, d, object, data, (names, mut root))| {
            let [a, b, x] = &leaves;
            let members = |(kind, required, closed): (Option<_>, _, Option<_>), properties: Value| {
                let members = [("properties".to_owned(), properties), required].into_iter().chain(kind).chain(closed);
                Value::Object(members.collect())
            };
            let object = members(object, json!({"x": x}));
            root["properties"]["data"] = members(data, json!({"a": a, "b": b, "o": object}));
            root[&names.0] = names.1;
            root["$defs"]["d"] = d.clone();
            let leaves = leaves.map(|mut leaf| {
                leaf["$defs"]["d"] = d.clone();
                leaf
            });
            Schema { root, leaves }
        })
        .boxed()
}
