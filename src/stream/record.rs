//! What streams hold, and what is said when some of it is missing.

use bytes::Bytes;

use super::{Epoch, Lane, Position};
use crate::notification::{ChannelName, Priority};

/// One notification as a stream carries it: encoded once per notification and channel, then shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Decides the lane; `critical` is never shed.
    pub priority: Priority,
    /// Unix milliseconds after which a lagging reader need not get it.
    pub expires_ms: Option<u64>,
    /// For a lagging reader, a newer message with the same key replaces it.
    pub collapse_key: Option<Box<str>>,
    /// The SSE event name, where the channel asks for one.
    pub event: Option<Box<str>>,
    /// One line of compact JSON.
    pub json: Bytes,
}

/// A message at its place in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number in the stream.
    pub seq: u64,
    /// What it carries.
    pub message: Message,
}

/// A record on its way from a broker to the hubs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The channel it was published to.
    pub channel: ChannelName,
    /// The lane of that channel.
    pub lane: Lane,
    /// The history it belongs to.
    pub epoch: Epoch,
    /// The record.
    pub record: Record,
}

/// A stretch of one stream, read from history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What is missing between the position that was asked for and the first record.
    pub gap: Option<Gap>,
    /// The records, in order and contiguous.
    pub records: Vec<Record>,
    /// Where the stream ends now; records are of its epoch.
    pub top: Position,
}

impl Page {
    /// Where a reader stands after this page: at its last record, or, without any, where the gap ends, or else at the
    /// top. What is missing for another reason than the gap's begins a page of its own.
    #[must_use]
    pub fn end(&self) -> Position {
        let after_gap = || self.gap.as_ref()?.range.map(|(_, to)| to.min(self.top.seq));
        let seq = self.records.last().map(|record| record.seq).or_else(after_gap).unwrap_or(self.top.seq);
        Position::new(self.top.epoch, seq)
    }
}

/// Records that a reader will not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Why they are missing.
    pub reason: GapReason,
    /// The first and last number missing, where they are known.
    pub range: Option<(u64, u64)>,
}

/// Why history is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// History was cut by its size or age.
    Trimmed,
    /// It is there, but this server cannot read it: a later release wrote it, or it is damaged.
    Unreadable,
    /// The history that the position counts in is gone: flushed, evicted, or lost with its node.
    UnknownEpoch,
    /// A failover undid records that the reader had seen; the numbers after them were issued again.
    Diverged,
    /// The reader fell behind what is kept.
    Lagged,
}

impl GapReason {
    /// The code used on the wire and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Unreadable => "unreadable",
            Self::UnknownEpoch => "unknown_epoch",
            Self::Diverged => "diverged",
            Self::Lagged => "lagged",
        }
    }
}
