//! Why nothing can fulfil a condition: the fewest of its tests that exclude each other, or what of the schema does.

use std::collections::BTreeMap;

use super::space::{Formula, Space};
use super::weaker::{listed, says_only_required, weaker};
use crate::notification::TypeName;
use crate::routing::Matcher;
use crate::schemas::{FieldKind, SchemaRegistry};

/// Most reasons that are told, and most types or alternatives that are named in one.
const MOST: usize = 3;
/// A condition of more parts is not looked into.
const MAX_PARTS: usize = 64;
/// How deep alternatives are looked into.
const MAX_DEPTH: usize = 4;

/// Why no notification of these types fulfils what is asked of each; each reason once.
pub(super) fn in_types<'a>(
    schemas: &SchemaRegistry,
    asked: impl IntoIterator<Item = (&'a TypeName, &'a Matcher)>,
) -> Vec<String> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (type_name, matcher) in asked {
        *reasons.entry(Search { schemas, type_name }.reason(matcher, MAX_DEPTH)).or_default() += 1;
    }
    let left: usize = reasons.values().skip(MOST).sum();
    let mut told: Vec<_> = reasons.into_keys().take(MOST).collect();
    if left > 0 {
        told.push(format!("and so it is for {left} more {}", if left == 1 { "type" } else { "types" }));
    }
    told
}

/// Why a condition is for none of these types.
pub(super) fn of_types<'a>(types: impl Iterator<Item = &'a TypeName> + Clone, matcher: &Matcher) -> String {
    let is_for_none = |parts: &[&Matcher]| {
        let never = |type_name: &TypeName| {
            let together = Matcher::all(parts.iter().map(|part| part.for_type(type_name.as_str())));
            matches!(together, Matcher::Always(false))
        };
        types.clone().all(never)
    };
    match &fewest(matcher, is_for_none)[..] {
        [only] => format!("no declared type has `{only}`"),
        parts => format!("no declared type has {} at once", joined(parts)),
    }
}

/// A search for the reason in one type.
struct Search<'a> {
    schemas: &'a SchemaRegistry,
    type_name: &'a TypeName,
}

impl Search<'_> {
    fn reason(&self, matcher: &Matcher, depth: usize) -> String {
        let declared = |path: &[Box<str>]| self.schemas.field(self.type_name, path);
        let parts = fewest(matcher, |parts| self.is_impossible(parts, declared));
        if let ([Matcher::Any(alternatives)], Some(depth)) = (&parts[..], depth.checked_sub(1)) {
            let mut reasons: Vec<_> = alternatives.iter().map(|part| self.reason(part, depth)).collect();
            reasons.dedup();
            let left = reasons.len().saturating_sub(MOST);
            reasons.truncate(MOST);
            let more = if left == 0 { String::new() } else { format!("; and {left} more") };
            return format!("{}{more}", reasons.join("; "));
        }
        let by_itself = self.is_impossible(&parts, |_| FieldKind::Open);
        let schema = if by_itself { None } else { self.schema(&parts) };
        match (&parts[..], schema) {
            ([only], None) => format!("`{only}` is never true"),
            ([only], Some(schema)) => format!("`{only}` is never true: {schema}"),
            (parts, None) => format!("{} exclude each other", joined(parts)),
            (parts, Some(schema)) => format!("{} exclude each other: {schema}", joined(parts)),
        }
    }

    fn is_impossible(&self, parts: &[&Matcher], known: impl Fn(&[Box<str>]) -> FieldKind) -> bool {
        let space = Space::of(self.type_name, parts, known);
        space.is_impossible(&Formula::All((0..parts.len()).map(Formula::Shared).collect()))
    }

    /// What the schema says of the fields that these test, no more than it takes to exclude them.
    fn schema(&self, parts: &[&Matcher]) -> Option<String> {
        let mut fields = Vec::new();
        parts.iter().for_each(|part| part.fields(&mut fields));
        let mut told: BTreeMap<&[Box<str>], FieldKind> = BTreeMap::new();
        for field in fields {
            told.entry(field.path()).or_insert_with(|| self.schemas.field(self.type_name, field.path()));
        }
        let paths: Vec<_> = told.keys().copied().take(MAX_PARTS).collect();
        for path in paths {
            while let Some(less) = self.less(parts, &mut told, path) {
                told.insert(path, less);
            }
        }
        let mut says = Vec::new();
        for (path, kind) in told {
            let path = path.join(".");
            match kind {
                FieldKind::Declared(field) if says_only_required(&field) => says.push(format!("`{path}` is required")),
                FieldKind::Declared(field) => {
                    let (field, required) = (listed(&field), if field.required { ", and required" } else { "" });
                    let is_short = field.values.as_ref().map_or(!field.is_composed(), |values| !values.is_empty());
                    if !is_short {
                        return Some(format!("the schema of `{}` admits no such value", self.type_name));
                    }
                    says.push(format!("`{path}` is {field}{required}"));
                }
                FieldKind::Undeclared { refused: true, .. } => says.push(format!("there is no `{path}`")),
                FieldKind::Undeclared { .. } | FieldKind::Open => {}
            }
        }
        says.truncate(MOST);
        (!says.is_empty()).then(|| format!("in the schema of `{}` {}", self.type_name, says.join(", and ")))
    }

    /// Less of what is told of one field, if that excludes these as well.
    fn less<'p>(
        &self,
        parts: &[&Matcher],
        told: &mut BTreeMap<&'p [Box<str>], FieldKind>,
        path: &'p [Box<str>],
    ) -> Option<FieldKind> {
        let kind = told.get(path)?.clone();
        let less = weaker(&kind).into_iter().find(|less| {
            told.insert(path, less.clone());
            self.is_impossible(parts, |path| told.get(path).cloned().unwrap_or(FieldKind::Open))
        });
        told.insert(path, kind);
        less
    }
}

/// The parts of a condition all of which must hold, without those that `is_impossible` can do without.
fn fewest(matcher: &Matcher, is_impossible: impl Fn(&[&Matcher]) -> bool) -> Vec<&Matcher> {
    let mut kept = Vec::new();
    conjuncts(matcher, &mut kept);
    if kept.len() > MAX_PARTS {
        return vec![matcher];
    }
    let mut place = 0;
    while place < kept.len() {
        let mut others = kept.clone();
        others.remove(place);
        if !others.is_empty() && is_impossible(&others) {
            kept = others;
        } else {
            place += 1;
        }
    }
    kept
}

fn conjuncts<'a>(matcher: &'a Matcher, found: &mut Vec<&'a Matcher>) {
    match matcher {
        Matcher::All(inner) => inner.iter().for_each(|matcher| conjuncts(matcher, found)),
        other => found.push(other),
    }
}

/// `` `a`, `b` and `c` ``
fn joined(parts: &[&Matcher]) -> String {
    let shown: Vec<_> = parts.iter().map(|part| format!("`{part}`")).collect();
    match shown.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => shown.concat(),
    }
}
