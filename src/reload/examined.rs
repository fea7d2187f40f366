//! What the files would be, found before anything is touched. It takes as long as there are rules, so none of it is for
//! a worker, and nor is freeing what is not taken.

use super::report::{Effect, ReloadResult};
use super::started::Started;
use crate::config::{Diagnostics, Inputs};
use crate::pipeline::Pipeline;
use crate::snapshot::{Compiled, Diff, Revision, Snapshot};

/// What was found of the files.
#[derive(Debug)]
pub(super) struct Examined {
    /// What they depend on, as it was when they were read.
    pub(super) inputs: Inputs,
    /// Whether they make a revision: those that do not may name only some of their inputs.
    pub(super) compiles: bool,
    /// Why they are refused, or warnings.
    pub(super) diagnostics: String,
    /// What they are to the revision in force.
    pub(super) verdict: Verdict,
}

/// What files are to the revision in force.
#[derive(Debug)]
pub(super) enum Verdict {
    /// They have errors, or this server cannot take them.
    Refused,
    /// They are its own.
    Same,
    /// They are to follow it.
    Other {
        /// Compiled.
        snapshot: Box<Snapshot>,
        /// What is other in it.
        diff: Diff,
    },
}

/// What would come of files that are not refused.
#[derive(Debug)]
pub(super) struct Foreseen {
    pub(super) result: ReloadResult,
    pub(super) tried: Revision,
    pub(super) effect: Effect,
    pub(super) needs_restart: Vec<&'static str>,
}

/// Compares what was compiled of the files with the revision in force.
pub(super) fn examine(compiled: Compiled, current: &Snapshot, started: &Started) -> Examined {
    let Compiled { snapshot, diagnostics, inputs, .. } = compiled;
    let compiles = snapshot.is_some();
    let (diagnostics, verdict) = match acceptable(snapshot, &diagnostics, started) {
        Err(failure) => (failure, Verdict::Refused),
        Ok(snapshot) if is_same(&snapshot, current) => (rendered(&diagnostics), Verdict::Same),
        Ok(snapshot) => {
            let diff = Diff::between(current, &snapshot);
            (rendered(&diagnostics), Verdict::Other { snapshot: snapshot.into(), diff })
        }
    };
    Examined { inputs, compiles, diagnostics, verdict }
}

/// As [`examine`], for files that are only tried. Without a foresight they are refused.
pub(super) fn foresee(compiled: Compiled, pipeline: &Pipeline, started: &Started) -> (String, Option<Foreseen>) {
    let current = pipeline.live.load();
    let Examined { diagnostics, verdict, .. } = examine(compiled, &current, started);
    let foreseen = match &verdict {
        Verdict::Refused => None,
        Verdict::Same => Some(Foreseen {
            result: ReloadResult::Unchanged,
            tried: current.revision,
            effect: Effect::default(),
            needs_restart: started.differing(&current.config),
        }),
        Verdict::Other { snapshot, diff } => Some(Foreseen {
            result: ReloadResult::Applicable,
            tried: snapshot.revision,
            effect: Effect { diff: diff.clone(), streams: pipeline.foresee(&current, snapshot) },
            needs_restart: started.differing(&snapshot.config),
        }),
    };
    (diagnostics, foreseen)
}

/// The snapshot, or why this server does not take it.
fn acceptable(snapshot: Option<Snapshot>, diagnostics: &Diagnostics, started: &Started) -> Result<Snapshot, String> {
    let snapshot = snapshot.ok_or_else(|| diagnostics.to_string())?;
    match started.admin_opened_by(&snapshot.config) {
        None => Ok(snapshot),
        Some(at) => Err(format!("error: without `server.admin_policy` anyone could administer at {at}\n")),
    }
}

/// Secrets and keys are each node's own and not part of the revision, but they apply.
fn is_same(one: &Snapshot, other: &Snapshot) -> bool {
    one.revision == other.revision && one.config == other.config
}

fn rendered(diagnostics: &Diagnostics) -> String {
    if diagnostics.is_empty() { String::new() } else { diagnostics.to_string() }
}
