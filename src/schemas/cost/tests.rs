//! Schemas that cost too much, and their neighbours that do not.

use serde_json::json;

use super::*;

/// `levels` definitions, each the value that `make` makes of a reference to the next.
fn ladder(levels: usize, make: impl Fn(Value) -> Value) -> Value {
    let mut defs = Map::new();
    for level in 0..levels {
        defs.insert(format!("l{level}"), make(json!({"$ref": format!("#/$defs/l{}", level + 1)})));
    }
    defs.insert(format!("l{levels}"), json!({"type": "object"}));
    json!({"properties": {"data": {"$ref": "#/$defs/l0"}}, "$defs": defs})
}

fn named(schema: &Value) -> (String, String) {
    match check(schema) {
        Err(Costly::Applied { place, reference: Some((reference, times)) }) => {
            assert!(times > 100, "{times}");
            (place, reference)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ladder_of_pairs_is_refused_and_named() {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let schema = ladder(20, |next| json!({keyword: [next, next]}));
        assert_eq!(named(&schema), ("/data".into(), "#/$defs/l20".into()));
        assert_eq!(check(&ladder(7, |next| json!({keyword: [next, next]}))), Ok(vec![]));
    }
    let branches = ladder(20, |next| json!({"if": next, "then": next, "else": {"not": next}}));
    assert_eq!(named(&branches).0, "/data");
    let dependent = ladder(20, |next| json!({"dependentSchemas": {"a": next, "b": next}}));
    assert_eq!(named(&dependent).0, "/data");
    let unevaluated = ladder(20, |next| json!({"allOf": [next], "unevaluatedProperties": false}));
    assert_eq!(named(&unevaluated).0, "/data");
}

#[test]
fn pairs_that_meet_further_down_are_refused_too() {
    let twice =
        |below: fn(Value) -> Value| ladder(20, move |next| json!({"allOf": [below(next.clone()), below(next)]}));
    let place = |schema: &Value| named(schema).0;
    assert!(place(&twice(|next| json!({"properties": {"a": next}}))).starts_with("/data/a/a/"));
    assert!(place(&twice(|next| json!({"additionalProperties": next}))).starts_with("/data/*/*/"));
    assert!(place(&twice(|next| json!({"patternProperties": {"^x": next}}))).starts_with("/data/*/*/"));
    assert!(place(&twice(|next| json!({"items": next}))).starts_with("/data/*/*/"));
    assert!(place(&twice(|next| json!({"prefixItems": [{}, next]}))).starts_with("/data/1/1/"));
    let contains = ladder(20, |next| json!({"items": next, "contains": next}));
    assert!(place(&contains).starts_with("/data/*/*/"));
}

#[test]
fn a_recursion_that_doubles_with_each_level_is_refused() {
    let operands = json!({"left": {"$ref": "#/$defs/term"}, "right": {"$ref": "#/$defs/term"}});
    let of = |terms: Value| json!({"properties": {"data": {"$ref": "#/$defs/term"}}, "$defs": {"term": terms}});
    let doubling = of(json!({"oneOf": [{"properties": operands}, {"properties": operands}]}));
    assert_eq!(named(&doubling).1, "#/$defs/term");
    assert_eq!(check(&of(json!({"properties": operands, "anyOf": [{"required": ["left"]}]}))), Ok(vec![]));
    let tagged =
        json!([{"properties": {"add": {"$ref": "#/$defs/term"}}}, {"properties": {"not": {"$ref": "#/$defs/term"}}}]);
    assert_eq!(check(&of(json!({"oneOf": tagged}))), Ok(vec![]));
}

#[test]
fn a_reference_that_leads_back_in_one_place_is_endless() {
    let dynamic = json!({"$dynamicAnchor": "a", "not": {"$ref": "#/$defs/a"}});
    for (schema, reference) in [
        (json!({"$ref": "#"}), "#"),
        (json!({"allOf": [{"$ref": "#"}]}), "#"),
        (json!({"properties": {"data": {"anyOf": [{"$ref": "#/properties/data"}]}}}), "#/properties/data"),
        (json!({"$ref": "#/$defs/a/not", "$defs": {"a": {"not": {"allOf": [{"$ref": "#/$defs/a"}]}}}}), "#/$defs/a"),
        (json!({"properties": {"data": {"$dynamicRef": "#a"}}, "$defs": {"a": dynamic}}), "#/$defs/a"),
    ] {
        assert_eq!(check(&schema), Err(Costly::Endless { reference: reference.into() }), "{schema}");
    }
}

#[test]
fn references_are_followed_however_they_are_written() {
    let pairs = |reference: &str| json!({"allOf": vec![json!({"$ref": reference}); 40]});
    for (outer, inner) in [("#outer", "#inner"), ("x/outer", "#inner"), ("#/$defs/outer", "x/outer#inner")] {
        let schema = json!({"properties": {"data": pairs(outer)}, "$defs": {"outer": {
            "$id": "x/outer", "$anchor": "outer", "allOf": [pairs(inner)],
            "$defs": {"inner": {"$anchor": "inner", "type": "object"}}
        }}});
        assert_eq!(named(&schema), ("/data".into(), inner.into()));
    }
    assert_eq!(check(&json!({"$ref": "https://example.com/a"})), Ok(vec!["https://example.com/a".into()]));
}

#[test]
fn the_check_itself_ends() {
    let chain: Map<_, _> =
        (0..5_000).map(|n| (format!("l{n}"), json!({"$ref": format!("#/$defs/l{}", n + 1)}))).collect();
    let chain = json!({"$ref": "#/$defs/l0", "$defs": chain});
    assert!(matches!(check(&chain), Err(Costly::Applied { reference: None, .. })));
    let wide: Map<_, _> = (0..5_000).map(|n| (format!("p{n}"), json!({"type": "string"}))).collect();
    let wide = json!({"properties": {"data": {"properties": wide}}});
    assert_eq!(check(&wide), Ok(vec![]));
    let mut both = vec![json!({"additionalProperties": {}}); 300];
    both.push(wide["properties"]["data"].clone());
    let both = json!({"allOf": both});
    assert_eq!(check(&both), Err(Costly::Unclear));
}

#[test]
fn what_the_product_ships_is_cheap() {
    for text in [
        include_str!("../../../schemas/order.updated.json"),
        include_str!("../../../schemas/security.alert.json"),
        include_str!("../../../schemas/chat.mention.json"),
        include_str!("../../../schemas/ops.broadcast.json"),
    ] {
        assert_eq!(check(&serde_json::from_str(text).unwrap()), Ok(vec![]));
    }
}
