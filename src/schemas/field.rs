//! What a schema says about one field, for those who check rules against it. Where it is unsure it says so.

use std::collections::BTreeSet;

use serde_json::{Number, Value};

use crate::notification::{MEMBERS, Priority, TypeName};

/// Longest chain of `$ref` that is followed.
const MAX_REFS: usize = 16;

/// What a schema says about the value at a path.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    /// It is declared.
    Declared(Field),
    /// It is not declared.
    Undeclared {
        /// The names that are declared in its place.
        known: Vec<String>,
        /// Whether the schema refuses a notification that has it; otherwise it is only not spoken of.
        refused: bool,
    },
    /// The schema says too little to tell, or says it in a way that is not followed here.
    Open,
}

/// What is known of a declared value. The schema may demand more than this, never less.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Whether every valid notification has it, which needs each object on the way to be required as well.
    pub required: bool,
    /// The types that it may have.
    pub types: BTreeSet<JsonType>,
    /// The only values that it may have, where the schema lists them.
    pub values: Option<Vec<Value>>,
    /// The smallest and the greatest number that it may be, where the schema says so. What `exclusiveMinimum` and
    /// `exclusiveMaximum` name counts in.
    pub range: [Option<Number>; 2],
}

/// A type of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JsonType {
    /// `null`
    Null,
    /// `boolean`
    Boolean,
    /// A number without a fraction.
    Integer,
    /// Any number, integers included.
    Number,
    /// `string`
    String,
    /// `array`
    Array,
    /// `object`
    Object,
}

/// The schema of a member that a schema does not speak of.
const ANYTHING: &Value = &Value::Bool(true);

/// What the schema `root` of `type_name` says about the value at `path`.
pub(super) fn find(root: &Value, type_name: &TypeName, path: &[impl AsRef<str>]) -> FieldKind {
    let Some((member, rest)) = path.split_first() else { return FieldKind::Open };
    let Some(always) = envelope(type_name, member.as_ref()) else {
        return FieldKind::Undeclared { known: MEMBERS.map(str::to_owned).to_vec(), refused: true };
    };
    let (mut node, mut field) = match step(root, root, member.as_ref()) {
        Ok((node, declared)) => (node, always.narrowed(declared)),
        Err(refused @ FieldKind::Undeclared { refused: true, .. }) => return refused,
        Err(_) => (ANYTHING, always),
    };
    for key in rest {
        if !field.types.contains(&JsonType::Object) {
            return FieldKind::Undeclared { known: Vec::new(), refused: true };
        }
        let certain = field.required && field.types.len() == 1;
        (node, field) = match step(root, node, key.as_ref()) {
            Ok(next) => next,
            Err(kind) => return kind,
        };
        field.required &= certain;
    }
    FieldKind::Declared(field)
}

/// The facts about a member that hold for every notification; `None` for what is no member.
fn envelope(type_name: &TypeName, member: &str) -> Option<Field> {
    use JsonType::{Array, Number, Object, String};
    let optional = |types: &[JsonType]| Field {
        required: false,
        types: types.iter().copied().collect(),
        values: None,
        range: [None, None],
    };
    let always = |values| Field { required: true, values: Some(values), ..optional(&[String]) };
    Some(match member {
        "type" => always(vec![type_name.as_str().into()]),
        "priority" => always(Priority::ALL.iter().map(|priority| priority.as_str().into()).collect()),
        "userId" | "title" | "message" | "source" | "collapseKey" | "id" => optional(&[String]),
        "tags" => optional(&[Array]),
        "ttl" => optional(&[Number, String]),
        "data" => optional(&[Object]),
        _ => return None,
    })
}

impl Field {
    /// Both this and what a schema declares. The schema's values are taken as they stand: what they allow beyond
    /// this no notification has.
    fn narrowed(self, declared: Self) -> Self {
        let types = if declared.types.is_subset(&self.types) { declared.types } else { self.types };
        Self {
            required: self.required || declared.required,
            types,
            values: declared.values.or(self.values),
            range: declared.range,
        }
    }
}

/// The schema of the property `key` of the object that `node` describes, and what it says, `required` being whether
/// that object must have it.
fn step<'a>(root: &'a Value, node: &'a Value, key: &str) -> Result<(&'a Value, Field), FieldKind> {
    let object = resolve(root, node).ok_or(FieldKind::Open)?;
    let property = object.get("properties").and_then(|properties| properties.get(key));
    let property = property.ok_or_else(|| absent(object))?;
    let schema = resolve(root, property).ok_or(FieldKind::Open)?;
    if schema == &Value::Bool(false) {
        return Err(FieldKind::Undeclared { known: names(object), refused: true });
    }
    Ok((
        schema,
        Field { required: requires(object, key), types: types(schema), values: values(schema), range: range(schema) },
    ))
}

/// The schema that `node` stands for: itself, or where its local `$ref` leads. `None` where that is not clear: beside
/// a `$ref` that has constraints of its own, and where `$id` changes what references mean.
fn resolve<'a>(root: &'a Value, mut node: &'a Value) -> Option<&'a Value> {
    for _ in 0..MAX_REFS {
        let dynamic = |keyword: &&str| node.get(keyword).is_some();
        if renames(root, node) || ["$dynamicRef", "$recursiveRef"].iter().any(dynamic) {
            return None;
        }
        let Some(reference) = node.get("$ref") else { return Some(node) };
        let constraint = |key: &String| !matches!(key.as_str(), "$ref" | "$comment" | "title" | "description");
        if node.as_object()?.keys().any(constraint) {
            return None;
        }
        node = follow(root, reference.as_str()?.strip_prefix('#')?)?;
    }
    None
}

/// Whether references mean something else in `node` than in `root`.
fn renames(root: &Value, node: &Value) -> bool {
    node.get("$id").is_some() && !std::ptr::eq(node, root)
}

/// What a JSON Pointer leads to. `None` also where it leads through what references mean something else in.
fn follow<'a>(root: &'a Value, pointer: &str) -> Option<&'a Value> {
    // Percent-encoded it names another place than it spells.
    let ends = pointer.match_indices('/').map(|(end, _)| end).chain([pointer.len()]);
    let clear =
        !pointer.contains('%') && !ends.filter_map(|end| root.pointer(&pointer[..end])).any(|node| renames(root, node));
    if clear { root.pointer(pointer) } else { None }
}

fn names(object: &Value) -> Vec<String> {
    let properties = object.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}

fn requires(object: &Value, key: &str) -> bool {
    object.get("required").and_then(Value::as_array).is_some_and(|required| required.iter().any(|name| name == key))
}

/// What to make of a key that `object` does not declare.
fn absent(object: &Value) -> FieldKind {
    /// Each can admit properties that `properties` does not name.
    const ELSEWHERE: [&str; 9] = [
        "patternProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "dependentSchemas",
        "propertyNames",
        "unevaluatedProperties",
    ];
    let has = |keyword: &str| object.get(keyword).is_some();
    match object.get("additionalProperties") {
        // Not even another branch can admit it, as this keyword sees only the properties beside it.
        Some(Value::Bool(false)) if !has("patternProperties") => {
            FieldKind::Undeclared { known: names(object), refused: true }
        }
        None if has("properties") && !ELSEWHERE.into_iter().any(has) => {
            FieldKind::Undeclared { known: names(object), refused: false }
        }
        _ => FieldKind::Open,
    }
}

/// The types that a value may have, from `type`, else from the values that it may have, else all.
fn types(schema: &Value) -> BTreeSet<JsonType> {
    let named = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => match values(schema) {
            Some(values) => return values.iter().map(type_of).collect(),
            None => vec!["null", "boolean", "number", "string", "array", "object"],
        },
    };
    named.into_iter().filter_map(JsonType::parse).collect()
}

/// The values that `const` or `enum` allow.
fn values(schema: &Value) -> Option<Vec<Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value.clone()]),
        (None, Some(Value::Array(values))) => Some(values.clone()),
        _ => None,
    }
}

/// The bounds of a number. Where both keywords of one side are there, the laxer one would do, and either is right.
fn range(schema: &Value) -> [Option<Number>; 2] {
    [["minimum", "exclusiveMinimum"], ["maximum", "exclusiveMaximum"]]
        .map(|keywords| keywords.iter().find_map(|keyword| schema.get(keyword)?.as_number().cloned()))
}

fn type_of(value: &Value) -> JsonType {
    match value {
        Value::Null => JsonType::Null,
        Value::Bool(_) => JsonType::Boolean,
        Value::Number(number) if number.is_f64() => JsonType::Number,
        Value::Number(_) => JsonType::Integer,
        Value::String(_) => JsonType::String,
        Value::Array(_) => JsonType::Array,
        Value::Object(_) => JsonType::Object,
    }
}

impl JsonType {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "string" => Self::String,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
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
        let schema = shipped(include_str!("../../schemas/order.updated.json"));
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
                range: total.range.clone()
            }
        );
        assert!(declared(&schema, "data.seller_team_id").required, "through a $ref");
        assert!(!declared(&schema, "data.currency").required);
        assert!(declared(&schema, "userId").required);
    }

    #[test]
    fn what_is_not_declared_comes_with_the_names_that_are() {
        let schema = shipped(include_str!("../../schemas/order.updated.json"));
        let FieldKind::Undeclared { known, refused } = field(&schema, "data.statuss") else { panic!() };
        assert!(refused && known.contains(&"status".to_owned()));
        let FieldKind::Undeclared { known, refused } = field(&schema, "titel") else { panic!() };
        assert!(refused && known.contains(&"title".to_owned()));
        assert!(matches!(field(&schema, "data.status.x"), FieldKind::Undeclared { refused: true, .. }));
        assert!(matches!(field(&schema, "title.x"), FieldKind::Undeclared { refused: true, .. }));
        let silent = json!({"properties": {"data": {"properties": {"a": {}}}}});
        assert!(matches!(field(&silent, "data.b"), FieldKind::Undeclared { refused: false, .. }));
        let none = shipped(include_str!("../../schemas/ops.broadcast.json"));
        assert!(matches!(field(&none, "userId"), FieldKind::Undeclared { refused: true, .. }));
    }

    #[test]
    fn the_members_of_every_notification_need_no_schema() {
        let priority = declared(&json!({}), "priority");
        assert!(priority.required);
        assert_eq!(priority.values.unwrap().len(), 4);
        assert_eq!(declared(&json!({}), "type").values.unwrap(), ["order.updated"]);
        assert!(!declared(&json!({}), "userId").required);
        let urgent = shipped(include_str!("../../schemas/security.alert.json"));
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
            data(json!({"allOf": [{"properties": {"a": {}}}], "properties": {}})),
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
            assert_eq!(field(&schema, "data.a"), FieldKind::Open, "{schema}");
        }
    }
}
