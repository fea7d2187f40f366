//! What can be proven of the rules of a configuration before any notification is published: that a rule can never match
//! or is covered by earlier ones, that two may both match, what no rule is for, and whether an invariant holds.
//!
//! Per type, what its rules test divides all of its notifications (`space`). A claim that something can happen comes
//! with a notification for which it does, admitted by the schema's validator and run through the router. A claim that
//! something cannot happen is exact, as what is searched is never less than what there is. Where neither can be had, it
//! is said that nothing is decided.

mod candidates;
mod cells;
mod contradiction;
mod example;
mod invariants;
mod nesting;
mod numbers;
mod reach;
mod relations;
mod rules;
mod search;
mod shape;
mod space;
#[cfg(test)]
mod tests;
mod weaker;
mod witness;

pub use invariants::Invariant;
pub(super) use invariants::{Claim, Proof, Target, prove};
pub(super) use rules::{Finding, Question, Tie, examine, ties};
