//! What the references of a schema lead to.

use std::collections::HashMap;

use serde_json::Value;

use super::Node;

/// What references may name.
pub(super) struct Index<'a> {
    root: &'a Value,
    /// By `$anchor` or `$dynamicAnchor`.
    anchors: HashMap<&'a str, Vec<&'a Value>>,
    /// By `$id`.
    resources: HashMap<&'a str, &'a Value>,
    /// The resource that a subschema with a reference belongs to, unless that is the root.
    bases: HashMap<Node<'a>, &'a Value>,
}

impl<'a> Index<'a> {
    pub(super) fn of(root: &'a Value) -> Self {
        let mut index = Self { root, anchors: HashMap::new(), resources: HashMap::new(), bases: HashMap::new() };
        index.add(root, root);
        index
    }

    fn add(&mut self, value: &'a Value, mut base: &'a Value) {
        if let Some(id) = value.get("$id").and_then(Value::as_str) {
            base = value;
            self.resources.insert(id.trim_end_matches('#'), value);
        }
        for anchor in ["$anchor", "$dynamicAnchor"].into_iter().filter_map(|key| value.get(key)?.as_str()) {
            self.anchors.entry(anchor).or_default().push(value);
        }
        if !std::ptr::eq(base, self.root) {
            self.bases.insert(Node(value), base);
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.add(item, base)),
            Value::Object(members) => members.values().for_each(|member| self.add(member, base)),
            _ => {}
        }
    }

    /// What `reference` in `schema` leads to; several where an anchor is not unique.
    pub(super) fn resolve(&self, schema: &'a Value, reference: &str) -> Vec<&'a Value> {
        let (resource, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let base = match resource {
            "" => Some(self.bases.get(&Node(schema)).copied().unwrap_or(self.root)),
            id => self.resources.get(id).copied(),
        };
        match (base, fragment) {
            (Some(base), fragment) if fragment.is_empty() || fragment.starts_with('/') => {
                base.pointer(fragment).into_iter().collect()
            }
            (Some(_), anchor) => self.anchors.get(anchor).cloned().unwrap_or_default(),
            (None, _) => Vec::new(),
        }
    }
}
