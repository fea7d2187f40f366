//! Why a notification goes where it goes: every rule that was tried, and what decided.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::trial::stubbed;
use super::{Decision, Dropped, Observer, Refusal, Snapshot, evaluate};
use crate::config::{At, Stub};
use crate::notification::{ChannelName, Name, Notification, Reason};
use crate::plugins::{Plugin, Run, Verdict};
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
    /// The windows that it asks for, and whether they are open.
    pub windows: Vec<(String, bool)>,
    /// What its filter said.
    pub filter: Option<(String, Run)>,
    /// Whether a test said so in its place.
    pub is_stub: bool,
    /// The channels it names.
    pub channels: Vec<ChannelName>,
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
    /// The explanation as the admin listener answers it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let dropped = |dropped: &Dropped| json!({"rule": dropped.rule.as_str(), "reason": dropped.reason});
        let decision = &self.decision;
        json!({
            "outcome": self.reason().outcome().as_str(),
            "reason": self.reason().code(),
            "detail": decision.outcome.as_ref().err().map(ToString::to_string),
            "rules": decision.rules.iter().map(Name::as_str).collect::<Vec<_>>(),
            "channels": decision.deliveries.iter().map(|delivery| delivery.channel.as_str()).collect::<Vec<_>>(),
            "dropped": decision.dropped.iter().map(dropped).collect::<Vec<_>>(),
            "steps": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
        })
    }

    /// The end of it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.decision.outcome.as_ref().copied().unwrap_or_else(Refusal::reason)
    }
}

impl Step {
    fn to_json(&self) -> Value {
        let filter = self.filter.as_ref().map(|(name, run)| {
            json!({"plugin": name, "verdict": describe(&run.verdict), "operations": run.operations,
                "micros": run.elapsed.as_micros() as u64})
        });
        json!({
            "rule": self.rule,
            "priority": self.priority,
            "place": &*self.place,
            "matched": self.mismatch.is_none(),
            "mismatch": self.mismatch.as_ref().map(ToString::to_string),
            "windows": self.windows.iter().map(|(name, open)| json!({"window": name, "open": open})).collect::<Vec<_>>(),
            "filter": filter,
            "channels": self.channels.iter().map(ChannelName::as_str).collect::<Vec<_>>(),
        })
    }
}

fn describe(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Drop(reason) => format!("drop `{reason}`"),
        Verdict::Failed(failure) => format!("failed: {failure}"),
    }
}

/// A line a rule, and the end of it.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.steps.iter().map(|step| step.rule.len()).max().unwrap_or_default();
        for step in &self.steps {
            let Step { rule, priority, place, .. } = step;
            match &step.mismatch {
                Some(mismatch) => writeln!(f, "{priority:>6}  {rule:widest$}  {place}  no: {mismatch}")?,
                None => writeln!(f, "{priority:>6}  {rule:widest$}  {place}  MATCH")?,
            }
            if let Some((plugin, run)) = &step.filter {
                let (verdict, operations, micros) = (describe(&run.verdict), run.operations, run.elapsed.as_micros());
                if step.is_stub {
                    writeln!(f, "        filter {plugin}: {verdict}  (not run)")?;
                } else {
                    writeln!(f, "        filter {plugin}: {verdict}  ({operations} operations, {micros} us)")?;
                }
            }
            for (window, open) in &step.windows {
                writeln!(f, "        window {window}: {}", if *open { "open" } else { "closed" })?;
            }
            for channel in &step.channels {
                writeln!(f, "        -> {channel}")?;
            }
        }
        write!(f, "result: {}", self.reason().code())?;
        match &self.decision.outcome {
            Ok(_) => {
                writeln!(f, ", {} channels, {} dropped", self.decision.deliveries.len(), self.decision.dropped.len())
            }
            Err(refusal) => writeln!(f, ": {refusal}"),
        }
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
        self.steps.push(Step {
            rule: rule.name.to_string(),
            priority: rule.priority,
            place: Arc::clone(&rule.place),
            mismatch,
            windows: windows.into_iter().map(|window| (window.name.clone(), window.contains(self.now))).collect(),
            filter: None,
            is_stub: false,
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
        let is_stub = stubbed(self.stubs, plugin).is_some();
        if let Some(step) = self.steps.last_mut() {
            step.filter = Some((plugin.name().to_string(), run.clone()));
            step.is_stub = is_stub;
        }
    }

    fn sent(&mut self, _rule: &Rule, channels: &[(ChannelName, &Arc<ChannelSpec>)]) {
        if let Some(step) = self.steps.last_mut() {
            step.channels = channels.iter().map(|(channel, _)| channel.clone()).collect();
        }
    }
}
