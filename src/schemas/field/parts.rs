//! Schemas all of which hold of one value: one, where its `$ref` leads, and the branches of its `allOf`.

use serde_json::Value;

use super::{Field, FieldKind, further, limits, types, values};

/// Most schemas that are put together.
const MAX_PARTS: usize = 32;

/// Schemas that hold together.
pub(super) struct Parts<'a> {
    nodes: Vec<&'a Value>,
    /// Whether these are all: not where a `$ref` is not followed, nor in what has an `$id` of its own.
    is_whole: bool,
}

impl<'a> Parts<'a> {
    /// These, and what they refer to and ask for besides.
    pub(super) fn of(root: &'a Value, nodes: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut parts = Self { nodes: Vec::new(), is_whole: true };
        let mut open: Vec<_> = nodes.into_iter().collect();
        while let Some(node) = open.pop() {
            let dynamic = |keyword: &&str| node.get(keyword).is_some();
            let is_clear = !renames(root, node) && !["$dynamicRef", "$recursiveRef"].iter().any(dynamic);
            if !is_clear || parts.nodes.len() == MAX_PARTS {
                parts.is_whole = false;
                continue;
            }
            if parts.nodes.iter().any(|known| std::ptr::eq(*known, node)) {
                continue;
            }
            parts.nodes.push(node);
            if let Some(reference) = node.get("$ref") {
                let target = reference.as_str().and_then(|reference| follow(root, reference.strip_prefix('#')?));
                parts.is_whole &= target.is_some();
                open.extend(target);
            }
            open.extend(node.get("allOf").and_then(Value::as_array).into_iter().flatten());
        }
        parts
    }

    /// What they say of the value.
    pub(super) fn field(&self, root: &Value, depth: usize) -> Field {
        let each = self.nodes.iter().map(|node| {
            let plain = Field {
                required: false,
                types: types(node),
                values: values(node),
                limits: node.as_object().map(limits).unwrap_or_default(),
                further: further(node),
            };
            ["anyOf", "oneOf"]
                .iter()
                .filter_map(|keyword| any_of(root, node.get(keyword)?, depth))
                .fold(plain, Field::narrowed)
        });
        each.fold(Field::anything(), Field::narrowed)
    }

    /// The schemas of a property.
    pub(super) fn properties(&self, key: &str) -> Vec<&'a Value> {
        self.nodes.iter().filter_map(|node| node.get("properties")?.get(key)).collect()
    }

    /// The properties that there may be, and `key` too if one of them declares it and another refuses it.
    pub(super) fn names(&self, key: &str) -> Vec<String> {
        let properties = self.nodes.iter().filter_map(|node| node.get("properties")?.as_object()).flatten();
        let named = properties.filter(|(_, schema)| **schema != Value::Bool(false)).map(|(name, _)| name);
        named.filter(|name| *name == key || !self.refuse(name)).cloned().collect()
    }

    /// Whether the object must have a property.
    pub(super) fn require(&self, key: &str) -> bool {
        let mut required = self.nodes.iter().filter_map(|node| node.get("required")?.as_array());
        required.any(|required| required.iter().any(|name| name == key))
    }

    /// Whether the object must not have a property. Not even another part can admit it, as this keyword sees only the
    /// properties beside it.
    pub(super) fn refuse(&self, key: &str) -> bool {
        self.nodes.iter().any(|node| {
            node.get("additionalProperties") == Some(&Value::Bool(false))
                && node.get("patternProperties").is_none()
                && node.get("properties").is_none_or(|properties| properties.get(key).is_none())
        })
    }

    /// What to make of a property that none of them declares, nor refuses.
    pub(super) fn absent(&self, key: &str) -> FieldKind {
        /// Each can speak of properties that `properties` does not name.
        const ELSEWHERE: [&str; 12] = [
            "additionalProperties",
            "patternProperties",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
            "if",
            "dependentSchemas",
            "dependentRequired",
            "dependencies",
            "propertyNames",
            "unevaluatedProperties",
        ];
        let is_silent = |node: &&&Value| {
            let mut keys = node.as_object().into_iter().flat_map(|node| node.keys().map(String::as_str));
            keys.all(|key| matches!(key, "$ref" | "$comment" | "title" | "description"))
        };
        let mut speaking = self.nodes.iter().filter(|node| !is_silent(node));
        let (Some(node), None, true) = (speaking.next(), speaking.next(), self.is_whole) else {
            return FieldKind::Open;
        };
        let has = |keyword: &str| node.get(keyword).is_some();
        if has("properties") && !ELSEWHERE.into_iter().any(has) {
            FieldKind::Undeclared { key: key.to_owned(), known: self.names(key), refused: false }
        } else {
            FieldKind::Open
        }
    }
}

/// What one of several schemas says, whichever it is.
fn any_of(root: &Value, branches: &Value, depth: usize) -> Option<Field> {
    let depth = depth.checked_sub(1)?;
    let fields = branches.as_array()?.iter().map(|branch| Parts::of(root, [branch]).field(root, depth));
    fields.reduce(|one, other| Field {
        types: one.types.union(&other.types).copied().collect(),
        values: one.values.zip(other.values).map(|(one, other)| [one, other].concat()),
        ..Field::anything()
    })
}

/// Whether references mean something else in `node` than in `root`.
fn renames(root: &Value, node: &Value) -> bool {
    node.get("$id").is_some() && !std::ptr::eq(node, root)
}

/// What a JSON Pointer leads to. `None` also where it leads through what references mean something else in.
fn follow<'a>(root: &'a Value, pointer: &str) -> Option<&'a Value> {
    // Percent-encoded it names another place than it spells.
    let ends = pointer.match_indices('/').map(|(end, _)| end).chain([pointer.len()]);
    let clear =
        !pointer.contains('%') && !ends.filter_map(|end| root.pointer(&pointer[..end])).any(|node| renames(root, node));
    if clear { root.pointer(pointer) } else { None }
}
