//! `when` and `for_all`: which notifications. Keys are paths, values are what is compared with.

use serde_json::Value;

use crate::config::diagnostic::quoted;
use crate::config::table::Item;
use crate::config::{At, Code, Condition, Diagnostic, Fault, Operator};
use crate::notification::Priority;

const OPERATORS: [(&str, Operator); 14] = [
    ("eq", Operator::Eq),
    ("ne", Operator::Ne),
    ("in", Operator::In),
    ("gt", Operator::Gt),
    ("gte", Operator::Gte),
    ("lt", Operator::Lt),
    ("lte", Operator::Lte),
    ("at_least", Operator::AtLeast),
    ("exists", Operator::Exists),
    ("starts_with", Operator::StartsWith),
    ("ends_with", Operator::EndsWith),
    ("glob", Operator::Glob),
    ("regex", Operator::Regex),
    ("contains", Operator::Contains),
];

impl Operator {
    /// The word that stands for it in a configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        OPERATORS.iter().find(|(_, operator)| *operator == self).map_or("", |(word, _)| *word)
    }
}

/// The members that a path may start with, and what their values are.
const MEMBERS: [(&str, Member); 6] = [
    ("type", Member::Text),
    ("priority", Member::Priority),
    ("userId", Member::Text),
    ("source", Member::Text),
    ("tags", Member::Texts),
    ("data", Member::Open),
];

/// The keys of a condition that are no paths.
const RESERVED: [&str; 5] = ["any", "all", "not", "during", "not_during"];

/// Which operators fit a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    /// A string.
    Text,
    /// One of four words, in order.
    Priority,
    /// An array of strings.
    Texts,
    /// `data.*`: whatever the type's schema says, which is not known here.
    Open,
}

impl Member {
    fn takes(self, operator: Operator) -> bool {
        match operator {
            Operator::Exists => true,
            Operator::AtLeast => self == Self::Priority,
            Operator::Eq | Operator::Ne | Operator::In => self != Self::Texts,
            Operator::Contains => matches!(self, Self::Text | Self::Texts | Self::Open),
            Operator::StartsWith | Operator::EndsWith | Operator::Glob | Operator::Regex => {
                matches!(self, Self::Text | Self::Open)
            }
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => self == Self::Open,
        }
    }

    /// The operators that fit, as messages list them.
    fn operators(self) -> Vec<&'static str> {
        OPERATORS.iter().filter(|(_, operator)| self.takes(*operator)).map(|(word, _)| *word).collect()
    }
}

/// A table of conditions, all of which must hold. One alone stands for itself.
pub(super) fn condition(item: Item<'_>) -> Condition {
    match item.table("a condition") {
        Some(mut table) => all(table.entries().into_iter().map(entry).collect()),
        None => unclear(),
    }
}

/// A condition of which nothing is clear.
pub(super) fn unclear() -> Condition {
    Condition::Faulty(Fault { path: None, is_opaque: false })
}

/// One condition for many.
fn all(mut conditions: Vec<Condition>) -> Condition {
    match (conditions.pop(), conditions.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            conditions.extend(last);
            Condition::All(conditions)
        }
    }
}

fn entry(item: Item<'_>) -> Condition {
    let window = |side: fn(At<String>) -> Condition| {
        item.string().map_or(Condition::Faulty(Fault { path: None, is_opaque: true }), side)
    };
    match item.key {
        "any" => each(item).map_or_else(unclear, Condition::Any),
        "all" => each(item).map_or_else(unclear, Condition::All),
        "not" => Condition::Not(Box::new(condition(item))),
        "during" => window(Condition::During),
        "not_during" => window(Condition::NotDuring),
        _ => field(item),
    }
}

fn each(item: Item<'_>) -> Option<Vec<Condition>> {
    let elements = item.elements()?;
    if elements.is_empty() {
        item.fault(Code::Empty, "is empty");
        return None;
    }
    Some(elements.into_iter().map(condition).collect())
}

fn field(item: Item<'_>) -> Condition {
    let Some(member) = member(item) else { return unclear() };
    let path = At::new(item.key.to_owned(), item.key_span);
    let operators = match item.is_table() {
        true => item.table("a comparison").map(|mut table| table.entries()).unwrap_or_default(),
        false => {
            let operator = if item.is_array() { Operator::In } else { Operator::Eq };
            return comparison(item, path, member, Some(operator));
        }
    };
    if operators.is_empty() {
        item.fault(Code::Empty, format!("has no operator; allowed are {}", quoted(&member.operators())));
        return comparison(item, path, member, None);
    }
    let compare = |item| comparison(item, path.clone(), member, operator(item, &path.value));
    all(operators.into_iter().map(compare).collect())
}

/// The comparison of a field with the value in `item`; no operator is one that has been reported.
fn comparison(item: Item<'_>, path: At<String>, member: Member, operator: Option<Operator>) -> Condition {
    let operator = operator.filter(|operator| fits(item, &path.value, member, *operator));
    match operator.and_then(|operator| Some((operator, operands(item, member, operator)?))) {
        Some((operator, operands)) => {
            let value = match &operands[..] {
                [operand] if operator != Operator::In => operand.value.clone(),
                operands => operands.iter().map(|operand| operand.value.clone()).collect(),
            };
            Condition::Field { path, operator, value: At::new(value, item.span), operands }
        }
        None => {
            let is_exact = |operator| matches!(operator, Operator::Eq | Operator::In | Operator::AtLeast);
            Condition::Faulty(Fault { path: Some(path), is_opaque: operator.is_some_and(|it| !is_exact(it)) })
        }
    }
}

/// Whether `operator` is one for `member`; reported if it is not.
fn fits(item: Item<'_>, path: &str, member: Member, operator: Operator) -> bool {
    let fits = member.takes(operator);
    if !fits {
        let message = format!("`{}` does not fit `{path}`", operator.as_str());
        let finding = Diagnostic::error(Code::WrongOperator, item.key_span, message);
        item.cx.report(finding.help(format!("allowed are {}", quoted(&member.operators()))));
    }
    fits
}

/// What kind of member the path of `item` leads to.
fn member(item: Item<'_>) -> Option<Member> {
    let mut segments = item.key.split('.');
    let root = segments.next().unwrap_or_default();
    let known = MEMBERS.iter().find(|(name, _)| *name == root).map(|(_, member)| *member);
    let Some(member) = known else {
        let roots: Vec<_> = MEMBERS.iter().map(|(name, _)| *name).chain(RESERVED).collect();
        let finding =
            Diagnostic::error(Code::NoPath, item.key_span, format!("`{}` is not a path in a notification", item.key));
        item.cx.report(finding.one_of(root, &roots));
        return None;
    };
    let rest: Vec<_> = segments.collect();
    let fault = match (member, rest.is_empty()) {
        (Member::Open, true) => "names no member of `data`",
        (Member::Open, false) if rest.contains(&"") => "has an empty part",
        (Member::Text | Member::Priority | Member::Texts, false) => "goes below a member that has nothing below it",
        _ => return Some(member),
    };
    let finding = Diagnostic::error(Code::NoPath, item.key_span, format!("the path `{}` {fault}", item.key));
    item.cx.report(match item.first_key() {
        Some(below) if member == Member::Open => quote_path(finding, item.key, below),
        _ => finding,
    });
    None
}

/// Explains that `data.status = ...` without quotes is a table to TOML, where a path was meant.
fn quote_path(finding: Diagnostic, path: &str, below: &str) -> Diagnostic {
    finding.help(format!("a path is written in quotes: \"{path}.{below}\""))
}

fn operator(item: Item<'_>, path: &str) -> Option<Operator> {
    let known = OPERATORS.iter().find(|(word, _)| *word == item.key).map(|(_, operator)| *operator);
    if known.is_none() {
        let words: Vec<_> = OPERATORS.iter().map(|(word, _)| *word).collect();
        let finding =
            Diagnostic::error(Code::UnknownOperator, item.key_span, format!("`{}` is not an operator", item.key));
        let finding = finding.one_of(item.key, &words);
        item.cx.report(if item.is_table() { quote_path(finding, path, item.key) } else { finding });
    }
    known
}

/// The values that `operator` compares with, if they fit both the operator and the member.
fn operands(item: Item<'_>, member: Member, operator: Operator) -> Option<Vec<At<Value>>> {
    match operator {
        Operator::In => item.filled_list(|element| operand(element, member, operator)).map(|list| list.value),
        _ => operand(item, member, operator).map(|operand| vec![operand]),
    }
}

/// The one value that `operator` compares with.
fn operand(item: Item<'_>, member: Member, operator: Operator) -> Option<At<Value>> {
    match operator {
        Operator::Exists => item.boolean().map(|value| value.map(Value::Bool)),
        Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
            let value = item.json()?;
            if !value.is_number() {
                item.mismatch("a number");
                return None;
            }
            Some(value)
        }
        Operator::StartsWith | Operator::EndsWith | Operator::Glob | Operator::Regex => {
            item.string().map(|text| text.map(Value::String))
        }
        Operator::Eq | Operator::Ne | Operator::In | Operator::AtLeast | Operator::Contains => scalar(item, member),
    }
}

/// A single value that `member` can have.
fn scalar(item: Item<'_>, member: Member) -> Option<At<Value>> {
    match member {
        Member::Priority => {
            let choices = Priority::ALL.map(|priority| (priority.as_str(), priority));
            item.choice(&choices).map(|priority| priority.map(|priority| Value::from(priority.as_str())))
        }
        Member::Text | Member::Texts => item.string().map(|text| text.map(Value::String)),
        Member::Open if item.is_table() || item.is_array() => {
            item.mismatch("a string, a number or a boolean");
            None
        }
        Member::Open => item.json(),
    }
}
