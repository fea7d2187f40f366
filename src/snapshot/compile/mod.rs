//! Compiles a configuration into a snapshot: resolves every name, checks every part against the others, and
//! reports all faults at once. Nothing live is touched, so a configuration that fails leaves no trace.

mod channels;
mod checks;
mod rules;
mod types;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::evaluate::DEAD_LETTER;
use super::{Revision, Snapshot};
use crate::auth::{Authenticator, Policies};
use crate::config::{At, Config, Diagnostic, Diagnostics, Inputs, Loaded, Named, Span, Unmatched, read_confined};
use crate::limits::Quotas;
use crate::notification::Name;
use crate::plugins::PluginSet;
use crate::schemas::SchemaRegistry;

/// A snapshot, or why there is none.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot; none when there are errors.
    pub snapshot: Option<Snapshot>,
    /// The snapshot whose only errors are its own tests: never to be served, but what shows why they fail.
    pub failing: Option<Snapshot>,
    /// All that was found, warnings too.
    pub diagnostics: Diagnostics,
    /// Every file and folder that it depends on, as they were when they were read.
    pub inputs: Inputs,
}

/// Compiles what was loaded.
#[must_use]
pub fn compile(loaded: Loaded) -> Compiled {
    let Loaded { config, diagnostics, inputs, hash } = loaded;
    let mut cx = Cx { diagnostics, inputs, hasher: Sha256::new_with_prefix(hash), used: HashSet::new() };
    let untested = config.and_then(|config| cx.snapshot(config));
    if let Some(snapshot) = &untested {
        cx.run_tests(snapshot);
    }
    let (snapshot, failing) = if cx.diagnostics.has_errors() { (None, untested) } else { (untested, None) };
    Compiled { snapshot, failing, diagnostics: cx.diagnostics, inputs: cx.inputs }
}

/// What is gathered while compiling.
struct Cx {
    diagnostics: Diagnostics,
    inputs: Inputs,
    /// Takes in every file beside the configuration, so that the revision changes with any of them.
    hasher: Sha256,
    /// What something refers to.
    used: HashSet<(Kind, Name)>,
}

/// What a name may be the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Policy,
    Limit,
    Window,
    Plugin,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Limit => "limit",
            Self::Window => "window",
            Self::Plugin => "plugin",
        }
    }
}

impl Cx {
    fn snapshot(&mut self, config: Config) -> Option<Snapshot> {
        let authenticator = Authenticator::compile(&config, &mut self.diagnostics);
        let policies = Policies::compile(&config, &mut self.diagnostics);
        let channels = self.channels(&config, &policies);
        let quotas = Quotas::compile(&config, &mut self.diagnostics);
        let schemas = self.schemas(&config);
        let types = self.types(&config, &policies, &quotas);
        let plugins = self.plugins(&config);
        let routing = self.routing(&config, &channels, &schemas);
        self.dead_letter(&config, &channels);
        if let Some(policy) = &config.server.admin_policy {
            self.resolve(Kind::Policy, policy, &config.policies);
        }
        self.unused(&config);
        if self.diagnostics.has_errors() {
            return None;
        }
        let revision = Revision::new(self.hasher.clone().finalize().into());
        let unmatched = config.unmatched.value;
        Some(Snapshot {
            revision,
            config,
            sources: self.diagnostics.sources.clone(),
            authenticator,
            policies,
            channels,
            types,
            schemas,
            routing,
            plugins,
            quotas,
            unmatched,
        })
    }

    /// The declared name that a reference means; a diagnostic when there is none.
    fn resolve<T>(&mut self, kind: Kind, name: &At<String>, declared: &Named<T>) -> Option<Name> {
        if let Some((found, _)) = declared.get_key_value(name.value.as_str()) {
            self.used.insert((kind, found.clone()));
            return Some(found.clone());
        }
        let message = format!("no {} `{}` is declared", kind.as_str(), name.value);
        let known = declared.keys().map(Name::as_str);
        self.diagnostics.push(Diagnostic::error(name.span, message).did_you_mean(&name.value, known));
        None
    }

    /// Reads a file that the configuration names, and counts it in.
    fn read(&mut self, folder: &Path, name: &At<String>) -> Option<Arc<str>> {
        self.inputs.add(folder.join(&name.value));
        match read_confined(folder, name) {
            Ok(source) => {
                for part in [name.value.as_bytes(), source.text.as_bytes()] {
                    self.hasher.update((part.len() as u64).to_be_bytes());
                    self.hasher.update(part);
                }
                Some(source.text)
            }
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn schemas(&mut self, config: &Config) -> SchemaRegistry {
        let read = |(name, declared): (&Name, &At<crate::config::Type>)| {
            Some((name.clone(), (declared.schema.clone(), self.read(&config.paths.schemas, &declared.schema)?)))
        };
        let texts: BTreeMap<_, _> = config.types.iter().filter_map(read).collect();
        SchemaRegistry::compile(&texts, &mut self.diagnostics)
    }

    fn plugins(&mut self, config: &Config) -> PluginSet {
        let read = |(name, plugin): (&Name, &At<crate::config::Plugin>)| {
            Some((name.clone(), self.read(&config.paths.plugins, &plugin.script)?))
        };
        let scripts: BTreeMap<_, _> = config.plugins.iter().filter_map(read).collect();
        PluginSet::compile(&config.plugins, &scripts, &mut self.diagnostics)
    }

    fn dead_letter(&mut self, config: &Config, channels: &crate::routing::Channels) {
        let declared = DEAD_LETTER.parse().is_ok_and(|name| channels.find(&name).is_some());
        if config.unmatched.value == Unmatched::DeadLetter && !declared {
            let message = format!("unmatched = \"dead-letter\" needs a channel with the pattern `{DEAD_LETTER}`");
            self.diagnostics.push(Diagnostic::error(config.unmatched.span, message));
        }
    }

    /// Warns of what is declared and never referred to: it is most often a slip of the pen somewhere else.
    fn unused(&mut self, config: &Config) {
        self.unused_in(Kind::Policy, &config.policies);
        self.unused_in(Kind::Limit, &config.limits);
        self.unused_in(Kind::Window, &config.windows);
        self.unused_in(Kind::Plugin, &config.plugins);
    }

    fn unused_in<T>(&mut self, kind: Kind, declared: &Named<T>) {
        for (name, at) in declared {
            if !self.used.contains(&(kind, name.clone())) {
                self.warn(at.span, format!("{} `{name}` is never used", kind.as_str()));
            }
        }
    }

    fn error(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(span, message));
    }

    fn warn(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(span, message));
    }
}
