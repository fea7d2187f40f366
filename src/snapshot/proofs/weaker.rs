//! A little less than what a schema says of a field, to find out which of it a reason needs.

use super::cells::{Cell, cells};
use crate::schemas::{Field, FieldKind};

/// Each is less by one thing, those first that are best left out of a message.
pub(super) fn weaker(kind: &FieldKind) -> Vec<FieldKind> {
    let field = match kind {
        FieldKind::Declared(field) => field,
        FieldKind::Undeclared { refused: true, .. } => return vec![FieldKind::Open],
        FieldKind::Undeclared { .. } | FieldKind::Open => return Vec::new(),
    };
    let mut weaker = Vec::new();
    let mut keywords: Vec<&String> = field.further.keys().collect();
    keywords.sort_by_key(|keyword| !Field::COMPOSED.contains(&keyword.as_str()));
    for keyword in keywords {
        let mut less = field.clone();
        less.further.remove(keyword);
        weaker.push(less);
    }
    if field.required {
        weaker.push(Field { required: false, ..field.clone() });
    }
    if field.values.is_some() {
        weaker.push(Field { values: None, ..field.clone() });
    }
    for place in 0..field.limits.len() {
        let mut less = field.clone();
        less.limits.remove(place);
        weaker.push(less);
    }
    // Of which type a value is helps to read the rest.
    if field.values.is_none() && field.limits.is_empty() && field.further.is_empty() && !says_only_required(field) {
        weaker.push(Field { required: field.required, ..Field::anything() });
    }
    std::iter::once(FieldKind::Open).chain(weaker.into_iter().map(FieldKind::Declared)).collect()
}

/// Whether nothing is known of a value but that it is there.
pub(super) fn says_only_required(field: &Field) -> bool {
    *field == Field { required: field.required, ..Field::anything() }
}

/// The same with its list of values without those that the rest excludes.
pub(super) fn listed(field: &Field) -> Field {
    let values = field.values.as_ref().map(|_| {
        let cells = cells(&FieldKind::Declared(field.clone()), &[]).into_iter();
        let values = cells.filter_map(|cell| if let Cell::Value(value) = cell { Some(value) } else { None });
        values.collect()
    });
    Field { values, ..field.clone() }
}
