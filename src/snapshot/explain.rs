//! Why a notification goes where it goes: every rule that was tried, and what decided.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::told::{DroppedBy, FilterRun, Step, Told, WindowState};
use super::trial::stubbed;
use super::{Decision, Dropped, Observer, Refusal, Snapshot, evaluate};
use crate::config::{At, Stub};
use crate::notification::{ChannelName, Notification, Reason};
use crate::plugins::{Plugin, Run, Verdict};
use crate::routing::{ChannelSpec, Facts, Mismatch, Rule, Window};

/// A decision and the way to it.
#[derive(Debug)]
pub struct Explanation {
    /// The rules that were tried, in order. What follows the last was not reached.
    pub steps: Vec<Step>,
    /// What was decided.
    pub decision: Decision,
}

/// Decides as serving does, and keeps the way. Filters always run: an explanation does not depend on whether a
/// circuit breaker happens to be open.
#[must_use]
pub fn explain(snapshot: &Snapshot, notification: &Arc<Notification>, now: Timestamp) -> Explanation {
    explain_with(snapshot, notification, now, &[])
}

/// As [`explain`], with verdicts in the place of filters.
pub(super) fn explain_with(
    snapshot: &Snapshot,
    notification: &Arc<Notification>,
    now: Timestamp,
    stubs: &[(At<String>, Stub)],
) -> Explanation {
    let mut steps = Steps { now, steps: Vec::new(), stubs };
    let decision = evaluate(snapshot, notification, now, &mut steps);
    Explanation { steps: steps.steps, decision }
}

impl Explanation {
    /// The explanation as it is told.
    #[must_use]
    pub fn told(&self) -> Told {
        let decision = &self.decision;
        let dropped = |dropped: &Dropped| DroppedBy { rule: dropped.rule.to_string(), reason: dropped.reason.clone() };
        Told {
            outcome: self.reason().outcome().as_str().to_owned(),
            reason: self.reason().code().to_owned(),
            detail: decision.outcome.as_ref().err().map(ToString::to_string),
            rules: decision.rules.iter().map(ToString::to_string).collect(),
            channels: decision.deliveries.iter().map(|delivery| delivery.channel.to_string()).collect(),
            dropped: decision.dropped.iter().map(dropped).collect(),
            steps: self.steps.clone(),
        }
    }

    /// The end of it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.decision.outcome.as_ref().copied().unwrap_or_else(Refusal::reason)
    }
}

fn describe(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Drop(reason) => format!("drop `{reason}`"),
        Verdict::Failed(failure) => format!("failed: {failure}"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told().fmt(f)
    }
}

struct Steps<'a> {
    now: Timestamp,
    steps: Vec<Step>,
    stubs: &'a [(At<String>, Stub)],
}

impl Steps<'_> {
    fn push(&mut self, rule: &Rule, mismatch: Option<Mismatch>) {
        let mut windows = Vec::new();
        rule.matcher.windows(&mut windows);
        let state = |window: &Window| WindowState { window: window.name.clone(), open: window.contains(self.now) };
        self.steps.push(Step {
            rule: rule.name.to_string(),
            priority: rule.priority,
            place: rule.place.to_string(),
            matched: mismatch.is_none(),
            mismatch: mismatch.map(|mismatch| mismatch.to_string()),
            windows: windows.into_iter().map(state).collect(),
            filter: None,
            channels: Vec::new(),
        });
    }
}

impl Observer for Steps<'_> {
    fn mismatched(&mut self, rule: &Rule, facts: Facts<'_>) {
        self.push(rule, rule.matcher.mismatch(facts));
    }

    fn matched(&mut self, rule: &Rule) {
        self.push(rule, None);
    }

    fn stub(&mut self, plugin: &Plugin) -> Option<Verdict> {
        stubbed(self.stubs, plugin)
    }

    fn ran(&mut self, _rule: &Rule, plugin: &Plugin, run: &Run) {
        let filter = FilterRun {
            plugin: plugin.name().to_string(),
            verdict: describe(&run.verdict),
            is_stub: stubbed(self.stubs, plugin).is_some(),
            operations: run.operations,
            micros: run.elapsed.as_micros() as u64,
        };
        if let Some(step) = self.steps.last_mut() {
            step.filter = Some(filter);
        }
    }

    fn sent(&mut self, _rule: &Rule, channels: &[(ChannelName, &Arc<ChannelSpec>)]) {
        if let Some(step) = self.steps.last_mut() {
            step.channels = channels.iter().map(|(channel, _)| channel.to_string()).collect();
        }
    }
}
