//! The keys that verify an issuer's tokens: a shared secret, a PEM public key, or a JSON Web Key Set (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::Digest;
use crate::config::{self, At, Code, Diagnostic, Diagnostics, Span, Verifier};
use crate::notification::Name;

/// Fewest bytes of a shared secret: as many as its hash has (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;
/// Most keys in a key set.
const MAX_KEYS: usize = 100;
/// Bits of an RSA modulus that the cryptography takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// One key of one issuer, bound to the one algorithm it is for: what a token's header says never changes it.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    /// Its name in the issuer's own key set.
    pub(super) kid: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    key: DecodingKey,
    /// Everything that makes a token of this key acceptable: the issuer, its audience, and the key material.
    pub(super) fingerprint: Digest,
}

impl VerifyingKey {
    /// Whether `signature`, in base64url, is this key's over `message`.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        let verified = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, self.algorithm);
        verified.unwrap_or(false)
    }
}

/// Chooses the cryptography; with both of its backends compiled in, jsonwebtoken would otherwise panic at first use.
pub(super) fn install_cryptography() {
    // It fails only when a provider is installed already, which is what is wanted.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

/// Compiles the keys of an issuer; whatever is wrong with them is a diagnostic.
pub(super) fn compile(name: &Name, issuer: &config::Issuer, diagnostics: &mut Diagnostics) -> Vec<VerifyingKey> {
    install_cryptography();
    let mut compiler = Compiler { name, issuer, diagnostics };
    if issuer.algorithms.is_empty() {
        compiler.error(Code::WrongAlgorithm, format!("issuer `{name}` allows no algorithm"));
        return Vec::new();
    }
    match &issuer.verifier.value {
        Verifier::Secret(secret) => compiler.secret(secret.expose()),
        Verifier::PublicKey(pem) => compiler.public_key(pem),
        Verifier::Jwks(text) => compiler.key_set(text),
    }
}

struct Compiler<'a> {
    name: &'a Name,
    issuer: &'a config::Issuer,
    diagnostics: &'a mut Diagnostics,
}

impl Compiler<'_> {
    fn secret(&mut self, secret: &str) -> Vec<VerifyingKey> {
        self.refuse_algorithms("a shared secret", |algorithm| algorithm != Algorithm::HS256);
        if secret.len() < MIN_SECRET {
            self.error(
                Code::WeakSecret,
                format!("secret of issuer `{}` is shorter than {MIN_SECRET} bytes", self.name),
            );
            return Vec::new();
        }
        vec![self.bind(None, Algorithm::HS256, DecodingKey::from_secret(secret.as_bytes()), secret.as_bytes())]
    }

    fn public_key(&mut self, pem: &str) -> Vec<VerifyingKey> {
        match read_pem(pem).and_then(|jwk| self.read_jwk(&jwk)) {
            Ok(key) => {
                self.refuse_algorithms("this public key", |algorithm| algorithm != key.algorithm);
                vec![key]
            }
            Err(reason) => {
                self.error(Code::BadKey, format!("public key of issuer `{}` {reason}", self.name));
                Vec::new()
            }
        }
    }

    /// Reads a key set. Keys for other purposes are passed over, as RFC 7517, section 5, asks; none left is an error.
    fn key_set(&mut self, text: &str) -> Vec<VerifyingKey> {
        #[derive(Deserialize)]
        struct KeySet {
            keys: Vec<Value>,
        }
        self.refuse_algorithms("a key set", |algorithm| algorithm == Algorithm::HS256);
        let set = match serde_json::from_str::<KeySet>(text) {
            Ok(set) if set.keys.len() <= MAX_KEYS => set,
            Ok(_) => {
                self.error(Code::BadKey, format!("key set of issuer `{}` has more than {MAX_KEYS} keys", self.name));
                return Vec::new();
            }
            Err(error) => {
                self.error(
                    Code::BadKey,
                    format!("key set of issuer `{}` is not a JSON Web Key Set: {error}", self.name),
                );
                return Vec::new();
            }
        };
        let (mut keys, mut passed_over) = (Vec::<VerifyingKey>::new(), Vec::new());
        for (index, jwk) in set.keys.into_iter().enumerate() {
            let read = serde_json::from_value(jwk).map_err(|_| "is not a JSON Web Key".to_owned());
            match read.and_then(|jwk| self.read_jwk(&jwk)) {
                Ok(key) => keys.push(key),
                Err(reason) => passed_over.push(format!("key {index} {reason}")),
            }
        }
        if keys.is_empty() {
            let error = format!("key set of issuer `{}` has no key for its algorithms", self.name);
            let error = Diagnostic::error(Code::BadKey, self.span(), error);
            self.diagnostics.push(if passed_over.is_empty() { error } else { error.help(passed_over.join("; ")) });
        }
        self.refuse_duplicates(&keys);
        keys
    }

    /// A key from its JSON form, or why it cannot verify tokens of this issuer.
    fn read_jwk(&self, jwk: &Jwk) -> Result<VerifyingKey, String> {
        let algorithm = algorithm_of(jwk)?;
        if !self.issuer.algorithms.iter().any(|pinned| jws(pinned.value) == algorithm) {
            return Err(format!("is for {algorithm:?}, which `algorithms` does not list"));
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|error| format!("is malformed: {error}"))?;
        let material = serde_json::to_vec(&jwk.algorithm).map_err(|error| error.to_string())?;
        Ok(self.bind(jwk.common.key_id.as_deref(), algorithm, key, &material))
    }

    fn bind(&self, kid: Option<&str>, algorithm: Algorithm, key: DecodingKey, material: &[u8]) -> VerifyingKey {
        let fingerprint = Digest::of_parts(&[
            b"issuer",
            self.name.as_str().as_bytes(),
            self.issuer.issuer.value.as_bytes(),
            self.issuer.audience.value.as_bytes(),
            format!("{algorithm:?}").as_bytes(),
            material,
        ]);
        VerifyingKey { kid: kid.map(Into::into), algorithm, key, fingerprint }
    }

    fn refuse_algorithms(&mut self, verifier: &str, refused: impl Fn(Algorithm) -> bool) {
        for &At { value, span } in self.issuer.algorithms.iter().filter(|pinned| refused(jws(pinned.value))) {
            let error = format!("issuer `{}` cannot verify {:?} with {verifier}", self.name, jws(value));
            self.diagnostics.push(Diagnostic::error(Code::WrongAlgorithm, span, error));
        }
    }

    fn refuse_duplicates(&mut self, keys: &[VerifyingKey]) {
        for (index, key) in keys.iter().enumerate() {
            let same = |other: &VerifyingKey| other.kid == key.kid && other.algorithm == key.algorithm;
            if let Some(kid) = &key.kid
                && keys[..index].iter().any(same)
            {
                self.error(
                    Code::BadKey,
                    format!("key set of issuer `{}` has several keys `{}`", self.name, kid.escape_debug()),
                );
            }
        }
    }

    fn error(&mut self, code: Code, message: String) {
        self.diagnostics.push(Diagnostic::error(code, self.span(), message));
    }

    fn span(&self) -> Span {
        self.issuer.verifier.span
    }
}

/// Reads a public key in PEM as a JSON Web Key, so that both forms pass the same checks.
fn read_pem(pem: &str) -> Result<Jwk, String> {
    if !pem.contains("PUBLIC KEY-----") || pem.contains("PRIVATE KEY-----") {
        return Err("is not a PEM text with one `PUBLIC KEY`".to_owned());
    }
    let readers = [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
    let key = readers.iter().find_map(|read| read(pem.as_bytes()).ok());
    let jwk = key.and_then(|key| Jwk::from_decoding_key(&key, None).ok());
    jwk.ok_or_else(|| "is neither an RSA, a P-256 nor an Ed25519 key".to_owned())
}

/// The one algorithm of ours that a key is for, by its type, curve and size; its `alg` and `use` must agree.
fn algorithm_of(jwk: &Jwk) -> Result<Algorithm, String> {
    let has_bytes = |text: &str, count: usize| bytes_of(text).is_some_and(|bytes| bytes.len() == count);
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => match bytes_of(&rsa.n).map(|n| bits(&n)) {
            Some(size) if RSA_BITS.contains(&size) => Algorithm::RS256,
            _ => return Err(format!("is not an RSA key of {} to {} bits", RSA_BITS.start(), RSA_BITS.end())),
        },
        AlgorithmParameters::EllipticCurve(ec)
            if ec.curve == EllipticCurve::P256 && has_bytes(&ec.x, 32) && has_bytes(&ec.y, 32) =>
        {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 && has_bytes(&ed.x, 32) => {
            Algorithm::EdDSA
        }
        _ => return Err("is neither an RSA, a P-256 nor an Ed25519 public key".to_owned()),
    };
    if jwk.common.key_algorithm.is_some_and(|own| own != KeyAlgorithm::from(algorithm)) {
        return Err(format!("has an `alg` other than {algorithm:?}"));
    }
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let verifies = jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    if signs && verifies { Ok(algorithm) } else { Err("is not for verifying signatures".to_owned()) }
}

fn bytes_of(base64url: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(base64url).ok()
}

/// The length of a big-endian number in bits.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros).map_or(0, |first| (number.len() - zeros) * 8 - first.leading_zeros() as usize)
}

fn jws(algorithm: config::Algorithm) -> Algorithm {
    match algorithm {
        config::Algorithm::Hs256 => Algorithm::HS256,
        config::Algorithm::Rs256 => Algorithm::RS256,
        config::Algorithm::Es256 => Algorithm::ES256,
        config::Algorithm::EdDsa => Algorithm::EdDSA,
    }
}
