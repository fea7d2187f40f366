//! Declared things by name, and what is known of those that could not be read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use super::At;
use crate::notification::Name;

/// Declared things by name; each key's span is where it is declared.
///
/// It also knows what is declared and could not be read, so that nobody calls that missing where it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T> {
    declared: BTreeMap<Name, At<T>>,
    /// Declared with a fault that leaves nothing of it, or under a name that is none.
    faulty: BTreeSet<String>,
    /// A file or a whole section could not be read, so any name may be declared there.
    has_gap: bool,
}

impl<T> Named<T> {
    /// Notes that `name` is declared, and that nothing else is known of it.
    pub(super) fn add_faulty(&mut self, name: &str) {
        self.faulty.insert(name.to_owned());
    }

    /// Notes that there may be more than was read.
    pub(super) fn add_gap(&mut self) {
        self.has_gap = true;
    }

    /// Whether `name` is declared, or may be where it could not be read.
    #[must_use]
    pub fn may_have(&self, name: &str) -> bool {
        self.has_gap || self.faulty.contains(name) || self.declared.contains_key(name)
    }

    /// Every name that is declared, also where nothing else is known of it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(Name::as_str).chain(self.faulty.iter().map(String::as_str))
    }

    /// Whether everything that is declared could be read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.has_gap && self.faulty.is_empty()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { declared: BTreeMap::new(), faulty: BTreeSet::new(), has_gap: false }
    }
}

/// What could be read.
impl<T> Deref for Named<T> {
    type Target = BTreeMap<Name, At<T>>;

    fn deref(&self) -> &Self::Target {
        &self.declared
    }
}

impl<T> DerefMut for Named<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.declared
    }
}

impl<'a, T> IntoIterator for &'a Named<T> {
    type Item = (&'a Name, &'a At<T>);
    type IntoIter = std::collections::btree_map::Iter<'a, Name, At<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.declared.iter()
    }
}
