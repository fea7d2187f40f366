//! `[channels.*]`, `[types.*]` and `[limits.*]`.

use std::time::Duration;

use crate::config::At;

/// `[channels.*]`. What is `None` has a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Segments joined by dots, each literal or one `{placeholder}`.
    pub pattern: Option<At<String>>,
    /// The policy that subscribers must satisfy.
    pub subscribe: Option<At<String>>,
    /// What is kept for readers that come back.
    pub history: Retention,
    /// Whether a client that names no channel is subscribed to it. Default false.
    pub default: bool,
    /// Whether its events carry the notification's type as SSE event name. Default no.
    pub event: EventName,
    /// What a reader that lags is spared beside what has expired or been replaced. Default nothing.
    pub shed: Shed,
}

/// `shed` of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// `shed = "none"`.
    None,
    /// `shed = "low"`: notifications of low priority.
    Low,
}

/// `event` of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventName {
    /// `event = "none"`: `onmessage` gets them.
    None,
    /// `event = "type"`.
    Type,
}

/// `history` of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Most records per stream. Default 100.
    pub size: usize,
    /// How long a record is kept after the last publish. Default 24 h.
    pub ttl: Duration,
}

/// `[types.*]`. What is `None` and not optional has a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// A file in `paths.schemas`.
    pub schema: Option<At<String>>,
    /// The policy that producers must satisfy.
    pub publish: Option<At<String>>,
    /// The rate limit of publishing it.
    pub limit: Option<At<String>>,
    /// Whether the decisions of late may keep what notifications hold. Default no.
    pub trace: bool,
}

/// `[limits.*]`: a token bucket per value of `key`.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// A text with `{principal}`, `{type}`, `{userId}` or `{source}`.
    pub key: At<String>,
    /// Tokens that flow in.
    pub rate: At<Rate>,
    /// Tokens that the bucket holds. Default as many as `rate` names.
    pub burst: At<u32>,
    /// Where the buckets are. Default `node`.
    pub scope: At<Scope>,
    /// Most buckets; beyond it the longest idle is dropped. Default 100 000.
    pub max_keys: usize,
}

/// `rate`, such as `200/s` or `10/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per `per`.
    pub tokens: u32,
    /// 1 s, 1 m, 1 h or 1 d.
    pub per: Duration,
}

/// `scope` of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each node counts for itself.
    Node,
    /// All nodes count together, in Redis.
    Cluster,
}
