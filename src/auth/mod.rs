//! Who is asking, what proves it, and what a policy lets them do. Pure: keys are compiled in, time is an argument.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::notification::{ChannelName, Name, TypeName};

/// What a caller presents: a JWT or an API key, not yet believed. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Credential(Box<str>);

/// Who is asking, proven. `Anonymous` when no credential was presented.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// What limits, logs and presence know it by: `issuer-name:sub`, `key:name`, or `anonymous`.
    pub id: Arc<str>,
    /// How it was proven.
    pub proof: Proof,
    /// When the credential stops to be valid.
    pub expires_at: Option<Timestamp>,
}

/// How a principal was proven.
#[derive(Debug, Clone, PartialEq)]
pub enum Proof {
    /// No credential.
    Anonymous,
    /// An API key, by its configured name.
    Key(Name),
    /// A token of an issuer, by its configured name, with its claims.
    Token {
        /// The issuer's name in the configuration.
        issuer: Name,
        /// The verified claims.
        claims: Map<String, Value>,
    },
}

/// What a principal wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// Publish notifications of a type.
    Publish(&'a TypeName),
    /// Subscribe to a channel.
    Subscribe(&'a ChannelName),
}

/// Proof that a policy allowed something. Only [`Policies::authorize`] makes one.
#[derive(Debug, Clone)]
pub struct Permit(());
