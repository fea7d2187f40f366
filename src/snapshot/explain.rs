//! Why a notification goes where it goes: every rule that was tried, and what decided.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Decision, Observer, Snapshot, evaluate};
use crate::notification::{ChannelName, Notification};
use crate::plugins::{Plugin, Run};
use crate::routing::{ChannelSpec, Facts, Mismatch, Rule};

/// A decision and the way to it.
#[derive(Debug)]
pub struct Explanation {
    /// The rules that were tried, in order. What follows the last was not reached.
    pub steps: Vec<Step>,
    /// What was decided.
    pub decision: Decision,
}

/// One rule that was tried.
#[derive(Debug)]
pub struct Step {
    /// Its name.
    pub rule: String,
    /// Its priority.
    pub priority: i64,
    /// Where it is written.
    pub place: Arc<str>,
    /// Why it does not match; none when it does.
    pub mismatch: Option<Mismatch>,
    /// What its filter said.
    pub filter: Option<(String, Run)>,
    /// The channels it names.
    pub channels: Vec<ChannelName>,
}

/// Decides as serving does, and keeps the way. Filters always run: an explanation does not depend on whether a
/// circuit breaker happens to be open.
#[must_use]
pub fn explain(snapshot: &Snapshot, notification: &Arc<Notification>, now: Timestamp) -> Explanation {
    let mut steps = Steps(Vec::new());
    let decision = evaluate(snapshot, notification, now, &mut steps);
    Explanation { steps: steps.0, decision }
}

struct Steps(Vec<Step>);

impl Steps {
    fn push(&mut self, rule: &Rule, mismatch: Option<Mismatch>) {
        self.0.push(Step {
            rule: rule.name.to_string(),
            priority: rule.priority,
            place: Arc::clone(&rule.place),
            mismatch,
            filter: None,
            channels: Vec::new(),
        });
    }
}

impl Observer for Steps {
    fn mismatched(&mut self, rule: &Rule, facts: Facts<'_>) {
        self.push(rule, rule.matcher.mismatch(facts));
    }

    fn matched(&mut self, rule: &Rule) {
        self.push(rule, None);
    }

    fn ran(&mut self, _rule: &Rule, plugin: &Plugin, run: &Run) {
        if let Some(step) = self.0.last_mut() {
            step.filter = Some((plugin.name().to_string(), run.clone()));
        }
    }

    fn sent(&mut self, _rule: &Rule, channels: &[(ChannelName, &Arc<ChannelSpec>)]) {
        if let Some(step) = self.0.last_mut() {
            step.channels = channels.iter().map(|(channel, _)| channel.clone()).collect();
        }
    }
}
