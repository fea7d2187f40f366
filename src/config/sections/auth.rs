//! `[auth.*]` and `[policies.*]`.

use crate::config::{At, Secret};

/// `[auth.issuers.*]`: who may sign tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Issuer {
    /// The `iss` claim, exact.
    pub issuer: At<String>,
    /// The `aud` claim, exact.
    pub audience: At<String>,
    /// What verifies the signature.
    pub verifier: At<Verifier>,
    /// Which algorithms are accepted, whatever the token's header says.
    pub algorithms: Vec<At<Algorithm>>,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Verifier {
    /// `secret`: a shared secret of at least 32 bytes.
    Secret(Secret),
    /// `public_key_file`: the text of a PEM public key.
    PublicKey(String),
    /// `jwks_file`: the text of a JSON Web Key Set (RFC 7517).
    Jwks(String),
}

/// A JWS algorithm (RFC 7518) that an issuer may pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// `[auth.keys.*]`: an API key, known only by its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// Lower-case hex of the key's SHA-256.
    pub sha256: At<Secret>,
}

/// `[policies.*]`: whom it allows. Nothing allowed is denied.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Any one of these suffices.
    pub allow: Vec<At<Grant>>,
}

/// One entry of `allow`.
#[derive(Debug, Clone, PartialEq)]
pub enum Grant {
    /// `{ anyone = true }`: also without a credential.
    Anyone,
    /// `{ key = "name" }`: the API key of that name.
    Key(At<String>),
    /// `{ claim = "path", equals | contains | in = ... }`: a claim of a verified token.
    Claim {
        /// A dotted path into the claims.
        claim: At<String>,
        /// What it must satisfy.
        test: ClaimTest,
        /// Only tokens of this issuer, by its configured name.
        issuer: Option<At<String>>,
    },
    /// One that has a fault, and what could be read of it when it asks for a claim.
    Faulty {
        /// As in [`Grant::Claim`].
        claim: Option<At<String>>,
        /// As in [`Grant::Claim`].
        test: Option<ClaimTest>,
        /// As in [`Grant::Claim`].
        issuer: Option<At<String>>,
    },
}

/// What a claim must satisfy. Texts may hold one `{placeholder}` of the channel's pattern.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimTest {
    /// A scalar equal to the text.
    Equals(At<String>),
    /// An array with the text among its elements, or a space-separated string with the text among its words.
    Contains(At<String>),
    /// A scalar equal to one of the texts.
    In(Vec<At<String>>),
}
