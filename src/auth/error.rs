//! Why a credential was not believed.

use jiff::Timestamp;

use super::credential::MAX_CREDENTIAL;
use crate::notification::Name;

/// Why a credential was not believed. No message repeats any part of the credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Nothing was presented, and the policy does not let everybody in.
    #[error("a credential is required")]
    Missing,
    /// `Authorization` holds something else than `Bearer` and one token.
    #[error("authorization header is not `Bearer` and one token")]
    NotBearer,
    /// Longer than any credential of ours.
    #[error("credential is longer than {MAX_CREDENTIAL} bytes")]
    TooLarge,
    /// Neither an API key nor a signed JWT in its compact form.
    #[error("credential is neither an API key nor a signed JWT")]
    Malformed,
    /// No API key of that name and secret. One answer for both, so that names cannot be probed.
    #[error("API key is not known")]
    UnknownKey,
    /// The token's header asks for what we do not do, such as `crit`.
    #[error("token header `{0}` is not supported")]
    UnsupportedHeader(&'static str),
    /// `typ` names another kind of token.
    #[error("token type is neither `JWT` nor `at+jwt`")]
    WrongType,
    /// A claim that every token must have is absent.
    #[error("token has no claim `{0}`")]
    MissingClaim(&'static str),
    /// A registered claim is not of its kind.
    #[error("claim `{0}` is malformed")]
    InvalidClaim(&'static str),
    /// `iss` is none of the configured issuers.
    #[error("token's issuer is not configured")]
    UnknownIssuer,
    /// The issuer has no key for the algorithm that the token's header names.
    #[error("issuer `{0}` does not allow the token's algorithm")]
    AlgorithmNotAllowed(Name),
    /// No key of the issuer has the token's `kid`.
    #[error("issuer `{0}` has no key with the token's `kid`")]
    UnknownKeyId(Name),
    /// The token names no key, and several would fit.
    #[error("issuer `{0}` has several keys, and the token has no `kid`")]
    AmbiguousKey(Name),
    /// The signature is not one of the issuer's key.
    #[error("signature is not one of issuer `{0}`")]
    BadSignature(Name),
    /// `aud` does not name us.
    #[error("token is for another audience than issuer `{0}` is configured with")]
    WrongAudience(Name),
    /// `exp` is past.
    #[error("token expired at {0}")]
    Expired(Timestamp),
    /// `nbf` or `iat` is still to come.
    #[error("token is not valid before {0}")]
    NotYetValid(Timestamp),
}

impl AuthError {
    /// A stable word for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotBearer => "not_bearer",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::UnsupportedHeader(_) => "unsupported_header",
            Self::WrongType => "wrong_type",
            Self::MissingClaim(_) => "missing_claim",
            Self::InvalidClaim(_) => "invalid_claim",
            Self::UnknownIssuer => "unknown_issuer",
            Self::AlgorithmNotAllowed(_) => "algorithm_not_allowed",
            Self::UnknownKeyId(_) => "unknown_key_id",
            Self::AmbiguousKey(_) => "ambiguous_key",
            Self::BadSignature(_) => "bad_signature",
            Self::WrongAudience(_) => "wrong_audience",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not_yet_valid",
        }
    }
}
