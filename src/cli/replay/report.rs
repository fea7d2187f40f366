//! What a replay found: as text for people, as JSON for programs.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::outcome::Outcome;
use crate::notification::Notification;

/// What a replay found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Replayed {
    /// The other configuration, as it was named.
    against: String,
    /// How many notifications went through both.
    notifications: usize,
    /// The share of those whose outcome changes that is taken, from 0 to 1.
    max_change: Option<f64>,
    /// Those whose outcome changes.
    changes: Vec<Change>,
}

/// A notification whose outcome changes.
#[derive(Debug, Serialize)]
struct Change {
    id: String,
    #[serde(rename = "type")]
    type_name: String,
    at: String,
    before: Outcome,
    after: Outcome,
}

impl Replayed {
    /// What is found of so many notifications, before any was looked at.
    pub(super) fn new(against: &str, notifications: usize, max_change: Option<f64>) -> Self {
        Self { against: against.to_owned(), notifications, max_change, changes: Vec::new() }
    }

    /// Notes what became of a notification, if it changes.
    pub(super) fn add(&mut self, notification: &Arc<Notification>, at: Timestamp, before: Outcome, after: Outcome) {
        if before.result != after.result {
            let (id, type_name) = (notification.id.to_string(), notification.draft.type_name.to_string());
            self.changes.push(Change { id, type_name, at: at.to_string(), before, after });
        }
    }

    /// Whether more outcomes change than are taken.
    pub(in crate::cli) fn is_too_much(&self) -> bool {
        self.max_change.is_some_and(|most| self.share() > most)
    }

    fn share(&self) -> f64 {
        self.changes.len() as f64 / self.notifications as f64
    }

    /// How many change, in a line without an end.
    pub(in crate::cli) fn sum(&self) -> String {
        let (changed, of) = (self.changes.len(), self.notifications);
        format!("{changed} of {of} outcomes change, {:.1} %", self.share() * 100.0)
    }
}

/// Each change with the way to both outcomes, and how many there are.
impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Change { id, type_name, at, before, after } in &self.changes {
            writeln!(f, "{id} {type_name} at {at}")?;
            writeln!(f, "  {} has it: {}\n{}", self.against, before.result, indented(before))?;
            writeln!(f, "  now: {}\n{}", after.result, indented(after))?;
        }
        writeln!(f, "{}", self.sum())
    }
}

fn indented(outcome: &Outcome) -> String {
    outcome.to_string().lines().map(|line| format!("    {line}\n")).collect::<String>().trim_end().to_owned()
}
