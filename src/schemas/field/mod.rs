//! What a schema says about one field, for those who check rules against it. Where it is unsure it says so.

mod facts;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

pub use self::facts::{Field, FieldKind, JsonType, Limit};

use crate::notification::{MEMBERS, Priority, TypeName};

/// Longest chain of `$ref` that is followed.
const MAX_REFS: usize = 16;

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
        Err(_) => (ANYTHING, Field { required: always.required || requires(root, member.as_ref()), ..always }),
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
        limits: Vec::new(),
        further: Map::new(),
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
            ..declared
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
        Field {
            required: requires(object, key),
            types: types(schema),
            values: values(schema),
            limits: limits(schema),
            further: further(schema),
        },
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
            Some(values) => return values.iter().map(JsonType::of).collect(),
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

/// The bounds of a number.
fn limits(schema: &Value) -> Vec<(Limit, Number)> {
    let limit = |(limit, keyword)| Some((limit, schema.get(keyword)?.as_number()?.clone()));
    Limit::ALL.into_iter().filter_map(limit).collect()
}

/// What is asked of a value beyond its type, bounds and list, but for what refers to somewhere.
fn further(schema: &Value) -> Map<String, Value> {
    /// Each is a condition for itself, but for the last three.
    const KEYWORDS: [&str; 12] = [
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "not",
        "anyOf",
        "oneOf",
        "allOf",
        "if",
        "then",
        "else",
    ];
    let found = KEYWORDS.iter().filter_map(|keyword| Some(((*keyword).to_owned(), schema.get(keyword)?.clone())));
    let mut found: Map<String, Value> = found.collect();
    if ["if", "then", "else"].iter().any(|keyword| found.get(*keyword).is_some_and(refers)) {
        found.retain(|keyword, _| !matches!(keyword.as_str(), "if" | "then" | "else"));
    }
    found.retain(|_, value| !refers(value));
    found
}

/// Whether a part of a schema stands for more than is written in it.
fn refers(part: &Value) -> bool {
    match part {
        Value::Object(members) => members.iter().any(|(key, value)| key.starts_with('$') || refers(value)),
        Value::Array(elements) => elements.iter().any(refers),
        _ => false,
    }
}
