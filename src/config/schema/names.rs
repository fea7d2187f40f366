//! The names that a configuration declares, as what an editor may complete.

use serde_json::{Value, json};

use super::reference;
use crate::config::{Config, Named};

/// Declared names by kind; without any of a kind every name is taken, as another file may declare it.
#[derive(Debug, Default)]
pub(super) struct Names {
    policies: Vec<String>,
    keys: Vec<String>,
    issuers: Vec<String>,
    limits: Vec<String>,
    windows: Vec<String>,
    plugins: Vec<String>,
    types: Vec<String>,
    rules: Vec<String>,
    channels: Vec<String>,
    patterns: Vec<String>,
}

impl Names {
    /// Those that `config` declares.
    pub(super) fn of(config: &Config) -> Self {
        let channels = config.channels.values();
        let rules = config.rules.iter();
        Self {
            policies: all(&config.policies),
            keys: all(&config.keys),
            issuers: all(&config.issuers),
            limits: all(&config.limits),
            windows: all(&config.windows),
            plugins: all(&config.plugins),
            types: all(&config.types),
            rules: rules.filter_map(|rule| Some(rule.name.as_ref()?.to_string())).collect(),
            channels: all(&config.channels),
            patterns: channels.filter_map(|channel| Some(channel.pattern.as_ref()?.value.clone())).collect(),
        }
    }

    pub(super) fn policy(&self) -> Value {
        one_of(&self.policies)
    }

    pub(super) fn key(&self) -> Value {
        one_of(&self.keys)
    }

    pub(super) fn issuer(&self) -> Value {
        one_of(&self.issuers)
    }

    pub(super) fn limit(&self) -> Value {
        one_of(&self.limits)
    }

    pub(super) fn window(&self) -> Value {
        one_of(&self.windows)
    }

    pub(super) fn plugin(&self) -> Value {
        one_of(&self.plugins)
    }

    pub(super) fn type_(&self) -> Value {
        one_of(&self.types)
    }

    /// A test may be of a type that there is not, and expect that it is refused.
    pub(super) fn type_of_a_test(&self) -> Value {
        suggested(&self.types)
    }

    pub(super) fn rule(&self) -> Value {
        one_of(&self.rules)
    }

    /// A channel's name, or a name that its pattern fits, which only the patterns can tell: those are suggestions.
    pub(super) fn channel(&self) -> Value {
        suggested(&self.channels)
    }

    /// What a rule sends to: a pattern with other words in its braces.
    pub(super) fn target(&self) -> Value {
        suggested(&self.patterns)
    }
}

fn all<T>(declared: &Named<T>) -> Vec<String> {
    declared.names().map(ToOwned::to_owned).collect()
}

fn one_of(names: &[String]) -> Value {
    if names.is_empty() { reference("text") } else { json!({ "enum": names }) }
}

fn suggested(names: &[String]) -> Value {
    if names.is_empty() { reference("text") } else { json!({ "anyOf": [{ "enum": names }, reference("text")] }) }
}
