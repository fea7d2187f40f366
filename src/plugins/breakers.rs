//! Circuit breakers: a plugin that keeps failing is left alone for a while, so that it cannot take the worker's time.
//!
//! They live across reloads and outside the snapshot, which has no state; a changed script starts with a clean slate.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::{Plugin, PluginId, PluginSet, Verdict};

/// So many failures within [`WINDOW`] trip a breaker.
const FAILURES: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// How long a tripped plugin is not called.
const REST: Duration = Duration::from_secs(60);

/// The breakers of all plugins that failed lately.
#[derive(Debug, Default)]
pub struct Breakers {
    breakers: RwLock<HashMap<PluginId, Breaker>>,
}

#[derive(Debug, Default)]
struct Breaker {
    failures: VecDeque<Instant>,
    tripped_until: Option<Instant>,
}

impl Breakers {
    /// Whether `plugin` may be called; else its `on_error` applies as if it had failed.
    #[must_use]
    pub fn allow(&self, plugin: &Plugin, now: Instant) -> bool {
        let breakers = self.breakers.read();
        let tripped_until = breakers.get(plugin.id()).and_then(|breaker| breaker.tripped_until);
        tripped_until.is_none_or(|until| until <= now)
    }

    /// Counts a failure of `plugin`; true when it trips the breaker, which happens once for many failures and is
    /// worth a line in the log. Any other verdict costs nothing.
    pub fn record(&self, plugin: &Plugin, verdict: &Verdict, now: Instant) -> bool {
        if !matches!(verdict, Verdict::Failed(_)) {
            return false;
        }
        self.breakers.write().entry(plugin.id().clone()).or_default().fail(now)
    }

    /// Forgets the plugins that `plugins` no longer has, after a reload.
    pub fn prune(&self, plugins: &PluginSet) {
        self.breakers.write().retain(|id, _| plugins.iter().any(|plugin| plugin.id() == id));
    }
}

impl Breaker {
    fn fail(&mut self, now: Instant) -> bool {
        while self.failures.front().is_some_and(|&at| now.duration_since(at) >= WINDOW) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let trips = self.failures.len() >= FAILURES;
        if trips {
            self.failures.clear();
            self.tripped_until = Some(now + REST);
        }
        trips
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::config::{self, At, Diagnostics, OnError, Span};
    use crate::plugins::Failure;

    const FAILED: Verdict = Verdict::Failed(Failure::Time);

    fn plugins(script: &str) -> PluginSet {
        let plugin = config::Plugin {
            script: At::new("test.rhai".into(), Span::default()),
            params: json!({}),
            on_error: OnError::Pass,
            max_operations: 1_000,
            max_time: Duration::from_millis(5),
        };
        let configured = BTreeMap::from([("test".parse().unwrap(), At::new(plugin, Span::default()))]);
        let scripts = BTreeMap::from([("test".parse().unwrap(), script.into())]);
        PluginSet::compile(&configured, &scripts, &mut Diagnostics::default())
    }

    fn fail(breakers: &Breakers, plugin: &Plugin, times: usize, at: Instant) -> usize {
        (0..times).filter(|_| breakers.record(plugin, &FAILED, at)).count()
    }

    #[test]
    fn many_failures_in_a_short_time_trip_it_for_a_while() {
        let (set, breakers, start) = (plugins("fn filter(n) { true }"), Breakers::default(), start());
        let plugin = set.get("test").unwrap();
        assert_eq!(fail(&breakers, plugin, FAILURES - 1, start), 0);
        assert!(!breakers.record(plugin, &Verdict::Pass, start));
        assert!(breakers.allow(plugin, start));
        assert_eq!(fail(&breakers, plugin, 1, start + WINDOW / 2), 1);
        assert!(!breakers.allow(plugin, start + WINDOW / 2));
        assert!(breakers.allow(plugin, start + WINDOW / 2 + REST));
    }

    #[test]
    fn rare_failures_never_trip_it() {
        let (set, breakers, start) = (plugins("fn filter(n) { true }"), Breakers::default(), start());
        let plugin = set.get("test").unwrap();
        for n in 0..100 {
            assert_eq!(fail(&breakers, plugin, 1, start + WINDOW / 10 * n), 0);
        }
    }

    #[test]
    fn a_changed_script_starts_anew_and_the_old_one_is_forgotten() {
        let (old, new) = (plugins("fn filter(n) { 1 }"), plugins("fn filter(n) { true }"));
        let (breakers, start) = (Breakers::default(), start());
        fail(&breakers, old.get("test").unwrap(), FAILURES, start);
        assert!(breakers.allow(new.get("test").unwrap(), start));
        breakers.prune(&new);
        assert!(breakers.allow(old.get("test").unwrap(), start));
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do: the test adds to it and never waits")]
    fn start() -> Instant {
        Instant::now()
    }
}
