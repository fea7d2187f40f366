//! How many subschemas one value can meet, which a few references make exponential: twenty definitions that each
//! refer to the next one twice apply the last a million times.
//!
//! The validator remembers nothing, so each way that leads to a subschema is a way it goes. This goes them all, counts
//! instead of validating, and never looks at the same combination twice.

mod index;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;

use serde_json::{Map, Value};

use index::Index;

/// Most subschemas that are applied to one value.
pub(super) const MAX_APPLIED: u64 = 1_000;
/// The deepest value of a notification; what is nested deeper is no JSON that is accepted.
const MAX_DEPTH: usize = 128;
/// Most subschemas that are looked at here. Beyond it a schema is refused unread.
const MAX_WORK: usize = 500_000;
/// Most characters of a place that are told.
const MAX_PLACE: usize = 80;

/// Why a schema must not be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Costly {
    /// A value meets too many subschemas.
    Applied {
        /// The value, as a JSON Pointer with `*` for any member or element.
        place: String,
        /// The reference that is followed most often there, and how often.
        reference: Option<(String, u64)>,
    },
    /// A reference leads back to itself, so a validator may never end.
    Endless {
        /// The reference.
        reference: String,
    },
    /// There are too many combinations of subschemas to tell.
    Unclear,
}

impl fmt::Display for Costly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied { place, reference } => {
                let place = if place.is_empty() { "the whole notification".into() } else { format!("`{place}`") };
                write!(f, "is too costly: {place} can meet more than {MAX_APPLIED} subschemas")?;
                match reference {
                    Some((reference, times)) => write!(f, ", `$ref` to `{reference}` alone {times} times"),
                    None => Ok(()),
                }
            }
            Self::Endless { reference } => write!(f, "is endless: `$ref` to `{reference}` leads back to itself"),
            Self::Unclear => write!(f, "combines its subschemas in too many ways to tell what it costs"),
        }
    }
}

/// Checks the schema `root`, and returns the references that it could not follow.
pub(super) fn check(root: &Value) -> Result<Vec<String>, Costly> {
    let mut walk = Walk { index: Index::of(root), work: 0, unknown: BTreeSet::new() };
    let mut seen = HashSet::new();
    let mut waiting = VecDeque::from([(Applied::from([(Node(root), 1)]), String::new(), 0)]);
    while let Some((start, place, depth)) = waiting.pop_front() {
        let applied = walk.applied(&start, &place)?;
        for (step, speaking) in steps(&applied) {
            walk.spend(speaking.len())?;
            let below =
                count(speaking.into_iter().flat_map(|(node, times)| {
                    below(node.0, &step).into_iter().map(move |schema| (Node(schema), times))
                }));
            if depth < MAX_DEPTH && !below.is_empty() && seen.insert(below.clone()) {
                waiting.push_back((below, format!("{place}/{step}"), depth + 1));
            }
        }
    }
    Ok(walk.unknown.into_iter().collect())
}

/// A subschema, told apart by where it is and not by what it says.
#[derive(Debug, Clone, Copy)]
struct Node<'a>(&'a Value);

impl Node<'_> {
    fn address(self) -> usize {
        std::ptr::from_ref(self.0).addr()
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Node<'_> {}

impl std::hash::Hash for Node<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

/// Subschemas, each with how often it is applied to one value; sorted, so that equal ones are equal.
type Applied<'a> = Vec<(Node<'a>, u64)>;

fn count<'a>(schemas: impl Iterator<Item = (Node<'a>, u64)>) -> Applied<'a> {
    let mut times: HashMap<Node<'a>, u64> = HashMap::new();
    for (node, more) in schemas {
        let times = times.entry(node).or_default();
        *times = times.saturating_add(more);
    }
    let mut applied: Applied<'a> = times.into_iter().collect();
    applied.sort_unstable_by_key(|(node, _)| node.address());
    applied
}

struct Walk<'a> {
    index: Index<'a>,
    work: usize,
    unknown: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn spend(&mut self, work: usize) -> Result<(), Costly> {
        self.work += work;
        if self.work > MAX_WORK { Err(Costly::Unclear) } else { Ok(()) }
    }

    /// All that is applied to a value to which `start` is: also what that refers to and combines.
    fn applied(&mut self, start: &Applied<'a>, place: &str) -> Result<Applied<'a>, Costly> {
        let too_many = |reference| {
            let place = place.chars().take(MAX_PLACE).collect();
            Costly::Applied { place, reference }
        };
        let mut order = Order::default();
        for (node, _) in start {
            self.visit(*node, &mut order)?.ok_or_else(|| too_many(None))?;
        }
        let mut times: HashMap<_, _> = start.iter().copied().collect();
        let mut followed: HashMap<&str, u64> = HashMap::new();
        for &node in order.finished.iter().rev() {
            let own = times.get(&node).copied().unwrap_or_default();
            for reference in references(node.0) {
                let times = followed.entry(reference).or_default();
                *times = times.saturating_add(own);
            }
            // To know what is unevaluated, the validator asks everything in place again.
            let unevaluated =
                ["unevaluatedProperties", "unevaluatedItems"].into_iter().any(|key| node.0.get(key).is_some());
            let each = own.saturating_mul(if unevaluated { 2 } else { 1 });
            for schema in self.in_place(node.0) {
                let times = times.entry(schema).or_default();
                *times = times.saturating_add(each);
            }
        }
        let applied = count(times.into_iter());
        let total = applied.iter().fold(0_u64, |total, (_, times)| total.saturating_add(*times));
        if total > MAX_APPLIED {
            let most = followed.into_iter().max_by_key(|&(reference, times)| (times, std::cmp::Reverse(reference)));
            return Err(too_many(most.map(|(reference, times)| (reference.to_owned(), times))));
        }
        Ok(applied)
    }

    /// Finishes all that `node` applies to the same value, and then `node`. Nothing when the way is longer than the
    /// limit, as it has then applied as many subschemas.
    fn visit(&mut self, node: Node<'a>, order: &mut Order<'a>) -> Result<Option<()>, Costly> {
        if order.known.contains(&node) {
            return Ok(Some(()));
        }
        if let Some(first) = order.path.iter().position(|&on_the_way| on_the_way == node) {
            // Without a reference no schema is inside itself.
            let reference = order.path[first..].iter().flat_map(|node| references(node.0)).next();
            return Err(Costly::Endless { reference: reference.unwrap_or_default().to_owned() });
        }
        if order.path.len() as u64 > MAX_APPLIED {
            return Ok(None);
        }
        self.spend(1)?;
        order.path.push(node);
        for schema in self.in_place(node.0) {
            if self.visit(schema, order)?.is_none() {
                return Ok(None);
            }
        }
        order.path.pop();
        order.known.insert(node);
        order.finished.push(node);
        Ok(Some(()))
    }

    /// The subschemas that `schema` applies to the same value.
    fn in_place(&mut self, schema: &'a Value) -> Vec<Node<'a>> {
        let Some(keywords) = schema.as_object() else { return Vec::new() };
        let lists = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| keywords.get(key)?.as_array()).flatten();
        let single = ["not", "if", "then", "else"].into_iter().filter_map(|key| keywords.get(key));
        let mut applied: Vec<_> = lists.chain(single).chain(members(keywords, "dependentSchemas")).collect();
        for reference in references(schema) {
            match self.index.resolve(schema, reference) {
                found if found.is_empty() => drop(self.unknown.insert(reference.to_owned())),
                found => applied.extend(found),
            }
        }
        applied.into_iter().filter(|schema| schema.is_object()).map(Node).collect()
    }
}

/// The order in which subschemas are applied, the other way round.
#[derive(Default)]
struct Order<'a> {
    /// From the start to where the walk is.
    path: Vec<Node<'a>>,
    finished: Vec<Node<'a>>,
    known: HashSet<Node<'a>>,
}

fn references(schema: &Value) -> impl Iterator<Item = &str> {
    ["$ref", "$dynamicRef"].into_iter().filter_map(|key| schema.get(key)?.as_str())
}

fn members<'a>(keywords: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    keywords.get(key).and_then(Value::as_object).into_iter().flat_map(Map::values)
}

/// One step down into a value.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step<'a> {
    /// To a member that some `properties` names.
    Member(&'a str),
    /// To any other member.
    OtherMember,
    /// To the name of a member.
    Name,
    /// To an element that some `prefixItems` has.
    Element(usize),
    /// To any other element.
    OtherElement,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => f.write_str(name),
            Self::Element(index) => write!(f, "{index}"),
            Self::OtherMember | Self::OtherElement | Self::Name => f.write_str("*"),
        }
    }
}

/// Every step that may matter, with those of `applied` that may say something there.
fn steps<'a>(applied: &Applied<'a>) -> BTreeMap<Step<'a>, Applied<'a>> {
    let (general, specific): (Applied<'a>, Applied<'a>) = applied.iter().partition(|(node, _)| is_general(node.0));
    let anywhere = [Step::OtherMember, Step::Name, Step::OtherElement];
    let mut steps = BTreeMap::from(anywhere.map(|step| (step, general.clone())));
    for step in general.iter().flat_map(|(node, _)| own_steps(node.0)) {
        steps.entry(step).or_insert_with(|| general.clone());
    }
    for entry in specific {
        for step in own_steps(entry.0.0) {
            steps.entry(step).or_insert_with(|| general.clone()).push(entry);
        }
    }
    steps
}

/// Whether `schema` speaks of members or elements that it does not name.
fn is_general(schema: &Value) -> bool {
    let keywords = ["additionalProperties", "patternProperties", "unevaluatedProperties", "propertyNames"];
    let of_items = ["items", "contains", "unevaluatedItems"];
    keywords.into_iter().chain(of_items).any(|key| schema.get(key).is_some_and(Value::is_object))
}

/// The steps to what `schema` names.
fn own_steps(schema: &Value) -> impl Iterator<Item = Step<'_>> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let elements = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
    properties.map(|name| Step::Member(name)).chain((0..elements).map(Step::Element))
}

/// The subschemas that `schema` applies one step down. A pattern is taken to fit every name.
fn below<'a>(schema: &'a Value, step: &Step<'_>) -> Vec<&'a Value> {
    let Some(keywords) = schema.as_object() else { return Vec::new() };
    let one = |key: &str| keywords.get(key).into_iter();
    let own = |name: &str| keywords.get("properties").and_then(|properties| properties.get(name));
    let others = |key| one(key).chain(members(keywords, "patternProperties")).chain(one("unevaluatedProperties"));
    let rest = |key| one(key).chain(one("contains")).chain(one("unevaluatedItems"));
    let found: Vec<_> = match step {
        Step::Member(name) => match own(name) {
            Some(property) => others("").chain([property]).collect(),
            None => others("additionalProperties").collect(),
        },
        Step::OtherMember => others("additionalProperties").collect(),
        Step::Name => one("propertyNames").collect(),
        Step::Element(index) => match keywords.get("prefixItems").and_then(|items| items.get(index)) {
            Some(item) => rest("").chain([item]).collect(),
            None => rest("items").collect(),
        },
        Step::OtherElement => rest("items").collect(),
    };
    found.into_iter().filter(|schema| schema.is_object()).collect()
}
