//! Who is asking, what proves it, and what a policy lets them do. Pure: keys are compiled in, time is an argument.

mod api_key;
mod authenticator;
mod cache;
mod credential;
mod digest;
mod error;
mod grant;
mod mint;
mod policy;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod token;
mod verifying_key;

pub use api_key::{NewKey, generate_key};
pub use authenticator::{Authenticator, KEY_PREFIX};
pub use cache::TokenCache;
pub use credential::Credential;
pub use digest::Digest;
pub use error::AuthError;
pub use mint::{MintError, mint};
pub use policy::{Denied, Permit, Policies, Policy};
pub use template::{InvalidTemplate, Template};

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::notification::{ChannelName, Name, TypeName};

/// Whoever presents no credential, as limits, logs and presence know them.
pub const ANONYMOUS: &str = "anonymous";

/// Who is asking, proven. `Anonymous` when no credential was presented.
///
/// Only [`Authenticator::authenticate`] makes one that proves anything: it alone can fill the private field.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// What limits, logs and presence know it by: `issuer-name:sub`, `key:name`, or `anonymous`.
    pub id: Arc<str>,
    /// How it was proven.
    pub proof: Proof,
    /// When the credential stops to be valid.
    pub expires_at: Option<Timestamp>,
    /// The key that proved it, so that a reload can tell whether that key still counts. None for no credential.
    proven_by: Option<Digest>,
}

impl Principal {
    /// Whoever presents no credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { id: ANONYMOUS.into(), proof: Proof::Anonymous, expires_at: None, proven_by: None }
    }
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
    /// Use the admin listener.
    Administer,
}

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(type_name) => write!(f, "publish `{type_name}`"),
            Self::Subscribe(channel) => write!(f, "subscribe to `{channel}`"),
            Self::Administer => f.write_str("administer the server"),
        }
    }
}
