//! What is asked of a reload, and what came of it.

use jiff::Timestamp;

use crate::pipeline::Affected;
use crate::snapshot::{Diff, Revision};

/// What came of a reload.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it led to.
    pub result: ReloadResult,
    /// The revision in force now.
    pub revision: Revision,
    /// The revision that the files would be, when they were only tried.
    pub tried: Option<Revision>,
    /// When the revision in force was taken.
    pub loaded_at: Timestamp,
    /// Why it was: whoever asks after an edit may find that the edit was seen before.
    pub loaded_by: Trigger,
    /// Errors and warnings, rendered.
    pub diagnostics: String,
    /// Restart-only sections that are not what the server was started with, and do not apply yet.
    pub needs_restart: Vec<&'static str>,
    /// What taking it changed, or, when the files were only tried, would change. None when the files are refused: they
    /// change nothing.
    pub effect: Option<Effect>,
}

/// What taking a revision changes.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    /// What is other in it than in the one before it.
    pub diff: Diff,
    /// The streams that this meets.
    pub streams: Affected,
}

/// Why files were loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The server started.
    Start,
    /// They changed.
    Change,
    /// SIGHUP.
    Signal,
    /// The admin listener was asked.
    Request,
}

impl Trigger {
    /// The name used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Change => "change",
            Self::Signal => "signal",
            Self::Request => "request",
        }
    }
}

/// What a reload led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// A new revision is in force, or the same one with other secrets.
    Applied,
    /// The files are those of the revision in force.
    Unchanged,
    /// The files have errors; the revision in force stays.
    Failed,
    /// The files would be taken, and were only tried.
    Applicable,
}

impl ReloadResult {
    /// The name used in metrics, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Applicable => "applicable",
        }
    }
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Order {
    /// Why.
    pub trigger: Trigger,
    /// Tells what would come of it, and does nothing.
    pub dry_run: bool,
    /// The revisions on which it is conditional, as texts: one of them must be in force. None: any may be.
    pub expected: Option<Vec<String>>,
}

impl Order {
    /// An order that depends on nothing.
    #[must_use]
    pub fn of(trigger: Trigger) -> Self {
        Self { trigger, dry_run: false, expected: None }
    }
}

/// Why an order was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Stopping,
    /// Another revision is in force than the one on which it depends.
    #[error("revision {0} is in force")]
    OtherRevision(Revision),
}
