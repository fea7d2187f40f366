//! Fanfare, a notification router: producers publish over HTTP, one TOML configuration decides, browsers listen by
//! Server-Sent Events.
//!
//! # The house, in reading order
//!
//! ```text
//! main          entry: parses the command line
//! cli           the commands, one file each
//! app           build, run, drain; the only place that spawns long-lived tasks
//! pipeline      the life of one notification and of one subscription, on one page
//! reload        load, compile, swap, settle
//! notification  the domain: drafts, names, priorities, reasons
//! stream        positions, cursors, records, rings: what the brokers and the hub share
//! config        TOML into typed values with places; diagnostics; watching files
//! snapshot      everything compiled from one configuration; the one function that decides
//! schemas       JSON Schemas of types
//! routing       patterns, matchers, windows, rules by type
//! plugins       filter scripts
//! auth          credentials, principals, policies
//! limits        token buckets
//! broker        memory and Redis
//! hub           live subscribers, shards, readers, the SSE encoder
//! http          routes, problem documents, the accept loop
//! telemetry     logs, metrics, trace headers
//! ```
//!
//! # The way of one notification
//!
//! `http::publish` → [`pipeline::Pipeline::accept`] { authenticate → authorize → limit → validate → route, filter
//! ([`snapshot::evaluate`]) → [`broker::Broker::publish`] } → receipt; and from the broker
//! ⇒ [`stream::Inlet::deliver`] → [`stream::Ring::append`] ⇒ shard → [`hub::Reader`] → bytes.
//!
//! A subscription: `http::subscribe` → [`pipeline::Pipeline::attach`] { authenticate → authorize each channel → open it →
//! register with the hub → resume from the cursor → live }. Registering comes before reading history, and both are
//! merged by number, so there is neither a hole nor a repeat at the seam.
//!
//! # What always holds
//!
//! - Imports go down only; `tests/it/architecture.rs` reads them.
//! - One snapshot per notification and per subscription. What lives across reloads is a field of [`app::App`] or
//!   [`pipeline::Pipeline`]; what is compiled is a field of [`snapshot::Snapshot`] and never changes.
//! - Everything is decided before anything is sent, by [`snapshot::evaluate`], which serving, dry runs, `explain` and
//!   tests share.
//! - Only [`pipeline`] publishes and attaches; only [`snapshot::Live`] swaps the snapshot; only `http/error.rs` turns
//!   errors into faults, and only `http/fault.rs` gives these their codes and statuses; only [`app`] spawns long-lived
//!   tasks.
//! - The hub never waits for a subscriber, and never passes over a record in silence: a hole is repaired or told.

pub mod app;
pub mod auth;
pub mod broker;
pub mod cli;
pub mod config;
pub mod http;
pub mod hub;
pub mod limits;
pub mod notification;
pub mod pipeline;
pub mod plugins;
pub mod reload;
pub mod routing;
pub mod schemas;
pub mod snapshot;
pub mod stream;
pub mod telemetry;
