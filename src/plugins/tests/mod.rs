//! Scripts as their authors write them, and as they should not.

mod hostile;
mod language;
mod shipped;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::config::{At, Span};
use crate::notification::Draft;

/// What most tests ask scripts about.
fn notification() -> Value {
    json!({
        "type": "chat.mention", "userId": "u2", "title": "Hi", "tags": ["a", "b"],
        "data": { "direct": false, "muted_by": ["u1", "u2"], "deep": { "n": 7, "f": 1.5, "none": null } }
    })
}

fn raw(params: Value) -> config::Plugin {
    config::Plugin {
        script: At::new("test.rhai".into(), Span { file: 0, start: 3, end: 14 }),
        params,
        on_error: OnError::Pass,
        max_operations: 20_000,
        // Long enough for an unoptimised build on a busy machine; what is tested is that operations end a script.
        max_time: Duration::from_secs(30),
    }
}

/// Compiles one plugin, `test`.
fn compile(script: &str, plugin: config::Plugin) -> (PluginSet, Diagnostics) {
    let name: Name = "test".parse().unwrap();
    let mut diagnostics = Diagnostics::default();
    let plugins = BTreeMap::from([(name.clone(), At::new(plugin, Span::default()))]);
    let set = PluginSet::compile(&plugins, &BTreeMap::from([(name, script.into())]), &mut diagnostics);
    (set, diagnostics)
}

fn plugin(script: &str, params: Value) -> Arc<Plugin> {
    let (set, diagnostics) = compile(script, raw(params));
    let told: Vec<_> = diagnostics.iter().map(|finding| finding.message.clone()).collect();
    set.get("test").cloned().unwrap_or_else(|| panic!("{told:?}\n{script}"))
}

fn accept(value: Value, now: &str) -> Arc<Notification> {
    Arc::new(Notification::accept(Draft::from_value(value).unwrap(), now.parse().unwrap()))
}

/// Runs a whole script on [`notification`] at noon, UTC.
fn run(script: &str, params: Value) -> Run {
    let notification = accept(notification(), "2026-06-01T12:34:56Z");
    plugin(script, params).filter(&notification, notification.created_at)
}

/// The verdict of a script whose filter is `body`.
fn verdict(body: &str) -> Verdict {
    run(&format!("fn filter(n) {{ {body} }}"), json!({})).verdict
}

fn dropped(reason: &str) -> Verdict {
    Verdict::Drop(reason.parse().unwrap())
}
