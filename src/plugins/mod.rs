//! Filters: small Rhai scripts that keep or drop one notification for one rule. Pure, so any verdict can be replayed.
//!
//! A script declares `fn filter(n)` and sees the notification `n`, its configured `params` and `ctx.now`, the time at
//! which the notification was accepted. The limits guard against mistakes: a call ends soon, takes little memory and
//! cannot touch anything. They are no sandbox for hostile tenants; who may write a script is trusted.

mod breakers;
mod budget;
mod engine;
mod library;
#[cfg(test)]
mod tests;
mod view;

pub use breakers::Breakers;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rhai::{AST, CallFnOptions, Dynamic, Engine, Scope};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::{self, At, Code, Diagnostic, Diagnostics, OnError};
use crate::notification::{Name, Notification};

use budget::Budget;
use view::{Context, View};

/// Most characters of a failure's message: a script may throw a text of any length.
const MAX_MESSAGE: usize = 256;

/// Every plugin of one configuration, compiled.
#[derive(Debug, Default)]
pub struct PluginSet {
    plugins: BTreeMap<Name, Arc<Plugin>>,
}

/// One compiled filter with its parameters and limits.
pub struct Plugin {
    id: PluginId,
    engine: Arc<Engine>,
    ast: AST,
    params: Arc<Value>,
    budget: Budget,
    on_error: OnError,
}

/// Which plugin with which script: what circuit breakers count by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PluginId {
    name: Name,
    script: [u8; 32],
}

/// What a filter decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The rule applies.
    Pass,
    /// It does not, for a reason that the script names; the plugin's own name where it returned `false`.
    Drop(Name),
    /// There is no verdict, and the plugin's `on_error` decides.
    Failed(Failure),
}

impl Verdict {
    /// The name used in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop(_) => "drop",
            Self::Failed(_) => "failed",
        }
    }
}

/// Why a filter came to no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It used up `max_operations`.
    #[error("used up its operations")]
    Operations,
    /// It used up `max_time`.
    #[error("used up its time")]
    Time,
    /// The script raised an error.
    #[error("{0}")]
    Script(String),
    /// It returned something that is no verdict.
    #[error("returned a value of type {0}, not pass(), drop(\"reason\"), true or false")]
    NoVerdict(String),
    /// A function that it called panicked.
    #[error("panicked")]
    Panic,
}

/// One call of a filter: its verdict and its cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What it decided.
    pub verdict: Verdict,
    /// Operations that it used.
    pub operations: u64,
    /// Wall time that it took.
    pub elapsed: Duration,
}

impl PluginSet {
    /// Compiles every plugin whose script is in `scripts`, by the plugin's name; one that is not could not be read,
    /// which its reader has told.
    #[must_use]
    pub fn compile(
        plugins: &BTreeMap<Name, At<config::Plugin>>,
        scripts: &BTreeMap<Name, Arc<str>>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let engine = Arc::new(engine::build());
        let mut compiled = BTreeMap::new();
        for (name, plugin) in plugins {
            let Some(script) = scripts.get(name) else { continue };
            match engine::compile(&engine, script) {
                Ok(ast) => {
                    compiled.insert(name.clone(), Arc::new(Plugin::new(name, plugin, &engine, ast, script)));
                }
                Err(detail) => {
                    let message = format!("plugin `{name}`: script `{}`: {detail}", plugin.script.value);
                    diagnostics.push(Diagnostic::error(Code::BadScript, plugin.script.span, message));
                }
            }
        }
        Self { plugins: compiled }
    }

    /// The plugin of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(name)
    }

    /// All plugins, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }
}

impl Plugin {
    fn new(name: &Name, plugin: &config::Plugin, engine: &Arc<Engine>, ast: AST, script: &str) -> Self {
        Self {
            id: PluginId { name: name.clone(), script: Sha256::digest(script.as_bytes()).into() },
            engine: Arc::clone(engine),
            ast,
            params: Arc::new(plugin.params.clone()),
            budget: Budget { operations: plugin.max_operations, time: plugin.max_time },
            on_error: plugin.on_error,
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.id.name
    }

    /// What its caller does when it fails.
    #[must_use]
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    fn id(&self) -> &PluginId {
        &self.id
    }

    /// Asks the script about one notification, accepted at `now`. The `Arc` is what scripts share its data through.
    #[must_use]
    pub fn filter(&self, notification: &Arc<Notification>, now: Timestamp) -> Run {
        // A panic leaves nothing half-done behind: the engine is immutable, and the scope ends with the call.
        let call = || catch_unwind(AssertUnwindSafe(|| self.call(notification, now)));
        let (outcome, spent) = budget::metered(self.budget, call);
        let verdict = match (spent.exceeded, outcome) {
            // Some native functions, such as `sort`, swallow the error that should end them.
            (Some(limit), _) => Verdict::Failed(limit.into()),
            (None, Ok(verdict)) => verdict,
            (None, Err(_)) => Verdict::Failed(Failure::Panic),
        };
        Run { verdict, operations: spent.operations, elapsed: spent.elapsed }
    }

    fn call(&self, notification: &Arc<Notification>, now: Timestamp) -> Verdict {
        let constants = engine::Constants { params: View::params(&self.params), ctx: Context { now } };
        let options = CallFnOptions::new().eval_ast(false).with_tag(constants);
        let argument = View::notification(notification);
        match self.engine.call_fn_with_options(options, &mut Scope::new(), &self.ast, engine::ENTRY, (argument,)) {
            Ok(returned) => self.verdict(returned),
            Err(error) => Verdict::Failed(Failure::Script(error.to_string().chars().take(MAX_MESSAGE).collect())),
        }
    }

    fn verdict(&self, returned: Dynamic) -> Verdict {
        match returned.as_bool() {
            Ok(true) => Verdict::Pass,
            Ok(false) => Verdict::Drop(self.name().clone()),
            Err(_) => returned
                .try_cast_result::<Verdict>()
                .unwrap_or_else(|other| Verdict::Failed(Failure::NoVerdict(other.type_name().to_owned()))),
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.id.name).field("budget", &self.budget).finish_non_exhaustive()
    }
}
