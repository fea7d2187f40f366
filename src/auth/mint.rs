//! Mints tokens for trials and scripts; real ones come from an identity provider.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

use super::verifying_key::install_cryptography;
use crate::config::{Issuer, Verifier};

/// Why a token was not minted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The issuer's private key is elsewhere.
    #[error("issuer has no `secret`, so only its owner can sign for it")]
    NoSecret,
    /// A claim that is set from the configuration and the clock.
    #[error("claim `{0}` is set by the server")]
    ReservedClaim(String),
    /// It would expire after the last timestamp.
    #[error("lifetime is too long")]
    TooLong,
    /// The cryptography refused.
    #[error("token could not be signed: {0}")]
    Signing(String),
}

/// Signs a token of `issuer` for `sub`, valid from `now` for `ttl`, with further `claims`.
///
/// # Errors
/// When the issuer has no shared secret, or a claim is reserved.
pub fn mint(
    issuer: &Issuer,
    sub: &str,
    mut claims: Map<String, Value>,
    ttl: Duration,
    now: Timestamp,
) -> Result<String, MintError> {
    install_cryptography();
    let Verifier::Secret(secret) = &issuer.verifier.value else { return Err(MintError::NoSecret) };
    let expires_at = now.checked_add(ttl).map_err(|_| MintError::TooLong)?;
    let own = [
        ("iss", Value::from(issuer.issuer.value.as_str())),
        ("aud", issuer.audience.value.as_str().into()),
        ("sub", sub.into()),
        ("iat", now.as_second().into()),
        ("exp", expires_at.as_second().into()),
    ];
    for (name, value) in own {
        if claims.insert(name.to_owned(), value).is_some() {
            return Err(MintError::ReservedClaim(name.to_owned()));
        }
    }
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
    token.map_err(|error| MintError::Signing(error.to_string()))
}
