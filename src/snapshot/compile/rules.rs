//! Rules: conditions into matchers, targets into templates, each checked against channels and schemas.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Cx, Kind};
use crate::config::{self, Action as RawAction, At, Condition, Config, Diagnostic};
use crate::notification::{Name, TypeName};
use crate::routing::{
    Action, Channels, Field, Matcher, Route, RoutingTable, Rule, Side, Template, Window, ambiguous_ties,
};
use crate::schemas::{Field as SchemaField, FieldKind, JsonType, SchemaRegistry};

/// Members that every notification may have, beside `data`.
const ENVELOPE: [&str; 9] = ["type", "userId", "title", "message", "priority", "tags", "source", "collapseKey", "id"];

/// The windows that compiled.
type Windows = HashMap<Name, Arc<Window>>;

impl Cx {
    pub(super) fn routing(&mut self, config: &Config, channels: &Channels, schemas: &SchemaRegistry) -> RoutingTable {
        let windows = self.windows(config);
        let mut rules = Vec::new();
        let mut places: HashMap<Name, config::Span> = HashMap::new();
        for declared in &config.rules {
            let name = &declared.name;
            if let Some(first) = places.insert(name.value.clone(), name.span) {
                let message = format!("rule `{}` is declared twice", name.value);
                let help = format!("the first is at {}", self.diagnostics.sources.place(first));
                self.diagnostics.push(Diagnostic::error(name.span, message).help(help));
            }
            rules.extend(self.rule(declared, config, channels, schemas, &windows));
        }
        let table = RoutingTable::new(rules, config.types.keys().cloned());
        self.check_table(config, &table, &places);
        table
    }

    fn windows(&mut self, config: &Config) -> Windows {
        let mut windows = HashMap::new();
        for (name, declared) in &config.windows {
            match TimeZone::get(&declared.timezone) {
                Ok(timezone) => {
                    let ranges = declared.daily.iter().map(|range| range.value).collect();
                    let days = declared.days.iter().map(|day| day.value).collect();
                    windows.insert(name.clone(), Arc::new(Window::new(name.as_str(), ranges, days, timezone)));
                }
                Err(_) => {
                    let message = format!("`{}` is not an IANA time zone", declared.timezone.value);
                    let diagnostic = Diagnostic::error(declared.timezone.span, message);
                    self.diagnostics.push(diagnostic.help("such as `Europe/Berlin` or `UTC`"));
                }
            }
        }
        windows
    }

    fn rule(
        &mut self,
        declared: &config::Rule,
        config: &Config,
        channels: &Channels,
        schemas: &SchemaRegistry,
        windows: &Windows,
    ) -> Option<Rule> {
        let matcher = self.matcher(&declared.when, config, windows);
        let filter = declared.filter.as_ref().map(|filter| self.resolve(Kind::Plugin, filter, &config.plugins));
        let action = self.action(&declared.action, channels);
        let (matcher, action) = (matcher?, action?);
        let types =
            config.types.keys().filter(|name| !matches!(matcher.for_type(name.as_str()), Matcher::Always(false)));
        for type_name in types {
            self.check_fields(&declared.when, type_name, schemas);
            self.check_placeholders(&declared.action, &action, type_name, schemas);
        }
        Some(Rule {
            name: declared.name.value.clone(),
            priority: declared.priority.value,
            place: self.diagnostics.sources.place(declared.name.span).into(),
            matcher,
            filter: match filter {
                Some(resolved) => Some(resolved?),
                None => None,
            },
            action,
            then: declared.then,
        })
    }

    fn matcher(&mut self, condition: &Condition, config: &Config, windows: &Windows) -> Option<Matcher> {
        match condition {
            Condition::All(inner) => Some(Matcher::all(self.matchers(inner, config, windows)?.into_iter())),
            Condition::Any(inner) => Some(Matcher::any(self.matchers(inner, config, windows)?.into_iter())),
            Condition::Not(inner) => Some(Matcher::none(self.matcher(inner, config, windows)?)),
            Condition::During(name) => self.during(name, Side::Inside, config, windows),
            Condition::NotDuring(name) => self.during(name, Side::Outside, config, windows),
            Condition::Field { path, operator, value } => {
                self.check_types(path, value, config);
                match Field::compile(path, *operator, value) {
                    Ok(field) => Some(Matcher::Field(field)),
                    Err(error) => {
                        self.error(value.span, format!("`{}` of `{}`: {error}", operator.as_str(), path.value));
                        None
                    }
                }
            }
        }
    }

    /// Every one, or none when any has a fault; all of them are compiled, so that all faults are told.
    fn matchers(&mut self, inner: &[Condition], config: &Config, windows: &Windows) -> Option<Vec<Matcher>> {
        let all: Vec<_> = inner.iter().map(|condition| self.matcher(condition, config, windows)).collect();
        all.into_iter().collect()
    }

    fn during(&mut self, name: &At<String>, side: Side, config: &Config, windows: &Windows) -> Option<Matcher> {
        let name = self.resolve(Kind::Window, name, &config.windows)?;
        Some(Matcher::During(Arc::clone(windows.get(&name)?), side))
    }

    /// A rule for a type that does not exist is a slip of the pen.
    fn check_types(&mut self, path: &At<String>, value: &At<Value>, config: &Config) {
        if path.value != "type" {
            return;
        }
        let named = match &value.value {
            Value::Array(values) => values.as_slice(),
            single => std::slice::from_ref(single),
        };
        for name in named.iter().filter_map(Value::as_str).filter(|name| !config.types.contains_key(*name)) {
            let diagnostic = Diagnostic::error(value.span, format!("no type `{name}` is declared"));
            self.diagnostics.push(diagnostic.did_you_mean(name, config.types.keys().map(Name::as_str)));
        }
    }

    fn action(&mut self, action: &RawAction, channels: &Channels) -> Option<Action> {
        let targets = match action {
            RawAction::Drop(reason) => return Some(Action::Drop(reason.value.clone())),
            RawAction::To(targets) => targets,
        };
        let routes: Vec<_> = targets.iter().map(|target| self.route(target, channels)).collect();
        Some(Action::To(routes.into_iter().collect::<Option<_>>()?))
    }

    fn route(&mut self, target: &At<String>, channels: &Channels) -> Option<Route> {
        let template = match Template::parse(target) {
            Ok(template) => template,
            Err(error) => {
                self.error(target.span, format!("`{}` names no channel: {error}", target.value));
                return None;
            }
        };
        if let Some(channel) = channels.of_template(&template) {
            return Some(Route { template, channel: Arc::clone(channel) });
        }
        let message = format!("`{}` is of no declared channel", target.value);
        let patterns = self.patterns(channels);
        let diagnostic = Diagnostic::error(target.span, message).help(format!("declared are {}", patterns.join(", ")));
        self.diagnostics.push(diagnostic);
        None
    }

    fn patterns(&self, channels: &Channels) -> Vec<String> {
        channels.iter().map(|spec| format!("`{}`", spec.pattern)).collect()
    }

    /// A field that a closed schema does not have makes its test false for ever.
    fn check_fields(&mut self, condition: &Condition, type_name: &TypeName, schemas: &SchemaRegistry) {
        match condition {
            Condition::All(inner) | Condition::Any(inner) => {
                inner.iter().for_each(|condition| self.check_fields(condition, type_name, schemas));
            }
            Condition::Not(inner) => self.check_fields(inner, type_name, schemas),
            Condition::During(_) | Condition::NotDuring(_) => {}
            Condition::Field { path, .. } => {
                if !path.value.starts_with("data.") && !ENVELOPE.contains(&path.value.as_str()) {
                    let diagnostic = Diagnostic::error(path.span, format!("a notification has no `{}`", path.value));
                    self.push_once(diagnostic.did_you_mean(&path.value, ENVELOPE));
                    return;
                }
                let segments: Vec<&str> = path.value.split('.').collect();
                if let FieldKind::Undeclared { known, .. } = schemas.field(type_name, &segments) {
                    let message = format!("the schema of `{type_name}` has no `{}`", path.value);
                    let last = segments.last().copied().unwrap_or_default();
                    let diagnostic = Diagnostic::error(path.span, message);
                    self.push_once(diagnostic.did_you_mean(last, known.iter().map(String::as_str)));
                }
            }
        }
    }

    /// What a placeholder stands for must be there in every notification of the type; `userId` is asked of the
    /// producer when it is not.
    fn check_placeholders(&mut self, raw: &RawAction, action: &Action, type_name: &TypeName, schemas: &SchemaRegistry) {
        let (RawAction::To(targets), Action::To(routes)) = (raw, action) else { return };
        for (target, route) in targets.iter().zip(routes.iter()) {
            for path in route.template.placeholders().filter(|path| path.len() > 1 || &*path[0] != "userId") {
                let segments: Vec<&str> = path.iter().map(|segment| &**segment).collect();
                let fits = |field: &SchemaField| {
                    field.required
                        && field.types.iter().all(|kind| matches!(kind, JsonType::String | JsonType::Integer))
                };
                if !matches!(schemas.field(type_name, &segments), FieldKind::Declared(field) if fits(&field)) {
                    let path = segments.join(".");
                    let message =
                        format!("`{{{path}}}` is not a required string or integer in the schema of `{type_name}`");
                    let help = "require it in the schema, with each object on the way to it";
                    self.push_once(Diagnostic::error(target.span, message).help(help));
                }
            }
        }
    }

    fn check_table(&mut self, config: &Config, table: &RoutingTable, places: &HashMap<Name, config::Span>) {
        let mut tables: Vec<_> = table.iter().collect();
        tables.sort_by_key(|(name, _)| *name);
        for (type_name, rules) in tables {
            if rules.is_empty()
                && let Some(declared) = config.types.get(type_name)
            {
                self.warn(declared.span, format!("no rule can match type `{type_name}`"));
            }
            for (first, second) in ambiguous_ties(rules) {
                let span = places.get(&second.name).copied().unwrap_or_default();
                let message = format!(
                    "rules `{}` and `{}` have the same priority {} and may both match a `{type_name}`",
                    first.name, second.name, second.priority
                );
                let help = format!("give one of them another priority; `{}` is at {}", first.name, first.place);
                self.push_once(Diagnostic::error(span, message).help(help));
            }
        }
    }

    /// A fault that several types show is told for the first.
    fn push_once(&mut self, diagnostic: Diagnostic) {
        if !self.diagnostics.iter().any(|known| known.span == diagnostic.span) {
            self.diagnostics.push(diagnostic);
        }
    }
}
