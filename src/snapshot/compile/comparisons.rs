//! Comparisons against the schemas: operators and values that a field's type does not have.

use std::fmt::Write as _;

use serde_json::Value;

use super::Cx;
use super::rules::Declared;
use crate::config::{At, Code, Condition, Diagnostic, Operator, Span};
use crate::notification::TypeName;
use crate::routing::same;
use crate::schemas::{Field, FieldKind, JsonType};

/// Every operator that a field of some type can have.
const OPERATORS: [Operator; 13] = [
    Operator::Eq,
    Operator::Ne,
    Operator::In,
    Operator::Gt,
    Operator::Gte,
    Operator::Lt,
    Operator::Lte,
    Operator::Exists,
    Operator::StartsWith,
    Operator::EndsWith,
    Operator::Glob,
    Operator::Regex,
    Operator::Contains,
];

/// Why a comparison can never hold, or never fail.
enum Misfit<'a> {
    /// No value of the field can be compared like this.
    Operator,
    /// The field has another type than this value.
    Type(&'a Value),
    /// The schema lists the field's values, and this is none of them.
    Value(&'a Value),
}

impl Cx {
    /// A comparison that fits none of `types` is a slip of the pen. One that fits some of them is a way to choose.
    pub(super) fn check_comparisons(&mut self, condition: &Condition, types: &[&TypeName], declared: &Declared<'_>) {
        match condition {
            Condition::All(inner) | Condition::Any(inner) => {
                inner.iter().for_each(|condition| self.check_comparisons(condition, types, declared));
            }
            Condition::Not(inner) => self.check_comparisons(inner, types, declared),
            // What a rule says of the type is what chose these types.
            Condition::Field { path, operator, operands, .. } if path.value != "type" => {
                self.check_comparison(path, *operator, operands, types, declared);
            }
            Condition::Field { .. } | Condition::During(_) | Condition::NotDuring(_) | Condition::Faulty(_) => {}
        }
    }

    fn check_comparison(
        &mut self,
        path: &At<String>,
        operator: Operator,
        operands: &[At<Value>],
        types: &[&TypeName],
        declared: &Declared<'_>,
    ) {
        let kinds: Vec<_> = types.iter().map(|type_name| (*type_name, declared.field(type_name, path))).collect();
        let mut fields = Vec::new();
        for (type_name, kind) in &kinds {
            match &**kind {
                FieldKind::Declared(field) => fields.push((*type_name, field)),
                // That it is not there is told already.
                FieldKind::Undeclared { .. } => {}
                FieldKind::Open => return,
            }
        }
        for operand in operands {
            let misfits: Vec<_> = fields.iter().filter_map(|(_, field)| misfit(operator, operand, field)).collect();
            if misfits.len() == fields.len()
                && let (Some(first), Some(why)) = (fields.first(), misfits.first())
            {
                let others = fields[1..].iter().map(|(name, _)| *name);
                let finding = describe(path, operator, operand.span, *first, why);
                self.push_once(&format!("{} {}", path.value, operand.value), with_others(finding, others));
                if matches!(why, Misfit::Operator) {
                    return; // So it is for the others.
                }
            }
        }
    }
}

fn misfit<'a>(operator: Operator, operand: &'a Value, field: &Field) -> Option<Misfit<'a>> {
    if !field.types.iter().any(|kind| takes(*kind, operator)) {
        return Some(Misfit::Operator);
    }
    let is_equality = matches!(operator, Operator::Eq | Operator::Ne | Operator::In);
    if is_equality && !field.types.iter().any(|kind| may_equal(*kind, operand)) {
        return Some(Misfit::Type(operand));
    }
    let is_listed = |values: &Vec<Value>| values.iter().any(|value| same(value, operand));
    (is_equality && field.values.as_ref().is_some_and(|values| !is_listed(values))).then_some(Misfit::Value(operand))
}

/// Whether a value of this type can be compared by `operator`.
fn takes(kind: JsonType, operator: Operator) -> bool {
    match operator {
        // An order of words is only in `priority`, which was looked at when it was read.
        Operator::Exists | Operator::AtLeast => true,
        Operator::Eq | Operator::Ne | Operator::In => !matches!(kind, JsonType::Array | JsonType::Object),
        Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
            matches!(kind, JsonType::Integer | JsonType::Number)
        }
        Operator::StartsWith | Operator::EndsWith | Operator::Glob | Operator::Regex => kind == JsonType::String,
        Operator::Contains => matches!(kind, JsonType::String | JsonType::Array),
    }
}

fn may_equal(kind: JsonType, value: &Value) -> bool {
    match (kind, value) {
        (JsonType::Boolean, Value::Bool(_))
        | (JsonType::Number, Value::Number(_))
        | (JsonType::String, Value::String(_)) => true,
        (JsonType::Integer, Value::Number(number)) => number.as_f64().is_none_or(|number| number.fract() == 0.0),
        _ => false,
    }
}

fn describe(
    path: &At<String>,
    operator: Operator,
    span: Span,
    (type_name, field): (&TypeName, &Field),
    why: &Misfit<'_>,
) -> Diagnostic {
    let (path, kinds, word) = (&path.value, field.kinds(), operator.as_str());
    match why {
        Misfit::Operator => {
            let message = format!("`{word}` does not fit `{path}`, which is {kinds} in the schema of `{type_name}`");
            let fitting = OPERATORS.iter().filter(|operator| field.types.iter().any(|kind| takes(*kind, **operator)));
            let words: Vec<_> = fitting.map(|operator| format!("`{}`", operator.as_str())).collect();
            Diagnostic::error(Code::Misfit, span, message).help(format!("allowed are {}", words.join(", ")))
        }
        Misfit::Type(operand) => {
            let message = format!("`{path}` is {kinds} in the schema of `{type_name}`, and never {operand}");
            let finding = Diagnostic::error(Code::Misfit, span, message);
            match operand.as_str().filter(|text| serde_json::from_str::<Value>(text).is_ok()) {
                Some(text) if !field.types.contains(&JsonType::String) => {
                    finding.help(format!("without quotes it would be one: {text}"))
                }
                _ => finding,
            }
        }
        Misfit::Value(operand) => {
            let message = format!("`{path}` is never {operand}: the schema of `{type_name}` lists its values");
            let finding = Diagnostic::error(Code::NeverValue, span, message);
            let values = field.values.as_deref().unwrap_or_default();
            let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let values: Vec<_> = values.iter().map(shown).collect();
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            finding.one_of(&shown(operand), &values)
        }
    }
}

fn with_others<'a>(finding: Diagnostic, others: impl Iterator<Item = &'a TypeName>) -> Diagnostic {
    let mut note = String::new();
    for name in others {
        let _ = write!(note, "{}`{name}`", if note.is_empty() { "it fits no other type either: " } else { ", " });
    }
    if note.is_empty() { finding } else { finding.note(note) }
}
