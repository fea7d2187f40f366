//! The one function that decides. Serving, dry runs, `explain` and tests all call it, so they cannot disagree.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Snapshot;
use crate::config::{OnError, Then, Unmatched};
use crate::notification::{ChannelName, Name, Notification, Reason};
use crate::plugins::{Plugin, Run, Verdict};
use crate::routing::{Action, BadSegment, ChannelSpec, Facts, Rule};

/// What is to become of a notification: all of it is decided before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The rules that matched, in the order in which they were tried.
    pub rules: Vec<Name>,
    /// The channels it goes to, each once.
    pub deliveries: Vec<Delivery>,
    /// What matched and was dropped.
    pub dropped: Vec<Dropped>,
    /// The end of it.
    pub outcome: Result<Reason, Refusal>,
}

/// One channel that a notification goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The channel.
    pub channel: ChannelName,
    /// Its declaration.
    pub spec: Arc<ChannelSpec>,
}

/// A rule that matched and sent nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The rule.
    pub rule: Name,
    /// The reason that the rule or the script names, else the code of `because`.
    pub reason: String,
    /// What dropped it.
    pub because: Reason,
}

/// Why a notification is not accepted although it is well-formed and permitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A value does not fit a rule's placeholder.
    #[error("rule `{rule}`: {fault}")]
    BadSegment {
        /// The rule.
        rule: Name,
        /// The placeholder and what is wrong.
        fault: BadSegment,
    },
    /// No rule matched, and `unmatched` is `reject`.
    #[error("no rule matches it")]
    Unmatched,
}

impl Refusal {
    /// The shared reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::BadSegment { .. } => Reason::BadSegment,
            Self::Unmatched => Reason::Unmatched,
        }
    }
}

/// Who watches an evaluation: to explain it, to count, or to keep a failing script from being called.
/// `()` watches nothing.
pub trait Observer {
    /// A rule was tried and does not match.
    fn mismatched(&mut self, _rule: &Rule, _facts: Facts<'_>) {}
    /// A rule matched; its filter, if it has one, has not been asked yet.
    fn matched(&mut self, _rule: &Rule) {}
    /// A verdict to take in the place of a call; none to ask the filter.
    fn stub(&mut self, _plugin: &Plugin) -> Option<Verdict> {
        None
    }
    /// Whether the filter may be called; else its `on_error` applies.
    fn may_run(&mut self, _plugin: &Plugin) -> bool {
        true
    }
    /// A filter was called, or a verdict was taken in its place.
    fn ran(&mut self, _rule: &Rule, _plugin: &Plugin, _run: &Run) {}
    /// A rule named its channels.
    fn sent(&mut self, _rule: &Rule, _channels: &[(ChannelName, &Arc<ChannelSpec>)]) {}
}

impl Observer for () {}

/// Decides what becomes of `notification` under `snapshot` when it is accepted at `now`. Pure but for what
/// `observer` keeps from running.
pub fn evaluate(
    snapshot: &Snapshot,
    notification: &Arc<Notification>,
    now: Timestamp,
    observer: &mut impl Observer,
) -> Decision {
    let mut evaluation = Evaluation { snapshot, notification, now, observer, decision: Decision::new() };
    let facts = Facts { notification, now };
    for rule in snapshot.routing.rules(&notification.draft.type_name) {
        if !rule.matches(facts) {
            evaluation.observer.mismatched(rule, facts);
            continue;
        }
        match evaluation.apply(rule) {
            Ok(Applied::Skipped) => {}
            Ok(Applied::Done) if rule.then == Then::Stop => break,
            Ok(Applied::Done) => {}
            Err(refusal) => return Decision { outcome: Err(refusal), ..Decision::new() },
        }
    }
    evaluation.conclude()
}

struct Evaluation<'a, O> {
    snapshot: &'a Snapshot,
    notification: &'a Arc<Notification>,
    now: Timestamp,
    observer: &'a mut O,
    decision: Decision,
}

/// What came of a rule that matches.
enum Applied {
    /// Its filter failed, and the rule counts as not matching.
    Skipped,
    /// It has done what it does.
    Done,
}

impl<O: Observer> Evaluation<'_, O> {
    fn apply(&mut self, rule: &Rule) -> Result<Applied, Refusal> {
        self.observer.matched(rule);
        match self.filter(rule) {
            Filtered::Keep => self.act(rule)?,
            Filtered::Drop(reason, because) => self.drop(rule, reason, because),
            Filtered::Skip => {
                self.note_drop(rule, Reason::FilterFailed.code().to_owned(), Reason::FilterFailed);
                return Ok(Applied::Skipped);
            }
        }
        Ok(Applied::Done)
    }

    fn act(&mut self, rule: &Rule) -> Result<(), Refusal> {
        if let Action::Drop(reason) = &rule.action {
            self.drop(rule, reason.to_string(), Reason::DroppedByRule);
            return Ok(());
        }
        let targets = rule.targets(self.notification);
        let targets = targets.map_err(|fault| Refusal::BadSegment { rule: rule.name.clone(), fault })?;
        self.observer.sent(rule, &targets);
        self.decision.rules.push(rule.name.clone());
        for (channel, spec) in targets {
            if !self.decision.deliveries.iter().any(|delivery| delivery.channel == channel) {
                self.decision.deliveries.push(Delivery { channel, spec: Arc::clone(spec) });
            }
        }
        Ok(())
    }

    fn drop(&mut self, rule: &Rule, reason: String, because: Reason) {
        self.decision.rules.push(rule.name.clone());
        self.note_drop(rule, reason, because);
    }

    fn note_drop(&mut self, rule: &Rule, reason: String, because: Reason) {
        self.decision.dropped.push(Dropped { rule: rule.name.clone(), reason, because });
    }

    fn filter(&mut self, rule: &Rule) -> Filtered {
        let plugin = rule.filter.as_ref().and_then(|name| self.snapshot.plugins.get(name.as_str()));
        let Some(plugin) = plugin else { return Filtered::Keep };
        let run = match self.observer.stub(plugin) {
            Some(verdict) => Run { verdict, operations: 0, elapsed: Duration::ZERO },
            None if !self.observer.may_run(plugin) => return Filtered::on_error(plugin.on_error()),
            None => plugin.filter(self.notification, self.now),
        };
        self.observer.ran(rule, plugin, &run);
        match run.verdict {
            Verdict::Pass => Filtered::Keep,
            Verdict::Drop(reason) => Filtered::Drop(reason.to_string(), Reason::DroppedByFilter),
            Verdict::Failed(_) => Filtered::on_error(plugin.on_error()),
        }
    }

    fn conclude(self) -> Decision {
        let mut decision = self.decision;
        decision.outcome = if !decision.deliveries.is_empty() {
            Ok(Reason::Routed)
        } else if decision.rules.is_empty() {
            match (self.snapshot.unmatched, self.snapshot.dead_letter()) {
                (Unmatched::Reject, _) | (Unmatched::DeadLetter, None) => Err(Refusal::Unmatched),
                (Unmatched::Drop, _) => Ok(Reason::UnmatchedDropped),
                (Unmatched::DeadLetter, Some(delivery)) => {
                    decision.deliveries.push(delivery);
                    Ok(Reason::Routed)
                }
            }
        } else {
            Ok(decision.dropped.first().map_or(Reason::Routed, |dropped| dropped.because))
        };
        decision
    }
}

enum Filtered {
    Keep,
    Drop(String, Reason),
    Skip,
}

impl Filtered {
    fn on_error(policy: OnError) -> Self {
        match policy {
            OnError::Pass => Self::Keep,
            OnError::Drop => Self::Drop(Reason::FilterFailed.code().to_owned(), Reason::FilterFailed),
            OnError::SkipRule => Self::Skip,
        }
    }
}

impl Decision {
    fn new() -> Self {
        Self { rules: Vec::new(), deliveries: Vec::new(), dropped: Vec::new(), outcome: Ok(Reason::Routed) }
    }
}

impl Snapshot {
    /// Where unmatched notifications go when the configuration says `dead-letter`; its compiler has checked that
    /// the channel is declared.
    fn dead_letter(&self) -> Option<Delivery> {
        let channel: ChannelName = DEAD_LETTER.parse().ok()?;
        let (spec, _) = self.channels.find(&channel)?;
        let spec = Arc::clone(spec);
        Some(Delivery { channel, spec })
    }
}

/// The channel of `unmatched = "dead-letter"`.
pub(super) const DEAD_LETTER: &str = "dead-letter";
