//! What differs between two configurations, by the names of what they declare.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Snapshot;
use crate::config::{At, Hash, Named, Rule};
use crate::notification::Name;

/// The files beside a configuration, each by the name of what it belongs to, with the hash of its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The schemas, by type.
    pub schemas: BTreeMap<Name, Hash>,
    /// The scripts, by plugin.
    pub scripts: BTreeMap<Name, Hash>,
}

/// What differs between two configurations. Kinds of which nothing differs are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff(Vec<(&'static str, Changes)>);

/// What differs in one kind of things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names that only the later one declares.
    pub added: Vec<String>,
    /// Names that only the earlier one declares.
    pub removed: Vec<String>,
    /// Names that both declare, and differently.
    pub changed: Vec<String>,
}

impl Diff {
    /// What is other in `after` than in `before`.
    ///
    /// A type is changed with its schema and a plugin with its script, also where the configuration says the same of
    /// them. What has no name of its own is told by the name of its section.
    #[must_use]
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let (old, new) = (&before.config, &after.config);
        let (old_texts, new_texts) = (&before.contents, &after.contents);
        let schema = |name: &str| old_texts.schemas.get(name) == new_texts.schemas.get(name);
        let script = |name: &str| old_texts.scripts.get(name) == new_texts.scripts.get(name);
        let kinds = [
            ("rules", rules(&old.rules, &new.rules)),
            ("channels", named(&old.channels, &new.channels, |_| true)),
            ("policies", named(&old.policies, &new.policies, |_| true)),
            ("types", named(&old.types, &new.types, schema)),
            ("plugins", named(&old.plugins, &new.plugins, script)),
            ("limits", named(&old.limits, &new.limits, |_| true)),
            ("windows", named(&old.windows, &new.windows, |_| true)),
            ("issuers", named(&old.issuers, &new.issuers, |_| true)),
            ("keys", named(&old.keys, &new.keys, |_| true)),
            ("sections", sections(before, after)),
        ];
        Self(kinds.into_iter().filter(|(_, changes)| !changes.is_empty()).collect())
    }

    /// Whether nothing differs: files may still, in comments or the order of what they say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What differs in one kind, such as `rules`; none when nothing does.
    #[must_use]
    pub fn kind(&self, kind: &str) -> Option<&Changes> {
        self.0.iter().find(|(name, _)| *name == kind).map(|(_, changes)| changes)
    }

    /// The kinds in which something differs.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Changes)> {
        self.0.iter().map(|(kind, changes)| (*kind, changes))
    }

    /// The diff as operators read it over HTTP.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let kind = |(kind, changes): (&str, &Changes)| {
            let Changes { added, removed, changed } = changes;
            (kind.to_owned(), json!({"added": added, "removed": removed, "changed": changed}))
        };
        Value::Object(self.iter().map(kind).collect::<Map<_, _>>())
    }

    /// Every change in a line of its own: `+` added, `-` removed, `~` changed.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut lines = String::new();
        for (kind, changes) in self.iter() {
            for (sign, names) in changes.signed() {
                lines.extend(names.iter().map(|name| format!("{sign} {kind} {name}\n")));
            }
        }
        lines
    }
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn signed(&self) -> [(char, &Vec<String>); 3] {
        [('+', &self.added), ('-', &self.removed), ('~', &self.changed)]
    }
}

/// Counts, as a line of a log has room for: `rules +1 ~2, channels -1`.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("the same declarations");
        }
        for (index, (kind, changes)) in self.iter().enumerate() {
            f.write_str(if index == 0 { kind } else { ", " })?;
            if index > 0 {
                f.write_str(kind)?;
            }
            for (sign, names) in changes.signed().into_iter().filter(|(_, names)| !names.is_empty()) {
                write!(f, " {sign}{}", names.len())?;
            }
        }
        Ok(())
    }
}

/// Also of what is declared and whose secret was passed over, of which only the name is known.
fn named<T: PartialEq>(old: &Named<T>, new: &Named<T>, same_text: impl Fn(&str) -> bool) -> Changes {
    compare(&by_names(old), &by_names(new), |name, before, after| before == after && same_text(name))
}

fn by_names<T>(declared: &Named<T>) -> BTreeMap<&str, Option<&At<T>>> {
    declared.names().map(|name| (name, declared.get(name))).collect()
}

fn rules(old: &[At<Rule>], new: &[At<Rule>]) -> Changes {
    compare(&by_name(old), &by_name(new), |_, before, after| before == after)
}

fn by_name(rules: &[At<Rule>]) -> BTreeMap<&str, &At<Rule>> {
    rules.iter().filter_map(|rule| Some((rule.name.as_ref()?.value.as_str(), rule))).collect()
}

fn compare<T>(old: &BTreeMap<&str, T>, new: &BTreeMap<&str, T>, same: impl Fn(&str, &T, &T) -> bool) -> Changes {
    let mut changes = Changes::default();
    for (&name, after) in new {
        match old.get(name) {
            None => changes.added.push(name.to_owned()),
            Some(before) if !same(name, before, after) => changes.changed.push(name.to_owned()),
            Some(_) => {}
        }
    }
    changes.removed = old.keys().filter(|name| !new.contains_key(*name)).map(ToString::to_string).collect();
    changes
}

fn sections(before: &Snapshot, after: &Snapshot) -> Changes {
    let (old, new) = (&before.config, &after.config);
    let differing = [
        ("unmatched", old.unmatched != new.unmatched),
        ("paths", paths(before) != paths(after)),
        ("server", old.server != new.server),
        ("broker", old.broker != new.broker),
        ("tests", old.tests != new.tests),
        ("invariants", old.invariants != new.invariants),
    ];
    let names = differing.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
    Changes { changed: names.collect(), ..Changes::default() }
}

/// The folders as the main file says them, so that a configuration which was moved as a whole is the same.
fn paths(snapshot: &Snapshot) -> Vec<Option<PathBuf>> {
    let main = snapshot.sources.get(0).and_then(|source| source.path.parent()).unwrap_or(Path::new(""));
    let paths = &snapshot.config.paths;
    let relative = |path: &PathBuf| path.strip_prefix(main).unwrap_or(path).to_path_buf();
    [&paths.schemas, &paths.plugins, &paths.generations].map(|path| path.as_ref().map(relative)).into()
}
