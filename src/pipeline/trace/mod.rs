//! The decisions of late, so that what became of a notification can be told afterwards.
//!
//! What was dropped is always kept, and what is of low priority one time in sixteen. So is what was refused, once it was
//! known whose it is and what type it has: apart, so that a producer who does all wrong pushes out nothing that went well.
//! A notification's own content is personal, so it is kept only where its type says `trace = true`: as its producer wrote
//! it, since parsed it may take many times as much memory, and so more than the bound allows.

mod ring;

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use self::ring::{Ring, Size};
use super::{PublishError, Receipt};
use crate::notification::{Draft, Notification, Outcome, Priority, Reason, TypeName, Violation};
use crate::snapshot::Revision;

/// Most that is kept of what was accepted: decisions, and bytes of the notifications that are kept with them.
const ACCEPTED: Size = Size { decisions: 10_000, bytes: 14 * 1024 * 1024 };
/// Most that is kept of what was refused, with what was wrong.
const REFUSED: Size = Size { decisions: 2_000, bytes: 2 * 1024 * 1024 };
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
    /// It was refused.
    Refused(PublishError),
}

/// The decisions of late.
#[derive(Debug)]
pub struct Trace {
    accepted: Mutex<Ring>,
    refused: Mutex<Ring>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { accepted: Mutex::new(Ring::new(ACCEPTED)), refused: Mutex::new(Ring::shared(REFUSED)) }
    }
}

impl Trace {
    /// Keeps what was decided, if it is one to keep.
    pub(super) fn note(&self, result: &Result<Arc<Receipt>, PublishError>, traced: &Subject<'_>) {
        match result {
            Ok(receipt) => self.accepted(receipt, traced),
            // Whoever shows no credential is nobody that could be told of.
            Err(PublishError::Unauthenticated(_)) => {}
            Err(error) => push(&self.refused, traced.notification.id, Told::Refused(error.clone()), traced),
        }
    }

    fn accepted(&self, receipt: &Arc<Receipt>, traced: &Subject<'_>) {
        let is_dropped = !receipt.dropped.is_empty() || receipt.reason.outcome() == Outcome::Dropped;
        // The end of an id is random, whoever made it.
        let is_sampled =
            traced.notification.draft.priority > Priority::Low || receipt.id.as_u128().is_multiple_of(SAMPLED);
        if is_dropped || is_sampled {
            push(&self.accepted, receipt.id, Told::Accepted(Arc::clone(receipt)), traced);
        }
    }

    /// The decision about a notification, the newest if there are several.
    #[must_use]
    pub fn find(&self, id: Uuid) -> Option<Arc<Traced>> {
        let newest = |ring: &Mutex<Ring>| ring.lock().newest_first().find(|traced| traced.id == id).cloned();
        [&self.accepted, &self.refused].into_iter().filter_map(newest).max_by_key(|traced| traced.at)
    }

    /// Up to `limit` decisions that `wanted` is true of, newest first.
    #[must_use]
    pub fn latest(&self, limit: usize, wanted: impl Fn(&Traced) -> bool) -> Vec<Arc<Traced>> {
        // Whoever is asked need not hold up publishes meanwhile.
        let mut all: Vec<_> = self.accepted.lock().newest_first().cloned().collect();
        all.extend(self.refused.lock().newest_first().cloned());
        all.sort_by_key(|traced| Reverse(traced.at));
        all.into_iter().filter(|traced| wanted(traced)).take(limit).collect()
    }
}

fn push(ring: &Mutex<Ring>, id: Uuid, told: Told, traced: &Subject<'_>) {
    let Subject { notification, producer, revision, may_keep, body } = *traced;
    let draft = &notification.draft;
    let one = Arc::new(Traced {
        id,
        at: notification.created_at,
        producer: Arc::clone(producer),
        revision,
        type_name: draft.type_name.clone(),
        priority: draft.priority,
        told,
        body: may_keep.then(|| body.into()),
    });
    let gone = ring.lock().push(one);
    // Freeing them is no business of whoever waits for the lock.
    drop(gone);
}

/// What a decision was about.
pub(super) struct Subject<'a> {
    pub(super) notification: &'a Notification,
    pub(super) producer: &'a Arc<str>,
    /// Which configuration decides.
    pub(super) revision: Revision,
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
            Told::Refused(error) => error.reason(),
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

    /// What it takes besides what every decision does: what it was about, and what was wrong with that.
    fn bytes(&self) -> usize {
        let length = |violation: &Violation| violation.pointer.len() + violation.detail.len();
        let wrong = match &self.told {
            Told::Accepted(_) => 0,
            Told::Refused(error) => error.violations().iter().map(length).sum(),
        };
        wrong + self.body.as_ref().map_or(0, |body| body.len())
    }

    /// What the admin listener tells besides the notification.
    fn facts(&self) -> Value {
        let mut facts = match &self.told {
            Told::Accepted(receipt) => receipt.to_json(),
            Told::Refused(error) => self.refused(error),
        };
        facts["at"] = self.at.to_string().into();
        facts["type"] = self.type_name.as_str().into();
        facts["priority"] = self.priority.as_str().into();
        facts["producer"] = (*self.producer).into();
        facts
    }

    /// As its producer was told.
    fn refused(&self, error: &PublishError) -> Value {
        let mut facts = json!({
            "id": self.id.to_string(),
            "outcome": self.reason().outcome().as_str(),
            "reason": self.reason().code(),
            "detail": error.to_string(),
            "revision": self.revision.to_string(),
        });
        if !error.violations().is_empty() {
            facts["errors"] = error.violations().iter().map(Violation::to_json).collect();
        }
        if !error.why().is_empty() {
            facts["why"] = json!(error.why());
        }
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
    use crate::notification::Unfit;
    use crate::snapshot::Decision;

    #[expect(clippy::fn_params_excessive_bools, reason = "a case of a test")]
    fn trace_body(trace: &Trace, body: &str, may_keep: bool) -> Uuid {
        let notification = Notification::accept(Draft::parse(body.as_bytes()).unwrap(), Timestamp::now());
        let (producer, revision) = (&"p".into(), Revision::new([0; 32]));
        let traced = Subject { notification: &notification, producer, revision, may_keep, body: body.as_bytes() };
        let decision =
            Decision { rules: Vec::new(), deliveries: Vec::new(), dropped: Vec::new(), outcome: Ok(Reason::Routed) };
        let receipt = Receipt::new(&notification, traced.revision, &decision, None).into();
        trace.note(&Ok(receipt), &traced);
        notification.id
    }

    /// A notification of `producer` that is refused, with `bytes` of what is wrong.
    fn trace_refused(trace: &Trace, producer: &str, bytes: usize) -> Uuid {
        let body = br#"{"type":"t"}"#;
        let notification = Notification::accept(Draft::parse(body).unwrap(), Timestamp::now());
        let (producer, revision) = (&producer.into(), Revision::new([0; 32]));
        let traced = Subject { notification: &notification, producer, revision, may_keep: false, body };
        let wrong = Violation::new("/".repeat(bytes), "");
        trace.note(&Err(Unfit::Invalid(vec![wrong]).into()), &traced);
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
        (0..ACCEPTED.decisions + 10).for_each(|_| {
            trace_body(&trace, small, false);
        });
        assert_eq!(trace.latest(usize::MAX, |_| true).len(), ACCEPTED.decisions);
        // Parsed, each of these takes many times its length.
        let many = format!(r#"{{"type":"t","data":{{"n":[{}0]}}}}"#, "0,".repeat(ACCEPTED.bytes / 8));
        let last = (0..5).map(|_| trace_body(&trace, &many, true)).last().unwrap();
        let kept = trace.latest(usize::MAX, |_| true);
        let held: usize = kept.iter().map(|traced| size_of_val(traced.body.as_deref().unwrap())).sum();
        assert_eq!((kept.len(), held), (3, 3 * many.len()));
        assert!(trace.find(last).is_some());
    }

    #[test]
    fn what_is_refused_pushes_out_nothing_that_was_accepted_nor_what_others_did_wrong() {
        for bytes in [10, REFUSED.bytes / 100] {
            let trace = Trace::default();
            let accepted = trace_body(&trace, r#"{"type":"t"}"#, true);
            let others: Vec<_> = (0..9).map(|number| trace_refused(&trace, &format!("p{number}"), bytes)).collect();
            let all: Vec<_> = (0..REFUSED.decisions + 9).map(|_| trace_refused(&trace, "p", bytes)).collect();
            let is_kept = |id: &Uuid| trace.find(*id).is_some();
            assert!(is_kept(&accepted) && others.iter().all(is_kept) && all.last().is_some_and(is_kept));
            assert!(!is_kept(&all[0]));
            let kept = trace.latest(usize::MAX, |traced| traced.reason() == Reason::Invalid);
            assert!(kept.len() <= REFUSED.decisions && kept.len() * bytes <= REFUSED.bytes);
            // Who does little wrong still makes way by age.
            (0..REFUSED.decisions).for_each(|number| {
                trace_refused(&trace, &number.to_string(), bytes);
            });
            assert!(!others.iter().any(is_kept) && is_kept(&accepted));
        }
    }
}
