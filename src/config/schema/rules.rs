//! Rules, conditions, tests and invariants in the schema of a configuration.

use serde_json::{Map, Value, json};

use super::names::Names;
use super::{boolean, filled, list, one_of, reference, table, words};
use crate::notification::{Priority, Reason};

/// What may stand beside the name of a member, and what its operators compare with.
struct Member {
    /// A single value.
    value: Value,
    /// Operators with a single value.
    single: &'static [&'static str],
    /// Operators with a number.
    numeric: &'static [&'static str],
    /// Operators with a text.
    textual: &'static [&'static str],
    /// Whether it equals a value, or one of several.
    has_equality: bool,
}

const TEXTUAL: &[&str] = &["starts_with", "ends_with", "glob", "regex"];
/// Those of a text whose parts are texts too.
const OF_TEXTS: &[&str] = &["contains", "starts_with", "ends_with", "glob", "regex"];

impl Member {
    /// A value, a list of values, or a table of operators.
    fn schema(self) -> Value {
        let mut operators = Map::from_iter([("exists".to_owned(), boolean())]);
        operators.extend(self.single.iter().map(|word| ((*word).to_owned(), self.value.clone())));
        operators.extend(self.numeric.iter().map(|word| ((*word).to_owned(), json!({ "type": "number" }))));
        operators.extend(self.textual.iter().map(|word| ((*word).to_owned(), reference("text"))));
        if self.has_equality {
            operators.insert("in".to_owned(), filled(&self.value));
        }
        let comparison = json!({
            "type": "object",
            "properties": operators,
            "minProperties": 1,
            "additionalProperties": false,
        });
        match self.has_equality {
            true => json!({ "anyOf": [&self.value, filled(&self.value), comparison] }),
            false => comparison,
        }
    }
}

fn text(value: Value) -> Value {
    Member { value, single: &["eq", "ne"], numeric: &[], textual: OF_TEXTS, has_equality: true }.schema()
}

/// `when` and `for_all`.
pub(super) fn condition(names: &Names) -> Value {
    let priority = words(&Priority::ALL.map(Priority::as_str));
    let priority =
        Member { value: priority, single: &["eq", "ne", "at_least"], numeric: &[], textual: &[], has_equality: true };
    let tags =
        Member { value: reference("text"), single: &["contains"], numeric: &[], textual: &[], has_equality: false };
    let data = Member {
        value: json!({ "type": ["string", "number", "boolean"] }),
        single: &["eq", "ne", "contains"],
        numeric: &["gt", "gte", "lt", "lte"],
        textual: TEXTUAL,
        has_equality: true,
    };
    json!({
        "type": "object",
        "properties": {
            "any": filled(&reference("condition")),
            "all": filled(&reference("condition")),
            "not": reference("condition"),
            "during": names.window(),
            "not_during": names.window(),
            "type": text(names.type_()),
            "priority": priority.schema(),
            "userId": text(reference("text")),
            "source": text(reference("text")),
            "tags": tags.schema(),
        },
        "patternProperties": { "^data(\\.[^.]+)+$": data.schema() },
        "additionalProperties": false,
    })
}

/// `[[rules]]`.
pub(super) fn rule(names: &Names) -> Value {
    let keys = json!({
        "name": reference("name"),
        "priority": { "type": "integer" },
        "when": reference("condition"),
        "filter": names.plugin(),
        "to": filled(&names.target()),
        "drop": reference("name"),
        "then": words(&["stop", "continue"]),
    });
    one_of(table("[[rules]]", &["name", "priority", "when"], keys), &["to", "drop"])
}

/// `[[tests]]`.
pub(super) fn test(names: &Names) -> Value {
    let expected = json!({
        "rules": list(&names.rule()),
        "channels": list(&reference("text")),
        "dropped": reference("text"),
        "refused": words(&Reason::refusals()),
    });
    let mut expected = table("`expect`", &[], expected);
    expected["minProperties"] = 1.into();
    let keys = json!({
        "name": reference("text"),
        "given": { "type": "object", "properties": { "type": names.type_of_a_test() } },
        // With an offset, or a local time; also where TOML has a datetime of its own.
        "at": { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:" },
        "timezone": reference("text"),
        "stub": { "type": "object", "propertyNames": names.plugin(), "additionalProperties": {
            "type": "string", "pattern": "^(pass|drop|drop:.+|error)$",
        } },
        "expect": expected,
    });
    table("[[tests]]", &["name", "given", "expect"], keys)
}

/// `[[invariants]]`.
pub(super) fn invariant(names: &Names) -> Value {
    let keys = json!({
        "for_all": reference("condition"),
        "must_reach": names.channel(),
        "must_never_reach": names.channel(),
        "must_not_drop": { "const": true },
    });
    one_of(table("[[invariants]]", &["for_all"], keys), &["must_reach", "must_never_reach", "must_not_drop"])
}
