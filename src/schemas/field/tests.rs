//! What is known of fields of written schemas, and what is left open.

use super::*;
use serde_json::json;

fn field(schema: &Value, path: &str) -> FieldKind {
    find(schema, &"order.updated".parse().unwrap(), &path.split('.').collect::<Vec<_>>())
}

fn declared(schema: &Value, path: &str) -> Field {
    match field(schema, path) {
        FieldKind::Declared(field) => field,
        other => panic!("{path}: {other:?}"),
    }
}

fn shipped(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_declared_field_is_known_by_type_values_and_whether_it_is_required() {
    let schema = shipped(include_str!("../../../schemas/order.updated.json"));
    let status = declared(&schema, "data.status");
    assert!(status.required);
    assert_eq!(status.types, BTreeSet::from([JsonType::String]));
    assert_eq!(status.values.unwrap()[0], "placed");
    let total = declared(&schema, "data.total_cents");
    assert_eq!(
        total,
        Field {
            required: true,
            types: BTreeSet::from([JsonType::Integer]),
            values: None,
            limits: vec![(Limit::Minimum, 0.into())],
            further: Map::new(),
        }
    );
    assert!(declared(&schema, "data.seller_team_id").required, "through a $ref");
    assert!(!declared(&schema, "data.currency").required);
    assert!(declared(&schema, "userId").required);
}

#[test]
fn what_is_not_declared_comes_with_the_names_that_are() {
    let schema = shipped(include_str!("../../../schemas/order.updated.json"));
    let FieldKind::Undeclared { key, known, refused } = field(&schema, "data.statuss") else { panic!() };
    assert!(refused && key == "statuss" && known.contains(&"status".to_owned()));
    let FieldKind::Undeclared { known, refused, .. } = field(&schema, "titel") else { panic!() };
    assert!(refused && known.contains(&"title".to_owned()));
    assert!(matches!(field(&schema, "data.status.x"), FieldKind::Undeclared { refused: true, .. }));
    assert!(matches!(field(&schema, "title.x"), FieldKind::Undeclared { refused: true, .. }));
    let silent = json!({"properties": {"data": {"properties": {"a": {}}}}});
    assert!(matches!(field(&silent, "data.b"), FieldKind::Undeclared { refused: false, .. }));
    let none = shipped(include_str!("../../../schemas/ops.broadcast.json"));
    assert!(matches!(field(&none, "userId"), FieldKind::Undeclared { refused: true, .. }));
}

#[test]
fn what_must_be_there_is_there_although_nothing_else_is_said_of_it() {
    let data = |data: Value| json!({"required": ["data"], "properties": {"data": data}});
    let required = data(json!({"properties": {"a": {}}, "required": ["a", "b"]}));
    assert_eq!(declared(&required, "data.b"), Field { required: true, ..Field::anything() });
    assert!(matches!(field(&required, "data.b.c"), FieldKind::Open));
    assert!(matches!(field(&required, "data.c"), FieldKind::Undeclared { refused: false, .. }));
    let for_another = data(json!({"properties": {"a": {}}, "dependentRequired": {"a": ["b"]}}));
    assert!(matches!(field(&for_another, "data.b"), FieldKind::Open));
}

#[test]
fn what_one_part_declares_and_another_refuses_is_no_suggestion_for_anything_else() {
    let closed = json!({"properties": {"a": {}, "no": false}, "additionalProperties": false});
    let schema = json!({"properties": {"data": {"allOf": [closed], "properties": {"b": {}}}}});
    for (path, names) in [("data.b", vec!["b", "a"]), ("data.c", vec!["a"]), ("data.no", vec!["a"])] {
        let FieldKind::Undeclared { mut known, refused: true, .. } = field(&schema, path) else { panic!("{path}") };
        known.sort();
        let mut names = names;
        names.sort();
        assert_eq!(known, names, "{path}");
    }
}

#[test]
fn the_members_of_every_notification_need_no_schema() {
    let priority = declared(&json!({}), "priority");
    assert!(priority.required);
    assert_eq!(priority.values.unwrap().len(), 4);
    assert_eq!(declared(&json!({}), "type").values.unwrap(), ["order.updated"]);
    assert!(!declared(&json!({}), "userId").required);
    assert!(declared(&json!({"required": ["userId"]}), "userId").required);
    let urgent = shipped(include_str!("../../../schemas/security.alert.json"));
    assert_eq!(declared(&urgent, "priority").values.unwrap(), ["high", "critical"]);
    assert_eq!(declared(&urgent, "priority").types, BTreeSet::from([JsonType::String]));
}

#[test]
fn only_what_is_required_all_along_is_required() {
    let a = json!({"required": ["b"], "properties": {"b": {"type": "string"}}});
    let schema = |data: Value| json!({"required": ["data"], "properties": {"data": data}});
    let mut object = a.clone();
    object["type"] = "object".into();
    assert!(declared(&schema(a.clone()), "data.b").required, "data is an object in any case");
    let nested = |inner: &Value| schema(json!({"required": ["a"], "properties": {"a": inner}}));
    assert!(declared(&nested(&object), "data.a.b").required);
    assert!(!declared(&nested(&a), "data.a.b").required, "a may be no object");
    assert!(!declared(&json!({"properties": {"data": a}}), "data.b").required);
}

#[test]
fn what_cannot_be_told_is_open() {
    let data = |data: Value| json!({"properties": {"data": data}, "$defs": {"loop": {"$ref": "#/$defs/loop"}}});
    for schema in [
        json!({}),
        json!({"properties": {}}),
        data(json!({})),
        data(json!(true)),
        data(json!({"additionalProperties": true, "properties": {}})),
        data(json!({"additionalProperties": {"type": "string"}, "properties": {}})),
        data(json!({"patternProperties": {"^x": {}}, "properties": {}, "additionalProperties": false})),
        data(json!({"allOf": [{"properties": {"b": {}}}], "properties": {}})),
        data(json!({"$ref": "#/$defs/loop"})),
        data(json!({"$ref": "#/$defs/none"})),
        data(json!({"$ref": "#/$defs/loop", "minProperties": 1})),
        data(json!({"$id": "x", "properties": {"a": {}}})),
        json!({
            "$defs": {"x": {"$id": "x", "$defs": {"y": {"const": 1}}, "properties": {"b": {"$ref": "#/$defs/y"}}},
                      "y": {"const": 2}},
            "properties": {"data": {"properties": {"a": {"$ref": "#/$defs/x/properties/b"}}}},
        }),
        json!({
            "$defs": {"a%62": {"const": 1}, "ab": {"const": 2}},
            "properties": {"data": {"properties": {"a": {"$ref": "#/$defs/a%62"}}}},
        }),
    ] {
        match field(&schema, "data.a") {
            FieldKind::Open => {}
            FieldKind::Declared(known) => assert_eq!(known, Field::anything(), "{schema}"),
            refused @ FieldKind::Undeclared { .. } => panic!("{schema}: {refused:?}"),
        }
    }
}

#[test]
fn what_holds_together_is_put_together() {
    let schema = json!({
        "$defs": {
            "money": {"type": "number", "minimum": 0},
            "item": {"required": ["price"], "properties": {"price": {"$ref": "#/$defs/money", "maximum": 9}}},
        },
        "allOf": [{"required": ["data"]}],
        "properties": {"data": {
            "$ref": "#/$defs/item",
            "allOf": [{"properties": {"price": {"type": "integer"}, "kind": {"enum": ["a", "b"]}}, "required": ["kind"]}],
            "properties": {"to": {"anyOf": [{"type": "string"}, {"const": 1}]}, "kind": {"pattern": "a", "not": {"const": "c"}}},
        }},
    });
    let price = declared(&schema, "data.price");
    assert!(price.required && price.types == BTreeSet::from([JsonType::Integer]), "{price}");
    let limits = [(Limit::Minimum, 0.into()), (Limit::Maximum, 9.into())];
    assert!(limits.iter().all(|limit| price.limits.contains(limit)), "{price}");
    assert_eq!(declared(&schema, "data.to").types, BTreeSet::from([JsonType::String, JsonType::Integer]));
    let kind = declared(&schema, "data.kind");
    assert!(kind.required && kind.values == Some(vec!["a".into(), "b".into()]), "{kind}");
    assert_eq!(kind.further.keys().collect::<Vec<_>>(), ["not", "pattern"]);
    assert_eq!(field(&schema, "data.other"), FieldKind::Open);
}

#[test]
fn conditions_of_one_keyword_all_stay() {
    let choice = |least: u64| json!({"if": {"type": "string"}, "then": {"minLength": least}});
    let schema = json!({"properties": {"data": {"properties": {"a": {
        "pattern": "a", "allOf": [{"pattern": "b", "allOf": [choice(2)]}, choice(3)],
    }}}}});
    let check = declared(&schema, "data.a").check().unwrap();
    for (text, is_admitted) in [("ab", false), ("abc", true), ("bbb", false), ("aaa", false), ("xab", true)] {
        assert_eq!(check.admits(&text.into()), is_admitted, "{text}");
    }
}
