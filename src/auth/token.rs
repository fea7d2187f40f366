//! JSON Web Tokens (RFC 7519): what is read before the signature is checked, and the claims checked after it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use super::AuthError;

/// How far the clocks of an issuer and of this node may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// A token taken apart and not yet believed.
pub(super) struct Token<'a> {
    pub(super) header: Header,
    pub(super) claims: Map<String, Value>,
    /// What is signed: the encoded header and claims.
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
}

/// The parameters of a header that mean something here. Keys that a token brings along, or points to (`jwk`, `jku`,
/// `x5u`, `x5c`), are not among them: only configured keys count.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    /// Takes a token in compact form apart.
    pub(super) fn parse(text: &'a str) -> Result<Self, AuthError> {
        let (message, signature) = text.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(AuthError::Malformed)?;
        let header: Header = decode(header)?;
        header.check()?;
        Ok(Self { header, claims: decode(claims)?, message, signature })
    }

    /// A claim that must be a text, and not an empty one.
    pub(super) fn text(&self, claim: &'static str) -> Result<&str, AuthError> {
        match self.claims.get(claim) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(_) => Err(AuthError::InvalidClaim(claim)),
            None => Err(AuthError::MissingClaim(claim)),
        }
    }

    /// Whether `aud`, a text or a list of texts, names `audience`.
    pub(super) fn is_for(&self, audience: &str) -> Result<bool, AuthError> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => Ok(one == audience),
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
                Ok(list.iter().any(|one| one.as_str() == Some(audience)))
            }
            Some(_) => Err(AuthError::InvalidClaim("aud")),
            None => Err(AuthError::MissingClaim("aud")),
        }
    }

    /// Checks `exp`, `nbf` and `iat` against `now`, and returns when the token expires.
    pub(super) fn check_times(&self, now: Timestamp) -> Result<Timestamp, AuthError> {
        let expires_at = self.time("exp")?.ok_or(AuthError::MissingClaim("exp"))?;
        if now.duration_since(expires_at) >= LEEWAY {
            return Err(AuthError::Expired(expires_at));
        }
        for claim in ["nbf", "iat"] {
            if let Some(start) = self.time(claim)?
                && start.duration_since(now) > LEEWAY
            {
                return Err(AuthError::NotYetValid(start));
            }
        }
        Ok(expires_at)
    }

    /// A `NumericDate`: seconds since 1970, perhaps with a fraction. Texts are refused and never ignored, or a token
    /// with `"exp": "never"` would not expire (CVE-2026-25537).
    fn time(&self, claim: &'static str) -> Result<Option<Timestamp>, AuthError> {
        let Some(value) = self.claims.get(claim) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(AuthError::InvalidClaim(claim))?;
        // The cast saturates, and what is out of a timestamp's range is refused.
        let time = Timestamp::from_millisecond((seconds * 1_000.0) as i64);
        time.map(Some).map_err(|_| AuthError::InvalidClaim(claim))
    }
}

impl Header {
    fn check(&self) -> Result<(), AuthError> {
        if self.crit.is_some() {
            return Err(AuthError::UnsupportedHeader("crit"));
        }
        if self.b64.is_some() {
            return Err(AuthError::UnsupportedHeader("b64"));
        }
        // RFC 9068, section 4; an ID token is not meant for an API, and is refused by its audience.
        let known = |typ: &str| ["JWT", "at+jwt", "application/at+jwt"].iter().any(|one| typ.eq_ignore_ascii_case(one));
        if self.typ.as_deref().is_none_or(known) { Ok(()) } else { Err(AuthError::WrongType) }
    }
}

fn decode<T: DeserializeOwned>(base64url: &str) -> Result<T, AuthError> {
    let json = URL_SAFE_NO_PAD.decode(base64url).map_err(|_| AuthError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| AuthError::Malformed)
}
