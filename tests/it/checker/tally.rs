//! How much happened in a run: who claims that nothing went wrong must show that it could have.

use std::collections::BTreeMap;

use super::{Kind, Outcome, Rule, Run, Violation};

/// What happened, of one run or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) ok: usize,
    pub(crate) delivered: usize,
    pub(crate) resumed: usize,
    pub(crate) faults: BTreeMap<&'static str, usize>,
}

/// What must have happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claims<'a> {
    /// At least so many publishes that succeeded.
    pub(crate) ok: usize,
    /// At least one of each.
    pub(crate) faults: &'a [&'static str],
}

impl Tally {
    pub(crate) fn of(run: &Run) -> Self {
        let heard = |is: fn(&Kind) -> bool| run.heard.iter().filter(|heard| is(&heard.kind)).count();
        Self {
            ok: run.published.iter().filter(|one| matches!(one.outcome, Outcome::Ok(_))).count(),
            delivered: heard(|kind| matches!(kind, Kind::Live { .. })),
            resumed: heard(|kind| matches!(kind, Kind::Resumed)),
            faults: run.faults.clone(),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.delivered += other.delivered;
        self.resumed += other.resumed;
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
    }

    /// What was claimed and did not happen. Something is delivered and resumed in every run worth the name.
    pub(crate) fn check(&self, claims: &Claims<'_>) -> Vec<Violation> {
        let mut missing = Vec::new();
        if self.ok < claims.ok {
            missing.push(format!("{} publishes succeeded, not {}", self.ok, claims.ok));
        }
        if self.delivered == 0 {
            missing.push("nothing was delivered".to_owned());
        }
        if self.resumed == 0 {
            missing.push("nobody resumed".to_owned());
        }
        let absent = claims.faults.iter().filter(|fault| self.faults.get(**fault).is_none_or(|count| *count == 0));
        missing.extend(absent.map(|fault| format!("no fault of the kind `{fault}`")));
        missing.into_iter().map(|what| Violation::new(Rule::Vacuous, what)).collect()
    }
}
