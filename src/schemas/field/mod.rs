//! What a schema says about one field, for those who check rules against it. Where it is unsure it says so.

mod facts;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value, json};

pub use self::facts::{Field, FieldKind, JsonType, Limit};

use self::parts::Parts;
use crate::notification::{MEMBERS, Priority, TypeName};

/// How deep alternatives are looked into.
const MAX_DEPTH: usize = 4;
/// The schema of a member that a schema does not speak of.
const ANYTHING: &Value = &Value::Bool(true);

/// What the schema `root` of `type_name` says about the value at `path`.
pub(super) fn find(root: &Value, type_name: &TypeName, path: &[impl AsRef<str>]) -> FieldKind {
    let Some((member, rest)) = path.split_first() else { return FieldKind::Open };
    let Some(always) = envelope(type_name, member.as_ref()) else {
        let known = MEMBERS.map(str::to_owned).to_vec();
        return FieldKind::Undeclared { key: member.as_ref().to_owned(), known, refused: true };
    };
    let whole = Parts::of(root, [root]);
    let (mut parts, mut field) = match step(root, &whole, member.as_ref()) {
        Ok((parts, declared)) => (parts, always.narrowed(declared)),
        Err(refused @ FieldKind::Undeclared { refused: true, .. }) => return refused,
        Err(_) => {
            let required = always.required || whole.require(member.as_ref());
            (Parts::of(root, [ANYTHING]), Field { required, ..always })
        }
    };
    for key in rest {
        if !field.types.contains(&JsonType::Object) {
            return FieldKind::Undeclared { key: key.as_ref().to_owned(), known: Vec::new(), refused: true };
        }
        let certain = field.required && field.types.len() == 1;
        (parts, field) = match step(root, &parts, key.as_ref()) {
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
    let text = |least: usize| Field {
        further: Map::from_iter([("minLength".to_owned(), least.into())]),
        ..optional(&[String])
    };
    let always = |values| Field { required: true, values: Some(values), ..optional(&[String]) };
    Some(match member {
        "type" => always(vec![type_name.as_str().into()]),
        "priority" => always(Priority::ALL.iter().map(|priority| priority.as_str().into()).collect()),
        // Each has a character at least.
        "userId" | "title" | "message" | "source" | "collapseKey" | "id" => text(1),
        "tags" => optional(&[Array]),
        "ttl" => optional(&[Number, String]),
        "data" => optional(&[Object]),
        _ => return None,
    })
}

impl Field {
    /// Both this and another. Of two lists of values the other's is taken: what it allows beyond this is refused.
    fn narrowed(self, other: Self) -> Self {
        let mut further = other.further;
        let mut more = Vec::new();
        for (keyword, value) in self.further {
            match further.get(&keyword) {
                Some(same) if *same == value => {}
                Some(_) => more.push(json!({ keyword: value })),
                None => drop(further.insert(keyword, value)),
            }
        }
        if !more.is_empty() {
            let all = further.get("allOf").and_then(Value::as_array).cloned().unwrap_or_default();
            further.insert("allOf".to_owned(), [all, more].concat().into());
        }
        Self {
            required: self.required || other.required,
            types: common(&self.types, other.types),
            values: other.values.or(self.values),
            limits: [self.limits, other.limits].concat(),
            further,
        }
    }

    /// Whatever a schema says no more of.
    #[must_use]
    pub fn anything() -> Self {
        let types = JsonType::ALL.into_iter().collect();
        Self { required: false, types, values: None, limits: Vec::new(), further: Map::new() }
    }
}

/// The schemas of the property `key` of the object that `object` describes, and what they say, `required` being whether
/// that object must have it.
fn step<'a>(root: &'a Value, object: &Parts<'a>, key: &str) -> Result<(Parts<'a>, Field), FieldKind> {
    let declared = object.properties(key);
    if object.refuse(key) || declared.contains(&&Value::Bool(false)) {
        return Err(FieldKind::Undeclared { key: key.to_owned(), known: object.names(key), refused: true });
    }
    let required = object.require(key);
    if declared.is_empty() && !required {
        return Err(object.absent(key));
    }
    let parts = Parts::of(root, if declared.is_empty() { vec![ANYTHING] } else { declared });
    let field = Field { required, ..parts.field(root, MAX_DEPTH) };
    Ok((parts, field))
}

/// The types of which a value is that has a type of each; those of the first where that is none.
fn common(one: &BTreeSet<JsonType>, other: BTreeSet<JsonType>) -> BTreeSet<JsonType> {
    let is_in = |kind: &JsonType, types: &BTreeSet<JsonType>| {
        types.contains(kind) || *kind == JsonType::Integer && types.contains(&JsonType::Number)
    };
    let both: BTreeSet<_> = one.union(&other).filter(|kind| is_in(kind, one) && is_in(kind, &other)).copied().collect();
    if both.is_empty() { one.clone() } else { both }
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

/// What a schema bounds a number by.
#[must_use]
pub fn limits(schema: &Map<String, Value>) -> Vec<(Limit, Number)> {
    let limit = |(limit, keyword)| Some((limit, schema.get(keyword)?.as_number()?.clone()));
    Limit::ALL.into_iter().filter_map(limit).collect()
}

/// What is asked of a value beyond its type, bounds and list, but for what refers to somewhere.
pub(super) fn further(schema: &Value) -> Map<String, Value> {
    /// Each is a condition for itself.
    const KEYWORDS: [&str; 9] =
        ["multipleOf", "minLength", "maxLength", "pattern", "format", "not", "anyOf", "oneOf", "allOf"];
    /// These are one condition together.
    const CHOICE: [&str; 3] = ["if", "then", "else"];
    let part = |keywords: &[&str]| -> Map<String, Value> {
        let found = keywords.iter().filter_map(|keyword| Some(((*keyword).to_owned(), schema.get(keyword)?.clone())));
        found.collect()
    };
    let mut further = part(&KEYWORDS);
    further.retain(|_, value| !refers(value));
    let choice = part(&CHOICE);
    if choice.contains_key("if") && !choice.values().any(refers) {
        let all = further.entry("allOf").or_insert_with(|| json!([]));
        all.as_array_mut().into_iter().for_each(|all| all.push(choice.clone().into()));
    }
    further
}

/// Whether a part of a schema stands for more than is written in it.
fn refers(part: &Value) -> bool {
    match part {
        Value::Object(members) => members.iter().any(|(key, value)| key.starts_with('$') || refers(value)),
        Value::Array(elements) => elements.iter().any(refers),
        _ => false,
    }
}
