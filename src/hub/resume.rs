//! How a subscription that named a cursor went on from there, in one word for the metric.
//!
//! Only the reader knows, and late: what is missing shows when history is read, and nothing more can be missing once
//! every stream is where it is live.

use super::Start;
use crate::stream::Gap;
use crate::telemetry::Metrics;

/// The worst that is known yet; none when no cursor was named, or when it was counted.
#[derive(Debug)]
pub(super) struct Resume(Option<Outcome>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Complete,
    Gap,
    Reset,
    Unreadable,
}

impl Resume {
    pub(super) fn new(start: &Start) -> Self {
        Self(match start {
            Start::Cursor(_) => Some(Outcome::Complete),
            Start::Unreadable => Some(Outcome::Unreadable),
            Start::Live | Start::Last(_) => None,
        })
    }

    /// Whether there is something to count still.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// A gap was told. Of several the worst counts.
    pub(super) fn note(&mut self, gap: &Gap) {
        let outcome = if gap.range.is_some() { Outcome::Gap } else { Outcome::Reset };
        self.0 = self.0.map(|known| known.max(outcome));
    }

    /// Counts it, as all streams are live. What is lost later is no part of it.
    pub(super) fn settle(&mut self, metrics: &Metrics) {
        if let Some(outcome) = self.0.take() {
            metrics.resumed(outcome.as_str());
        }
    }

    /// Counts it, as the subscription ends. One that was well until then did not get all that it came for.
    pub(super) fn end(&mut self, metrics: &Metrics) {
        match self.0.take() {
            Some(Outcome::Complete) => metrics.resumed("interrupted"),
            Some(outcome) => metrics.resumed(outcome.as_str()),
            None => {}
        }
    }
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Gap => "gap",
            Self::Reset => "reset",
            Self::Unreadable => "unreadable",
        }
    }
}
