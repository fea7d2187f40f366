//! Turns a credential into a principal, by the issuers and API keys of one configuration.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::token::{Header, Token};
use super::verifying_key::{self, VerifyingKey};
use super::{AuthError, Credential, Digest, Principal, Proof, TokenCache, api_key};
use crate::config::{self, Code, Config, Diagnostic, Diagnostics};
use crate::notification::Name;

/// What stands before the name of an API key in a principal's id, and so cannot be the name of an issuer.
pub const KEY_PREFIX: &str = "key";

/// The issuers and API keys of one configuration.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// By the `iss` of their tokens.
    issuers: HashMap<String, Issuer>,
    /// The digest of each key's text, by its name.
    keys: HashMap<Name, Digest>,
    /// Of everything that can prove a principal.
    fingerprints: HashSet<Digest>,
}

#[derive(Debug)]
struct Issuer {
    name: Name,
    audience: String,
    keys: Vec<VerifyingKey>,
}

impl Authenticator {
    /// Compiles the issuers and API keys; whatever is wrong with them is a diagnostic.
    #[must_use]
    pub fn compile(config: &Config, diagnostics: &mut Diagnostics) -> Self {
        let mut authenticator = Self::default();
        for (name, issuer) in &config.issuers {
            authenticator.add_issuer(name, issuer, diagnostics);
        }
        for (name, key) in &config.keys {
            authenticator.add_key(name, key, diagnostics);
        }
        authenticator
    }

    fn add_issuer(&mut self, name: &Name, issuer: &config::Issuer, diagnostics: &mut Diagnostics) {
        let (iss, span) = (&issuer.issuer.value, issuer.issuer.span);
        if name.as_str() == KEY_PREFIX {
            let error = Diagnostic::error(Code::BadIssuer, span, format!("issuer cannot be named `{KEY_PREFIX}`"));
            diagnostics.push(error.help("its principals could be taken for API keys: rename it"));
        }
        if let Some(other) = self.issuers.get(iss) {
            let error = format!("issuers `{}` and `{name}` have the same `issuer`", other.name);
            diagnostics.push(
                Diagnostic::error(Code::BadIssuer, span, error).label("a token's `iss` would not tell which one"),
            );
            return;
        }
        let keys = verifying_key::compile(name, issuer, diagnostics);
        self.fingerprints.extend(keys.iter().map(|key| key.fingerprint));
        let audience = issuer.audience.value.clone();
        self.issuers.insert(iss.clone(), Issuer { name: name.clone(), audience, keys });
    }

    fn add_key(&mut self, name: &Name, key: &config::ApiKey, diagnostics: &mut Diagnostics) {
        let Some(digest) = Digest::from_hex(key.sha256.value.expose()) else {
            let error = format!("`sha256` of API key `{name}` is not 64 lower-case hex digits");
            let help = format!("`fanfare key {name}` makes a key and its `sha256`");
            diagnostics.push(Diagnostic::error(Code::NoHash, key.sha256.span, error).help(help));
            return;
        };
        self.fingerprints.insert(key_fingerprint(name, &digest));
        self.keys.insert(name.clone(), digest);
    }

    /// Who presents `credential` at `now`. No credential is [`Principal::anonymous`]; a bad one is an error.
    ///
    /// # Errors
    /// Why the credential is not believed.
    pub fn authenticate(&self, credential: Option<&Credential>, now: Timestamp) -> Result<Principal, AuthError> {
        let Some(credential) = credential else { return Ok(Principal::anonymous()) };
        let text = credential.text()?;
        if api_key::is_key(text) { self.authenticate_key(text) } else { self.authenticate_token(text, now) }
    }

    /// As [`Self::authenticate`], but a token that `cache` knows is not verified again.
    ///
    /// # Errors
    /// Why the credential is not believed.
    pub fn authenticate_cached(
        &self,
        credential: Option<&Credential>,
        cache: &TokenCache,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthError> {
        let digest = credential.map(Credential::digest);
        let known = digest.and_then(|digest| cache.get(&digest, now));
        if let Some(principal) = known.filter(|principal| self.still_valid(principal, now)) {
            return Ok(principal);
        }
        let principal = Arc::new(self.authenticate(credential, now)?);
        if let (Some(digest), Proof::Token { .. }) = (digest, &principal.proof) {
            cache.insert(digest, &principal, now);
        }
        Ok(principal)
    }

    /// Whether what proved `principal` still counts here, and has not expired.
    ///
    /// The key must be the same one under the same name, with the same issuer and audience. There is no leeway:
    /// it makes up for clocks when a credential is presented, and does not prolong an open stream.
    #[must_use]
    pub fn still_valid(&self, principal: &Principal, now: Timestamp) -> bool {
        principal.proven_by.is_none_or(|key| self.fingerprints.contains(&key))
            && principal.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    fn authenticate_key(&self, text: &str) -> Result<Principal, AuthError> {
        let configured = api_key::name_of(text).and_then(|name| self.keys.get_key_value(name));
        match configured {
            Some((name, digest)) if digest.matches(&Digest::of(text)) => Ok(Principal {
                id: format!("{KEY_PREFIX}:{name}").into(),
                proof: Proof::Key(name.clone()),
                expires_at: None,
                proven_by: Some(key_fingerprint(name, digest)),
            }),
            _ => Err(AuthError::UnknownKey),
        }
    }

    fn authenticate_token(&self, text: &str, now: Timestamp) -> Result<Principal, AuthError> {
        let token = Token::parse(text)?;
        // Not yet believed, so all it may do is to select one of the configured issuers.
        let issuer = self.issuers.get(token.text("iss")?).ok_or(AuthError::UnknownIssuer)?;
        let key = issuer.key_for(&token.header)?;
        if !key.verifies(token.message, token.signature) {
            return Err(AuthError::BadSignature(issuer.name.clone()));
        }
        if !token.is_for(&issuer.audience)? {
            return Err(AuthError::WrongAudience(issuer.name.clone()));
        }
        let expires_at = token.check_times(now)?;
        Ok(Principal {
            id: format!("{}:{}", issuer.name, token.text("sub")?).into(),
            expires_at: Some(expires_at),
            proven_by: Some(key.fingerprint),
            proof: Proof::Token { issuer: issuer.name.clone(), claims: token.claims },
        })
    }
}

impl Issuer {
    /// The one key of this issuer that a token may be signed with. `kid` looks only into the issuer's own keys: a
    /// map shared by issuers would let one sign for another (CVE-2026-49998).
    fn key_for(&self, header: &Header) -> Result<&VerifyingKey, AuthError> {
        let algorithm = header.alg.parse().ok();
        let fitting = || self.keys.iter().filter(|key| Some(key.algorithm) == algorithm);
        if fitting().next().is_none() {
            return Err(AuthError::AlgorithmNotAllowed(self.name.clone()));
        }
        let kid = header.kid.as_deref();
        if let Some(named) = kid.and_then(|kid| fitting().find(|key| key.kid.as_deref() == Some(kid))) {
            return Ok(named);
        }
        // A secret or PEM key has no `kid`, so that of the token says nothing about it.
        let mut others = fitting().filter(|key| kid.is_none() || key.kid.is_none());
        match (others.next(), others.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(AuthError::UnknownKeyId(self.name.clone())),
            (Some(_), Some(_)) => Err(AuthError::AmbiguousKey(self.name.clone())),
        }
    }
}

fn key_fingerprint(name: &Name, digest: &Digest) -> Digest {
    Digest::of_parts(&[b"key", name.as_str().as_bytes(), digest.as_bytes()])
}
