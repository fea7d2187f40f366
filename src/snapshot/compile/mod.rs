//! Compiles a configuration into a snapshot: resolves every name, checks every part against the others, and
//! reports all faults at once. Nothing live is touched, so a configuration that fails leaves no trace.

mod channels;
mod checks;
mod comparisons;
mod invariants;
mod meant;
mod proofs;
mod rules;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use self::channels::Patterns;
use super::evaluate::DEAD_LETTER;
use super::{Contents, Revision, Snapshot};
use crate::auth::{Authenticator, Policies};
use crate::config::{
    At, Code, Config, Diagnostic, Diagnostics, Hash, Inputs, Loaded, Named, Severity, Span, Unmatched, read_confined,
};
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
    /// Whether the only errors are tests that fail.
    pub only_tests_fail: bool,
    /// All that was found, warnings too.
    pub diagnostics: Diagnostics,
    /// Every file and folder that it depends on, as they were when they were read.
    pub inputs: Inputs,
}

/// How much is asked of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What a server needs to know before it takes it: that it is right, passes its tests, and keeps its invariants.
    Serve,
    /// Also what its author may want to know of its rules, which takes longer.
    Advise,
    /// What a server needs to know but for the tests, which the caller runs.
    Untested,
}

/// Compiles what was loaded.
#[must_use]
pub fn compile(loaded: Loaded, depth: Depth) -> Compiled {
    let Loaded { draft, diagnostics, inputs, hash, .. } = loaded;
    let mut cx = Cx::new(diagnostics, inputs, hash);
    let untested = cx.snapshot(draft);
    let mut failures = 0;
    if let Some(snapshot) = &untested {
        if depth != Depth::Untested {
            cx.run_tests(snapshot);
        }
        failures = cx.diagnostics.count(Severity::Error);
        cx.prove_invariants(snapshot);
        if depth == Depth::Advise {
            cx.advise(snapshot);
        }
    }
    let only_tests_fail = failures > 0 && failures == cx.diagnostics.count(Severity::Error);
    let (snapshot, failing) = if cx.diagnostics.has_errors() { (None, untested) } else { (untested, None) };
    Compiled { snapshot, failing, only_tests_fail, diagnostics: cx.diagnostics, inputs: cx.inputs }
}

/// What is gathered while compiling.
struct Cx {
    diagnostics: Diagnostics,
    inputs: Inputs,
    /// Takes in every file beside the configuration, so that the revision changes with any of them.
    hasher: Sha256,
    /// What something refers to.
    used: HashSet<(Kind, Name)>,
    /// Of which kinds something may be meant that is not known, so that nothing of them can be called unused.
    doubtful: HashSet<Kind>,
    /// What was said of a place, so that a fault which several types show is told once.
    told: HashSet<(Span, String)>,
    /// What the files beside the configuration say.
    contents: Contents,
}

/// What a name may be the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Policy,
    Limit,
    Window,
    Plugin,
    Type,
    Rule,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Policy, Self::Limit, Self::Window, Self::Plugin, Self::Type, Self::Rule];

    fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Limit => "limit",
            Self::Window => "window",
            Self::Plugin => "plugin",
            Self::Type => "type",
            Self::Rule => "rule",
        }
    }
}

impl Cx {
    fn new(diagnostics: Diagnostics, inputs: Inputs, hash: Hash) -> Self {
        // What could not be read may refer to anything.
        let doubtful = if diagnostics.has_errors() { Kind::ALL.into() } else { HashSet::new() };
        let hasher = Sha256::new_with_prefix(hash);
        let (used, told, contents) = (HashSet::new(), HashSet::new(), Contents::default());
        Self { diagnostics, inputs, hasher, used, doubtful, told, contents }
    }

    /// The snapshot of a configuration without a fault. Each part is compiled from what is left of the others, so
    /// that all faults are told, and none that only follows from another.
    fn snapshot(&mut self, config: Config) -> Option<Snapshot> {
        let authenticator = Authenticator::compile(&config, &mut self.diagnostics);
        let policies = Policies::compile(&config, &mut self.diagnostics);
        let (channels, patterns) = self.channels(&config, &policies);
        let quotas = Quotas::compile(&config, &mut self.diagnostics);
        let schemas = self.schemas(&config);
        let types = self.types(&config, &policies, &quotas);
        let plugins = self.plugins(&config);
        let (routing, invariants) = self.routing(&config, &channels, &patterns, &schemas);
        self.dead_letter(&config, &patterns);
        self.tests(&config);
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
            contents: std::mem::take(&mut self.contents),
            authenticator,
            policies,
            channels,
            types,
            schemas,
            routing,
            plugins,
            quotas,
            unmatched,
            invariants,
        })
    }

    /// The declared name that a reference means; a diagnostic when there is none.
    fn resolve<T>(&mut self, kind: Kind, name: &At<String>, declared: &Named<T>) -> Option<Name> {
        if let Some((found, _)) = declared.get_key_value(name.value.as_str()) {
            self.used.insert((kind, found.clone()));
            return Some(found.clone());
        }
        self.unknown(kind, name.span, &name.value, declared);
        None
    }

    /// Reports a name that nothing declares, also not what could not be read.
    fn unknown<T>(&mut self, kind: Kind, span: Span, name: &str, declared: &Named<T>) {
        self.doubtful.insert(kind);
        if !declared.may_have(name) {
            self.undeclared(kind, span, name, declared.keys().map(Name::as_str));
        }
    }

    fn undeclared<'a>(&mut self, kind: Kind, span: Span, name: &str, known: impl Iterator<Item = &'a str>) {
        let message = format!("no {} `{name}` is declared", kind.as_str());
        self.diagnostics.push(Diagnostic::error(Code::UnknownName, span, message).did_you_mean(name, known));
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
            let (folder, file) = (config.paths.schemas.as_ref()?, declared.schema.as_ref()?);
            Some((name.clone(), (file.clone(), self.read(folder, file)?)))
        };
        let texts: BTreeMap<_, _> = config.types.iter().filter_map(read).collect();
        self.contents.schemas = texts.iter().map(|(name, (_, text))| (name.clone(), hash(text))).collect();
        SchemaRegistry::compile(&texts, &mut self.diagnostics)
    }

    fn plugins(&mut self, config: &Config) -> PluginSet {
        let read = |(name, plugin): (&Name, &At<crate::config::Plugin>)| {
            Some((name.clone(), self.read(config.paths.plugins.as_ref()?, &plugin.script)?))
        };
        let scripts: BTreeMap<_, _> = config.plugins.iter().filter_map(read).collect();
        self.contents.scripts = scripts.iter().map(|(name, text)| (name.clone(), hash(text))).collect();
        PluginSet::compile(&config.plugins, &scripts, &mut self.diagnostics)
    }

    fn dead_letter(&mut self, config: &Config, patterns: &Patterns) {
        let declared = DEAD_LETTER.parse().is_ok_and(|name| patterns.may_have(&name));
        if config.unmatched.value == Unmatched::DeadLetter && !declared {
            let message = format!("unmatched = \"dead-letter\" needs a channel with the pattern `{DEAD_LETTER}`");
            self.diagnostics.push(Diagnostic::error(Code::NoDeadLetter, config.unmatched.span, message));
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
        if self.doubtful.contains(&kind) {
            return;
        }
        for (name, at) in declared {
            if !self.used.contains(&(kind, name.clone())) {
                self.warn(Code::Unused, at.span, format!("{} `{name}` is never used", kind.as_str()));
            }
        }
    }

    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(code, span, message));
    }

    /// Adds a fault of `subject`, unless it was told of it at that place.
    fn push_once(&mut self, subject: &str, diagnostic: Diagnostic) {
        let place = diagnostic.span.unwrap_or_default();
        if self.told.insert((place, subject.to_owned())) {
            self.diagnostics.push(diagnostic);
        }
    }

    fn warn(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(code, span, message));
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}
