//! Fanfare: skeleton.
#![allow(missing_docs, reason = "skeleton")]
pub mod auth;
pub mod broker;
pub mod config;
pub mod limits;
pub mod notification;
pub mod plugins;
pub mod routing;
pub mod schemas;
pub mod stream;
pub mod telemetry;
