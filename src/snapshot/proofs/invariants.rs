//! Invariants: what must hold for every notification that a schema admits, proven or refuted by an example.

use super::contradiction;
use super::reach::Reach;
use super::rules::surely_stops;
use super::search::{Doubt, Found};
use super::space::{Formula, Space};
use super::witness::{self, Witness};
use crate::config::{Span, Then, Unmatched};
use crate::notification::{Name, TypeName};
use crate::plugins::{Failure, Plugin, Run, Verdict};
use crate::routing::{Action, Matcher, Rule, Template};
use crate::snapshot::{Decision, Observer, Snapshot, evaluate};

/// What must hold, compiled.
#[derive(Debug, Clone)]
pub struct Invariant {
    /// Where it is written.
    pub span: Span,
    /// Of which notifications.
    pub for_all: Matcher,
    /// What must be true of those that are accepted.
    pub claim: Claim,
}

/// What an invariant claims.
#[derive(Debug, Clone)]
pub enum Claim {
    /// Each goes to such a channel.
    Reaches(Target),
    /// None goes to such a channel.
    NeverReaches(Target),
    /// None is dropped, by a rule or because no rule matches.
    NeverDrops,
}

/// Channels, as an invariant names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every one that a declaration is for, by its name.
    Declared(Name),
    /// What a template is filled to, such as `user.{userId}`, or one channel.
    Named(Template),
}

/// What came of an invariant.
#[derive(Debug, Clone)]
pub(in crate::snapshot) enum Proof {
    /// It holds.
    Proven,
    /// It does not, as this shows.
    Refuted(Witness, Box<Decision>),
    /// It holds because no notification is one that it is about, for these reasons.
    Vacuous(Vec<String>),
    /// Neither could be shown, for this reason.
    Undecided(String),
}

/// Proves an invariant, or refutes it.
#[must_use]
pub(in crate::snapshot) fn prove(snapshot: &Snapshot, invariant: &Invariant) -> Proof {
    let mut tables: Vec<_> = snapshot.routing.iter().collect();
    tables.sort_by_key(|(name, _)| *name);
    let mut doubt = None;
    let (mut never, mut is_vacuous) = (Vec::new(), true);
    for (type_name, rules) in &tables {
        let for_all = invariant.for_all.for_type(type_name.as_str());
        if matches!(for_all, Matcher::Always(false)) {
            continue;
        }
        let question = Question::new(snapshot, type_name, rules, &for_all, &invariant.claim);
        if question.space.is_impossible(&Formula::Shared(rules.len())) {
            never.push((*type_name, for_all));
            continue;
        }
        is_vacuous = false;
        match question.answer() {
            Proof::Proven | Proof::Vacuous(_) => {}
            refuted @ Proof::Refuted(..) => return refuted,
            Proof::Undecided(why) => doubt = doubt.or(Some(why)),
        }
    }
    match doubt {
        Some(why) => Proof::Undecided(why),
        None if !is_vacuous => Proof::Proven,
        None if never.is_empty() => {
            let types = tables.iter().map(|(type_name, _)| *type_name);
            Proof::Vacuous(vec![contradiction::of_types(types, &invariant.for_all)])
        }
        None => {
            let asked = never.iter().map(|(type_name, for_all)| (*type_name, for_all));
            Proof::Vacuous(contradiction::in_types(&snapshot.schemas, asked))
        }
    }
}

/// An invariant for one type.
struct Question<'a> {
    snapshot: &'a Snapshot,
    rules: &'a [Rule],
    claim: &'a Claim,
    for_all: &'a Matcher,
    /// Of each rule when it reaches what is claimed, and last of what no rule matches.
    reach: Vec<Reach>,
    space: Space,
}

impl<'a> Question<'a> {
    fn new(
        snapshot: &'a Snapshot,
        type_name: &TypeName,
        rules: &'a [Rule],
        for_all: &'a Matcher,
        claim: &'a Claim,
    ) -> Self {
        let reach = reaches(snapshot, type_name, rules, claim);
        let reaching = reach.iter().flat_map(|reach| [&reach.may, &reach.surely]);
        let matchers: Vec<&Matcher> = rules.iter().map(|rule| &rule.matcher).chain([for_all]).chain(reaching).collect();
        let space = Space::new(&snapshot.schemas, type_name, &matchers);
        Self { snapshot, rules, claim, for_all, reach, space }
    }

    fn answer(&self) -> Proof {
        let mut deciding = None;
        let found = self.space.search(&self.counterexamples(), |region| {
            let witness = witness::find(&self.space, region, &self.snapshot.schemas)?;
            let mut filters = Filters::default();
            let decision = evaluate(self.snapshot, &witness.notification, witness.at, &mut filters);
            if !self.for_all.matches(witness.facts()) {
                return None;
            }
            if self.is_broken_by(&witness, &decision) {
                return Some((witness, Box::new(decision)));
            }
            deciding = deciding.take().or_else(|| self.deciding(&witness, filters));
            None
        });
        match (found, deciding) {
            (Found::Nothing, _) => Proof::Proven,
            (Found::Example((witness, decision)), _) => Proof::Refuted(witness, decision),
            (Found::Undecided(Doubt::NoExample), Some((rule, filter))) => Proof::Undecided(format!(
                "for `{}` it depends on what the filter `{filter}` of rule `{rule}` decides",
                self.space.type_name
            )),
            (Found::Undecided(doubt), _) => Proof::Undecided(doubt.about(&self.space.type_name)),
        }
    }

    /// A rule and its filter, of those that were asked, which with another verdict would break the claim.
    fn deciding(&self, witness: &Witness, filters: Filters) -> Option<(Name, Name)> {
        filters.asked.into_iter().find(|(_, filter)| {
            let failed = Verdict::Failed(Failure::NoVerdict(String::new()));
            [Verdict::Pass, Verdict::Drop(filter.clone()), failed].into_iter().any(|verdict| {
                let mut filters = Filters { instead: Some((filter.clone(), verdict)), asked: Vec::new() };
                let decision = evaluate(self.snapshot, &witness.notification, witness.at, &mut filters);
                self.is_broken_by(witness, &decision)
            })
        })
    }

    /// What may break the claim: never less than what does.
    fn counterexamples(&self) -> Formula {
        let rules = self.rules.len();
        let broken = match self.claim {
            Claim::Reaches(_) => {
                let reaching = (0..rules).filter(|index| self.rules[*index].filter.is_none());
                let surely = |index| self.applies(index, |rule| rule.then == Then::Stop, [self.surely(index)]);
                let mut ways: Vec<_> =
                    reaching.filter(|index| self.is_reached(*index)).map(|index| not(surely(index))).collect();
                let unmatched = self.none_of(0..rules, |_| true);
                match self.snapshot.unmatched {
                    // It is not accepted.
                    Unmatched::Reject => ways.push(not(unmatched)),
                    Unmatched::Drop => {}
                    Unmatched::DeadLetter => ways.push(not(Formula::All(vec![unmatched, self.surely(rules)]))),
                }
                Formula::All(ways)
            }
            Claim::NeverReaches(_) => {
                let reaching = (0..rules).filter(|index| self.is_reached(*index));
                let mut ways: Vec<_> =
                    reaching.map(|index| self.applies(index, surely_stops, [self.may(index)])).collect();
                if self.snapshot.unmatched == Unmatched::DeadLetter {
                    let unmatched = self.none_of(0..rules, |rule| rule.filter.is_none());
                    ways.push(Formula::All(vec![unmatched, self.may(rules)]));
                }
                Formula::Any(ways)
            }
            Claim::NeverDrops => {
                let dropping = (0..rules).filter(|index| may_drop(&self.rules[*index]));
                let mut ways: Vec<_> = dropping.map(|index| self.applies(index, surely_stops, [])).collect();
                if self.snapshot.unmatched == Unmatched::Drop {
                    ways.push(self.none_of(0..rules, |rule| rule.filter.is_none()));
                }
                Formula::Any(ways)
            }
        };
        Formula::All(vec![Formula::Shared(rules), broken])
    }

    /// The rule matches, and none before it that stops does, and this is so.
    fn applies<const N: usize>(&self, index: usize, stops: impl Fn(&Rule) -> bool, so: [Formula; N]) -> Formula {
        Formula::All([Formula::Shared(index), self.none_of(0..index, stops)].into_iter().chain(so).collect())
    }

    /// Whether anything that a rule sends may go to what is claimed.
    fn is_reached(&self, index: usize) -> bool {
        !matches!(self.reach[index].may, Matcher::Always(false))
    }

    fn may(&self, index: usize) -> Formula {
        Formula::Shared(self.rules.len() + 1 + 2 * index)
    }

    fn surely(&self, index: usize) -> Formula {
        Formula::Shared(self.rules.len() + 2 + 2 * index)
    }

    fn none_of(&self, rules: std::ops::Range<usize>, counts: impl Fn(&Rule) -> bool) -> Formula {
        Formula::All(
            rules.filter(|index| counts(&self.rules[*index])).map(|index| not(Formula::Shared(index))).collect(),
        )
    }

    /// Whether a decision, as the router made it, is not as the claim has it. What is refused is not accepted.
    fn is_broken_by(&self, witness: &Witness, decision: &Decision) -> bool {
        let reaches = |target: &Target| match target {
            Target::Declared(name) => decision.deliveries.iter().any(|delivery| delivery.spec.name == *name),
            Target::Named(template) => template
                .fill(&witness.notification)
                .is_ok_and(|channel| decision.deliveries.iter().any(|delivery| delivery.channel == channel)),
        };
        decision.outcome.is_ok()
            && match self.claim {
                Claim::Reaches(target) => !reaches(target),
                Claim::NeverReaches(target) => reaches(target),
                Claim::NeverDrops => !decision.dropped.is_empty() || decision.deliveries.is_empty(),
            }
    }
}

/// Notes which filters are asked, and takes a verdict in the place of one.
#[derive(Default)]
struct Filters {
    instead: Option<(Name, Verdict)>,
    /// Each with its rule.
    asked: Vec<(Name, Name)>,
}

impl Observer for Filters {
    fn stub(&mut self, plugin: &Plugin) -> Option<Verdict> {
        let (filter, verdict) = self.instead.as_ref()?;
        (filter == plugin.name()).then(|| verdict.clone())
    }

    fn ran(&mut self, rule: &Rule, plugin: &Plugin, _run: &Run) {
        self.asked.push((rule.name.clone(), plugin.name().clone()));
    }
}

fn not(formula: Formula) -> Formula {
    Formula::Not(Box::new(formula))
}

fn may_drop(rule: &Rule) -> bool {
    matches!(rule.action, Action::Drop(_)) || rule.filter.is_some()
}

/// Of each rule when it reaches what is claimed, and last of what no rule matches; nothing if no target is named.
fn reaches(snapshot: &Snapshot, type_name: &TypeName, rules: &[Rule], claim: &Claim) -> Vec<Reach> {
    let (Claim::Reaches(target) | Claim::NeverReaches(target)) = claim else { return Vec::new() };
    let of_rule = |rule: &Rule| match &rule.action {
        Action::To(routes) => Reach::of_routes(routes, target, type_name),
        Action::Drop(_) => Reach::of_routes(&[], target, type_name),
    };
    rules.iter().map(of_rule).chain([Reach::of_dead_letter(snapshot, target, type_name)]).collect()
}
