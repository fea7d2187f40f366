//! A small value that a JSON Schema is likely to admit: what it lists, or the least that it asks for.

use serde_json::{Map, Number, Value};

use super::candidates;
use super::numbers::{Grain, Part, is_within, parts};
use crate::schemas::{self, Check};

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
    let count = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).unwrap_or(0).min(256) as usize;
    Some(match kind {
        "null" => Value::Null,
        "boolean" => admitted(schema, [false, true].map(Value::from)),
        "string" => admitted(schema, strings(schema, count("minLength")).into_iter().map(Value::from)),
        "array" => {
            let item = schema.get("items").and_then(|items| at(root, items, depth)).unwrap_or(Value::Null);
            Value::Array(vec![item; count("minItems")])
        }
        "integer" | "number" => admitted(schema, numbers(schema, kind).into_iter().map(Value::Number)),
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

/// The first of these that is all that a schema asks for, else the first.
fn admitted(schema: &Map<String, Value>, values: impl IntoIterator<Item = Value>) -> Value {
    let mut values = values.into_iter().peekable();
    let first = values.peek().cloned().unwrap_or_default();
    match Check::of(&Value::Object(schema.clone())) {
        Some(check) => values.find(|value| check.admits(value)).unwrap_or(first),
        None => first,
    }
}

/// Numbers within the bounds of a schema.
fn numbers(schema: &Map<String, Value>, kind: &str) -> Vec<Number> {
    let limits = schemas::limits(schema);
    let step = schema.get("multipleOf").and_then(Value::as_number);
    let mut points: Vec<Number> = limits.iter().map(|(_, bound)| bound.clone()).collect();
    // What is a multiple of a fraction is looked for at the first ones beyond each bound.
    if let Some(step) = step.and_then(Number::as_f64) {
        let around = |bound: &Number| {
            let next = (bound.as_f64().unwrap_or_default() / step).floor() * step;
            [next, next + step].map(Number::from_f64)
        };
        let multiples: Vec<_> = points.iter().flat_map(around).flatten().collect();
        points.extend(multiples);
    }
    let step = step.and_then(Number::as_i128).filter(|step| *step > 0);
    let parts = parts(points, Grain { is_whole: kind == "integer", step }).into_iter();
    let numbers = parts.map(|part| match part {
        Part::At(number) | Part::Between(number) => number,
    });
    numbers.filter(|number| limits.iter().all(|limit| is_within(number, limit))).collect()
}

/// Texts of at least so many characters.
fn strings(schema: &Map<String, Value>, least: usize) -> Vec<String> {
    let keyword = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    let formatted = match keyword("format") {
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
    let mut texts = keyword("pattern").map(|pattern| candidates::of_pattern(pattern, least)).unwrap_or_default();
    texts.push(format!("{formatted}{}", "x".repeat(least.saturating_sub(formatted.len()))));
    texts
}

/// The schema of the value at `path`, as far as that is found by names and references.
pub(super) fn below<'a>(root: &'a Value, path: &[Box<str>]) -> Option<&'a Value> {
    let resolve = |node: &'a Value| match node.get("$ref").and_then(Value::as_str) {
        Some(target) => root.pointer(target.strip_prefix('#')?),
        None => Some(node),
    };
    path.iter().try_fold(root, |node, key| resolve(node)?.get("properties")?.get(&**key)).and_then(resolve)
}

/// Whether the object of which it is a member must have what is at `path`, as far as that is found.
pub(super) fn is_required(root: &Value, path: &[Box<str>]) -> bool {
    let Some((last, parents)) = path.split_last() else { return true };
    let required = below(root, parents).and_then(|node| node.get("required")?.as_array());
    required.is_some_and(|names| names.iter().any(|name| *name == **last))
}

/// An example of what `root` asks for at `path`.
pub(super) fn of_part(root: &Value, path: &[Box<str>]) -> Value {
    below(root, path).and_then(|node| at(root, node, MAX_DEPTH)).unwrap_or_else(|| Value::Object(Map::new()))
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
