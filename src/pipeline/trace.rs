//! The decisions of late, so that what became of a notification can be told afterwards.
//!
//! What was dropped or refused is always kept, and what is of low priority one time in sixteen. A notification's own
//! content is personal, so it is kept only where its type says `trace = true`: as its producer wrote it, since parsed it
//! may take many times as much memory, and so more than the bound allows.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Receipt;
use crate::notification::{Draft, Notification, Outcome, Priority, Reason, TypeName};
use crate::snapshot::{Refusal, Revision};

/// Most decisions that are kept.
const MAX_DECISIONS: usize = 10_000;
/// Most bytes of the notifications that are kept with them.
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
    /// The notification as it was published, where its type says that it may be kept.
    body: Option<Box<[u8]>>,
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
        let body = traced.may_keep.then(|| traced.body.into());
        let (at, producer) = (traced.notification.created_at, Arc::clone(traced.producer));
        let one = Arc::new(Traced { id, at, producer, revision, type_name, priority, told, body });
        let mut oldest = Vec::new();
        let mut kept = self.0.lock();
        kept.bytes += one.bytes();
        kept.decisions.push_back(one);
        while kept.decisions.len() > MAX_DECISIONS || kept.bytes > MAX_BYTES {
            let Some(old) = kept.decisions.pop_front() else { break };
            kept.bytes -= old.bytes();
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
    pub(super) notification: &'a Notification,
    pub(super) producer: &'a Arc<str>,
    /// Whether its type says that it may be kept.
    pub(super) may_keep: bool,
    /// What its producer sent.
    pub(super) body: &'a [u8],
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

    /// Whether its notification was kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.body.is_some()
    }

    /// The notification, if it was kept.
    #[must_use]
    pub fn notification(&self) -> Option<Notification> {
        // It was parsed before, so it does parse.
        let draft = Draft::parse(self.body.as_ref()?).ok()?;
        Some(Notification { id: self.id, created_at: self.at, draft })
    }

    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len())
    }

    /// What the admin listener tells besides the notification.
    fn facts(&self) -> Value {
        let mut facts = match &self.told {
            Told::Accepted(receipt) => receipt.to_json(),
            Told::Refused(refusal) => json!({
                "id": self.id.to_string(),
                "outcome": self.reason().outcome().as_str(),
                "reason": self.reason().code(),
                "detail": refusal.to_string(),
                "revision": self.revision.to_string(),
            }),
        };
        facts["at"] = self.at.to_string().into();
        facts["type"] = self.type_name.as_str().into();
        facts["priority"] = self.priority.as_str().into();
        facts["producer"] = (*self.producer).into();
        facts
    }
}

/// The decision as the admin listener tells it, with the notification as it was published.
impl Serialize for Traced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, fact) in self.facts().as_object().into_iter().flatten() {
            map.serialize_entry(name, fact)?;
        }
        // As text: a list of parsed ones would take the memory that was saved.
        let body = self.body.as_ref().and_then(|body| serde_json::from_slice::<&RawValue>(body).ok());
        if let Some(body) = body {
            map.serialize_entry("notification", body)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Draft;
    use crate::snapshot::Decision;

    #[expect(clippy::fn_params_excessive_bools, reason = "a case of a test")]
    fn trace_body(trace: &Trace, body: &str, may_keep: bool) -> Uuid {
        let notification = Notification::accept(Draft::parse(body.as_bytes()).unwrap(), Timestamp::now());
        let traced = Subject { notification: &notification, producer: &"p".into(), may_keep, body: body.as_bytes() };
        let decision =
            Decision { rules: Vec::new(), deliveries: Vec::new(), dropped: Vec::new(), outcome: Ok(Reason::Routed) };
        let receipt = Receipt::new(&notification, Revision::new([0; 32]), &decision, None).into();
        trace.accepted(&receipt, &traced);
        notification.id
    }

    #[test]
    fn a_decision_is_found_by_id_and_content_only_where_it_may_be_kept() {
        let trace = Trace::default();
        let body = r#"{ "type": "t", "priority": "high", "title": "personal" }"#;
        let (kept, bare) = (trace_body(&trace, body, true), trace_body(&trace, body, false));
        let (found, without) = (trace.find(kept).unwrap(), trace.find(bare).unwrap());
        assert_eq!(json!(*found)["notification"], serde_json::from_str::<Value>(body).unwrap());
        let again = found.notification().unwrap();
        assert_eq!((again.id, again.created_at, &again.draft.members["title"]), (kept, found.at, &json!("personal")));
        assert!(!serde_json::to_string(&*without).unwrap().contains("personal"));
        assert!(found.is_kept() && !without.is_kept() && without.notification().is_none());
        assert!(trace.find(Uuid::nil()).is_none());
        assert_eq!(trace.latest(9, |_| true).iter().map(|traced| traced.id).collect::<Vec<_>>(), [bare, kept]);
    }

    #[test]
    fn it_holds_so_many_and_so_many_bytes() {
        let trace = Trace::default();
        let small = r#"{"type":"t"}"#;
        (0..MAX_DECISIONS + 10).for_each(|_| {
            trace_body(&trace, small, false);
        });
        assert_eq!(trace.latest(usize::MAX, |_| true).len(), MAX_DECISIONS);
        // Parsed, each of these takes many times its length.
        let many = format!(r#"{{"type":"t","data":{{"n":[{}0]}}}}"#, "0,".repeat(MAX_BYTES / 8));
        let last = (0..5).map(|_| trace_body(&trace, &many, true)).last().unwrap();
        let kept = trace.latest(usize::MAX, |_| true);
        let held: usize = kept.iter().map(|traced| size_of_val(traced.body.as_deref().unwrap())).sum();
        assert_eq!((kept.len(), held), (3, 3 * many.len()));
        assert!(trace.find(last).is_some());
    }
}
