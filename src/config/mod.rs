//! The configuration as it is written: TOML parsed into these types, each value with the place it stands at.
//!
//! Nothing here is compiled or cross-checked: names are texts until `snapshot` resolves them. Every fault is a
//! [`Diagnostic`], and all of them are collected before any is reported.

mod confined;
mod context;
mod defaults;
mod diagnostic;
mod files;
mod inputs;
mod load;
mod lower;
mod render;
mod secret;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub use confined::read_confined;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use inputs::{Hash, Inputs};
pub use load::{Loaded, load};
pub use render::Colour;
pub use secret::Secret;
pub use source::{At, Source, Sources, Span};
pub use watch::Watcher;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::notification::Name;

/// Declared things by name; each key's span is where it is declared.
pub type Named<T> = BTreeMap<Name, At<T>>;

/// One whole configuration: the main file and everything it includes.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `unmatched`: what happens to a notification that no rule matches.
    pub unmatched: At<Unmatched>,
    /// `[paths]`.
    pub paths: Paths,
    /// `[server]`.
    pub server: Server,
    /// `[broker]`.
    pub broker: Broker,
    /// `[auth.issuers.*]`.
    pub issuers: Named<Issuer>,
    /// `[auth.keys.*]`.
    pub keys: Named<ApiKey>,
    /// `[policies.*]`.
    pub policies: Named<Policy>,
    /// `[channels.*]`.
    pub channels: Named<Channel>,
    /// `[types.*]`.
    pub types: Named<Type>,
    /// `[limits.*]`.
    pub limits: Named<Limit>,
    /// `[windows.*]`.
    pub windows: Named<Window>,
    /// `[plugins.*]`.
    pub plugins: Named<Plugin>,
    /// `[[rules]]`.
    pub rules: Vec<At<Rule>>,
    /// `[[tests]]`.
    pub tests: Vec<At<Test>>,
    /// `[[invariants]]`.
    pub invariants: Vec<At<Invariant>>,
}

/// `unmatched`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// The producer is told.
    Reject,
    /// Accepted and counted.
    Drop,
    /// Sent to the channel `dead-letter`, which must be declared.
    DeadLetter,
}

/// `[paths]`: folders that file names are confined to, resolved against the main file's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Where `schema = "..."` is looked up. Default `schemas`.
    pub schemas: PathBuf,
    /// Where `script = "..."` is looked up. Default `plugins`.
    pub plugins: PathBuf,
}

/// `[server]`: restart only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where producers and subscribers connect. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Metrics, reload, explain. Default `127.0.0.1:8081`.
    pub admin: SocketAddr,
    /// The policy that callers of the admin listener must satisfy. Required when `admin` is not loopback.
    pub admin_policy: Option<At<String>>,
    /// Origins that browsers may call from (CORS), exact. Default none.
    pub allowed_origins: Vec<At<String>>,
    /// Most open connections. Default 10 000.
    pub max_connections: usize,
    /// Most open subscriptions of one principal. Default 64.
    pub max_streams_per_principal: usize,
    /// Largest request body in bytes. Default 64 KiB.
    pub max_body: usize,
    /// How long a request's head may take. Default 10 s.
    pub header_timeout: Duration,
    /// How long a request's body may take. Default 15 s.
    pub body_timeout: Duration,
    /// Between heartbeat comments, ± 20 %. Default 15 s.
    pub heartbeat: Duration,
    /// Without write progress for this long, a subscriber is closed. Default 10 s.
    pub stall_timeout: Duration,
    /// Over how long streams are ended at shutdown. Default 30 s.
    pub drain: Duration,
    /// Most records that a ring shares with readers, per stream. Default 256.
    pub ring_records: usize,
    /// Most bytes that a ring shares with readers, per stream. Default 1 MiB.
    pub ring_bytes: usize,
}

/// `[broker]`: restart only.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    /// `memory:`, or a Redis URL, which may be a secret. Default `memory:`.
    pub url: At<Secret>,
    /// What every key in Redis starts with. Default `fanfare`.
    pub prefix: String,
    /// How long a publish may wait for the broker. Default 1 s.
    pub timeout: Duration,
    /// Most publishes waiting for the broker. Default 1 024.
    pub max_in_flight: usize,
    /// How long an idempotency key is remembered. Default 24 h.
    pub idempotency_ttl: Duration,
    /// Most channels that the memory broker keeps. Default 100 000.
    pub max_channels: usize,
}

/// `[auth.issuers.*]`: who may sign tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Issuer {
    /// The `iss` claim, exact.
    pub issuer: At<String>,
    /// The `aud` claim, exact.
    pub audience: At<String>,
    /// What verifies the signature.
    pub verifier: At<Verifier>,
    /// Which algorithms are accepted, whatever the token's header says.
    pub algorithms: Vec<At<Algorithm>>,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Verifier {
    /// `secret`: a shared secret of at least 32 bytes.
    Secret(Secret),
    /// `public_key_file`: the text of a PEM public key.
    PublicKey(String),
    /// `jwks_file`: the text of a JSON Web Key Set (RFC 7517).
    Jwks(String),
}

/// A JWS algorithm (RFC 7518) that an issuer may pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// `[auth.keys.*]`: an API key, known only by its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// Lower-case hex of the key's SHA-256.
    pub sha256: At<Secret>,
}

/// `[policies.*]`: whom it allows. Nothing allowed is denied.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Any one of these suffices.
    pub allow: Vec<At<Grant>>,
}

/// One entry of `allow`.
#[derive(Debug, Clone, PartialEq)]
pub enum Grant {
    /// `{ anyone = true }`: also without a credential.
    Anyone,
    /// `{ key = "name" }`: the API key of that name.
    Key(At<String>),
    /// `{ claim = "path", equals | contains | in = ... }`: a claim of a verified token.
    Claim {
        /// A dotted path into the claims.
        claim: At<String>,
        /// What it must satisfy.
        test: ClaimTest,
        /// Only tokens of this issuer, by its configured name.
        issuer: Option<At<String>>,
    },
}

/// What a claim must satisfy. Texts may hold one `{placeholder}` of the channel's pattern.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimTest {
    /// A scalar equal to the text.
    Equals(At<String>),
    /// An array with the text among its elements, or a space-separated string with the text among its words.
    Contains(At<String>),
    /// A scalar equal to one of the texts.
    In(Vec<At<String>>),
}

/// `[channels.*]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Segments joined by dots, each literal or one `{placeholder}`.
    pub pattern: At<String>,
    /// The policy that subscribers must satisfy.
    pub subscribe: At<String>,
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

/// `[types.*]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// A file in `paths.schemas`.
    pub schema: At<String>,
    /// The policy that producers must satisfy.
    pub publish: At<String>,
    /// The rate limit of publishing it.
    pub limit: Option<At<String>>,
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

/// `[windows.*]`: recurring local times.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Ranges such as `22:00-07:00`; one that ends before it starts wraps midnight.
    pub daily: Vec<At<DailyRange>>,
    /// Weekdays on which a range may start. Default all.
    pub days: Vec<At<Weekday>>,
    /// An IANA time zone name.
    pub timezone: At<String>,
}

/// A day of the week, as jiff counts it.
pub type Weekday = jiff::civil::Weekday;

/// A range of local wall-clock time: `start` included, `end` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyRange {
    /// Minutes since midnight.
    pub start: u16,
    /// Minutes since midnight, at most 1440; before `start` means the next day.
    pub end: u16,
}

/// `[plugins.*]`: a filter script.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// A file in `paths.plugins`.
    pub script: At<String>,
    /// The constant `params` of the script.
    pub params: Value,
    /// What happens when it fails.
    pub on_error: OnError,
    /// Most operations of one call. Default 20 000.
    pub max_operations: u64,
    /// Most wall time of one call. Default 5 ms.
    pub max_time: Duration,
}

/// `on_error` of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// As if it had passed.
    Pass,
    /// As if it had dropped.
    Drop,
    /// As if the rule had not matched.
    SkipRule,
}

/// `[[rules]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique.
    pub name: At<Name>,
    /// Higher first.
    pub priority: At<i64>,
    /// Which notifications it is for.
    pub when: Condition,
    /// The plugin that may drop it.
    pub filter: Option<At<String>>,
    /// What it does.
    pub action: Action,
    /// Whether rules after it are tried. Default `stop`.
    pub then: Then,
}

/// `to` or `drop` of a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Channel templates such as `user.{userId}`.
    To(Vec<At<String>>),
    /// A reason.
    Drop(At<Name>),
}

/// `then` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The first match ends the search.
    Stop,
    /// Later rules are tried as well.
    Continue,
}

/// `when`: a tree of tests. A missing field makes a test false.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Every one; an empty list is true.
    All(Vec<Condition>),
    /// At least one.
    Any(Vec<Condition>),
    /// Not this one.
    Not(Box<Condition>),
    /// A field against a value.
    Field {
        /// A dotted path such as `data.status`.
        path: At<String>,
        /// The comparison.
        operator: Operator,
        /// What to compare with.
        value: At<Value>,
    },
    /// Inside a window.
    During(At<String>),
    /// Outside a window.
    NotDuring(At<String>),
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Present and not equal.
    Ne,
    /// Equal to one of an array.
    In,
    /// Greater, numbers.
    Gt,
    /// Greater or equal, numbers.
    Gte,
    /// Less, numbers.
    Lt,
    /// Less or equal, numbers.
    Lte,
    /// At least as urgent, only on `priority`.
    AtLeast,
    /// Present (true) or missing (false).
    Exists,
    /// A string's beginning.
    StartsWith,
    /// A string's end.
    EndsWith,
    /// A whole string against `*`, `?`, `[...]`.
    Glob,
    /// A regular expression of linear time, unanchored.
    Regex,
    /// An array's element, or a part of a string.
    Contains,
}

/// `[[tests]]`: what a notification must lead to.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What the test is called.
    pub name: At<String>,
    /// A notification.
    pub given: At<Value>,
    /// When it is accepted. Default now.
    pub at: Option<At<jiff::Timestamp>>,
    /// What must come of it.
    pub expect: Expectation,
}

/// `expect` of a test; what is absent is not asked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expectation {
    /// Names of the rules that matched, in order.
    pub rules: Option<At<Vec<String>>>,
    /// Channels, in any order.
    pub channels: Option<At<Vec<String>>>,
    /// The reason it was dropped for.
    pub dropped: Option<At<String>>,
    /// The reason it was refused for.
    pub refused: Option<At<String>>,
}

/// `[[invariants]]`: what must hold for every notification that a schema admits.
#[derive(Debug, Clone, PartialEq)]
pub struct Invariant {
    /// Which notifications.
    pub for_all: Condition,
    /// What must be true of them.
    pub claim: InvariantClaim,
}

/// What an invariant claims.
#[derive(Debug, Clone, PartialEq)]
pub enum InvariantClaim {
    /// `must_reach`.
    MustReach(At<String>),
    /// `must_never_reach`.
    MustNeverReach(At<String>),
    /// `must_not_drop`.
    MustNotDrop,
}
