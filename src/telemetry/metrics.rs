//! Every metric, its help and its labels in one list, and the handles that count.
//!
//! A label's value comes from the configuration or from a fixed list, never from a caller: the number of series is
//! decided when a configuration is loaded. What is counted per delivery or per publish has a handle of its own,
//! looked up once.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::RwLock;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    TextEncoder,
};

/// What every name starts with.
const PREFIX: &str = "fanfare";
/// Bounds of the histograms of durations, in seconds: from a script's microseconds to a broker's timeout.
const SECONDS: [f64; 13] =
    [0.000_01, 0.000_025, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5];
/// The label of a type that the configuration does not declare.
const OTHER: &str = "other";

/// A kind of metric that can be made from its name, help and labels.
trait Metric: Collector + Clone + Sized + 'static {
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self>;
}

macro_rules! metric {
    ($kind:ty, |$opts:ident, $labels:ident| $make:expr) => {
        impl Metric for $kind {
            fn make(name: &str, help: &str, $labels: &[&str]) -> Result<Self> {
                let $opts = Opts::new(name, help).namespace(PREFIX);
                $make
            }
        }
    };
}
metric!(IntCounter, |opts, _labels| Self::with_opts(opts));
metric!(IntCounterVec, |opts, labels| Self::new(opts, labels));
metric!(IntGauge, |opts, _labels| Self::with_opts(opts));
metric!(IntGaugeVec, |opts, labels| Self::new(opts, labels));
metric!(Histogram, |opts, _labels| Self::with_opts(HistogramOpts::from(opts).buckets(SECONDS.to_vec())));
metric!(HistogramVec, |opts, labels| Self::new(HistogramOpts::from(opts).buckets(SECONDS.to_vec()), labels));

macro_rules! metrics {
    ($($access:vis $field:ident: $kind:ty = $name:literal [$($label:literal),*] $help:literal;)+) => {
        /// Every metric, registered. Public are those without labels; the others are counted through methods, which
        /// keep their labels to fixed lists and configured names.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] $access $field: $kind,)+
            registry: Registry,
            reasons: HashMap<&'static str, IntCounter>,
            types: RwLock<HashMap<String, IntCounter>>,
        }

        impl Metrics {
            fn register(registry: Registry) -> Result<Self> {
                $(let $field = <$kind>::make($name, $help, &[$($label),*])?;
                registry.register(Box::new($field.clone()))?;)+
                Ok(Self { $($field,)+ registry, reasons: HashMap::new(), types: RwLock::default() })
            }
        }
    };
}

metrics! {
    notifications: IntCounterVec = "notifications_total" ["outcome", "reason"] "Notifications by what became of them.";
    received: IntCounterVec = "notifications_received_total" ["type"] "Notifications that producers sent, by type.";
    rule_matches: IntCounterVec = "rule_matches_total" ["rule"] "Notifications that a rule matched.";
    plugin_results: IntCounterVec = "plugin_results_total" ["plugin", "result"] "Calls of a filter by their result.";
    plugin_duration: HistogramVec = "plugin_duration_seconds" ["plugin"] "Wall time of a filter's call.";
    pub publish_duration: Histogram = "publish_duration_seconds" [] "From a publish's complete body to its answer.";
    pub connections: IntGauge = "connections" [] "Open connections.";
    pub subscribers: IntGauge = "subscribers" [] "Open subscriptions.";
    stream_closes: IntCounterVec = "stream_closes_total" ["reason"] "Subscriptions that ended, by why.";
    pub deliveries: IntCounter = "deliveries_total" [] "Notifications written to subscribers.";
    gaps: IntCounterVec = "gaps_total" ["reason"] "Gaps and resets told to subscribers, by why.";
    resumes: IntCounterVec = "resumes_total" ["result"] "Subscriptions that named a cursor, by how that went.";
    pub lag_skipped: IntCounter = "lag_skipped_total" [] "Notifications skipped for subscribers that lag.";
    pub repair_failures: IntCounter = "repair_failures_total" [] "Tries to fill a channel from history that failed.";
    pub position_drift: IntCounter = "position_drift_total" [] "Channels found behind the broker though nothing had said so.";
    limits_exceeded: IntCounterVec = "limits_exceeded_total" ["limit"] "Publishes refused by a rate limit.";
    limits_fallback: IntCounterVec = "limits_fallback_total" ["limit"] "Publishes that a node limited by itself.";
    config_reloads: IntCounterVec = "config_reloads_total" ["result"] "Loads of the configuration by result.";
    config_hash: IntGauge = "config_hash" [] "The revision that serves, as a number: the first 48 bits of its hash.";
    config_successful: IntGauge = "config_last_reload_successful" [] "Whether the last load succeeded.";
    config_success_time: IntGauge = "config_last_reload_success_timestamp_seconds" [] "When a load last succeeded.";
    pub broker_up: IntGauge = "broker_up" [] "Whether a probe lately came back through the broker.";
    pub broker_reconnects: IntCounter = "broker_reconnects_total" [] "Connections to the broker that had to be made again.";
    http_requests: IntCounterVec = "http_requests_total" ["route", "status"] "Requests by route and status.";
    build_info: IntGaugeVec = "build_info" ["version"] "1, labelled with the version that runs.";
}

impl Metrics {
    /// Registers every metric on a registry of its own, with those of the process. `reasons` are all the codes that
    /// a notification can end with, each with its outcome.
    ///
    /// # Errors
    /// Two metrics of one name.
    pub fn new(reasons: impl IntoIterator<Item = (&'static str, &'static str)>) -> Result<Self> {
        let mut metrics = Self::register(Registry::new())?;
        metrics.registry.register(Box::new(ProcessCollector::for_self()))?;
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let counter = |(code, outcome)| (code, metrics.notifications.with_label_values(&[outcome, code]));
        metrics.reasons = reasons.into_iter().map(counter).collect();
        Ok(metrics)
    }

    /// Everything in the text format of Prometheus.
    ///
    /// # Errors
    /// A family that cannot be written as text.
    pub fn encode(&self) -> Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Counts a notification by the code of what became of it.
    pub fn ended(&self, reason: &'static str) {
        let counter = self.reasons.get(reason);
        debug_assert!(counter.is_some(), "`{reason}` is not among the reasons given to `Metrics::new`");
        if let Some(counter) = counter {
            counter.inc();
        }
    }

    /// Makes the series of the configured types; a type that is no longer among them counts as unknown.
    pub fn declare_types<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let counter = |name: &str| (name.to_owned(), self.received.with_label_values(&[name]));
        *self.types.write() = names.into_iter().map(counter).collect();
    }

    /// Counts a notification that a producer sent. An unknown type is counted as one of `other`, as producers must
    /// not make series.
    pub fn received(&self, type_name: &str) {
        match self.types.read().get(type_name) {
            Some(counter) => counter.inc(),
            None => self.received.with_label_values(&[OTHER]).inc(),
        }
    }

    /// Counts a match of a configured rule.
    pub fn rule_matched(&self, rule: &str) {
        self.rule_matches.with_label_values(&[rule]).inc();
    }

    /// Counts a publish that a configured limit refused.
    pub fn limit_exceeded(&self, limit: &str) {
        self.limits_exceeded.with_label_values(&[limit]).inc();
    }

    /// Counts a publish under a limit of the cluster for which this node had to count by itself.
    pub fn limit_fell_back(&self, limit: &str) {
        self.limits_fallback.with_label_values(&[limit]).inc();
    }

    /// Counts a call of a configured filter.
    pub fn plugin_ran(&self, plugin: &str, result: &'static str, elapsed: Duration) {
        self.plugin_results.with_label_values(&[plugin, result]).inc();
        self.plugin_duration.with_label_values(&[plugin]).observe(elapsed.as_secs_f64());
    }

    /// Counts a filter that was not called, as its breaker is tripped.
    pub fn plugin_rested(&self, plugin: &str) {
        self.plugin_results.with_label_values(&[plugin, "tripped"]).inc();
    }

    /// Counts a subscription that ended.
    pub fn stream_closed(&self, reason: &'static str) {
        self.stream_closes.with_label_values(&[reason]).inc();
    }

    /// Counts a gap or reset that a subscriber was told of.
    pub fn gap(&self, reason: &'static str) {
        self.gaps.with_label_values(&[reason]).inc();
    }

    /// Counts a subscription that named a cursor: `complete`, `gap`, `reset`, `unreadable` or `interrupted`.
    pub fn resumed(&self, result: &'static str) {
        self.resumes.with_label_values(&[result]).inc();
    }

    /// Counts a request, by the route's template and never by its path.
    pub fn http_request(&self, route: &str, status: u16) {
        self.http_requests.with_label_values(&[route, &status.to_string()]).inc();
    }

    /// Tells that a configuration with this content hash was loaded at `now` and serves.
    pub fn config_loaded(&self, hash: &[u8; 32], now: Timestamp) {
        // 48 bits are exact in the floating-point numbers that Prometheus stores.
        let number = hash.iter().take(6).fold(0, |number, &byte| number << 8 | i64::from(byte));
        self.config_hash.set(number);
        self.config_successful.set(1);
        self.config_success_time.set(now.as_second());
        self.config_reloads.with_label_values(&["success"]).inc();
    }

    /// Tells that a configuration was refused and the one before it serves on.
    pub fn config_refused(&self) {
        self.config_successful.set(0);
        self.config_reloads.with_label_values(&["failure"]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new([("routed", "routed"), ("limited", "rejected")]).unwrap()
    }

    #[test]
    fn every_name_has_the_prefix() {
        let text = metrics().encode().unwrap();
        for line in text.lines().filter(|line| line.starts_with("# HELP")) {
            assert!(line.starts_with("# HELP fanfare_") || line.starts_with("# HELP process_"), "{line}");
        }
        assert!(text.contains(concat!(r#"fanfare_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#)));
    }

    #[test]
    fn a_reason_has_a_series_from_the_start() {
        let metrics = metrics();
        metrics.ended("limited");
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"fanfare_notifications_total{outcome="routed",reason="routed"} 0"#), "{text}");
        assert!(text.contains(r#"fanfare_notifications_total{outcome="rejected",reason="limited"} 1"#), "{text}");
    }

    #[test]
    fn a_producer_cannot_make_a_series() {
        let metrics = metrics();
        metrics.declare_types(["order.updated"]);
        for text in ["order.updated", "made.up", "made.up-2"] {
            metrics.received(text);
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"fanfare_notifications_received_total{type="order.updated"} 1"#));
        assert!(text.contains(r#"fanfare_notifications_received_total{type="other"} 2"#));
        assert!(!text.contains("made.up"));
    }

    #[test]
    fn a_load_sets_what_alerts_look_at() {
        let metrics = metrics();
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        metrics.config_loaded(&[0xff; 32], now);
        metrics.config_refused();
        let text = metrics.encode().unwrap();
        for line in [
            "fanfare_config_hash 281474976710655",
            "fanfare_config_last_reload_successful 0",
            "fanfare_config_last_reload_success_timestamp_seconds 1780315200",
            r#"fanfare_config_reloads_total{result="failure"} 1"#,
            r#"fanfare_config_reloads_total{result="success"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn names_of_the_configuration_are_labels() {
        let metrics = metrics();
        metrics.plugin_ran("muted-threads", "drop", Duration::from_micros(20));
        metrics.plugin_rested("muted-threads");
        metrics.rule_matched("order");
        metrics.limit_exceeded("producer");
        metrics.limit_fell_back("producer");
        metrics.stream_closed("stalled");
        metrics.gap("trimmed");
        metrics.resumed("complete");
        metrics.http_request("/v1/events", 200);
        let text = metrics.encode().unwrap();
        for line in [
            r#"fanfare_plugin_results_total{plugin="muted-threads",result="drop"} 1"#,
            r#"fanfare_plugin_results_total{plugin="muted-threads",result="tripped"} 1"#,
            r#"fanfare_plugin_duration_seconds_bucket{plugin="muted-threads",le="0.000025"} 1"#,
            r#"fanfare_rule_matches_total{rule="order"} 1"#,
            r#"fanfare_limits_exceeded_total{limit="producer"} 1"#,
            r#"fanfare_limits_fallback_total{limit="producer"} 1"#,
            r#"fanfare_stream_closes_total{reason="stalled"} 1"#,
            r#"fanfare_gaps_total{reason="trimmed"} 1"#,
            r#"fanfare_resumes_total{result="complete"} 1"#,
            r#"fanfare_http_requests_total{route="/v1/events",status="200"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
