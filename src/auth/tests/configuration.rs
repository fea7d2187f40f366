//! Faults in `[auth]`, and how they are told.

use serde_json::json;

use super::support::*;
use crate::config::{self, Algorithm, Secret, Verifier};

#[test]
fn faults_of_secrets_and_algorithms() {
    let secret = |text: &str, algorithms: &[Algorithm]| {
        faults(&config_of(issuer(Verifier::Secret(Secret::new(text)), algorithms)))
    };
    insta::assert_snapshot!(secret("short", &[Algorithm::Hs256]), @"secret of issuer `app` is shorter than 32 bytes");
    insta::assert_snapshot!(secret(SECRET, &[]), @"issuer `app` allows no algorithm");
    insta::assert_snapshot!(
        secret(SECRET, &[Algorithm::Hs256, Algorithm::Rs256]),
        @"issuer `app` cannot verify RS256 with a shared secret"
    );
}

#[test]
fn faults_of_public_keys() {
    let public =
        |pem: &str, algorithms: &[Algorithm]| faults(&config_of(issuer(Verifier::PublicKey(pem.into()), algorithms)));
    let es256 = KeyPair::es256().public_pem;
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    insta::assert_snapshot!(
        public("canary", &[Algorithm::Es256]),
        @"public key of issuer `app` is not a PEM text with one `PUBLIC KEY`"
    );
    insta::assert_snapshot!(
        public(&p384.serialize_pem(), &[Algorithm::Es256]),
        @"public key of issuer `app` is not a PEM text with one `PUBLIC KEY`"
    );
    insta::assert_snapshot!(
        public(&p384.public_key_pem(), &[Algorithm::Es256]),
        @"public key of issuer `app` is neither an RSA, a P-256 nor an Ed25519 public key"
    );
    insta::assert_snapshot!(
        public(&es256, &[Algorithm::Rs256]),
        @"public key of issuer `app` is for ES256, which `algorithms` does not list"
    );
    insta::assert_snapshot!(public(&es256, &[Algorithm::Es256, Algorithm::EdDsa, Algorithm::Hs256]), @r"
    issuer `app` cannot verify EdDSA with this public key
    issuer `app` cannot verify HS256 with this public key
    ");
}

#[test]
fn faults_of_key_sets() {
    let set =
        |text: &str| faults(&config_of(issuer(Verifier::Jwks(text.into()), &[Algorithm::Es256]))).replace("; ", "\n");
    let keys = |keys: serde_json::Value| set(&json!({"keys": keys}).to_string());
    let jwk = |changes| KeyPair::es256().jwk(changes);
    insta::assert_snapshot!(
        set("canary"),
        @"key set of issuer `app` is not a JSON Web Key Set: expected value at line 1 column 1"
    );
    insta::assert_snapshot!(
        set("{}"),
        @"key set of issuer `app` is not a JSON Web Key Set: missing field `keys` at line 1 column 2"
    );
    insta::assert_snapshot!(keys(json!([])), @"key set of issuer `app` has no key for its algorithms");
    insta::assert_snapshot!(keys(json!(vec![jwk(json!({})); 101])), @"key set of issuer `app` has more than 100 keys");
    insta::assert_snapshot!(
        keys(json!([jwk(json!({"kid": "a"})), jwk(json!({"kid": "a"}))])),
        @"key set of issuer `app` has several keys `a`"
    );
    insta::assert_snapshot!(keys(json!([
        jwk(json!({"use": "enc"})),
        jwk(json!({"key_ops": ["sign"]})),
        jwk(json!({"alg": "ES384"})),
        jwk(json!({"crv": "P-384"})),
        jwk(json!({"x": "AA"})),
        jwk(json!({"kid": 1})),
        {"kty": "oct", "alg": "HS256", "k": base64url(SECRET)},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "AKP"},
        KeyPair::ed25519().jwk(json!({})),
        7,
    ])), @r"
    key set of issuer `app` has no key for its algorithms (key 0 is not for verifying signatures
    key 1 is not for verifying signatures
    key 2 has an `alg` other than ES256
    key 3 is neither an RSA, a P-256 nor an Ed25519 public key
    key 4 is neither an RSA, a P-256 nor an Ed25519 public key
    key 5 is not a JSON Web Key
    key 6 is neither an RSA, a P-256 nor an Ed25519 public key
    key 7 is not an RSA key of 2048 to 8192 bits
    key 8 is neither an RSA, a P-256 nor an Ed25519 public key
    key 9 is for EdDSA, which `algorithms` does not list
    key 10 is not a JSON Web Key)
    ");
}

#[test]
fn keys_for_other_purposes_are_passed_over() {
    let keys = [KeyPair::es256().jwk(json!({"use": "enc"})), KeyPair::es256().jwk(json!({})), json!({"kty": "AKP"})];
    compile(&config_of(jwks_issuer(&keys, &[Algorithm::Es256])));
}

#[test]
fn faults_of_names_and_api_keys() {
    let mut config = config_of(secret_issuer());
    config.issuers.insert(name("copy"), at(secret_issuer()));
    insta::assert_snapshot!(faults(&config), @"issuers `app` and `copy` have the same `issuer`");

    let mut config = empty_config();
    config.issuers.insert(name("key"), at(secret_issuer()));
    let upper = config::ApiKey { sha256: at(Secret::new("A".repeat(64))) };
    config.keys.insert(name("orders"), at(upper));
    insta::assert_snapshot!(faults(&config), @r"
    issuer cannot be named `key` (its principals could be taken for API keys: rename it)
    `sha256` of API key `orders` is not 64 lower-case hex digits (`fanfare key orders` makes a key and its `sha256`)
    ");
}
