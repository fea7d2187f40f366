//! The sections of a configuration, as typed values that know where they stand.

mod auth;
mod channels;
mod rules;
mod server;

pub use auth::{Algorithm, ApiKey, ClaimTest, Grant, Issuer, Policy, Verifier};
pub use channels::{Channel, EventName, Limit, Rate, Retention, Scope, Shed, Type};
pub use rules::{
    Action, Condition, DailyRange, Expectation, Fault, Invariant, InvariantClaim, OnError, Operator, Plugin, Rule,
    Stub, Test, Then, Weekday, Window,
};
pub use server::{Broker, Durability, Paths, Server};
