//! Credentials that are what they claim to be, and how long they stay so.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};

use super::support::*;
use crate::auth::{AuthError, Authenticator, Credential, MintError, Principal, Proof, TokenCache, generate_key, mint};
use crate::config::{self, Config, Secret, Verifier};

fn ask(authenticator: &Authenticator, token: impl Into<Box<str>>) -> Result<Principal, AuthError> {
    authenticator.authenticate(Some(&Credential::new(token)), NOW)
}

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// A configuration of one API key, and the key's text.
fn config_with_key() -> (Config, Secret) {
    let mut config = config_of(secret_issuer());
    let key = generate_key(&name("orders"));
    config.keys.insert(name("orders"), at(config::ApiKey { sha256: at(Secret::new(key.sha256)) }));
    (config, key.text)
}

#[test]
fn no_credential_is_anonymous() {
    let principal = compile(&empty_config()).authenticate(None, NOW).unwrap();
    assert_eq!(principal, Principal::anonymous());
}

#[test]
fn every_algorithm_verifies_from_pem_and_from_a_key_set() {
    for pair in [KeyPair::rs256(), KeyPair::es256(), KeyPair::ed25519()] {
        let algorithm = format!("{:?}", pair.algorithm);
        let pem = compile(&config_of(issuer(Verifier::PublicKey(pair.public_pem.clone()), &[pair.pinned()])));
        let set = compile(&config_of(jwks_issuer(&[pair.jwk(json!({"kid": "k1"}))], &[pair.pinned()])));
        let token = pair.sign(&with(header(&algorithm), json!({"kid": "k1"})), &claims());
        for authenticator in [&pem, &set] {
            let principal = ask(authenticator, token.as_str()).unwrap();
            assert_eq!(&*principal.id, "app:u1");
            assert_eq!(principal.expires_at, Some(NOW + seconds(600)));
            assert!(matches!(&principal.proof, Proof::Token { issuer, claims }
                if issuer.as_str() == "app" && claims["teams"] == json!(["t1"])));
        }
        let principal = ask(&pem, token.as_str()).unwrap();
        assert!(set.still_valid(&principal, NOW), "the same key in another form is the same key");
    }
}

#[test]
fn types_audiences_and_dates_may_take_each_of_their_forms() {
    let authenticator = compile(&config_of(secret_issuer()));
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
        ask(&authenticator, sign_hs(&with(header("HS256"), json!({"typ": typ})), &claims())).unwrap();
    }
    ask(&authenticator, sign_hs(&json!({"alg": "HS256"}), &claims())).unwrap();
    for change in [
        json!({"aud": ["other", "fanfare"]}),
        json!({"exp": NOW.as_second() as f64 + 0.5}),
        json!({"nbf": NOW.as_second(), "iat": NOW.as_second()}),
    ] {
        ask(&authenticator, sign_hs(&header("HS256"), &with(claims(), change))).unwrap();
    }
}

#[test]
fn a_key_is_found_by_its_kid_or_by_being_the_only_one_that_fits() {
    let (one, two, rsa) = (KeyPair::es256(), KeyPair::es256(), KeyPair::rs256());
    let keys = [one.jwk(json!({"kid": "1"})), two.jwk(json!({"kid": "2"})), rsa.jwk(json!({"kid": "1"}))];
    let algorithms = [config::Algorithm::Es256, config::Algorithm::Rs256];
    let authenticator = compile(&config_of(jwks_issuer(&keys, &algorithms)));
    for (pair, kid) in [(&one, "1"), (&two, "2"), (&rsa, "1")] {
        let header = with(header(&format!("{:?}", pair.algorithm)), json!({"kid": kid}));
        ask(&authenticator, pair.sign(&header, &claims())).unwrap();
    }
    ask(&authenticator, rsa.sign(&header("RS256"), &claims())).unwrap();
    assert_eq!(ask(&authenticator, one.sign(&header("ES256"), &claims())), Err(AuthError::AmbiguousKey(name("app"))));
}

/// F6: the leeway is 30 s, no more and no less.
#[test]
fn the_leeway_is_exact() {
    let authenticator = compile(&config_of(secret_issuer()));
    let start = NOW - seconds(100);
    let dates = json!({"nbf": start.as_second(), "iat": start.as_second(), "exp": NOW.as_second()});
    let credential = Credential::new(sign_hs(&header("HS256"), &with(claims(), dates)));
    let at = |now: Timestamp| authenticator.authenticate(Some(&credential), now).map(|_| ());
    assert_eq!(at(NOW + seconds(29)), Ok(()));
    assert_eq!(at(NOW + seconds(30)), Err(AuthError::Expired(NOW)));
    assert_eq!(at(NOW + seconds(31)), Err(AuthError::Expired(NOW)));
    assert_eq!(at(start - seconds(29)), Ok(()));
    assert_eq!(at(start - seconds(30)), Ok(()));
    assert_eq!(at(start - seconds(31)), Err(AuthError::NotYetValid(start)));
}

/// F11: the name is public and only indexes; the secret is compared by its digest.
#[test]
fn an_api_key_is_known_by_its_name_and_proven_by_its_secret() {
    let (config, key) = config_with_key();
    let authenticator = compile(&config);
    let principal = ask(&authenticator, key.expose()).unwrap();
    assert_eq!((&*principal.id, &principal.proof), ("key:orders", &Proof::Key(name("orders"))));
    assert_eq!(principal.expires_at, None);

    let secret = key.expose().rsplit('~').next().unwrap();
    let (other, prefix) = (generate_key(&name("orders")), &key.expose()[..key.expose().len() - 1]);
    for wrong in [
        "fanfare~".to_owned(),
        "fanfare~orders".to_owned(),
        "fanfare~orders~".to_owned(),
        format!("fanfare~other~{secret}"),
        format!("fanfare~orders~{secret}="),
        format!("fanfare~ORDERS~{secret}"),
        prefix.to_owned(),
        other.text.expose().to_owned(),
    ] {
        assert_eq!(ask(&authenticator, wrong.as_str()), Err(AuthError::UnknownKey), "{wrong}");
    }
    for wrong in [secret, config.keys["orders"].sha256.value.expose()] {
        assert_eq!(ask(&authenticator, wrong), Err(AuthError::Malformed));
    }
}

#[test]
fn a_reload_that_changes_the_key_ends_its_principals() {
    let (config, key) = config_with_key();
    let before = compile(&config);
    let token = sign_hs(&header("HS256"), &claims());
    let principals = [ask(&before, token).unwrap(), ask(&before, key.expose()).unwrap()];
    let valid = |config: &Config| {
        let after = compile(config);
        principals.each_ref().map(|principal| after.still_valid(principal, NOW))
    };
    assert_eq!(valid(&config), [true, true]);
    assert_eq!(valid(&empty_config()), [false, false]);

    let mut changed = config.clone();
    changed.keys.get_mut("orders").unwrap().value.sha256 = at(Secret::new(generate_key(&name("orders")).sha256));
    assert_eq!(valid(&changed), [true, false]);
    let app = changed.issuers.remove("app").unwrap();
    changed.issuers.insert(name("renamed"), app.clone());
    assert_eq!(valid(&changed), [false, false]);

    for change in [
        |issuer: &mut config::Issuer| issuer.verifier = at(Verifier::Secret(Secret::new(SECRET.replace('0', "1")))),
        |issuer: &mut config::Issuer| issuer.audience = at("other".into()),
        |issuer: &mut config::Issuer| issuer.issuer = at("https://other.example.com".into()),
    ] {
        let mut changed = config.clone();
        change(&mut changed.issuers.get_mut("app").unwrap().value);
        assert_eq!(valid(&changed), [false, true]);
    }
}

#[test]
fn removing_one_key_of_a_set_ends_only_its_own_principals() {
    let (old, new) = (KeyPair::es256(), KeyPair::es256());
    let [jwk_old, jwk_new] = [old.jwk(json!({"kid": "old"})), new.jwk(json!({"kid": "new"}))];
    let both = compile(&config_of(jwks_issuer(&[jwk_old, jwk_new.clone()], &[config::Algorithm::Es256])));
    let sign = |pair: &KeyPair, kid| pair.sign(&with(header("ES256"), json!({"kid": kid})), &claims());
    let (by_old, by_new) = (ask(&both, sign(&old, "old")).unwrap(), ask(&both, sign(&new, "new")).unwrap());
    let rotated = compile(&config_of(jwks_issuer(&[jwk_new], &[config::Algorithm::Es256])));
    assert!(!rotated.still_valid(&by_old, NOW));
    assert!(rotated.still_valid(&by_new, NOW));
    assert_eq!(ask(&rotated, sign(&old, "old")), Err(AuthError::UnknownKeyId(name("app"))));
}

#[test]
fn an_open_stream_has_no_leeway() {
    let authenticator = compile(&config_of(secret_issuer()));
    let principal = ask(&authenticator, sign_hs(&header("HS256"), &claims())).unwrap();
    assert!(authenticator.still_valid(&principal, NOW + seconds(599)));
    assert!(!authenticator.still_valid(&principal, NOW + seconds(600)));
    assert!(authenticator.still_valid(&Principal::anonymous(), Timestamp::MAX));
}

#[test]
fn a_cached_token_is_believed_until_it_expires_or_its_key_goes() {
    let (cache, authenticator) = (TokenCache::new(100), compile(&config_of(secret_issuer())));
    let credential = Credential::new(sign_hs(&header("HS256"), &claims()));
    let ask = |authenticator: &Authenticator, now| authenticator.authenticate_cached(Some(&credential), &cache, now);
    let first = ask(&authenticator, NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &ask(&authenticator, NOW + seconds(59)).unwrap()));
    let again = ask(&authenticator, NOW + seconds(60)).unwrap();
    assert!(!Arc::ptr_eq(&first, &again), "verified again after a minute");
    assert!(Arc::ptr_eq(&again, &ask(&compile(&config_of(secret_issuer())), NOW + seconds(61)).unwrap()));

    assert_eq!(ask(&compile(&empty_config()), NOW + seconds(61)), Err(AuthError::UnknownIssuer));
    assert!(ask(&authenticator, NOW + seconds(629)).is_ok(), "within the leeway it is verified each time");
    assert_eq!(ask(&authenticator, NOW + seconds(630)), Err(AuthError::Expired(NOW + seconds(600))));
    let other = Credential::new(sign_hs(&header("HS256"), &with(claims(), json!({"sub": "u2"}))));
    assert_eq!(&*authenticator.authenticate_cached(Some(&other), &cache, NOW).unwrap().id, "app:u2");
}

#[test]
fn the_cache_is_bounded() {
    let (cache, authenticator) = (TokenCache::new(10), compile(&config_of(secret_issuer())));
    for user in 0..100 {
        let token = sign_hs(&header("HS256"), &with(claims(), json!({"sub": format!("u{user}")})));
        authenticator.authenticate_cached(Some(&Credential::new(token)), &cache, NOW).unwrap();
        assert!(cache.len() <= 10);
    }
}

#[test]
fn a_minted_token_is_believed() {
    let issuer = secret_issuer();
    let authenticator = compile(&config_of(issuer.clone()));
    let extra = json!({"teams": ["t9"]}).as_object().unwrap().clone();
    let token = mint(&issuer, "u7", extra, Duration::from_secs(60), NOW).unwrap();
    let principal = ask(&authenticator, token).unwrap();
    assert_eq!((&*principal.id, principal.expires_at), ("app:u7", Some(NOW + seconds(60))));

    let reserved = json!({"exp": 9_999_999_999_u64}).as_object().unwrap().clone();
    let minute = Duration::from_secs(60);
    assert_eq!(mint(&issuer, "u7", reserved, minute, NOW), Err(MintError::ReservedClaim("exp".into())));
    assert_eq!(mint(&issuer, "u7", Map::new(), Duration::MAX, NOW), Err(MintError::TooLong));
    let foreign = super::support::issuer(Verifier::PublicKey(String::new()), &[config::Algorithm::Es256]);
    assert_eq!(mint(&foreign, "u7", Map::new(), minute, NOW), Err(MintError::NoSecret));
}
