//! An explanation as it is told: to people as text, to programs as JSON. Whoever asks a server reads it back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::counted;

/// What was decided and every rule that was tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// What became of the notification, in a word.
    pub outcome: String,
    /// The code of the end.
    pub reason: String,
    /// What a refusal says.
    pub detail: Option<String>,
    /// The rules that matched.
    pub rules: Vec<String>,
    /// The channels that it goes to.
    pub channels: Vec<String>,
    /// The rules that matched and sent nothing.
    pub dropped: Vec<DroppedBy>,
    /// The rules that were tried, in order. What follows the last was not reached.
    pub steps: Vec<Step>,
}

/// A rule that matched and sent nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DroppedBy {
    /// The rule.
    pub rule: String,
    /// Why.
    pub reason: String,
}

/// One rule that was tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub rule: String,
    /// Its priority.
    pub priority: i64,
    /// Where it is written.
    pub place: String,
    /// Whether it matches.
    pub matched: bool,
    /// Why it does not.
    pub mismatch: Option<String>,
    /// The windows that it asks for.
    pub windows: Vec<WindowState>,
    /// What its filter said.
    pub filter: Option<FilterRun>,
    /// The channels it names.
    pub channels: Vec<String>,
}

/// A window at the time in question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WindowState {
    /// Its name.
    pub window: String,
    /// Whether it is open.
    pub open: bool,
}

/// A filter's verdict, and what it cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterRun {
    /// The plugin.
    pub plugin: String,
    /// What it said.
    pub verdict: String,
    /// Whether a test said so in its place.
    pub is_stub: bool,
    /// Its operations.
    pub operations: u64,
    /// Its time.
    pub micros: u64,
}

/// A line a rule, and the end of it.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.steps.iter().map(|step| step.rule.len()).max().unwrap_or_default();
        for step in &self.steps {
            let Step { rule, priority, place, .. } = step;
            match &step.mismatch {
                Some(mismatch) => writeln!(f, "{priority:>6}  {rule:widest$}  {place}  no: {mismatch}")?,
                None => writeln!(f, "{priority:>6}  {rule:widest$}  {place}  MATCH")?,
            }
            if let Some(FilterRun { plugin, verdict, is_stub, operations, micros }) = &step.filter {
                if *is_stub {
                    writeln!(f, "        filter {plugin}: {verdict}  (not run)")?;
                } else {
                    writeln!(f, "        filter {plugin}: {verdict}  ({operations} operations, {micros} us)")?;
                }
            }
            for WindowState { window, open } in &step.windows {
                writeln!(f, "        window {window}: {}", if *open { "open" } else { "closed" })?;
            }
            for channel in &step.channels {
                writeln!(f, "        -> {channel}")?;
            }
        }
        write!(f, "result: {}", self.reason)?;
        match &self.detail {
            None => writeln!(f, ", {}, {} dropped", counted(self.channels.len(), "channel"), self.dropped.len()),
            Some(refusal) => writeln!(f, ": {refusal}"),
        }
    }
}
