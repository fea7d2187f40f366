//! Examples: from a part of a space to a notification that the validator takes, and a time.

use std::fmt;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};

use super::cells::Cell;
use super::space::{Axis, Region, Space};
use super::{candidates, example};
use crate::notification::{Draft, Notification, Violation};
use crate::routing::Field;
use crate::schemas::{FieldKind, SchemaRegistry};

/// Most values that are tried for one field.
const MAX_VALUES: usize = 6;
/// Most notifications that are tried for one region.
const MAX_TRIES: usize = 16;
/// Where times are looked for: a week from here, a Monday without a change of daylight saving near it.
const MONDAY: i64 = 1_767_571_200;

/// A notification and when it is accepted.
#[derive(Debug, Clone)]
pub(in crate::snapshot) struct Witness {
    /// The notification.
    pub notification: Arc<Notification>,
    /// When.
    pub at: Timestamp,
    /// Whether the time matters.
    pub is_timed: bool,
}

/// Its members, and the time where that matters.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Value::Object(self.notification.draft.members.clone()))?;
        if self.is_timed { write!(f, " at {}", self.at) } else { Ok(()) }
    }
}

/// A notification in `region`, if one is found that `schemas` admit.
pub(super) fn find(space: &Space, region: &Region, schemas: &SchemaRegistry) -> Option<Witness> {
    let at = time(space, region)?;
    let schema = schemas.source(&space.type_name)?;
    let mut base = match example::of(schema) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    base.insert("type".to_owned(), space.type_name.as_str().into());
    base.entry("priority").or_insert_with(|| example::of_part(schema, &["priority".into()]));
    // Of what a schema requires and does not describe, every notification has the same kind.
    for (member, plain) in
        [("priority", json!("medium")), ("tags", json!(["x"])), ("data", json!({})), ("ttl", json!(60))]
    {
        if schema.pointer(&format!("/properties/{member}")).is_none()
            && let Some(value) = base.get_mut(member)
        {
            *value = plain;
        }
    }
    // Objects before what is in them.
    let mut axes: Vec<usize> = (0..space.axes.len()).collect();
    axes.sort_by_key(|axis| space.axes[*axis].path.len());
    let choices: Vec<Vec<Option<Value>>> =
        axes.iter().map(|axis| values(space, region, *axis, schemas, &base)).collect();
    if choices.iter().any(Vec::is_empty) {
        return None;
    }
    let mut chosen = vec![0; axes.len()];
    for _ in 0..MAX_TRIES {
        let mut members = base.clone();
        let mut gone = Vec::new();
        for (place, axis) in axes.iter().enumerate() {
            let (path, value) = (&space.axes[*axis].path, choices[place][chosen[place]].clone());
            if value.is_none() {
                gone.push(&path[0]);
            } else if gone.contains(&&path[0])
                && get(&members, &path[..path.len() - 1]).is_none()
                && space.cells_in(region, *axis).any(|cell| *cell == Cell::Missing)
            {
                // What went with another is not put back.
                continue;
            }
            put(schema, &mut members, path, value);
        }
        let violations = match admit(members, schemas) {
            Ok(draft) => {
                let notification = Arc::new(Notification::accept(draft, at));
                return Some(Witness { notification, at, is_timed: region.windows.iter().any(Option::is_some) });
            }
            Err(violations) => violations,
        };
        // Another value where one was refused.
        let refused = |place: &usize| {
            let pointer = format!("/{}", space.axes[axes[*place]].path.join("/"));
            chosen[*place] + 1 < choices[*place].len()
                && violations.iter().any(|violation| violation.pointer.starts_with(&pointer))
        };
        let place = (0..axes.len()).find(refused)?;
        chosen[place] += 1;
    }
    None
}

fn admit(members: Map<String, Value>, schemas: &SchemaRegistry) -> Result<Draft, Vec<Violation>> {
    let draft = Draft::from_value(Value::Object(members)).and_then(|draft| schemas.validate(draft));
    draft.map_err(|unfit| unfit.violations().into_owned())
}

/// Values for a field with which every test is what it is all over the region. `None` is one that is missing.
fn values(
    space: &Space,
    region: &Region,
    axis: usize,
    schemas: &SchemaRegistry,
    base: &Map<String, Value>,
) -> Vec<Option<Value>> {
    let tests: Vec<(&Field, Option<bool>)> = (space.atoms.iter().enumerate())
        .filter(|(_, atom)| atom.axis == axis)
        .map(|(index, atom)| (&atom.field, space.atom_in(region, index)))
        .collect();
    let wanted: Vec<&Field> = tests.iter().filter(|(_, value)| *value == Some(true)).map(|(field, _)| *field).collect();
    let mut values = vec![get(base, &space.axes[axis].path).cloned()];
    for cell in space.cells_in(region, axis) {
        match cell {
            Cell::Missing => values.push(None),
            Cell::Value(value) | Cell::Near(value) => values.push(Some(value.clone())),
            Cell::Text => values.extend(texts(space, axis, &wanted, schemas).into_iter().map(Some)),
            Cell::List => values.extend([Some(candidates::list(&wanted)), Some(Value::Array(vec!["x".into()]))]),
            Cell::Object => values.push(Some(Value::Object(Map::new()))),
        }
    }
    values.retain(|value| {
        tests.iter().all(|(field, wanted)| wanted.is_none_or(|wanted| field.accepts(value.as_ref()) == wanted))
    });
    let mut few: Vec<Option<Value>> = Vec::new();
    for value in values {
        if !few.contains(&value) && few.len() < MAX_VALUES {
            few.push(value);
        }
    }
    few
}

/// Texts for a field, those first that its schema admits.
fn texts(space: &Space, axis: usize, wanted: &[&Field], schemas: &SchemaRegistry) -> Vec<Value> {
    let Axis { path, least, .. } = &space.axes[axis];
    let plain = schemas.source(&space.type_name).map(|schema| example::of_part(schema, path));
    let texts = candidates::of_tests(wanted, *least).into_iter().map(Value::String);
    let mut texts: Vec<Value> = texts.chain(plain.filter(Value::is_string)).collect();
    if let FieldKind::Declared(declared) = schemas.field(&space.type_name, path)
        && let Some(check) = declared.check()
    {
        texts.sort_by_key(|text| !check.admits(text));
    }
    texts
}

/// A time at which the windows are open and closed as the region has it.
fn time(space: &Space, region: &Region) -> Option<Timestamp> {
    let fits = |at: &Timestamp| {
        let windows = space.windows.iter().zip(&region.windows);
        windows.into_iter().all(|(window, open)| open.is_none_or(|open| window.contains(*at) == open))
    };
    let monday = Timestamp::from_second(MONDAY).ok()?;
    // By day first, as that is what one would look at.
    (0..8 * 24 * 60)
        .map(|minute| (minute + 12 * 60).minutes())
        .find_map(|span| monday.checked_add(span).ok().filter(fits))
}

fn get<'a>(members: &'a Map<String, Value>, path: &[Box<str>]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    let object = parents.iter().try_fold(members, |object, key| object.get(&**key)?.as_object())?;
    object.get(&**last)
}

/// Sets or takes away what is at `path`. Objects on the way to it are as the schema wants them, and go with what they
/// must have.
fn put(schema: &Value, members: &mut Map<String, Value>, path: &[Box<str>], value: Option<Value>) {
    let Some(value) = value else { return take(schema, members, path) };
    let Some((last, parents)) = path.split_last() else { return };
    let mut object = members;
    for (depth, key) in parents.iter().enumerate() {
        match object.entry(&**key).or_insert_with(|| example::of_part(schema, &path[..=depth])) {
            Value::Object(inner) => object = inner,
            // What the longer path wants cannot be below it: the validator or the rules will say so.
            _ => return,
        }
    }
    object.insert((**last).to_owned(), value);
}

fn take(schema: &Value, members: &mut Map<String, Value>, path: &[Box<str>]) {
    let depth =
        (1..path.len()).rev().find(|depth| !example::is_required(schema, &path[..=*depth])).map_or(1, |it| it + 1);
    let Some((last, parents)) = path[..depth].split_last() else { return };
    let object = parents.iter().try_fold(members, |object, key| object.get_mut(&**key)?.as_object_mut());
    if let Some(object) = object {
        object.remove(&**last);
    }
}
