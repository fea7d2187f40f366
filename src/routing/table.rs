//! The rules of each type, in the order in which they are tried.

use std::collections::HashMap;
use std::sync::Arc;

use super::{BadSegment, ChannelSpec, Facts, Matcher, Template};
use crate::config::Then;
use crate::notification::{ChannelName, Name, Notification, TypeName};

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name in the configuration.
    pub name: Name,
    /// Higher is tried first.
    pub priority: i64,
    /// Where it is written, `file:line`.
    pub place: Arc<str>,
    /// Which notifications it is for.
    pub matcher: Matcher,
    /// The plugin that may drop what it matches.
    pub filter: Option<Name>,
    /// What it does with a match.
    pub action: Action,
    /// Whether rules after it are tried.
    pub then: Then,
}

/// What a rule does with a match.
#[derive(Debug, Clone)]
pub enum Action {
    /// Sends it.
    To(Arc<[Route]>),
    /// Ends it, for this reason.
    Drop(Name),
}

/// One target of a rule.
#[derive(Debug, Clone)]
pub struct Route {
    /// The channel's name with placeholders.
    pub template: Template,
    /// The declaration that every filling belongs to.
    pub channel: Arc<ChannelSpec>,
}

impl Rule {
    /// The channels that it names for `notification`.
    ///
    /// # Errors
    /// [`BadSegment`] when a value does not fit its placeholder.
    pub fn targets(&self, notification: &Notification) -> Result<Vec<(ChannelName, &Arc<ChannelSpec>)>, BadSegment> {
        match &self.action {
            Action::Drop(_) => Ok(Vec::new()),
            Action::To(routes) => {
                routes.iter().map(|route| Ok((route.template.fill(notification)?, &route.channel))).collect()
            }
        }
    }

    /// Whether it is for `facts`.
    #[must_use]
    pub fn matches(&self, facts: Facts<'_>) -> bool {
        self.matcher.matches(facts)
    }
}

/// For each declared type the rules that can match it, so that routing does not grow with rules of others.
#[derive(Debug, Default)]
pub struct RoutingTable {
    by_type: HashMap<TypeName, Box<[Rule]>>,
    idle: Box<[Rule]>,
}

impl RoutingTable {
    /// Specialises `rules` for each of `types`: tests of `type` are decided, rules that cannot match left out.
    #[must_use]
    pub fn new(mut rules: Vec<Rule>, types: impl Iterator<Item = TypeName>) -> Self {
        // Ties that matter are refused when the configuration is compiled, so any fixed order of them will do;
        // by name, the order of files and of rules in them never matters.
        rules.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
        let mut by_type: HashMap<TypeName, Vec<Rule>> = types.map(|name| (name, Vec::new())).collect();
        let mut idle = Vec::new();
        for rule in rules {
            let mut is_idle = true;
            let mut add = |name: &str, table: &mut Vec<Rule>| {
                let specialised = rule.for_type(name);
                is_idle &= specialised.is_none();
                table.extend(specialised);
            };
            match rule.matcher.types() {
                Some(named) => {
                    for type_name in named {
                        if let Some(table) = by_type.get_mut(type_name) {
                            add(type_name, table);
                        }
                    }
                }
                None => by_type.iter_mut().for_each(|(name, table)| add(name.as_str(), table)),
            }
            idle.extend(is_idle.then_some(rule));
        }
        let by_type = by_type.into_iter().map(|(name, table)| (name, table.into())).collect();
        Self { by_type, idle: idle.into() }
    }

    /// The rules to try for a type, in order; none for an undeclared one.
    #[must_use]
    pub fn rules(&self, type_name: &TypeName) -> &[Rule] {
        self.by_type.get(type_name).map_or(&[], |rules| rules)
    }

    /// The rules that are for no declared type, whatever else they test.
    #[must_use]
    pub fn idle(&self) -> &[Rule] {
        &self.idle
    }

    /// The rules of every type.
    pub fn iter(&self) -> impl Iterator<Item = (&TypeName, &[Rule])> {
        self.by_type.iter().map(|(name, rules)| (name, &**rules))
    }
}

impl Rule {
    /// This rule as it applies to one type; none when it cannot match.
    fn for_type(&self, type_name: &str) -> Option<Self> {
        match self.matcher.for_type(type_name) {
            Matcher::Always(false) => None,
            matcher => Some(Self { matcher, ..self.clone() }),
        }
    }
}
