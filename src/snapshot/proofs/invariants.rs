//! Invariants: what must hold for every notification that a schema admits, proven or refuted by an example.

use super::contradiction;
use super::rules::surely_stops;
use super::search::{Doubt, Found};
use super::space::{Formula, Space};
use super::witness::{self, Witness};
use crate::config::{Span, Then, Unmatched};
use crate::notification::{Name, TypeName};
use crate::routing::{Action, Matcher, Rule, Template};
use crate::snapshot::evaluate::DEAD_LETTER;
use crate::snapshot::{Decision, Snapshot, evaluate};

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
        let matchers: Vec<&Matcher> = rules.iter().map(|rule| &rule.matcher).chain([for_all]).collect();
        Self { snapshot, rules, claim, for_all, space: Space::new(&snapshot.schemas, type_name, &matchers) }
    }

    fn answer(&self) -> Proof {
        let found = self.space.search(&self.counterexamples(), |region| {
            let witness = witness::find(&self.space, region, &self.snapshot.schemas)?;
            let decision = evaluate(self.snapshot, &witness.notification, witness.at, &mut ());
            let refutes = self.for_all.matches(witness.facts()) && self.is_broken_by(&witness, &decision);
            refutes.then(|| (witness, Box::new(decision)))
        });
        match found {
            Found::Nothing => Proof::Proven,
            Found::Example((witness, decision)) => Proof::Refuted(witness, decision),
            Found::Undecided(doubt) => Proof::Undecided(self.why(doubt)),
        }
    }

    /// What may break the claim: never less than what does.
    fn counterexamples(&self) -> Formula {
        let broken = match self.claim {
            Claim::Reaches(target) => {
                let reaching = (0..self.rules.len()).filter(|index| self.surely_reaches(*index, target));
                let mut ways: Vec<_> =
                    reaching.map(|index| not(self.applies(index, |rule| rule.then == Then::Stop))).collect();
                let reaches_unmatched = match self.snapshot.unmatched {
                    // It is not accepted.
                    Unmatched::Reject => true,
                    Unmatched::Drop => false,
                    Unmatched::DeadLetter => self.is_dead_letter(target, |letter, template| letter == template),
                };
                if reaches_unmatched {
                    ways.push(Formula::Any((0..self.rules.len()).map(Formula::Shared).collect()));
                }
                Formula::All(ways)
            }
            Claim::NeverReaches(target) => {
                let reaching = (0..self.rules.len()).filter(|index| may_reach(&self.rules[*index], target));
                let mut ways: Vec<_> = reaching.map(|index| self.applies(index, surely_stops)).collect();
                if self.snapshot.unmatched == Unmatched::DeadLetter && self.is_dead_letter(target, Template::overlaps) {
                    ways.push(self.none_of(0..self.rules.len(), |rule| rule.filter.is_none()));
                }
                Formula::Any(ways)
            }
            Claim::NeverDrops => {
                let dropping = (0..self.rules.len()).filter(|index| may_drop(&self.rules[*index]));
                let mut ways: Vec<_> = dropping.map(|index| self.applies(index, surely_stops)).collect();
                if self.snapshot.unmatched == Unmatched::Drop {
                    ways.push(self.none_of(0..self.rules.len(), |rule| rule.filter.is_none()));
                }
                Formula::Any(ways)
            }
        };
        Formula::All(vec![Formula::Shared(self.rules.len()), broken])
    }

    /// The rule matches, and none before it that stops does.
    fn applies(&self, index: usize, stops: impl Fn(&Rule) -> bool) -> Formula {
        Formula::All(vec![Formula::Shared(index), self.none_of(0..index, stops)])
    }

    fn none_of(&self, rules: std::ops::Range<usize>, counts: impl Fn(&Rule) -> bool) -> Formula {
        Formula::All(
            rules.filter(|index| counts(&self.rules[*index])).map(|index| not(Formula::Shared(index))).collect(),
        )
    }

    /// Whether a target is the channel of what no rule matches; one that names it as `fits` has it.
    fn is_dead_letter(&self, target: &Target, fits: impl Fn(&Template, &Template) -> bool) -> bool {
        let Ok(channel) = DEAD_LETTER.parse() else { return false };
        match target {
            Target::Declared(name) => self.snapshot.channels.find(&channel).is_some_and(|(spec, _)| spec.name == *name),
            Target::Named(template) => Template::parse(DEAD_LETTER).is_ok_and(|letter| fits(&letter, template)),
        }
    }

    fn surely_reaches(&self, index: usize, target: &Target) -> bool {
        let rule = &self.rules[index];
        let Action::To(routes) = &rule.action else { return false };
        rule.filter.is_none()
            && routes.iter().any(|route| match target {
                Target::Declared(name) => route.channel.name == *name,
                Target::Named(template) => route.template == *template,
            })
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

    fn why(&self, doubt: Doubt) -> String {
        let type_name = &self.space.type_name;
        let filtering = self.rules.iter().find_map(|rule| Some((&rule.name, rule.filter.as_ref()?)));
        match (doubt, filtering) {
            (Doubt::NoExample, Some((rule, filter))) => {
                format!("for `{type_name}` it depends on what the filter `{filter}` of rule `{rule}` decides")
            }
            _ => doubt.about(type_name),
        }
    }
}

fn not(formula: Formula) -> Formula {
    Formula::Not(Box::new(formula))
}

fn may_drop(rule: &Rule) -> bool {
    matches!(rule.action, Action::Drop(_)) || rule.filter.is_some()
}

fn may_reach(rule: &Rule, target: &Target) -> bool {
    let Action::To(routes) = &rule.action else { return false };
    routes.iter().any(|route| match target {
        Target::Declared(name) => route.channel.name == *name,
        Target::Named(template) => route.template.overlaps(template),
    })
}
