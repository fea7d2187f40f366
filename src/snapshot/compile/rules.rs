//! Rules: conditions into matchers, targets into templates, each checked against channels and schemas.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::channels::Patterns;
use super::meant::{no_channel, with_field};
use super::{Cx, Kind};
use crate::config::{self, Action as RawAction, At, Code, Condition, Config, Diagnostic, Fault, Operator};
use crate::notification::{Name, TypeName};
use crate::routing::{Action, Channels, Field, Matcher, Route, RoutingTable, Rule, Side, Template, Window};
use crate::schemas::{Field as SchemaField, FieldKind, JsonType, SchemaRegistry};
use crate::snapshot::proofs::{Invariant, Tie, ties};

/// Members that every notification may have, beside `data`.
pub(super) const ENVELOPE: [&str; 9] =
    ["type", "userId", "title", "message", "priority", "tags", "source", "collapseKey", "id"];

/// The windows that compiled.
type Windows = HashMap<Name, Arc<Window>>;

/// A target that reads as one, whether or not there is such a channel.
struct Target<'a> {
    written: &'a At<String>,
    template: Template,
}

/// What rules are checked against.
pub(super) struct Declared<'a> {
    pub(super) config: &'a Config,
    pub(super) channels: &'a Channels,
    pub(super) patterns: &'a Patterns,
    schemas: &'a SchemaRegistry,
    windows: Windows,
    /// What the schemas said of fields so far: the rules of a type test the same few.
    fields: RefCell<HashMap<(TypeName, String), Rc<FieldKind>>>,
}

impl Declared<'_> {
    /// The types of which a notification may match.
    pub(super) fn types_of(&self, matcher: &Matcher) -> Vec<&TypeName> {
        let declared = &self.config.types;
        let mut types: Vec<_> = match matcher.types() {
            Some(named) => named.into_iter().filter_map(|name| Some(declared.get_key_value(name)?.0)).collect(),
            None => declared.keys().collect(),
        };
        types.retain(|name| !matches!(matcher.for_type(name.as_str()), Matcher::Always(false)));
        types
    }

    /// What the schema of a type says about the value at a dotted path.
    pub(super) fn field(&self, type_name: &TypeName, path: &str) -> Rc<FieldKind> {
        let mut fields = self.fields.borrow_mut();
        let field = fields.entry((type_name.clone(), path.to_owned())).or_insert_with_key(|(type_name, path)| {
            let segments: Vec<_> = path.split('.').collect();
            Rc::new(self.schemas.field(type_name, &segments))
        });
        Rc::clone(field)
    }
}

impl Cx {
    pub(super) fn routing(
        &mut self,
        config: &Config,
        channels: &Channels,
        patterns: &Patterns,
        schemas: &SchemaRegistry,
    ) -> (RoutingTable, Vec<Invariant>) {
        let windows = self.windows(config);
        let declared = Declared { config, channels, patterns, schemas, windows, fields: RefCell::default() };
        let mut rules = Vec::new();
        let mut places = HashMap::new();
        for rule in &config.rules {
            places.extend(rule.name.as_ref().map(|name| (name.value.clone(), name.span)));
            rules.extend(self.rule(rule, &declared));
        }
        let table = RoutingTable::new(rules, config.types.keys().cloned());
        self.check_table(config, &table, &places, schemas);
        let invariants =
            config.invariants.iter().filter_map(|invariant| self.invariant(invariant, &declared)).collect();
        (table, invariants)
    }

    fn windows(&mut self, config: &Config) -> Windows {
        let mut windows = HashMap::new();
        for (name, declared) in &config.windows {
            let Some(zone) = &declared.timezone else { continue };
            match TimeZone::get(zone) {
                Ok(timezone) => {
                    let ranges = declared.daily.iter().map(|range| range.value).collect();
                    let days = declared.days.iter().map(|day| day.value).collect();
                    windows.insert(name.clone(), Arc::new(Window::new(name.as_str(), ranges, days, timezone)));
                }
                Err(_) => self.diagnostics.push(Diagnostic::unknown_time_zone(zone)),
            }
        }
        windows
    }

    /// The rule as far as it compiles; none when too little of it does to compare it with others.
    fn rule(&mut self, rule: &config::Rule, declared: &Declared<'_>) -> Option<Rule> {
        let matcher = self.matcher(&rule.when, declared);
        let filter =
            rule.filter.as_ref().and_then(|filter| self.resolve(Kind::Plugin, filter, &declared.config.plugins));
        let (targets, action) = self.action(rule.action.as_ref(), declared);
        let mut faults = Vec::new();
        faults_in(&rule.when, &mut faults);
        // A condition that is not clear may leave only some of the types.
        if matcher.types().is_some() || !faults.iter().any(|fault| fault.may_be_of_type()) {
            let types = declared.types_of(&matcher);
            for type_name in &types {
                self.check_fields(&rule.when, type_name, declared);
                self.check_placeholders(&targets, type_name, declared);
            }
            self.check_comparisons(&rule.when, &types, declared);
        }
        let (name, priority) = (rule.name.as_ref()?, rule.priority.as_ref()?);
        // Such a condition may also be what keeps the rule apart from another.
        faults.iter().all(|fault| fault.is_opaque).then(|| Rule {
            name: name.value.clone(),
            priority: priority.value,
            place: self.diagnostics.sources.place(name.span).into(),
            matcher,
            filter,
            action,
            then: rule.then,
        })
    }

    pub(super) fn matcher(&mut self, condition: &Condition, declared: &Declared<'_>) -> Matcher {
        match condition {
            Condition::All(inner) => Matcher::all(self.matchers(inner, declared).into_iter()),
            Condition::Any(inner) => Matcher::any(self.matchers(inner, declared).into_iter()),
            Condition::Not(inner) => Matcher::none(self.matcher(inner, declared)),
            Condition::During(name) => self.during(name, Side::Inside, declared),
            Condition::NotDuring(name) => self.during(name, Side::Outside, declared),
            Condition::Faulty(_) => opaque(),
            Condition::Field { path, operator, value, operands } => {
                if matches!(operator, Operator::Eq | Operator::Ne | Operator::In) {
                    self.check_types(path, operands, declared.config);
                }
                match Field::compile(path, *operator, value) {
                    Ok(field) => field.into(),
                    Err(error) => {
                        self.error(
                            Code::BadOperand,
                            value.span,
                            format!("`{}` of `{}`: {error}", operator.as_str(), path.value),
                        );
                        opaque()
                    }
                }
            }
        }
    }

    /// All of them are compiled before any is simplified away, so that all faults are told.
    fn matchers(&mut self, inner: &[Condition], declared: &Declared<'_>) -> Vec<Matcher> {
        inner.iter().map(|condition| self.matcher(condition, declared)).collect()
    }

    fn during(&mut self, name: &At<String>, side: Side, declared: &Declared<'_>) -> Matcher {
        let name = self.resolve(Kind::Window, name, &declared.config.windows);
        match name.and_then(|name| declared.windows.get(&name)) {
            Some(window) => Matcher::During(Arc::clone(window), side),
            None => opaque(),
        }
    }

    /// A rule for a type that does not exist is a slip of the pen.
    fn check_types(&mut self, path: &At<String>, operands: &[At<Value>], config: &Config) {
        if path.value != "type" {
            return;
        }
        for operand in operands {
            if let Some(name) = operand.as_str().filter(|name| !config.types.contains_key(*name)) {
                self.unknown(Kind::Type, operand.span, name, &config.types);
            }
        }
    }

    /// Every target that reads as one, and the action with those that are of a declared channel.
    fn action<'a>(&mut self, action: Option<&'a RawAction>, declared: &Declared<'_>) -> (Vec<Target<'a>>, Action) {
        let written = match action {
            Some(RawAction::Drop(reason)) => return (Vec::new(), Action::Drop(reason.value.clone())),
            Some(RawAction::To(targets)) => targets.as_slice(),
            None => &[],
        };
        let targets: Vec<_> = written.iter().filter_map(|target| self.target(target)).collect();
        let routes = targets.iter().filter_map(|target| self.route(target, declared)).collect();
        (targets, Action::To(routes))
    }

    fn target<'a>(&mut self, written: &'a At<String>) -> Option<Target<'a>> {
        match Template::parse(written) {
            Ok(template) => Some(Target { written, template }),
            Err(error) => {
                self.error(Code::BadTarget, written.span, format!("`{}` names no channel: {error}", written.value));
                None
            }
        }
    }

    fn route(&mut self, target: &Target<'_>, declared: &Declared<'_>) -> Option<Route> {
        if let Some(channel) = declared.channels.of_template(&target.template) {
            return Some(Route { template: target.template.clone(), channel: Arc::clone(channel) });
        }
        if !declared.patterns.may_take(&target.template) {
            let message = format!("`{}` is of no declared channel", target.written.value);
            self.diagnostics.push(no_channel(target.written, message, declared.patterns));
        }
        None
    }

    /// A field that a closed schema does not have makes its test false for ever.
    pub(super) fn check_fields(&mut self, condition: &Condition, type_name: &TypeName, declared: &Declared<'_>) {
        match condition {
            Condition::All(inner) | Condition::Any(inner) => {
                inner.iter().for_each(|condition| self.check_fields(condition, type_name, declared));
            }
            Condition::Not(inner) => self.check_fields(inner, type_name, declared),
            Condition::During(_) | Condition::NotDuring(_) | Condition::Faulty(Fault { path: None, .. }) => {}
            Condition::Field { path, .. } | Condition::Faulty(Fault { path: Some(path), .. }) => {
                if !is_path(path) {
                    let diagnostic =
                        Diagnostic::error(Code::NoPath, path.span, format!("a notification has no `{}`", path.value));
                    self.push_once(path, diagnostic.did_you_mean(&path.value, ENVELOPE));
                    return;
                }
                let kind = declared.field(type_name, path);
                if matches!(*kind, FieldKind::Undeclared { .. }) {
                    let message = format!("the schema of `{type_name}` has no `{}`", path.value);
                    let finding = Diagnostic::error(Code::UndeclaredField, path.span, message);
                    self.push_once(path, with_field(finding, &kind));
                }
            }
        }
    }

    /// What a placeholder stands for must be there in every notification of the type; `userId` is asked of the
    /// producer when it is not.
    fn check_placeholders(&mut self, targets: &[Target<'_>], type_name: &TypeName, declared: &Declared<'_>) {
        // Of a schema that could not be read nothing can be missing.
        let targets = if declared.schemas.has(type_name) { targets } else { &[] };
        for target in targets {
            for path in target.template.placeholders().filter(|path| path.len() > 1 || &*path[0] != "userId") {
                let path = path.join(".");
                let fits = |field: &SchemaField| {
                    field.required
                        && field.types.iter().all(|kind| matches!(kind, JsonType::String | JsonType::Integer))
                };
                let kind = declared.field(type_name, &path);
                if !matches!(&*kind, FieldKind::Declared(field) if fits(field)) {
                    let message =
                        format!("`{{{path}}}` is not a required string or integer in the schema of `{type_name}`");
                    let finding = Diagnostic::error(Code::NotRequired, target.written.span, message);
                    let finding = finding.help("require it in the schema, with each object on the way to it");
                    self.push_once(&path, with_field(finding, &kind));
                }
            }
        }
    }

    fn check_table(
        &mut self,
        config: &Config,
        table: &RoutingTable,
        places: &HashMap<Name, config::Span>,
        schemas: &SchemaRegistry,
    ) {
        // What stands for a fault is no more than a guess, and of no guess there is an example.
        let is_clear = !self.diagnostics.has_errors();
        let mut tables: Vec<_> = table.iter().collect();
        tables.sort_by_key(|(name, _)| *name);
        for (type_name, rules) in tables {
            // A rule that names another type by mistake may be meant for this one.
            if rules.is_empty()
                && !self.doubtful.contains(&Kind::Type)
                && let Some(declared) = config.types.get(type_name)
            {
                self.warn(Code::NoRule, declared.span, format!("no rule can match type `{type_name}`"));
            }
            // Of a rule that is declared twice one has to go.
            let ties = ties(schemas, type_name, rules).into_iter();
            for (first, second, tie) in ties.filter(|(first, second, _)| first.name != second.name) {
                let both = match tie {
                    _ if !is_clear => None,
                    Tie::Shown(witness) => Some(format!("both match {witness}")),
                    Tie::Undecided => Some("whether both can match one notification was not decided".to_owned()),
                };
                let span = places.get(&second.name).copied().unwrap_or_default();
                let message = format!(
                    "rules `{}` and `{}` have the same priority {} and may both match a `{type_name}`",
                    first.name, second.name, second.priority
                );
                let help = format!("give one of them another priority; `{}` is at {}", first.name, first.place);
                let finding = Diagnostic::error(Code::SamePriority, span, message).help(help);
                self.push_once(first.name.as_str(), both.into_iter().fold(finding, Diagnostic::note));
            }
        }
    }
}

/// Whether a notification may have something there.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("data.") || ENVELOPE.contains(&path)
}

/// Stands for a condition that has a fault: like that one it may be true or not, and it excludes nothing.
fn opaque() -> Matcher {
    Field::compile("data", Operator::Exists, &Value::Bool(true)).map_or(Matcher::Always(true), Matcher::from)
}

pub(super) fn faults_in<'a>(condition: &'a Condition, found: &mut Vec<&'a Fault>) {
    match condition {
        Condition::All(inner) | Condition::Any(inner) => inner.iter().for_each(|inner| faults_in(inner, found)),
        Condition::Not(inner) => faults_in(inner, found),
        Condition::Faulty(fault) => found.push(fault),
        Condition::Field { .. } | Condition::During(_) | Condition::NotDuring(_) => {}
    }
}
