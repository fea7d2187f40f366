//! Policies: whom they admit, and how they explain a refusal.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::support::*;
use crate::auth::{Action, Credential, Denied, Policies, Principal, generate_key};
use crate::config::{self, ClaimTest, Config, Diagnostics, Grant, Secret};
use crate::notification::ChannelName;

fn claim(path: &str, test: ClaimTest) -> Grant {
    Grant::Claim { claim: at(path.into()), test, issuer: None }
}

fn equals(text: &str) -> ClaimTest {
    ClaimTest::Equals(at(text.into()))
}

fn contains(text: &str) -> ClaimTest {
    ClaimTest::Contains(at(text.into()))
}

fn one_of(texts: &[&str]) -> ClaimTest {
    ClaimTest::In(texts.iter().map(|text| at((*text).to_owned())).collect())
}

fn config_with(allow: impl IntoIterator<Item = Grant>) -> Config {
    let mut config = config_of(secret_issuer());
    let allow = allow.into_iter().map(at).collect();
    config.policies.insert(name("p"), at(config::Policy { allow }));
    config
}

fn principal(claims_: Value) -> Principal {
    let token = sign_hs(&header("HS256"), &with(claims(), claims_));
    compile(&config_of(secret_issuer())).authenticate(Some(&Credential::new(token)), NOW).unwrap()
}

fn ask(config: &Config, principal: &Principal, captures: &[(&str, &str)]) -> Result<(), Denied> {
    let mut diagnostics = Diagnostics::default();
    let policies = Policies::compile(config, &mut diagnostics);
    assert_eq!(messages(&diagnostics), Vec::<String>::new());
    let channel: ChannelName = "user.u1".parse().unwrap();
    policies.get("p").unwrap().authorize(principal, captures, Action::Subscribe(&channel)).map(drop)
}

fn why(allow: impl IntoIterator<Item = Grant>, principal: &Principal, captures: &[(&str, &str)]) -> String {
    ask(&config_with(allow), principal, captures).map_or_else(|denied| denied.why.join("\n"), |()| "allowed".into())
}

#[test]
fn only_anyone_admits_the_anonymous() {
    let _permit = permit();
    let nobody = Principal::anonymous();
    assert_eq!(why([Grant::Anyone], &nobody, &[]), "allowed");
    assert_eq!(why([claim("sub", equals("anonymous"))], &nobody, &[]), "no token with a claim `sub`");
    assert_eq!(why([], &nobody, &[]), "");
}

#[test]
fn a_placeholder_ties_a_claim_to_the_channel() {
    let own = || [claim("sub", equals("{user}"))];
    let user = principal(json!({}));
    assert_eq!(why(own(), &user, &[("user", "u1")]), "allowed");
    assert_eq!(why(own(), &user, &[("user", "u2")]), "claim `sub` is not `u2`");
    assert_eq!(why(own(), &user, &[("team", "u1")]), "no `{user}` here to compare claim `sub` with");
    let braces = principal(json!({"sub": "{user}"}));
    assert_eq!(why(own(), &braces, &[]), "no `{user}` here to compare claim `sub` with");
}

#[test]
fn every_test_explains_what_it_missed_and_no_more() {
    let user = principal(json!({"teams": ["canary"], "plan": "canary", "realm": {"roles": ["ops"]}}));
    let team = [("team", "t2")];
    assert_eq!(why([claim("teams", contains("{team}"))], &user, &team), "claim `teams` does not contain `t2`");
    assert_eq!(why([claim("realm.roles", contains("ops"))], &user, &[]), "allowed");
    assert_eq!(why([claim("plan", one_of(&["pro", "max"]))], &user, &[]), "claim `plan` is none of `pro`, `max`");
    assert_eq!(why([claim("plan", one_of(&["pro", "canary"]))], &user, &[]), "allowed");
    assert_eq!(why([claim("email", equals("a"))], &user, &[]), "no claim `email`");
    let all = [claim("plan", equals("pro")), claim("realm.x", contains("y")), claim("teams", equals("canary"))];
    assert_eq!(why(all, &user, &[]), "claim `plan` is not `pro`\nno claim `realm.x`\nclaim `teams` is not `canary`");
}

#[test]
fn a_refusal_names_policy_and_action() {
    let denied = ask(&config_with([]), &Principal::anonymous(), &[]).unwrap_err();
    assert_eq!(denied.to_string(), "policy `p` does not let this principal subscribe to `user.u1`");
}

#[test]
fn keys_and_issuers_are_told_apart() {
    let mut config = config_with([Grant::Key(at("orders".into()))]);
    let keys = ["orders", "other"].map(|key| (name(key), generate_key(&name(key))));
    for (key, made) in &keys {
        config.keys.insert(key.clone(), at(config::ApiKey { sha256: at(Secret::new(made.sha256.as_str())) }));
    }
    let by_key = |index: usize| {
        let text = keys[index].1.text.expose();
        compile(&config).authenticate(Some(&Credential::new(text)), NOW + SignedDuration::from_secs(1)).unwrap()
    };
    assert!(ask(&config, &by_key(0), &[]).is_ok());
    assert_eq!(ask(&config, &by_key(1), &[]).unwrap_err().why, ["not the API key `orders`"]);
    let named_alike = principal(json!({"sub": "orders"}));
    assert_eq!(ask(&config, &named_alike, &[]).unwrap_err().why, ["not the API key `orders`"]);

    let of =
        |issuer: &str| Grant::Claim { claim: at("sub".into()), test: equals("u1"), issuer: Some(at(issuer.into())) };
    let mut config = config_with([of("app")]);
    assert!(ask(&config, &principal(json!({})), &[]).is_ok());
    let other = config::Issuer { issuer: at("https://other.example.com".into()), ..secret_issuer() };
    config.issuers.insert(name("other"), at(other));
    config.policies.get_mut("p").unwrap().value.allow = vec![at(of("other"))];
    assert_eq!(ask(&config, &principal(json!({})), &[]).unwrap_err().why, ["not a token of issuer `other`"]);
}

#[test]
fn a_policy_tells_its_placeholders() {
    let config = config_with([
        Grant::Anyone,
        claim("a", equals("{user}")),
        claim("b", contains("{tenant}-{user}")),
        claim("c", one_of(&["x", "{team}"])),
    ]);
    let policies = Policies::compile(&config, &mut Diagnostics::default());
    assert_eq!(policies.get("p").unwrap().placeholders().into_iter().collect::<Vec<_>>(), ["team", "tenant", "user"]);
    assert!(policies.get("q").is_none());
}

#[test]
fn faults_of_policies() {
    let faults = |allow: Grant| {
        let mut config = config_with([allow]);
        config.keys.insert(name("orders"), at(config::ApiKey { sha256: at(Secret::new("0".repeat(64))) }));
        let mut diagnostics = Diagnostics::default();
        let _ = Policies::compile(&config, &mut diagnostics);
        messages(&diagnostics).join("\n")
    };
    insta::assert_snapshot!(
        faults(Grant::Key(at("order".into()))),
        @"policy `p` names the unknown API key `order` (did you mean `orders`?)"
    );
    insta::assert_snapshot!(
        faults(Grant::Key(at("completely-else".into()))),
        @"policy `p` names the unknown API key `completely-else`"
    );
    let of = Grant::Claim { claim: at("sub".into()), test: equals("x"), issuer: Some(at("ap".into())) };
    insta::assert_snapshot!(faults(of), @"policy `p` names the unknown issuer `ap` (did you mean `app`?)");
    insta::assert_snapshot!(faults(claim("a..b", equals("{user"))), @r"
    policy `p`: a claim is a dotted path, with no part empty
    policy `p`: `{user` has a brace without its partner
    ");
    insta::assert_snapshot!(
        faults(claim("a", one_of(&[]))),
        @"policy `p`: `in` lists nothing, so this can never allow anyone"
    );
}
