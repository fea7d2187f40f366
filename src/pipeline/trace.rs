//! The decisions of late, so that what became of a notification can be told afterwards.
//!
//! What was dropped or refused is always kept, and what is of low priority one time in sixteen. A notification's own
//! content is personal, so it is kept only where its type says `trace = true`.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Receipt;
use crate::notification::{Notification, Outcome, Priority, Reason, TypeName};
use crate::snapshot::{Refusal, Revision};

/// Most decisions that are kept.
const MAX_DECISIONS: usize = 10_000;
/// Most bytes of the notifications that are kept with them, about.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// One decision of so many is kept when it is about a notification of low priority that went its way.
const SAMPLED: u128 = 16;

/// One decision.
#[derive(Debug)]
pub struct Traced {
    /// The notification's id; for a repeat, that of the first.
    pub id: Uuid,
    /// When it was decided.
    pub at: Timestamp,
    /// Who published it.
    pub producer: Arc<str>,
    /// Which configuration decided.
    pub revision: Revision,
    /// Its type.
    pub type_name: TypeName,
    /// How urgent it is.
    pub priority: Priority,
    /// What was decided.
    pub told: Told,
    /// The notification, where its type says that it may be kept.
    pub notification: Option<Arc<Notification>>,
    bytes: usize,
}

/// What was decided of a notification.
#[derive(Debug)]
pub enum Told {
    /// It was accepted.
    Accepted(Arc<Receipt>),
    /// It was refused for what it is.
    Refused(Refusal),
}

/// The decisions of late.
#[derive(Debug, Default)]
pub struct Trace(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    decisions: VecDeque<Arc<Traced>>,
    bytes: usize,
}

impl Trace {
    /// Keeps what was accepted, if it is one to keep.
    pub(super) fn accepted(&self, receipt: &Arc<Receipt>, traced: &Subject<'_>) {
        let is_dropped = !receipt.dropped.is_empty() || receipt.reason.outcome() == Outcome::Dropped;
        // The end of an id is random, whoever made it.
        let is_sampled =
            traced.notification.draft.priority > Priority::Low || receipt.id.as_u128().is_multiple_of(SAMPLED);
        if is_dropped || is_sampled {
            self.push(receipt.id, receipt.revision, Told::Accepted(Arc::clone(receipt)), traced);
        }
    }

    /// Keeps what was refused for what it is.
    pub(super) fn refused(&self, refusal: &Refusal, revision: Revision, traced: &Subject<'_>) {
        self.push(traced.notification.id, revision, Told::Refused(refusal.clone()), traced);
    }

    fn push(&self, id: Uuid, revision: Revision, told: Told, traced: &Subject<'_>) {
        let draft = &traced.notification.draft;
        let (type_name, priority) = (draft.type_name.clone(), draft.priority);
        let notification = traced.may_keep.then(|| Arc::clone(traced.notification));
        let bytes = if traced.may_keep { traced.bytes } else { 0 };
        let (at, producer) = (traced.notification.created_at, Arc::clone(traced.producer));
        let one = Arc::new(Traced { id, at, producer, revision, type_name, priority, told, notification, bytes });
        let mut oldest = Vec::new();
        let mut kept = self.0.lock();
        kept.bytes += bytes;
        kept.decisions.push_back(one);
        while kept.decisions.len() > MAX_DECISIONS || kept.bytes > MAX_BYTES {
            let Some(old) = kept.decisions.pop_front() else { break };
            kept.bytes -= old.bytes;
            oldest.push(old);
        }
        drop(kept);
        // Freeing them is no business of whoever waits for the lock.
        drop(oldest);
    }

    /// The decision about a notification, the newest if there are several.
    #[must_use]
    pub fn find(&self, id: Uuid) -> Option<Arc<Traced>> {
        self.0.lock().decisions.iter().rev().find(|traced| traced.id == id).cloned()
    }

    /// Up to `limit` decisions that `wanted` is true of, newest first.
    #[must_use]
    pub fn latest(&self, limit: usize, wanted: impl Fn(&Traced) -> bool) -> Vec<Arc<Traced>> {
        // Whoever is asked need not hold up publishes meanwhile.
        let all: Vec<_> = self.0.lock().decisions.iter().rev().cloned().collect();
        all.into_iter().filter(|traced| wanted(traced)).take(limit).collect()
    }
}

/// What a decision was about.
pub(super) struct Subject<'a> {
    pub(super) notification: &'a Arc<Notification>,
    pub(super) producer: &'a Arc<str>,
    /// Whether its type says that it may be kept.
    pub(super) may_keep: bool,
    /// How long it is.
    pub(super) bytes: usize,
}

impl Traced {
    /// What was decided, in one word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match &self.told {
            Told::Accepted(receipt) => receipt.reason,
            Told::Refused(refusal) => refusal.reason(),
        }
    }

    /// The decision as the admin listener tells it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut told = match &self.told {
            Told::Accepted(receipt) => receipt.to_json(),
            Told::Refused(refusal) => json!({
                "id": self.id.to_string(),
                "outcome": self.reason().outcome().as_str(),
                "reason": self.reason().code(),
                "detail": refusal.to_string(),
                "revision": self.revision.to_string(),
            }),
        };
        told["at"] = self.at.to_string().into();
        told["type"] = self.type_name.as_str().into();
        told["priority"] = self.priority.as_str().into();
        told["producer"] = (*self.producer).into();
        if let Some(notification) = &self.notification {
            told["notification"] = Value::Object(notification.draft.members.clone());
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Draft;
    use crate::snapshot::Decision;

    fn notification(priority: &str) -> Arc<Notification> {
        let draft = Draft::from_value(json!({"type": "t", "priority": priority, "title": "personal"})).unwrap();
        Arc::new(Notification::accept(draft, Timestamp::now()))
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a case of a test")]
    fn trace_one(trace: &Trace, priority: &str, may_keep: bool, bytes: usize) -> Uuid {
        let notification = notification(priority);
        let traced = Subject { notification: &notification, producer: &"p".into(), may_keep, bytes };
        let decision =
            Decision { rules: Vec::new(), deliveries: Vec::new(), dropped: Vec::new(), outcome: Ok(Reason::Routed) };
        let receipt = Receipt::new(&notification, Revision::new([0; 32]), &decision, None).into();
        trace.accepted(&receipt, &traced);
        notification.id
    }

    #[test]
    fn a_decision_is_found_by_id_and_content_only_where_it_may_be_kept() {
        let trace = Trace::default();
        let (kept, bare) = (trace_one(&trace, "high", true, 10), trace_one(&trace, "high", false, 10));
        assert_eq!(trace.find(kept).unwrap().to_json()["notification"]["title"], "personal");
        assert!(!trace.find(bare).unwrap().to_json().to_string().contains("personal"));
        assert!(trace.find(Uuid::nil()).is_none());
        assert_eq!(trace.latest(9, |_| true).iter().map(|traced| traced.id).collect::<Vec<_>>(), [bare, kept]);
    }

    #[test]
    fn it_holds_so_many_and_so_many_bytes() {
        let trace = Trace::default();
        (0..MAX_DECISIONS + 10).for_each(|_| {
            trace_one(&trace, "high", false, 0);
        });
        assert_eq!(trace.latest(usize::MAX, |_| true).len(), MAX_DECISIONS);
        let last = (0..5).map(|_| trace_one(&trace, "high", true, MAX_BYTES / 4)).last().unwrap();
        assert_eq!(trace.latest(usize::MAX, |_| true).len(), 4);
        assert!(trace.find(last).is_some());
    }
}
