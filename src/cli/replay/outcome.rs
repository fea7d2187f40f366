//! What a configuration makes of a notification, to be compared with what another makes of it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::notification::Notification;
use crate::snapshot::{self, Explanation, Snapshot, Told};

/// What a configuration makes of a notification.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// What is compared: the end, the channels, and why it was dropped.
    pub(super) result: String,
    /// The faults for which it is refused before any rule is tried.
    violations: Vec<String>,
    /// The way to the result, unless it is refused.
    explanation: Option<Told>,
}

impl Outcome {
    /// What `snapshot` makes of a notification that is accepted at a time.
    pub(super) fn of(snapshot: &Snapshot, notification: &Arc<Notification>, at: Timestamp) -> Self {
        match snapshot.schemas.validate(notification.draft.clone()) {
            Ok(_) => {
                let explanation = snapshot::explain(snapshot, notification, at);
                Self { result: result(&explanation), violations: Vec::new(), explanation: Some(explanation.told()) }
            }
            Err(unfit) => {
                let result = unfit.reason().code().to_owned();
                let violations = unfit.violations().iter().map(ToString::to_string).collect();
                Self { result, violations, explanation: None }
            }
        }
    }

    /// Tells places below `folder` by another name.
    pub(super) fn rename(&mut self, folder: &str, name: &str) {
        for step in self.explanation.iter_mut().flat_map(|explanation| &mut explanation.steps) {
            step.place = step.place.replace(folder, name);
        }
    }
}

fn result(explanation: &Explanation) -> String {
    let decision = &explanation.decision;
    let mut channels: Vec<_> = decision.deliveries.iter().map(|delivery| delivery.channel.as_str()).collect();
    channels.sort_unstable();
    let dropped: Vec<_> = decision.dropped.iter().map(|dropped| dropped.reason.as_str()).collect();
    let mut result = explanation.reason().code().to_owned();
    if !channels.is_empty() {
        result.push_str(&format!(" to {}", channels.join(", ")));
    }
    if !dropped.is_empty() {
        result.push_str(&format!(" dropped for {}", dropped.join(", ")));
    }
    result
}

/// The way to the result.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.explanation {
            Some(explanation) => explanation.fmt(f),
            None => writeln!(f, "{}", self.violations.join("; ")),
        }
    }
}
