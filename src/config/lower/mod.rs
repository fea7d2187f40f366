//! From TOML to the configuration's types: every fault of every file, with its place.

mod auth;
mod channels;
mod checks;
mod condition;
mod defaults;
mod instant;
mod plugins;
mod rules;
mod server;
mod windows;

use std::path::{Path, PathBuf};

use self::defaults::{DefaultZone, WrittenTest};
use super::context::Context;
use super::table::{Item, Table, titled};
use super::{
    ApiKey, At, Broker, Channel, Code, Config, Diagnostic, Invariant, Issuer, Limit, Named, Paths, Plugin, Policy,
    Rule, Server, Span, Type, Unmatched, Window,
};

/// What the files read so far declare. Files are added in any order, to the same effect.
#[derive(Default)]
pub(super) struct Parts {
    unmatched: Option<At<Unmatched>>,
    allow_empty: bool,
    default_zone: DefaultZone,
    paths: Paths,
    has_paths: bool,
    server: Server,
    broker: Broker,
    issuers: Named<Issuer>,
    keys: Named<ApiKey>,
    policies: Named<Policy>,
    channels: Named<Channel>,
    types: Named<Type>,
    limits: Named<Limit>,
    windows: Named<Window>,
    plugins: Named<Plugin>,
    rules: Vec<At<Rule>>,
    /// Whether a rule is written, also one with faults.
    has_rules: bool,
    tests: Vec<At<WrittenTest>>,
    invariants: Vec<At<Invariant>>,
    /// Whether a file could not be read.
    has_gap: bool,
}

/// Folders that are not known, so that no file in them is called missing.
const NOWHERE: Paths = Paths { schemas: None, plugins: None, generations: None };

const UNMATCHED: [(&str, Unmatched); 3] =
    [("reject", Unmatched::Reject), ("drop", Unmatched::Drop), ("dead-letter", Unmatched::DeadLetter)];

impl Parts {
    /// Adds what one file declares.
    pub(super) fn add(&mut self, root: &mut Table<'_>) {
        if let Some(item) = singleton(root, "unmatched", "`unmatched`") {
            // A wrong value is reported, and must not be called missing as well.
            let fallback = At::new(Unmatched::Reject, item.span);
            self.unmatched = Some(item.choice(&UNMATCHED).unwrap_or(fallback));
        }
        if let Some(item) = singleton(root, "allow_empty", "`allow_empty`") {
            self.allow_empty = item.boolean().is_some_and(|allow| allow.value);
        }
        if root.optional("defaults").is_some() {
            self.default_zone.add_gap();
        }
        section(root, "defaults", "[defaults]", &mut self.default_zone, defaults::defaults);
        if let Some(item) = root.optional("paths") {
            self.has_paths = true;
            if !item.is_table() {
                self.paths = NOWHERE;
            }
        }
        section(root, "paths", "[paths]", &mut self.paths, server::paths);
        section(root, "server", "[server]", &mut self.server, server::server);
        section(root, "broker", "[broker]", &mut self.broker, server::broker);
        match root.optional("auth").map(|item| item.table("[auth]")) {
            Some(Some(mut auth)) => {
                named(&mut auth, "issuers", "[auth.issuers.*]", &mut self.issuers, auth::issuer);
                named(&mut auth, "keys", "[auth.keys.*]", &mut self.keys, auth::key);
            }
            Some(None) => {
                self.issuers.add_gap();
                self.keys.add_gap();
            }
            None => {}
        }
        named(root, "policies", "[policies.*]", &mut self.policies, auth::policy);
        named(root, "channels", "[channels.*]", &mut self.channels, channels::channel);
        named(root, "types", "[types.*]", &mut self.types, channels::type_);
        named(root, "limits", "[limits.*]", &mut self.limits, channels::limit);
        named(root, "windows", "[windows.*]", &mut self.windows, windows::window);
        named(root, "plugins", "[plugins.*]", &mut self.plugins, plugins::plugin);
        self.has_rules |= root.optional("rules").is_some_and(|rules| !rules.is_empty_array());
        listed(root, "rules", "[[rules]]", &mut self.rules, rules::rule);
        listed(root, "tests", "[[tests]]", &mut self.tests, checks::test);
        listed(root, "invariants", "[[invariants]]", &mut self.invariants, checks::invariant);
    }

    /// Adds what a test file declares, which has nothing but tests.
    pub(super) fn add_tests(&mut self, root: &mut Table<'_>) {
        listed(root, "tests", "[[tests]]", &mut self.tests, checks::test);
    }

    /// Notes that a file could not be read, so that what seems to be missing may be in there.
    pub(super) fn add_gap(&mut self) {
        self.has_gap = true;
        self.default_zone.add_gap();
        self.issuers.add_gap();
        self.keys.add_gap();
        self.policies.add_gap();
        self.channels.add_gap();
        self.types.add_gap();
        self.limits.add_gap();
        self.windows.add_gap();
        self.plugins.add_gap();
    }

    /// The configuration, or what could be read of it, once every file is added; `main` is the first of them.
    pub(super) fn finish(mut self, cx: &Context, main: &Path) -> Config {
        let main_start = Span::default();
        if !self.has_rules && !self.allow_empty && !self.has_gap {
            let finding = Diagnostic::error(Code::NoRules, main_start, "there is no rule, so nothing would be routed");
            cx.report(finding.help("declare a [[rules]], or write `allow_empty = true` if this is meant"));
        }
        if self.unmatched.is_none() && !self.has_gap {
            let message = "`unmatched` is missing: it says what happens to a notification that no rule matches";
            let help = "write one of `reject`, `drop`, `dead-letter`, such as `unmatched = \"reject\"`";
            cx.report(Diagnostic::error(Code::MissingKey, main_start, message).help(help));
        }
        self.default_zone.complete(&mut self.windows, cx);
        let date = |test: At<WrittenTest>| test.map(|test| self.default_zone.date(test, cx));
        let folder = main.parent().unwrap_or(Path::new(""));
        // Where the folders are may stand in the file that could not be read.
        let paths = if self.has_gap && !self.has_paths { NOWHERE } else { self.paths };
        let resolve = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        Config {
            timezone: self.default_zone.zone().cloned(),
            unmatched: self.unmatched.unwrap_or(At::new(Unmatched::Reject, main_start)),
            paths: Paths {
                schemas: resolve(paths.schemas),
                plugins: resolve(paths.plugins),
                generations: resolve(paths.generations),
            },
            server: self.server,
            broker: self.broker,
            issuers: self.issuers,
            keys: self.keys,
            policies: self.policies,
            channels: self.channels,
            types: self.types,
            limits: self.limits,
            windows: self.windows,
            plugins: self.plugins,
            rules: self.rules,
            tests: self.tests.into_iter().map(date).collect(),
            invariants: self.invariants,
        }
    }
}

/// A key that all files together may have once.
fn singleton<'a>(root: &mut Table<'a>, key: &'static str, title: &'static str) -> Option<Item<'a>> {
    let item = root.optional(key)?;
    root.cx.declare(title.to_owned(), item.key_span);
    Some(item)
}

/// A section that all files together may have once.
fn section<T>(
    root: &mut Table<'_>,
    key: &'static str,
    title: &'static str,
    section: &mut T,
    lower: fn(&mut Table<'_>) -> T,
) {
    if let Some(mut table) = singleton(root, key, title).and_then(|item| item.table(title)) {
        *section = lower(&mut table);
    }
}

/// A section of tables that the operator names.
fn named<T>(
    root: &mut Table<'_>,
    key: &'static str,
    title: &'static str,
    declared: &mut Named<T>,
    lower: fn(&mut Table<'_>) -> Option<T>,
) {
    let Some(item) = root.optional(key) else { return };
    let Some(mut section) = item.table(title) else { return declared.add_gap() };
    for item in section.entries() {
        section.cx.declare(titled(title, item.key), item.key_span);
        let name = item.key_name();
        let value = item.named_table(title).and_then(|mut table| lower(&mut table));
        match (name, value) {
            (Some(name), Some(value)) => drop(declared.insert(name, At::new(value, item.key_span))),
            (_, _) => declared.add_faulty(item.key),
        }
    }
}

/// An array of tables.
fn listed<T>(
    root: &mut Table<'_>,
    key: &'static str,
    title: &'static str,
    declared: &mut Vec<At<T>>,
    lower: fn(&mut Table<'_>) -> Option<T>,
) {
    let Some(item) = root.optional(key) else { return };
    if !item.is_array() {
        item.mismatch(&format!("an array of tables, each written {title}"));
        return;
    }
    for item in item.elements().unwrap_or_default() {
        let value = item.table(title).and_then(|mut table| lower(&mut table));
        declared.extend(value.map(|value| At::new(value, item.span)));
    }
}
