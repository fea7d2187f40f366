//! The values of one field, divided into cells: within one no test of the field changes, but for tests of a text.

use std::collections::BTreeSet;

use serde_json::Value;

use super::numbers::{self, Grain, Part};
use super::shape::Shape;
use crate::config::Operator;
use crate::routing::Field;
use crate::schemas::{Field as Declared, FieldKind, JsonType};

/// The values of one field that no test tells apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Missing,
    /// This value.
    Value(Value),
    /// Numbers around this one that compare like it.
    Near(Value),
    /// A string that no test names.
    Text,
    /// An array.
    List,
    /// An object.
    Object,
}

/// A test of the field, and what it says of a text.
pub(super) type Test<'a> = (&'a Field, Option<&'a Shape>);

/// What a test is of the values of a cell; none where it depends.
pub(super) fn truth((test, shape): Test<'_>, cell: &Cell, kind: &FieldKind) -> Option<bool> {
    match (cell, test.operator()) {
        (Cell::Missing, _) => Some(test.accepts(None)),
        (Cell::Value(value) | Cell::Near(value), _) => Some(test.accepts(Some(value))),
        (_, Operator::Exists) => Some(test.operand() == &Value::Bool(true)),
        (_, Operator::Ne) => Some(true),
        (
            Cell::Text,
            Operator::StartsWith | Operator::EndsWith | Operator::Glob | Operator::Regex | Operator::Contains,
        ) => truth_of_text(shape?, kind),
        (Cell::List, Operator::Contains) => None,
        _ => Some(false),
    }
}

/// What a test is of any text that no test names.
fn truth_of_text(shape: &Shape, kind: &FieldKind) -> Option<bool> {
    let Shape::Pieces(pieces) = shape else { return Some(false) };
    if pieces.is_anything() {
        return Some(true);
    }
    let FieldKind::Declared(declared) = kind else { return None };
    let most = declared.further.get("maxLength").and_then(Value::as_u64);
    if most.is_some_and(|most| pieces.length() as u64 > most) {
        return Some(false);
    }
    match Shape::of_regex(declared.further.get("pattern")?.as_str()?)? {
        Shape::Pieces(admitted) if admitted.imply(pieces) => Some(true),
        Shape::Pieces(admitted) if admitted.exclude(pieces) => Some(false),
        _ => None,
    }
}

/// How many characters a text of a field must have.
pub(super) fn least(kind: &FieldKind) -> usize {
    const MOST: usize = 1_024;
    let FieldKind::Declared(declared) = kind else { return 0 };
    let least = declared.further.get("minLength").and_then(Value::as_u64);
    least.and_then(|least| usize::try_from(least).ok()).unwrap_or(0).min(MOST)
}

/// The cells of a field of which the schema says this, divided by these tests.
pub(super) fn cells(kind: &FieldKind, tests: &[Test<'_>]) -> Vec<Cell> {
    const ALL: [JsonType; 6] =
        [JsonType::Null, JsonType::Boolean, JsonType::Number, JsonType::String, JsonType::Array, JsonType::Object];
    let declared = match kind {
        FieldKind::Declared(declared) => Some(declared),
        FieldKind::Undeclared { refused: true, .. } => return vec![Cell::Missing],
        FieldKind::Undeclared { .. } | FieldKind::Open => None,
    };
    let types: Vec<JsonType> = declared.map_or(ALL.to_vec(), |declared| declared.types.iter().copied().collect());
    let mut cells: Vec<Cell> = match declared.and_then(|declared| declared.values.as_ref()) {
        // The schema may list what the type does not admit.
        Some(values) => {
            let fits = |value: &&Value| types.iter().any(|kind| is_of(value, *kind));
            values.iter().filter(fits).cloned().map(Cell::Value).collect()
        }
        None => types.iter().flat_map(|kind| of_type(*kind, declared, tests)).collect(),
    };
    cells.retain(|cell| declared.is_none_or(|declared| is_within(cell, declared)));
    if let Some(check) = declared.filter(|_| !cells.is_empty()).and_then(Declared::check) {
        cells.retain(|cell| !matches!(cell, Cell::Value(value) if !check.admits(value)));
    }
    if !declared.is_some_and(|declared| declared.required) {
        cells.insert(0, Cell::Missing);
    }
    cells
}

fn of_type(kind: JsonType, declared: Option<&Declared>, tests: &[Test<'_>]) -> Vec<Cell> {
    let named = || tests.iter().flat_map(|(field, _)| named(field));
    match kind {
        JsonType::Null => vec![Cell::Value(Value::Null)],
        JsonType::Boolean => [true, false].map(|value| Cell::Value(Value::Bool(value))).into(),
        JsonType::Array => vec![Cell::List],
        JsonType::Object => vec![Cell::Object],
        JsonType::String => {
            let spelled = tests.iter().filter_map(|(_, shape)| *shape).flat_map(Shape::texts);
            let texts: BTreeSet<&str> = named().filter_map(Value::as_str).chain(spelled).collect();
            texts.into_iter().map(|text| Cell::Value(text.into())).chain([Cell::Text]).collect()
        }
        JsonType::Integer | JsonType::Number => {
            let bounds = declared.into_iter().flat_map(|declared| declared.limits.iter().map(|(_, bound)| bound));
            let points = named().filter_map(Value::as_number).chain(bounds).cloned().collect();
            let parts = numbers::parts(points, grain(kind, declared)).into_iter();
            parts
                .map(|part| match part {
                    Part::At(number) => Cell::Value(Value::Number(number)),
                    Part::Between(number) => Cell::Near(Value::Number(number)),
                })
                .collect()
        }
    }
}

fn grain(kind: JsonType, declared: Option<&Declared>) -> Grain {
    let step = declared.and_then(|declared| declared.further.get("multipleOf")?.as_u64());
    Grain { is_whole: kind == JsonType::Integer, step: step.filter(|step| *step > 0).map(i128::from) }
}

fn is_within(cell: &Cell, declared: &Declared) -> bool {
    match cell {
        Cell::Value(Value::Number(number)) | Cell::Near(Value::Number(number)) => {
            declared.limits.iter().all(|limit| numbers::is_within(number, limit))
        }
        _ => true,
    }
}

/// The values that a test names.
fn named(test: &Field) -> &[Value] {
    match (test.operator(), test.operand()) {
        (Operator::In, Value::Array(values)) => values,
        (Operator::StartsWith | Operator::EndsWith | Operator::Glob | Operator::Regex, _) => &[],
        (_, operand) => std::slice::from_ref(operand),
    }
}

fn is_of(value: &Value, kind: JsonType) -> bool {
    match kind {
        JsonType::Null => value.is_null(),
        JsonType::Boolean => value.is_boolean(),
        JsonType::Integer => value.as_number().is_some_and(numbers::is_whole),
        JsonType::Number => value.is_number(),
        JsonType::String => value.is_string(),
        JsonType::Array => value.is_array(),
        JsonType::Object => value.is_object(),
    }
}
