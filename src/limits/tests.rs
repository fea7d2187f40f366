//! Limits as a configuration writes them: compiled, taken from, and kept across reloads.
#![expect(clippy::disallowed_methods, reason = "any instant will do to count from")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::auth::tests::support::{at, empty_config, messages, name};
use crate::config::{Diagnostics, Limit, Rate, Scope};

const SECOND: Duration = Duration::from_secs(1);

fn limit(key: &str, tokens: u32, burst: u32) -> Limit {
    Limit {
        key: at(key.into()),
        rate: at(Rate { tokens, per: SECOND }),
        burst: at(burst),
        scope: at(Scope::Node),
        max_keys: 100,
    }
}

fn compile(limit: Limit) -> Result<Quotas, Vec<String>> {
    let (mut config, mut diagnostics) = (empty_config(), Diagnostics::default());
    config.limits.insert(name("producer"), at(limit));
    let quotas = Quotas::compile(&config, &mut diagnostics);
    let messages = messages(&diagnostics);
    if messages.is_empty() { Ok(quotas) } else { Err(messages) }
}

fn fields<'a>(principal: &'a str, user_id: Option<&'a str>) -> KeyFields<'a> {
    KeyFields { principal, type_name: "order", user_id, source: None }
}

#[test]
fn the_fields_of_a_response_tell_what_is_left() {
    let quotas = compile(limit("{principal}", 200, 400)).unwrap();
    let (quota, limiter, now) = (quotas.get("producer").unwrap(), RateLimiter::default(), Instant::now());
    let first = limiter.take(quota, "app:u1", now).unwrap();
    assert_eq!(&*first.policy_field, "\"producer\";q=400;w=2");
    assert_eq!(first.field(), "\"producer\";r=399;t=1");
    for _ in 1..400 {
        limiter.take(quota, "app:u1", now).unwrap();
    }
    let refused = limiter.take(quota, "app:u1", now).unwrap_err();
    assert_eq!(refused.field(), "\"producer\";r=0;t=1");
    assert_eq!((refused.retry_after, refused.retry_after_seconds()), (Duration::from_millis(5), 1));
    assert_eq!(refused.to_string(), "rate limit `producer` is used up");
    assert!(limiter.take(quota, "app:u2", now).is_ok());
}

#[test]
fn a_look_takes_nothing() {
    let quotas = compile(limit("{principal}", 1, 1)).unwrap();
    let (quota, limiter, now) = (quotas.get("producer").unwrap(), RateLimiter::default(), Instant::now());
    for _ in 0..3 {
        assert_eq!(limiter.peek(quota, "a", now).unwrap().remaining, 1);
    }
    limiter.take(quota, "a", now).unwrap();
    assert_eq!(limiter.peek(quota, "a", now), limiter.take(quota, "a", now));
}

#[test]
fn a_reload_keeps_what_has_not_changed() {
    let (limiter, now) = (RateLimiter::default(), Instant::now());
    let left = |quotas: &Quotas| limiter.peek(quotas.get("producer").unwrap(), "a", now).map(|left| left.remaining);
    let before = compile(limit("{principal}", 1, 5)).unwrap();
    limiter.take(before.get("producer").unwrap(), "a", now).unwrap();

    let same = compile(limit("{principal}", 1, 5)).unwrap();
    limiter.prune(&same, now);
    assert_eq!(left(&same), Ok(4));

    let changed = compile(limit("{principal}", 1, 6)).unwrap();
    limiter.prune(&changed, now);
    assert_eq!(left(&changed), Ok(6));

    limiter.prune(&same, now);
    assert_eq!(left(&same), Ok(5), "a limit that comes back starts with full buckets");
}

#[test]
fn keys_never_run_together() {
    let quotas = compile(limit("{principal}/{userId}", 1, 1)).unwrap();
    let quota = quotas.get("producer").unwrap();
    assert_ne!(quota.key(&fields("app:a", Some("b/c"))), quota.key(&fields("app:a/b", Some("c"))));
    assert_ne!(quota.key(&fields("app:a", Some("1:b"))), quota.key(&fields("app:a1", Some("b"))));
    assert_eq!(quota.key(&fields("app:a", None)), quota.key(&fields("app:a", Some(""))));
    let single = compile(limit("by-{principal}", 1, 1)).unwrap();
    assert_eq!(single.get("producer").unwrap().key(&fields("app:a", None)), "app:a");
}

#[test]
fn a_rate_that_does_not_divide_a_second_is_rounded_against_the_caller() {
    let quotas = compile(limit("", 3, 1)).unwrap();
    let (quota, limiter, mut now) = (quotas.get("producer").unwrap(), RateLimiter::default(), Instant::now());
    let end = now + 100 * SECOND;
    let mut taken = 0;
    while now <= end {
        limiter.take(quota, "", now).unwrap();
        taken += 1;
        now += limiter.take(quota, "", now).unwrap_err().retry_after;
    }
    assert_eq!(taken, 300, "1 at once and 299 more: the 301st is due a few nanoseconds after the end");
}

#[test]
fn nodes_name_a_shared_bucket_alike_and_no_two_by_one_name() {
    let shared = |key: &str, burst| {
        let limit = Limit { scope: at(Scope::Cluster), ..limit(key, 1, burst) };
        Arc::clone(compile(limit).unwrap().get("producer").unwrap())
    };
    let quota = shared("{principal}", 5);
    assert_eq!(quota.bucket_id("a"), shared("{principal}", 5).bucket_id("a"));
    assert_ne!(quota.bucket_id("a"), quota.bucket_id("b"));
    assert_ne!(quota.bucket_id("a"), shared("{userId}", 5).bucket_id("a"));
    assert_ne!(quota.bucket_id("a"), shared("{principal}", 6).bucket_id("a"));
}

#[test]
fn a_shared_bucket_is_told_as_one_of_the_node_is() {
    let quotas = compile(Limit { scope: at(Scope::Cluster), ..limit("{principal}", 3, 4) }).unwrap();
    let (quota, limiter, now) = (quotas.get("producer").unwrap(), RateLimiter::default(), Instant::now());
    assert_eq!(quota.interval(), Duration::from_micros(333_334), "what the clock of Redis can tell");
    for taken in 1..=4 {
        assert_eq!(limiter.take(quota, "a", now), Ok(quota.admitted(taken * quota.interval())));
    }
    assert_eq!(limiter.take(quota, "a", now), Err(quota.refused(quota.window())));
}

#[test]
fn faults_are_told_all_at_once() {
    let wrong = |change: fn(&mut Limit)| {
        let mut limit = limit("{principal}", 1, 1);
        change(&mut limit);
        compile(limit).unwrap_err().join("\n")
    };
    insta::assert_snapshot!(wrong(|limit| limit.key = at("{user}{type}{sauce}".into())), @r"
    limit `producer`: nothing is called `{user}`
    limit `producer`: nothing is called `{sauce}`
    ");
    insta::assert_snapshot!(
        wrong(|limit| limit.key = at("{".into())),
        @"limit `producer`: `{` has a brace without its partner"
    );
    insta::assert_snapshot!(
        wrong(|limit| limit.rate = at(Rate { tokens: 0, per: SECOND })),
        @"limit `producer`: `rate` must let at least one token flow in"
    );
    insta::assert_snapshot!(wrong(|limit| {
        limit.burst = at(0);
        limit.max_keys = 0;
    }), @r#"
    limit `producer`: `max_keys` must be at least 1
    limit `producer`: `burst` must be at least 1
    "#);
}
