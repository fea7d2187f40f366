//! The product as its users meet it: real sockets, a real Redis, a real browser.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected shall panic")]

mod support;

mod architecture;
mod auth;
mod bench;
mod browser;
mod chaos;
mod checker;
mod cli;
mod cluster;
mod docs;
mod explain;
mod failover;
mod generations;
mod gone;
mod http2;
mod hub;
mod lag;
mod limits;
mod model;
mod pitfalls;
mod plugins;
mod position;
mod prefixes;
mod publish;
mod redis;
mod redis_cluster;
mod reload;
mod resume;
mod secrets;
mod simulation;
mod sockets;
mod subscribe;
mod tests_of_rules;
mod wire;
