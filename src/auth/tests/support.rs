//! Configurations, keys and tokens for tests.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::auth::{Action, Authenticator, Permit, Policies, Principal};
use crate::config::{self, At, Config, Diagnostics, Issuer, Named, Secret, Span, Verifier};
use crate::notification::Name;

/// When every test takes place.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const ISS: &str = "https://id.example.com";

pub(crate) fn at<T>(value: T) -> At<T> {
    At::new(value, Span::default())
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A configuration that declares nothing.
pub(crate) fn empty_config() -> Config {
    Config {
        timezone: None,
        unmatched: at(config::Unmatched::Reject),
        paths: config::Paths::default(),
        server: config::Server {
            listen: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            admin_policy: None,
            allowed_origins: Vec::new(),
            max_connections: 10,
            max_streams_per_principal: 10,
            max_body: 1024,
            header_timeout: Duration::from_secs(1),
            body_timeout: Duration::from_secs(1),
            heartbeat: Duration::from_secs(1),
            stall_timeout: Duration::from_secs(1),
            drain: Duration::from_secs(1),
            ring_records: 16,
            ring_bytes: 1024,
        },
        broker: config::Broker {
            url: at(config::BrokerUrl::Memory),
            prefix: "fanfare".into(),
            timeout: Duration::from_secs(1),
            max_in_flight: 10,
            durability: config::Durability::Primary,
            ca: None,
            idempotency_ttl: Duration::from_secs(1),
            max_channels: 10,
        },
        issuers: Named::default(),
        keys: Named::default(),
        policies: Named::default(),
        channels: Named::default(),
        types: Named::default(),
        limits: Named::default(),
        windows: Named::default(),
        plugins: Named::default(),
        rules: Vec::new(),
        tests: Vec::new(),
        invariants: Vec::new(),
    }
}

/// The issuer `https://id.example.com` for the audience `fanfare`.
pub(crate) fn issuer(verifier: Verifier, algorithms: &[config::Algorithm]) -> Issuer {
    Issuer {
        issuer: at(ISS.into()),
        audience: at("fanfare".into()),
        verifier: at(verifier),
        algorithms: algorithms.iter().map(|&algorithm| at(algorithm)).collect(),
    }
}

/// The issuer of [`SECRET`].
pub(crate) fn secret_issuer() -> Issuer {
    issuer(Verifier::Secret(Secret::new(SECRET)), &[config::Algorithm::Hs256])
}

/// A configuration of one issuer, `app`.
pub(crate) fn config_of(issuer: Issuer) -> Config {
    let mut config = empty_config();
    config.issuers.insert(name("app"), at(issuer));
    config
}

/// Compiles what must have no faults.
pub(crate) fn compile(config: &Config) -> Authenticator {
    let mut diagnostics = Diagnostics::default();
    let authenticator = Authenticator::compile(config, &mut diagnostics);
    assert_eq!(messages(&diagnostics), Vec::<String>::new());
    authenticator
}

/// The faults of a configuration.
pub(crate) fn faults(config: &Config) -> String {
    let mut diagnostics = Diagnostics::default();
    let _ = Authenticator::compile(config, &mut diagnostics);
    messages(&diagnostics).join("\n")
}

/// What a policy for anyone hands out.
pub(crate) fn permit() -> Permit {
    let mut config = empty_config();
    config.policies.insert(name("anyone"), at(config::Policy { allow: vec![at(config::Grant::Anyone)] }));
    let policies = Policies::compile(&config, &mut Diagnostics::default());
    let publish = Action::Publish(&name("any.type"));
    policies.get("anyone").unwrap().authorize(&Principal::anonymous(), &[], publish).unwrap()
}

/// Every finding's message, with its help.
pub(crate) fn messages(diagnostics: &Diagnostics) -> Vec<String> {
    let help = |help: &Option<String>| help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    diagnostics.iter().map(|finding| format!("{}{}", finding.message, help(&finding.help))).collect()
}

/// A header that nothing is wrong with.
pub(crate) fn header(alg: &str) -> Value {
    json!({"alg": alg, "typ": "JWT"})
}

/// Claims that nothing is wrong with.
pub(crate) fn claims() -> Value {
    json!({"iss": ISS, "aud": "fanfare", "sub": "u1", "exp": NOW.as_second() + 600, "teams": ["t1"]})
}

/// `base` with `changes`; null takes a member out.
pub(crate) fn with(mut base: Value, changes: Value) -> Value {
    for (member, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => base.as_object_mut().unwrap().remove(member),
            value => base.as_object_mut().unwrap().insert(member.clone(), value.clone()),
        };
    }
    base
}

/// Signs whatever texts it is given, as an attacker with a key would.
pub(crate) fn sign_text(header: &str, claims: &str, algorithm: Algorithm, key: &EncodingKey) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

pub(crate) fn sign(header: &Value, claims: &Value, algorithm: Algorithm, key: &EncodingKey) -> String {
    sign_text(&header.to_string(), &claims.to_string(), algorithm, key)
}

/// Signs with [`SECRET`].
pub(crate) fn sign_hs(header: &Value, claims: &Value) -> String {
    sign(header, claims, Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()))
}

pub(crate) fn base64url(text: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

/// An asymmetric key pair.
pub(crate) struct KeyPair {
    pub(crate) algorithm: Algorithm,
    pub(crate) private: EncodingKey,
    pub(crate) public_pem: String,
}

impl KeyPair {
    pub(crate) fn rs256() -> Self {
        let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let private = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { algorithm: Algorithm::RS256, private, public_pem: pair.public_key_pem() }
    }

    pub(crate) fn es256() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let private = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { algorithm: Algorithm::ES256, private, public_pem: pair.public_key_pem() }
    }

    pub(crate) fn ed25519() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let private = EncodingKey::from_ed_der(&pair.serialize_der());
        Self { algorithm: Algorithm::EdDSA, private, public_pem: pair.public_key_pem() }
    }

    /// The public key as a JSON Web Key, with `changes`.
    pub(crate) fn jwk(&self, changes: Value) -> Value {
        let read = match self.algorithm {
            Algorithm::RS256 => jsonwebtoken::DecodingKey::from_rsa_pem,
            Algorithm::ES256 => jsonwebtoken::DecodingKey::from_ec_pem,
            _ => jsonwebtoken::DecodingKey::from_ed_pem,
        };
        let key = read(self.public_pem.as_bytes()).unwrap();
        let jwk = jsonwebtoken::jwk::Jwk::from_decoding_key(&key, Some(self.algorithm)).unwrap();
        with(serde_json::to_value(jwk).unwrap(), changes)
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        sign(header, claims, self.algorithm, &self.private)
    }

    pub(crate) fn pinned(&self) -> config::Algorithm {
        match self.algorithm {
            Algorithm::RS256 => config::Algorithm::Rs256,
            Algorithm::ES256 => config::Algorithm::Es256,
            _ => config::Algorithm::EdDsa,
        }
    }
}

/// The issuer of a key set.
pub(crate) fn jwks_issuer(keys: &[Value], algorithms: &[config::Algorithm]) -> Issuer {
    issuer(Verifier::Jwks(json!({"keys": keys}).to_string()), algorithms)
}
