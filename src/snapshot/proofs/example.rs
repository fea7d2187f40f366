//! A small value that a JSON Schema is likely to admit: what it lists, or the least that it asks for.

use serde_json::{Map, Number, Value};

use super::text;

/// How deep a schema is followed.
const MAX_DEPTH: usize = 16;

/// An example of what `root` admits.
pub(super) fn of(root: &Value) -> Value {
    at(root, root, MAX_DEPTH).unwrap_or_else(|| Value::Object(Map::new()))
}

fn at(root: &Value, node: &Value, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let Some(schema) = node.as_object() else { return Some(Value::Null) };
    if let Some(listed) = listed(schema) {
        return Some(listed.clone());
    }
    let mut parts: Vec<Value> = Vec::new();
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        parts.extend(root.pointer(target.strip_prefix('#')?).and_then(|target| at(root, target, depth)));
    }
    for branch in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        parts.extend(at(root, branch, depth));
    }
    for keyword in ["anyOf", "oneOf"] {
        let branches = schema.get(keyword).and_then(Value::as_array);
        parts.extend(branches.and_then(|branches| branches.iter().find_map(|branch| at(root, branch, depth))));
    }
    if schema.contains_key("type") || schema.contains_key("properties") || schema.contains_key("required") {
        parts.push(plain(root, schema, depth)?);
    }
    // What several parts ask of an object is put together; of anything else the last one is as good as any.
    Some(parts.into_iter().reduce(merged).unwrap_or(Value::String("x".to_owned())))
}

fn merged(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Value::Object(first)
        }
        (_, second) => second,
    }
}

fn listed(schema: &Map<String, Value>) -> Option<&Value> {
    let first = |keyword: &str| schema.get(keyword).and_then(Value::as_array).and_then(|values| values.first());
    schema.get("const").or_else(|| first("enum")).or_else(|| schema.get("default")).or_else(|| first("examples"))
}

fn plain(root: &Value, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first()?.as_str()?,
        _ => "object",
    };
    let number = |keyword: &str| schema.get(keyword).and_then(Value::as_number);
    let count = |keyword: &str| number(keyword).and_then(Number::as_u64).unwrap_or(0).min(256) as usize;
    Some(match kind {
        "null" => Value::Null,
        "boolean" => Value::Bool(false),
        "string" => Value::String(string(schema, count("minLength"))),
        "array" => {
            let item = schema.get("items").and_then(|items| at(root, items, depth)).unwrap_or(Value::Null);
            Value::Array(vec![item; count("minItems")])
        }
        "integer" | "number" => {
            let above = number("exclusiveMinimum").and_then(Number::as_i64).map(|least| (least + 1).into());
            Value::Number(number("minimum").or(number("multipleOf")).cloned().or(above).unwrap_or_else(|| 1.into()))
        }
        _ => {
            let mut object = Map::new();
            for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                let name = name.as_str()?;
                let declared = schema.get("properties").and_then(|properties| properties.get(name));
                let value = declared.map_or(Some(Value::String("x".to_owned())), |declared| at(root, declared, depth));
                object.insert(name.to_owned(), value?);
            }
            Value::Object(object)
        }
    })
}

fn string(schema: &Map<String, Value>, least: usize) -> String {
    let keyword = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    if let Some(text) = keyword("pattern").and_then(text::regex) {
        return text;
    }
    let text = match keyword("format") {
        Some("date-time") => "2026-01-05T12:00:00Z",
        Some("date") => "2026-01-05",
        Some("time") => "12:00:00Z",
        Some("duration") => "PT1H",
        Some("email" | "idn-email") => "x@example.com",
        Some("hostname" | "idn-hostname") => "example.com",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uri" | "iri") => "https://example.com/",
        Some("uri-reference" | "iri-reference" | "json-pointer") => "/x",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "x",
    };
    format!("{text}{}", "x".repeat(least.saturating_sub(text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schemas_admit_their_examples() {
        for text in [
            include_str!("../../../schemas/order.updated.json"),
            include_str!("../../../schemas/security.alert.json"),
            include_str!("../../../schemas/chat.mention.json"),
            include_str!("../../../schemas/ops.broadcast.json"),
        ] {
            let schema: Value = serde_json::from_str(text).unwrap();
            let example = of(&schema);
            let validator = jsonschema::options().offline().build(&schema).unwrap();
            assert!(validator.is_valid(&example), "{example}");
        }
    }
}
