//! The configuration as it is written: TOML parsed into these types, each value with the place it stands at.
//!
//! Nothing here is compiled or cross-checked: names are texts until `snapshot` resolves them. Every fault is a
//! [`Diagnostic`], and all of them are collected before any is reported: what has one is lowered as far as it is clear,
//! so that the rest of it can be checked as well.

mod broker_url;
mod cluster;
mod code;
mod confined;
mod context;
mod defaults;
mod diagnostic;
mod files;
#[cfg(test)]
pub(crate) mod fixtures;
mod glob;
mod inputs;
mod load;
mod lower;
mod machine;
mod moment;
mod named;
mod render;
mod schema;
mod secret;
mod sections;
mod sentinels;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use jiff::tz::TimeZone;

pub use broker_url::{BrokerUrl, InvalidBrokerUrl};
pub use cluster::Cluster;
pub use code::Code;
pub use confined::read_confined;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use glob::compile_glob;
pub use inputs::{Hash, Inputs};
pub use load::{Loaded, load, load_with_tests};
pub use moment::{Moment, NoInstant};
pub use named::Named;
pub use render::{Colour, counted};
pub use schema::json_schema;
pub use secret::{Secret, Secrets};
pub use sections::{
    Action, Algorithm, ApiKey, Broker, Channel, ClaimTest, Condition, DailyRange, Durability, EventName, Expectation,
    Fault, Grant, Invariant, InvariantClaim, Issuer, Limit, OnError, Operator, Paths, Plugin, Policy, Rate, Retention,
    Rule, Scope, Server, Shed, Stub, Test, Then, Type, Verifier, Weekday, Window,
};
pub use sentinels::{Login, Sentinels, Transport};
pub use source::{At, Position, Source, Sources, Span};
pub use watch::Watcher;

/// One configuration: the main file and everything it includes. Where there are errors it is what could be read of it,
/// to look for more errors in, and never to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `unmatched`: what happens to a notification that no rule matches.
    pub unmatched: At<Unmatched>,
    /// `[defaults] timezone`: of local times that name none.
    pub timezone: Option<TimeZone>,
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
