//! Every way a notification can end, in one list that receipts, metrics, logs, `explain` and the docs share.

/// What became of a notification, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Sent to at least one channel.
    Routed,
    /// Accepted, and by rule or filter sent to none.
    Dropped,
    /// Not accepted; the producer was told why.
    Rejected,
    /// The same publish as an earlier one; nothing was sent again.
    Duplicate,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Routed, Self::Dropped, Self::Rejected, Self::Duplicate];

    /// The name used in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $outcome:ident;)+) => {
        /// Why a notification ended as it did. The code is stable: dashboards and producers depend on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// Every reason, in the order of the pipeline's steps.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The codes of all reasons for which a notification is not accepted.
            #[must_use]
            pub fn refusals() -> Vec<&'static str> {
                let refusals = Self::ALL.iter().filter(|reason| reason.outcome() == Outcome::Rejected);
                refusals.map(|reason| reason.code()).collect()
            }

            /// The stable code: `code` in problem documents, `reason` in receipts and metrics.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The outcome that it is a reason for.
            #[must_use]
            pub fn outcome(self) -> Outcome {
                match self { $(Self::$variant => Outcome::$outcome,)+ }
            }

            /// One sentence for people.
            #[must_use]
            pub fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// Sent to the channels that the rules name.
    Routed = "routed", Routed;
    /// An earlier publish with the same idempotency key and body was accepted.
    Duplicate = "duplicate", Duplicate;
    /// The credential is missing, malformed, expired or not known.
    Unauthenticated = "unauthenticated", Rejected;
    /// The body is larger than the server takes.
    BodyTooLarge = "body_too_large", Rejected;
    /// The body is not one JSON object, or a member is unknown, malformed or there twice.
    Malformed = "malformed", Rejected;
    /// No type of that name is declared.
    UnknownType = "unknown_type", Rejected;
    /// A policy does not let this principal do it.
    Forbidden = "forbidden", Rejected;
    /// A rate limit is used up.
    Limited = "limited", Rejected;
    /// The notification does not satisfy the JSON Schema of its type.
    Invalid = "invalid", Rejected;
    /// A value does not fit the one channel segment that a rule's placeholder fills.
    BadSegment = "bad_segment", Rejected;
    /// No rule matched and `unmatched` is `reject`.
    Unmatched = "unmatched", Rejected;
    /// No rule matched and `unmatched` is `drop`.
    UnmatchedDropped = "unmatched_dropped", Dropped;
    /// A rule with `drop` matched.
    DroppedByRule = "dropped_by_rule", Dropped;
    /// A filter dropped it.
    DroppedByFilter = "dropped_by_filter", Dropped;
    /// A filter failed and its `on_error` is `drop` or `skip-rule`.
    FilterFailed = "filter_failed", Dropped;
    /// The idempotency key was used before with another body.
    KeyReused = "idempotency_key_reused", Rejected;
    /// A publish with the same idempotency key has not ended yet.
    InFlight = "idempotency_in_flight", Rejected;
    /// The broker is away or refused the write; nothing was stored.
    NotAccepted = "not_accepted", Rejected;
    /// The broker did not answer in time; the notification may or may not be stored.
    UnknownOutcome = "unknown_outcome", Rejected;
    /// The server is shutting down.
    Draining = "draining", Rejected;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
