//! Tokens made to deceive: each is refused, for its own reason.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::support::*;
use crate::auth::{AuthError, Authenticator, Credential};
use crate::config::{self, Verifier};

fn code(authenticator: &Authenticator, token: &str) -> &'static str {
    authenticator.authenticate(Some(&Credential::new(token)), NOW).map_or_else(|error| error.code(), |_| "believed")
}

/// Asserts that each token is refused with its code, and that the reason repeats nothing of it.
fn assert_refused<'a>(authenticator: &Authenticator, cases: impl IntoIterator<Item = (&'a str, String)>) {
    for (wanted, token) in cases {
        let shown = token.chars().take(200).collect::<String>();
        assert_eq!(code(authenticator, &token), wanted, "{shown}");
        let error = authenticator.authenticate(Some(&Credential::new(token)), NOW).unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn claims_that_are_absent_false_or_of_another_kind() {
    let now = NOW.as_second();
    let cases = [
        ("missing_claim", json!({"exp": null})),
        ("missing_claim", json!({"aud": null})),
        ("missing_claim", json!({"iss": null})),
        ("missing_claim", json!({"sub": null})),
        ("invalid_claim", json!({"exp": "9999999999"})),
        ("invalid_claim", json!({"exp": "never"})),
        ("invalid_claim", json!({"exp": -1})),
        ("invalid_claim", json!({"exp": true})),
        ("invalid_claim", json!({"exp": [now + 60]})),
        ("invalid_claim", json!({"exp": 1e300})),
        ("invalid_claim", json!({"exp": u64::MAX})),
        ("expired", json!({"exp": 0})),
        ("expired", json!({"exp": now - 31})),
        ("not_yet_valid", json!({"nbf": now + 31})),
        ("invalid_claim", json!({"nbf": "0"})),
        ("invalid_claim", json!({"nbf": -5})),
        ("not_yet_valid", json!({"iat": now + 31})),
        ("invalid_claim", json!({"iat": "0"})),
        ("wrong_audience", json!({"aud": "canary"})),
        ("wrong_audience", json!({"aud": "fanfare2"})),
        ("wrong_audience", json!({"aud": "Fanfare"})),
        ("wrong_audience", json!({"aud": ""})),
        ("wrong_audience", json!({"aud": []})),
        ("wrong_audience", json!({"aud": ["other"]})),
        ("invalid_claim", json!({"aud": {"fanfare": true}})),
        ("invalid_claim", json!({"aud": ["fanfare", 1]})),
        ("invalid_claim", json!({"sub": ""})),
        ("invalid_claim", json!({"sub": 7})),
        ("invalid_claim", json!({"iss": [ISS]})),
        ("unknown_issuer", json!({"iss": "https://canary.example.com"})),
        ("unknown_issuer", json!({"iss": format!("{ISS}/")})),
        ("unknown_issuer", json!({"iss": "app"})),
    ];
    let tokens = cases.map(|(wanted, change)| (wanted, sign_hs(&header("HS256"), &with(claims(), change))));
    assert_refused(&compile(&config_of(secret_issuer())), tokens);
}

#[test]
fn a_claim_that_is_null_is_not_absent() {
    let authenticator = compile(&config_of(secret_issuer()));
    for claim in ["exp", "nbf", "iat", "aud", "iss", "sub"] {
        let mut claims = claims();
        claims[claim] = Value::Null;
        assert_eq!(code(&authenticator, &sign_hs(&header("HS256"), &claims)), "invalid_claim", "{claim}");
    }
}

#[test]
fn headers_that_ask_for_something_else() {
    let cases = [
        ("algorithm_not_allowed", json!({"alg": "none"})),
        ("algorithm_not_allowed", json!({"alg": "None"})),
        ("algorithm_not_allowed", json!({"alg": "nOnE"})),
        ("algorithm_not_allowed", json!({"alg": ""})),
        ("algorithm_not_allowed", json!({"alg": "hs256"})),
        ("algorithm_not_allowed", json!({"alg": "HS512"})),
        ("algorithm_not_allowed", json!({"alg": "RS256"})),
        ("algorithm_not_allowed", json!({"alg": "ES256"})),
        ("malformed", json!({"alg": null})),
        ("malformed", json!({"alg": 256})),
        ("malformed", json!({"alg": ["HS256"]})),
        ("malformed", json!({"kid": 1})),
        ("unsupported_header", json!({"crit": ["exp"]})),
        ("unsupported_header", json!({"crit": []})),
        ("unsupported_header", json!({"crit": ["b64"], "b64": false})),
        ("unsupported_header", json!({"b64": false})),
        ("wrong_type", json!({"typ": "canary"})),
        ("wrong_type", json!({"typ": ""})),
        ("wrong_type", json!({"typ": "id+jwt"})),
        ("wrong_type", json!({"typ": "dpop+jwt"})),
    ];
    let tokens = cases.map(|(wanted, change)| (wanted, sign_hs(&with(header("HS256"), change), &claims())));
    assert_refused(&compile(&config_of(secret_issuer())), tokens);
}

#[test]
fn texts_that_are_no_token() {
    let good = sign_hs(&header("HS256"), &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let raw = |header: &str, claims: &str| sign_text(header, claims, Algorithm::HS256, &key);
    let header = header("HS256").to_string();
    let twice = format!(r#"{{"alg":"none",{}"#, &header[1..]);
    let huge = claims().to_string().replace("\"exp\":", "\"exp\":1e400,\"was\":");
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    let cases = [
        ("malformed", String::new()),
        ("malformed", ".".into()),
        ("malformed", "..".into()),
        ("malformed", "a.b.c".into()),
        ("malformed", message.into()),
        ("malformed", format!("{good}.{signature}.{signature}")),
        ("malformed", format!("{head}.{body}=.{signature}")),
        ("malformed", format!(" {good}")),
        ("malformed", raw("[]", "{}")),
        ("malformed", raw(&header, "[]")),
        ("malformed", raw(&header, "not json")),
        ("malformed", raw(&twice, &claims().to_string())),
        ("malformed", raw(&header, &huge)),
        ("malformed", raw(&header, &deep)),
        ("bad_signature", format!("{message}.")),
        ("bad_signature", format!("{message}.AA")),
        ("bad_signature", format!("{message}.{signature}=")),
        ("bad_signature", format!("{message}.{}", &signature[1..])),
        ("bad_signature", good.replace(body, &base64url(with(claims(), json!({"sub": "admin"})).to_string()))),
        ("too_large", format!("{good}{}", "A".repeat(8 * 1024))),
        ("unknown_key", format!("fanfare~{good}")),
    ];
    assert_refused(&compile(&config_of(secret_issuer())), cases);
}

/// F2: `kid` is a key of a map, whatever it is made to look like.
#[test]
fn a_kid_reaches_nothing_but_the_issuers_own_keys() {
    let pair = KeyPair::es256();
    let set = [pair.jwk(json!({"kid": "k1"}))];
    let authenticator = compile(&config_of(jwks_issuer(&set, &[config::Algorithm::Es256])));
    let kids = ["../../dev/null", "' OR 1=1 --", "https://canary.example.com/jwks.json", "K1", "", "k1\0", "0"];
    let token = |kid: &str| pair.sign(&with(header("ES256"), json!({"kid": kid})), &claims());
    assert_refused(&authenticator, kids.map(|kid| ("unknown_key_id", token(kid))));
    assert_eq!(code(&authenticator, &token("k1")), "believed");
}

/// F3: keys that a token brings along, or points to, are not looked at.
#[test]
fn keys_in_a_tokens_header_are_ignored() {
    let (ours, theirs) = (KeyPair::es256(), KeyPair::es256());
    let pem = Verifier::PublicKey(ours.public_pem.clone());
    let authenticator = compile(&config_of(issuer(pem, &[config::Algorithm::Es256])));
    for brought in [
        json!({"jwk": theirs.jwk(json!({}))}),
        json!({"jku": "http://169.254.169.254/jwks.json"}),
        json!({"x5u": "http://169.254.169.254/"}),
        json!({"x5c": ["AAAA"]}),
    ] {
        let header = with(header("ES256"), brought);
        assert_eq!(code(&authenticator, &theirs.sign(&header, &claims())), "bad_signature");
        assert_eq!(code(&authenticator, &ours.sign(&header, &claims())), "believed");
    }
}

/// RFC 8725, section 2.1: the public key, which everybody has, as the secret of an HMAC.
#[test]
fn a_public_key_is_no_shared_secret() {
    for pair in [KeyPair::rs256(), KeyPair::es256()] {
        let pem = Verifier::PublicKey(pair.public_pem.clone());
        let authenticator = compile(&config_of(issuer(pem, &[pair.pinned()])));
        for secret in [pair.public_pem.as_str(), pair.public_pem.trim_end()] {
            let key = EncodingKey::from_secret(secret.as_bytes());
            let forged = sign(&header("HS256"), &claims(), Algorithm::HS256, &key);
            assert_eq!(code(&authenticator, &forged), "algorithm_not_allowed");
            let relabelled = sign(&header(&format!("{:?}", pair.algorithm)), &claims(), Algorithm::HS256, &key);
            assert_eq!(code(&authenticator, &relabelled), "bad_signature");
        }
    }
}

/// CVE-2022-21449: r = s = 0 is a valid signature of everything, to who forgets to look.
#[test]
fn a_signature_of_zeros_is_none() {
    let pair = KeyPair::es256();
    let pem = Verifier::PublicKey(pair.public_pem.clone());
    let authenticator = compile(&config_of(issuer(pem, &[config::Algorithm::Es256])));
    let message = format!("{}.{}", base64url(header("ES256").to_string()), base64url(claims().to_string()));
    for signature in [[0_u8; 64].as_slice(), &[0; 72], &[0xff; 64], &[]] {
        assert_eq!(code(&authenticator, &format!("{message}.{}", base64url(signature))), "bad_signature");
    }
}

/// CVE-2026-49998: two issuers whose keys have the same `kid`; neither may sign for the other.
#[test]
fn the_same_kid_in_two_issuers_is_two_keys() {
    let (ours, theirs) = (KeyPair::es256(), KeyPair::es256());
    let kid = json!({"kid": "shared"});
    let set = |pair: &KeyPair| jwks_issuer(&[pair.jwk(kid.clone())], &[config::Algorithm::Es256]);
    let mut config = config_of(set(&ours));
    let other_iss = json!({"iss": "https://other.example.com"});
    let other = config::Issuer { issuer: at("https://other.example.com".into()), ..set(&theirs) };
    config.issuers.insert(name("other"), at(other));
    let authenticator = compile(&config);
    let header = with(header("ES256"), kid.clone());
    assert_eq!(code(&authenticator, &ours.sign(&header, &claims())), "believed");
    assert_eq!(code(&authenticator, &theirs.sign(&header, &claims())), "bad_signature");
    assert_eq!(code(&authenticator, &ours.sign(&header, &with(claims(), other_iss))), "bad_signature");
}

/// CVE-2026-25537: a time that is a text must not switch its check off.
#[test]
fn a_time_written_as_a_text_does_not_live_for_ever() {
    let authenticator = compile(&config_of(secret_issuer()));
    for claim in ["exp", "nbf", "iat"] {
        let token = sign_hs(&header("HS256"), &with(claims(), json!({claim: "9999999999"})));
        let refused = authenticator.authenticate(Some(&Credential::new(token)), NOW);
        assert_eq!(refused, Err(AuthError::InvalidClaim(claim)));
    }
}
