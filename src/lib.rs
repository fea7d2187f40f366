//! Fanfare, a notification router: producers publish over HTTP, one TOML configuration decides, browsers listen by
//! Server-Sent Events.
#![allow(missing_docs, reason = "skeleton")]
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
