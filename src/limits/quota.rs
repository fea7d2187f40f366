//! Quotas: the limits of one configuration, compiled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Gcra;
use crate::auth::Template;
use crate::config::{At, Code, Config, Diagnostic, Diagnostics, Limit, Rate, Scope};
use crate::notification::{Draft, Name};

/// The limits of one configuration.
#[derive(Debug, Default)]
pub struct Quotas(BTreeMap<Name, Arc<Quota>>);

/// One compiled limit.
#[derive(Debug)]
pub struct Quota {
    /// What its buckets are kept under.
    pub(super) identity: Identity,
    /// Who counts together.
    pub(super) scope: Scope,
    /// Most buckets on a node.
    pub(super) max_keys: usize,
    /// The value of `RateLimit-Policy`.
    pub(super) policy_field: Arc<str>,
    /// What its key is made of, in the order in which it is written.
    parts: Vec<KeyPart>,
}

/// What makes a limit the same one after a reload, so that its buckets keep their state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) name: Name,
    pub(super) key: String,
    pub(super) gcra: Gcra,
}

#[derive(Debug, Clone, Copy)]
enum KeyPart {
    Principal,
    Type,
    UserId,
    Source,
}

/// What a limit may count by.
#[derive(Debug, Clone, Copy)]
pub struct KeyFields<'a> {
    /// The principal's id.
    pub principal: &'a str,
    /// The notification's type.
    pub type_name: &'a str,
    /// `userId`, if the notification has one.
    pub user_id: Option<&'a str>,
    /// `source`, if the notification has one.
    pub source: Option<&'a str>,
}

impl<'a> KeyFields<'a> {
    /// Those of a notification that `principal` publishes.
    #[must_use]
    pub fn of(principal: &'a str, draft: &'a Draft) -> Self {
        Self { principal, type_name: draft.type_name.as_str(), user_id: draft.user_id(), source: draft.source() }
    }
}

impl KeyPart {
    const NAMES: [(&'static str, Self); 4] =
        [("principal", Self::Principal), ("type", Self::Type), ("userId", Self::UserId), ("source", Self::Source)];

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, part)| *part)
    }

    fn of<'a>(self, fields: &KeyFields<'a>) -> &'a str {
        match self {
            Self::Principal => fields.principal,
            Self::Type => fields.type_name,
            Self::UserId => fields.user_id.unwrap_or_default(),
            Self::Source => fields.source.unwrap_or_default(),
        }
    }
}

impl Quotas {
    /// Compiles the limits; whatever is wrong with them is a diagnostic.
    #[must_use]
    pub fn compile(config: &Config, diagnostics: &mut Diagnostics) -> Self {
        let mut quotas = BTreeMap::new();
        for (name, limit) in &config.limits {
            if let Some(quota) = Quota::compile(name, limit, diagnostics) {
                quotas.insert(name.clone(), Arc::new(quota));
            }
        }
        Self(quotas)
    }

    /// The quota of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Quota>> {
        self.0.get(name)
    }

    /// Every declared name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(Name::as_str)
    }

    pub(super) fn has(&self, identity: &Identity) -> bool {
        self.get(identity.name.as_str()).is_some_and(|quota| quota.identity == *identity)
    }
}

impl Quota {
    fn compile(name: &Name, limit: &At<Limit>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let parts = key_parts(name, limit, diagnostics);
        let mut refuse = |span, fault: &str| {
            diagnostics.push(Diagnostic::error(Code::OutOfRange, span, format!("limit `{name}`: {fault}")))
        };
        if limit.max_keys == 0 {
            refuse(limit.span, "`max_keys` must be at least 1");
        }
        if limit.burst.value == 0 {
            refuse(limit.burst.span, "`burst` must be at least 1");
        }
        let Some(interval) = interval(limit.rate.value, limit.scope.value) else {
            refuse(limit.rate.span, "`rate` must let at least one token flow in");
            return None;
        };
        let gcra = Gcra { interval, burst: limit.burst.value };
        let policy_field = format!("\"{name}\";q={};w={}", gcra.burst, whole_seconds(gcra.window())).into();
        let identity = Identity { name: name.clone(), key: limit.key.value.clone(), gcra };
        Some(Self { identity, scope: limit.scope.value, max_keys: limit.max_keys, policy_field, parts: parts? })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.identity.name
    }

    /// Whether it counts each principal apart.
    #[must_use]
    pub fn counts_principals(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, KeyPart::Principal))
    }

    /// Which bucket `fields` count in.
    ///
    /// The literal parts of the template are the same for all and left out. Of several values each is preceded by
    /// its length, so that nobody can choose values that run together into the key of somebody else.
    #[must_use]
    pub fn key(&self, fields: &KeyFields<'_>) -> String {
        match self.parts[..] {
            [part] => part.of(fields).to_owned(),
            ref parts => {
                let values = parts.iter().map(|part| part.of(fields));
                values.map(|value| format!("{}:{value}", value.len())).collect()
            }
        }
    }
}

/// What a limit's key is made of; a placeholder of another name is a diagnostic.
fn key_parts(name: &Name, limit: &Limit, diagnostics: &mut Diagnostics) -> Option<Vec<KeyPart>> {
    let (text, span) = (&limit.key.value, limit.key.span);
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(fault) => {
            diagnostics.push(Diagnostic::error(Code::BadLimitKey, span, format!("limit `{name}`: `{text}` {fault}")));
            return None;
        }
    };
    let mut resolve = |placeholder: &str| {
        let part = KeyPart::named(placeholder);
        if part.is_none() {
            let error = format!("limit `{name}`: nothing is called `{{{placeholder}}}`");
            let known = KeyPart::NAMES.map(|(known, _)| known);
            let label = "{principal}, {type}, {userId} or {source}";
            diagnostics
                .push(Diagnostic::error(Code::BadLimitKey, span, error).label(label).did_you_mean(placeholder, known));
        }
        part
    };
    // Not collected into an option at once, which would stop at the first that is unknown.
    let parts: Vec<Option<KeyPart>> = template.placeholders().map(&mut resolve).collect();
    parts.into_iter().collect()
}

/// Between two tokens; rounded up, so that no more flow in than is written: to what the clock that counts can tell, which
/// is microseconds in Redis.
fn interval(rate: Rate, scope: Scope) -> Option<Duration> {
    if rate.tokens == 0 || rate.per.is_zero() {
        return None;
    }
    let nanos = rate.per.as_nanos().div_ceil(u128::from(rate.tokens));
    let nanos = if scope == Scope::Cluster { nanos.next_multiple_of(1_000) } else { nanos };
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// Seconds for a header, rounded up: who waits that long is not told to wait again.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
