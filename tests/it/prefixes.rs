//! A configuration that is written in place, and caught at any byte: none that is taken allows more than the whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use fanfare::config::{self, Secrets};
use fanfare::notification::{Draft, Notification};
use fanfare::snapshot::{Depth, Snapshot, compile, explain};
use serde_json::Value;

use crate::support::{Scenario, alert, broadcast, mention, order, with};

/// The snapshot of a file, if a server would take it.
fn taken(path: &Path) -> Option<Snapshot> {
    compile(config::load(path, Secrets::Create), Depth::Serve).snapshot
}

/// Where a notification goes, and whether it is accepted at all.
fn fate(snapshot: &Snapshot, notification: &Value) -> (bool, BTreeSet<String>) {
    let Ok(draft) = snapshot.schemas.validate(Draft::parse(notification.to_string().as_bytes()).unwrap()) else {
        return (false, BTreeSet::new());
    };
    let now = "2026-03-29T01:30:00Z".parse().unwrap();
    let decision = explain(snapshot, &Arc::new(Notification::accept(draft, now)), now).decision;
    let channels = decision.deliveries.iter().map(|delivery| delivery.channel.to_string()).collect();
    (decision.outcome.is_ok(), channels)
}

/// Fails if `part` lets anybody do what `whole` does not.
#[track_caller]
fn allows_no_more(part: &Snapshot, whole: &Snapshot, length: usize) {
    let (few, all) = (&part.config, &whole.config);
    for (name, policy) in &few.policies {
        let declared = &all.policies[name];
        assert!(policy.allow.iter().all(|grant| declared.allow.contains(grant)), "{length}: policy {name}");
    }
    for (name, issuer) in &few.issuers {
        assert_eq!(Some(issuer), all.issuers.get(name), "{length}: issuer {name}");
    }
    for (name, channel) in &few.channels {
        let declared = &all.channels[name];
        let who = |channel: &config::Channel| (channel.pattern.clone(), channel.subscribe.clone());
        assert_eq!(who(channel), who(declared), "{length}: channel {name}");
        assert!(!channel.default || declared.default, "{length}: channel {name}");
    }
    for (name, declared) in &few.types {
        assert_eq!(Some(declared), all.types.get(name), "{length}: type {name}");
    }
    for (name, limit) in &few.limits {
        let whole = &all.limits[name];
        let rate = |limit: &config::Limit| f64::from(limit.rate.value.tokens) / limit.rate.value.per.as_secs_f64();
        assert!(limit.burst.value <= whole.burst.value && rate(limit) <= rate(whole), "{length}: limit {name}");
        assert_eq!((&limit.key, &limit.scope), (&whole.key, &whole.scope), "{length}: limit {name}");
    }
    assert!(few.server.admin.ip().is_loopback() || few.server.admin_policy == all.server.admin_policy, "{length}");
    assert!(few.server.allowed_origins.iter().all(|origin| all.server.allowed_origins.contains(origin)), "{length}");
    for notification in notifications() {
        let ((part_accepts, part_sends), (whole_accepts, whole_sends)) =
            (fate(part, &notification), fate(whole, &notification));
        assert!(part_accepts <= whole_accepts, "{length}: {notification} is accepted");
        assert!(part_sends.is_subset(&whole_sends), "{length}: {notification} goes to {part_sends:?}");
    }
}

/// One of each kind that the rules of the samples tell apart.
fn notifications() -> Vec<Value> {
    vec![
        order("c7", 1),
        with(order("c7", 1), "data.total_cents", 200_000),
        alert("c7", "critical"),
        with(alert("c7", "low"), "priority", "low"),
        mention("c7", &[]),
        mention("c7", &["c7"]),
        broadcast("info"),
        broadcast("error"),
    ]
}

/// How many prefixes of the main file were taken.
fn try_prefixes(path: &Path) -> usize {
    let text = fs::read(path).unwrap();
    let whole = taken(path).unwrap();
    let mut accepted = 0;
    for length in 0..text.len() {
        fs::write(path, &text[..length]).unwrap();
        if let Some(part) = taken(path) {
            accepted += 1;
            allows_no_more(&part, &whole, length);
        }
    }
    accepted
}

#[test]
fn no_prefix_of_the_sample_allows_more_than_the_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scenario = Scenario::shop();
    fs::create_dir(scenario.file("config")).unwrap();
    let path = scenario.file("config/fanfare.toml");
    fs::copy(root.join("config/fanfare.toml"), &path).unwrap();
    let accepted = try_prefixes(&path);
    // The rules stand at its end, and without one nothing is taken.
    assert!((1..300).contains(&accepted), "{accepted}");
}
