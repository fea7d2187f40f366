//! What is found about rules by themselves: those that never match, those that earlier ones cover, ties, and what is
//! left for none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::contradiction;
use super::search::{Doubt, Found, Together};
use super::space::{Formula, Space};
use super::witness::{self, Witness};
use crate::config::{Operator, Then};
use crate::notification::{Name, TypeName};
use crate::routing::{Action, Facts, Field, Matcher, Rule};
use crate::schemas::SchemaRegistry;
use crate::snapshot::{Refusal, Snapshot, evaluate};

/// Something that is found about rules.
#[derive(Debug, Clone)]
pub(in crate::snapshot) enum Finding {
    /// A rule matches no notification of any type.
    NeverMatches {
        /// Which rule.
        rule: Name,
        /// Why, a reason each.
        why: Vec<String>,
    },
    /// Whatever a rule matches, in every type, rules before it match and end the search.
    Covered {
        /// Which rule.
        rule: Name,
        /// In each type the rules that cover it, together.
        by: BTreeMap<TypeName, Vec<Name>>,
        /// One that it would match.
        witness: Witness,
    },
    /// No rule is for some notifications of a type.
    Unrouted {
        /// Of which type.
        type_name: TypeName,
        /// One of them.
        witness: Witness,
    },
    /// Some notifications are refused, as a placeholder stands for nothing in them.
    Unfillable {
        /// Which rule.
        rule: Name,
        /// Of which type.
        type_name: TypeName,
        /// One of them.
        witness: Witness,
    },
    /// What could not be found out.
    Undecided {
        /// What was asked.
        question: Question,
        /// Of the first type for which it was in vain.
        type_name: TypeName,
        /// Why it was.
        doubt: Doubt,
    },
}

/// What is asked of rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::snapshot) enum Question {
    /// Whether a rule is ever reached.
    Reached(Name),
    /// Whether every notification of a type has a rule.
    Routed(TypeName),
    /// Whether a rule refuses a notification without a user.
    Filled(Name),
}

/// Whether two rules may both match.
#[derive(Debug, Clone)]
pub(in crate::snapshot) enum Tie {
    /// They do, for this one.
    Shown(Witness),
    /// Neither could be shown.
    Undecided,
}

/// How a rule fares in one type.
enum Fate {
    Reachable,
    Never,
    Covered(Vec<Name>, Witness),
    Undecided(Doubt),
}

/// Looks at all rules. A finding of what happens has been shown by the router; one of what never does has a reason.
#[must_use]
pub(in crate::snapshot) fn examine(snapshot: &Snapshot) -> Vec<Finding> {
    let mut tables: Vec<_> = snapshot.routing.iter().collect();
    tables.sort_by_key(|(name, _)| *name);
    let idle = snapshot.routing.idle().iter().map(|rule| Finding::NeverMatches {
        rule: rule.name.clone(),
        why: vec![contradiction::of_types(tables.iter().map(|(name, _)| *name), &rule.matcher)],
    });
    let mut findings: Vec<Finding> = idle.collect();
    let mut fates: BTreeMap<&Name, Fates<'_>> = BTreeMap::new();
    let mut doubtful = BTreeSet::new();
    let mut add = |finding: Option<Finding>| match finding {
        Some(Finding::Undecided { question, .. }) if !doubtful.insert(question.clone()) => {}
        finding => findings.extend(finding),
    };
    for (type_name, rules) in tables {
        let table = Table::new(snapshot, type_name, rules);
        for (index, rule) in rules.iter().enumerate() {
            let fate = table.fate(index);
            if matches!(fate, Fate::Reachable) {
                add(table.unfillable(index));
            }
            fates.entry(&rule.name).or_default().push((type_name, rule, fate));
        }
        add(table.unrouted());
    }
    fates.into_iter().for_each(|(rule, fates)| add(sum_up(&snapshot.schemas, rule, fates)));
    findings
}

/// A rule as each of its types has it, and how it fares there.
type Fates<'a> = Vec<(&'a TypeName, &'a Rule, Fate)>;

/// What the fates of a rule in its types come to.
fn sum_up(schemas: &SchemaRegistry, rule: &Name, fates: Fates<'_>) -> Option<Finding> {
    let mut by = BTreeMap::new();
    let mut shown = None;
    let mut never = Vec::new();
    let mut doubts = Vec::new();
    for (type_name, matching, fate) in fates {
        match fate {
            Fate::Never => never.push((type_name, &matching.matcher)),
            Fate::Covered(rules, witness) => {
                by.insert(type_name.clone(), rules);
                shown = shown.or(Some(witness));
            }
            Fate::Reachable => return None,
            Fate::Undecided(doubt) => doubts.push((type_name, doubt)),
        }
    }
    let rule = rule.clone();
    if let Some((type_name, doubt)) = doubts.into_iter().next() {
        return Some(Finding::Undecided { question: Question::Reached(rule), type_name: type_name.clone(), doubt });
    }
    Some(match shown {
        Some(witness) => Finding::Covered { rule, by, witness },
        None => Finding::NeverMatches { rule, why: contradiction::in_types(schemas, never) },
    })
}

/// The pairs of rules of a type that have one priority and are not seen to exclude each other. `rules` are in their
/// order.
#[must_use]
pub(in crate::snapshot) fn ties<'a>(
    schemas: &SchemaRegistry,
    type_name: &TypeName,
    rules: &'a [Rule],
) -> Vec<(&'a Rule, &'a Rule, Tie)> {
    let mut ties = Vec::new();
    for group in rules.chunk_by(|one, other| one.priority == other.priority).filter(|group| group.len() > 1) {
        let matchers: Vec<&Matcher> = group.iter().map(|rule| &rule.matcher).collect();
        let space = Space::new(schemas, type_name, &matchers);
        for second in 1..group.len() {
            ties.extend((0..second).filter_map(|first| {
                Some((&group[first], &group[second], tie(&space, schemas, group, [first, second])?))
            }));
        }
    }
    ties
}

/// Whether two rules may both match; none if they cannot.
fn tie(space: &Space, schemas: &SchemaRegistry, rules: &[Rule], pair: [usize; 2]) -> Option<Tie> {
    let both = Formula::All(pair.map(Formula::Shared).into());
    let found = space.search(&both, |region| {
        let witness = witness::find(space, region, schemas)?;
        pair.iter().all(|index| rules[*index].matches(witness.facts())).then_some(witness)
    });
    match found {
        Found::Example(witness) => Some(Tie::Shown(witness)),
        Found::Nothing => None,
        Found::Undecided(_) => Some(Tie::Undecided),
    }
}

/// The rules of one type.
struct Table<'a> {
    snapshot: &'a Snapshot,
    rules: &'a [Rule],
    space: Space,
}

impl<'a> Table<'a> {
    fn new(snapshot: &'a Snapshot, type_name: &TypeName, rules: &'a [Rule]) -> Self {
        let user = has_user();
        let matchers: Vec<&Matcher> = rules.iter().map(|rule| &rule.matcher).chain(user.as_ref()).collect();
        Self { snapshot, rules, space: Space::new(&snapshot.schemas, type_name, &matchers) }
    }

    fn stopping_before(&self, index: usize) -> Vec<usize> {
        (0..index).filter(|earlier| surely_stops(&self.rules[*earlier])).collect()
    }

    fn fate(&self, index: usize) -> Fate {
        let rule = &self.rules[index];
        let matches = Formula::Shared(index);
        let before = self.stopping_before(index);
        let found = self.space.search(&matches, |region| {
            let witness = witness::find(&self.space, region, &self.snapshot.schemas)?;
            rule.matches(witness.facts()).then_some(witness)
        });
        let is_taken = |witness: &Witness| before.iter().any(|earlier| self.rules[*earlier].matches(witness.facts()));
        match &found {
            Found::Nothing => return Fate::Never,
            // Most rules are shown to be reached by the first example.
            Found::Example(witness) if !is_taken(witness) => return Fate::Reachable,
            Found::Example(_) | Found::Undecided(_) => {}
        }
        match (self.space.together(&passing(&matches, &before)), found) {
            (Together::Possible, _) => Fate::Reachable,
            (Together::Unclear, _) => Fate::Undecided(Doubt::TooMuch),
            (Together::Impossible(decisive), Found::Example(witness)) => {
                let decisive = decisive.into_iter().filter_map(|place| before.get(place.checked_sub(1)?).copied());
                let names = self.fewest(&matches, decisive.collect());
                Fate::Covered(names.into_iter().map(|earlier| self.rules[earlier].name.clone()).collect(), witness)
            }
            (Together::Impossible(_), Found::Undecided(doubt)) => Fate::Undecided(doubt),
            (Together::Impossible(_), Found::Nothing) => Fate::Never,
        }
    }

    /// Rules of `covering`, which cover `matches`, of which none can be left out.
    fn fewest(&self, matches: &Formula, covering: Vec<usize>) -> Vec<usize> {
        let mut kept = covering.clone();
        for earlier in covering {
            let others: Vec<usize> = kept.iter().copied().filter(|other| *other != earlier).collect();
            if self.space.is_impossible(&Formula::All(passing(matches, &others))) {
                kept = others;
            }
        }
        kept
    }

    fn unrouted(&self) -> Option<Finding> {
        if self.rules.is_empty() {
            // Its own warning says so.
            return None;
        }
        let all: Vec<usize> = (0..self.rules.len()).collect();
        let found = self.space.search(&Formula::All(passing(&Formula::Always(true), &all)), |region| {
            let witness = witness::find(&self.space, region, &self.snapshot.schemas)?;
            (!self.rules.iter().any(|rule| rule.matches(witness.facts()))).then_some(witness)
        });
        match found {
            Found::Example(witness) => Some(Finding::Unrouted { type_name: self.space.type_name.clone(), witness }),
            Found::Nothing => None,
            Found::Undecided(doubt) => {
                let type_name = self.space.type_name.clone();
                Some(Finding::Undecided { question: Question::Routed(type_name.clone()), type_name, doubt })
            }
        }
    }

    /// A target of a user, and a notification for none. Of other placeholders the schema must require what they name.
    fn unfillable(&self, index: usize) -> Option<Finding> {
        let rule = &self.rules[index];
        let Action::To(routes) = &rule.action else { return None };
        let mut placeholders = routes.iter().flat_map(|route| route.template.placeholders());
        placeholders.find(|path| path.len() == 1 && &*path[0] == "userId")?;
        let before = self.stopping_before(index);
        let without_user = Formula::Not(Box::new(Formula::Shared(self.rules.len())));
        let formula = Formula::All(passing(&Formula::All(vec![Formula::Shared(index), without_user]), &before));
        let found = self.space.search(&formula, |region| {
            let witness = witness::find(&self.space, region, &self.snapshot.schemas)?;
            let decision = evaluate(self.snapshot, &witness.notification, witness.at, &mut ());
            matches!(&decision.outcome, Err(Refusal::BadSegment { rule: refusing, .. }) if *refusing == rule.name)
                .then_some(witness)
        });
        match found {
            Found::Example(witness) => {
                let (rule, type_name) = (rule.name.clone(), self.space.type_name.clone());
                Some(Finding::Unfillable { rule, type_name, witness })
            }
            Found::Nothing => None,
            Found::Undecided(doubt) => {
                let question = Question::Filled(rule.name.clone());
                Some(Finding::Undecided { question, type_name: self.space.type_name.clone(), doubt })
            }
        }
    }
}

/// `matches`, and none of the rules at `before` does.
fn passing(matches: &Formula, before: &[usize]) -> Vec<Formula> {
    let not = |index: &usize| Formula::Not(Box::new(Formula::Shared(*index)));
    std::iter::once(matches.clone()).chain(before.iter().map(not)).collect()
}

/// Whether nothing after a rule is tried once it matches. A filter may fail, and its rule be passed over then.
pub(super) fn surely_stops(rule: &Rule) -> bool {
    rule.then == Then::Stop && rule.filter.is_none()
}

fn has_user() -> Option<Matcher> {
    Field::compile("userId", Operator::Exists, &Value::Bool(true)).ok().map(Matcher::from)
}

impl Witness {
    /// What matchers look at.
    #[must_use]
    pub(in crate::snapshot) fn facts(&self) -> Facts<'_> {
        Facts { notification: &self.notification, now: self.at }
    }
}
