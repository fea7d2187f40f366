//! What a script sees of the notification, of its parameters and of the time: opaque, read-only and shared.
//!
//! A notification handed over as a map would be converted before each call and walked again by the engine's size
//! checks after each access; a [`View`] converts only the value that a script asks for.

use std::sync::Arc;

use jiff::Timestamp;
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString};
use serde_json::Value;
use smallvec::SmallVec;

use crate::notification::{MEMBERS, Notification};

use super::library::{charge, fault};

/// A JSON object inside a notification or inside a plugin's parameters.
#[derive(Debug, Clone)]
pub(super) struct View {
    root: Root,
    path: SmallVec<[ImmutableString; 4]>,
}

#[derive(Debug, Clone)]
enum Root {
    Notification(Arc<Notification>),
    Params(Arc<Value>),
}

/// The constant `ctx`: when the notification was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) now: Timestamp,
}

impl View {
    pub(super) fn notification(notification: &Arc<Notification>) -> Self {
        Self { root: Root::Notification(Arc::clone(notification)), path: SmallVec::new() }
    }

    pub(super) fn params(params: &Arc<Value>) -> Self {
        Self { root: Root::Params(Arc::clone(params)), path: SmallVec::new() }
    }

    /// The member `key` of this object. A missing one is `()` in a notification, whose producer may leave it out,
    /// and an error in parameters, which the configuration gives, and for a name that no notification has.
    fn member(&self, key: ImmutableString) -> Result<Dynamic, Box<EvalAltResult>> {
        let key = self.canonical(key);
        let at_root = self.path.is_empty();
        let inner = || Self { root: self.root.clone(), path: self.path.iter().cloned().chain([key.clone()]).collect() };
        match (self.find([key.as_str()]), &self.root) {
            (Some(Value::Object(_)), _) => Ok(Dynamic::from(inner())),
            (Some(value), _) => convert(value),
            (None, Root::Params(_)) => Err(fault(format!("there is no parameter `{key}`"))),
            (None, _) if at_root && !MEMBERS.contains(&key.as_str()) => {
                Err(fault(format!("a notification has no member `{key}`; it has {}", MEMBERS.join(", "))))
            }
            // So that `n.data.x` is `()` and not an error where a producer sent no data at all.
            (None, _) if at_root && key == "data" => Ok(Dynamic::from(inner())),
            (None, _) => Ok(Dynamic::UNIT),
        }
    }

    /// The value at a dotted path, or `default` where there is none.
    fn get(&self, path: &str, default: Dynamic) -> Result<Dynamic, Box<EvalAltResult>> {
        match self.find(path.split('.')) {
            Some(value) => convert(value),
            None => Ok(default),
        }
    }

    fn contains(&self, key: &str) -> bool {
        self.find([key]).is_some()
    }

    fn keys(&self) -> Result<Array, Box<EvalAltResult>> {
        let object = self.find([]).and_then(Value::as_object);
        let keys = object.into_iter().flat_map(|members| members.keys());
        keys.map(|key| charge(key).map(|()| key.into())).collect()
    }

    /// Scripts may spell members as scripts do.
    fn canonical(&self, key: ImmutableString) -> ImmutableString {
        match (key.as_str(), &self.root) {
            ("user_id", Root::Notification(_)) if self.path.is_empty() => "userId".into(),
            ("collapse_key", Root::Notification(_)) if self.path.is_empty() => "collapseKey".into(),
            _ => key,
        }
    }

    fn find<'a>(&'a self, relative: impl IntoIterator<Item = &'a str>) -> Option<&'a Value> {
        let mut path = self.path.iter().map(ImmutableString::as_str).chain(relative);
        let root = match &self.root {
            Root::Notification(notification) => notification.draft.members.get(path.next()?)?,
            Root::Params(params) => params,
        };
        path.try_fold(root, |value, key| value.get(key))
    }
}

/// A JSON value as a script's own. An integer beyond 64 bits signed becomes a float, as in JavaScript.
fn convert(value: &Value) -> Result<Dynamic, Box<EvalAltResult>> {
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => {
            charge(text)?;
            text.into()
        }
        Value::Array(items) => Dynamic::from_array(items.iter().map(convert_charged).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let convert_member = |(key, value): (&String, &Value)| Ok((key.into(), convert_charged(value)?));
            Dynamic::from_map(members.iter().map(convert_member).collect::<Result<_, Box<EvalAltResult>>>()?)
        }
    })
}

/// An element costs something by itself, so that a producer's large array spends the budget and not the server.
fn convert_charged(value: &Value) -> Result<Dynamic, Box<EvalAltResult>> {
    charge("")?;
    convert(value)
}

/// Tells `engine` about the types of this file.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<View>("object")
        .register_indexer_get(|view: &mut View, key: ImmutableString| view.member(key))
        .register_fn("get", |view: &mut View, path: &str, default: Dynamic| view.get(path, default))
        .register_fn("contains", |view: &mut View, key: &str| view.contains(key))
        .register_fn("keys", |view: &mut View| view.keys())
        .register_type_with_name::<Context>("context")
        .register_get("now", |context: &mut Context| context.now)
        .register_type_with_name::<Timestamp>("time");
    // The indexer serves any name, but only once a getter was looked for in vain, which takes a third of the time of a
    // filter that compares a few members.
    for member in MEMBERS {
        let key = ImmutableString::from(member);
        engine.register_get(member, move |view: &mut View| view.member(key.clone()));
    }
}
