//! Watches evaluations while serving: counts rules and filters, and rests filters that keep failing. A dry run finds
//! a filter at rest as a publish would, and leaves no trace of its own: whoever tries things out must neither move a
//! dashboard nor rest a filter that others need.

use tokio::time::Instant;

use super::Mode;
use crate::plugins::{Breakers, Plugin, Run};
use crate::routing::Rule;
use crate::snapshot::Observer;
use crate::telemetry::Metrics;

/// The observer of one notification.
pub(super) struct Serving<'a> {
    breakers: &'a Breakers,
    metrics: &'a Metrics,
    mode: Mode,
}

impl<'a> Serving<'a> {
    pub(super) fn new(breakers: &'a Breakers, metrics: &'a Metrics, mode: Mode) -> Self {
        Self { breakers, metrics, mode }
    }
}

impl Observer for Serving<'_> {
    fn matched(&mut self, rule: &Rule) {
        if self.mode == Mode::Publish {
            self.metrics.rule_matched(rule.name.as_str());
        }
    }

    fn may_run(&mut self, plugin: &Plugin) -> bool {
        let allowed = self.breakers.allow(plugin, Instant::now().into_std());
        if !allowed && self.mode == Mode::Publish {
            self.metrics.plugin_rested(plugin.name().as_str());
        }
        allowed
    }

    fn ran(&mut self, rule: &Rule, plugin: &Plugin, run: &Run) {
        if self.mode == Mode::DryRun {
            return;
        }
        self.metrics.plugin_ran(plugin.name().as_str(), run.verdict.as_str(), run.elapsed);
        if self.breakers.record(plugin, &run.verdict, Instant::now().into_std()) {
            tracing::warn!(plugin.name = %plugin.name(), rule.name = %rule.name,
                "plugin `{}` keeps failing and is not called for a while: {:?}", plugin.name(), run.verdict);
        }
    }
}
