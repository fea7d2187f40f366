//! What is proven of a configuration, as findings.

use std::collections::HashMap;

use super::Cx;
use crate::config::{Code, Diagnostic, Span};
use crate::notification::{Name, TypeName};
use crate::snapshot::Snapshot;
use crate::snapshot::proofs::{self, Claim, Finding, Proof, Question};

impl Cx {
    /// An invariant that does not hold is an error, so a revision that breaks it is not taken.
    pub(super) fn prove_invariants(&mut self, snapshot: &Snapshot) {
        for invariant in &snapshot.invariants {
            let claim = match &invariant.claim {
                Claim::Reaches(_) => "does not reach",
                Claim::NeverReaches(_) => "reaches",
                Claim::NeverDrops => "is dropped, against",
            };
            match proofs::prove(snapshot, invariant) {
                Proof::Proven => {}
                Proof::Refuted(witness, decision) => {
                    let message = format!("the invariant does not hold: a notification {claim} what it names");
                    let rules: Vec<_> = decision.rules.iter().map(|rule| format!("`{rule}`")).collect();
                    let matched = match rules.as_slice() {
                        [] => "no rule matches it".to_owned(),
                        rules => format!("it matches {}", rules.join(", ")),
                    };
                    let finding = Diagnostic::error(Code::Refuted, invariant.span, message);
                    self.diagnostics.push(finding.note(format!("this one: {witness}")).note(matched));
                }
                Proof::Vacuous(why) => {
                    let message = "the invariant is for no notification of any declared type";
                    let finding = Diagnostic::warning(Code::Vacuous, invariant.span, message);
                    self.diagnostics.push(why.into_iter().fold(finding, Diagnostic::note));
                }
                Proof::Undecided(why) => {
                    let finding = Diagnostic::warning(
                        Code::Undecided,
                        invariant.span,
                        "the invariant was neither proven nor refuted",
                    );
                    self.diagnostics.push(finding.note(why));
                }
            }
        }
    }

    /// Tells what may not be meant: each with a notification that shows it, or the reason why there is none.
    pub(super) fn advise(&mut self, snapshot: &Snapshot) {
        let rules = snapshot.config.rules.iter();
        let places: HashMap<Name, Span> =
            rules.filter_map(|rule| rule.name.as_ref()).map(|name| (name.value.clone(), name.span)).collect();
        let place = |rule: &Name| places.get(rule).copied().unwrap_or_default();
        let type_place =
            |name: &TypeName| snapshot.config.types.get(name).map(|declared| declared.span).unwrap_or_default();
        for finding in proofs::examine(snapshot) {
            self.diagnostics.push(match finding {
                Finding::NeverMatches { rule, why } => {
                    let message = format!("rule `{rule}` can never match");
                    let finding = Diagnostic::warning(Code::NeverMatches, place(&rule), message);
                    why.into_iter().fold(finding, Diagnostic::note)
                }
                Finding::Covered { rule, by, witness } => {
                    let message = format!("rule `{rule}` is never reached: earlier rules match all that it is for");
                    let mut finding = Diagnostic::warning(Code::Covered, place(&rule), message);
                    for (type_name, names) in &by {
                        for name in names {
                            finding = finding.also(place(name), format!("covers it for `{type_name}`"));
                        }
                    }
                    finding
                        .note(format!("it would match {witness}"))
                        .help("raise its priority, or let what covers it `then = \"continue\"`")
                }
                Finding::Unrouted { type_name, witness } => {
                    let message = format!("no rule is for some notifications of type `{type_name}`");
                    Diagnostic::note_at(Code::Unrouted, type_place(&type_name), message)
                        .note(format!("such as {witness}"))
                }
                Finding::Unfillable { rule, type_name, witness } => {
                    let message = format!("rule `{rule}` refuses a `{type_name}` without `userId`");
                    Diagnostic::note_at(Code::Unfillable, place(&rule), message)
                        .note(format!("such as {witness}"))
                        .help("require `userId` in the schema, so that a producer is told which member is missing")
                }
                Finding::Undecided { question, type_name, doubt } => {
                    let (span, asked) = match question {
                        Question::Reached(rule) => (place(&rule), format!("rule `{rule}` is ever reached")),
                        Question::Routed(name) => (type_place(&name), format!("a rule is for every `{name}`")),
                        Question::Filled(rule) => {
                            (place(&rule), format!("rule `{rule}` refuses a `{type_name}` without `userId`"))
                        }
                    };
                    Diagnostic::note_at(Code::NotDecided, span, format!("whether {asked} was not decided"))
                        .note(doubt.about(&type_name))
                }
            });
        }
    }
}
