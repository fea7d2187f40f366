//! Authentication and policies, from configuration to decision.

mod configuration;
mod credentials;
mod hostile;
mod policies;
pub(crate) mod support;
