//! What a producer sends, checked member by member: every fault at once, each with a JSON Pointer (RFC 6901).

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Name, Priority, TypeName, Unfit, json, parse_duration};

/// Every member that a notification may have.
pub const MEMBERS: [&str; 11] =
    ["type", "userId", "title", "message", "priority", "data", "tags", "source", "ttl", "collapseKey", "id"];
/// Most tags on one notification.
pub const MAX_TAGS: usize = 32;
/// Most characters in `userId`, `source`, `collapseKey` and in a tag.
const MAX_SHORT: usize = 256;
/// Most characters in `title`.
const MAX_TITLE: usize = 1_024;
/// Most characters in `message`.
const MAX_MESSAGE: usize = 16_384;

/// One thing that is wrong with a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON Pointer to the member at fault; empty for the whole body.
    pub pointer: String,
    /// What is wrong with it; lower case, no full stop.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the body" } else { &self.pointer };
        write!(f, "{place} {}", self.detail)
    }
}

impl Violation {
    /// A violation at `pointer`.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// A violation at a member, by its own key, of the object at `parent`.
    #[must_use]
    pub fn at_member(parent: &str, key: &str, detail: impl Into<String>) -> Self {
        Self::new(format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1")), detail)
    }

    /// As it is told over HTTP.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"pointer": self.pointer, "detail": self.detail})
    }
}

/// A well-formed notification as its producer wrote it; its schema has not been asked yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// `type`.
    pub type_name: TypeName,
    /// `priority`, `medium` when absent.
    pub priority: Priority,
    /// `id`, when the producer names one.
    pub id: Option<Uuid>,
    /// `ttl`, how long delivering it makes sense.
    pub ttl: Option<Duration>,
    /// `collapseKey`: for a reader that lags, a newer notification replaces an older one of the same key.
    pub collapse_key: Option<String>,
    /// Every member as published, `priority` filled in: what schemas, rules and filters look at.
    pub members: Map<String, Value>,
}

impl Draft {
    /// Parses a request body.
    ///
    /// # Errors
    /// That it is [malformed](Unfit::Malformed), with every [`Violation`] found.
    pub fn parse(body: &[u8]) -> Result<Self, Unfit> {
        let no_json = |error| Unfit::Malformed(vec![Violation::new("", format!("is not JSON: {error}"))]);
        let (value, mut violations) = json::read(body).map_err(no_json)?;
        let draft = Self::check(value).map_err(|more| violations.extend(more));
        draft.ok().filter(|_| violations.is_empty()).ok_or(Unfit::Malformed(violations))
    }

    /// Checks a parsed body.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse).
    pub fn from_value(value: Value) -> Result<Self, Unfit> {
        Self::check(value).map_err(Unfit::Malformed)
    }

    fn check(value: Value) -> Result<Self, Vec<Violation>> {
        let Value::Object(mut members) = value else {
            return Err(vec![Violation::new("", "is not a JSON object")]);
        };
        let mut check = Check { members: &members, violations: Vec::new() };
        check.known_members();
        let type_name = check.type_name();
        let priority = check.parsed("priority", |text| text.parse::<Priority>().map_err(|e| e.to_string()));
        let id = check.parsed("id", |text| text.parse::<Uuid>().map_err(|_| "is not a UUID".to_owned()));
        let ttl = check.ttl();
        check.text("userId", MAX_SHORT);
        check.text("source", MAX_SHORT);
        check.text("title", MAX_TITLE);
        check.text("message", MAX_MESSAGE);
        let collapse_key = check.text("collapseKey", MAX_SHORT).map(str::to_owned);
        check.tags();
        check.data();
        let violations = check.violations;
        let (Some(type_name), true) = (type_name, violations.is_empty()) else {
            return Err(violations);
        };
        let priority = priority.unwrap_or_default();
        members.insert("priority".into(), Value::String(priority.as_str().into()));
        Ok(Self { type_name, priority, id, ttl, collapse_key, members })
    }

    /// `userId`, whom it is for.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.members.get("userId").and_then(Value::as_str)
    }

    /// `source`, what it comes from.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.members.get("source").and_then(Value::as_str)
    }
}

/// The members under check and the faults found so far.
struct Check<'a> {
    members: &'a Map<String, Value>,
    violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    fn fault(&mut self, member: &str, detail: impl Into<String>) {
        self.violations.push(Violation::at_member("", member, detail));
    }

    fn known_members(&mut self) {
        for member in self.members.keys() {
            if member == "createdAt" {
                self.fault(member, "is set by the server");
            } else if !MEMBERS.contains(&member.as_str()) {
                self.fault(member, format!("is not a member of a notification; known are {}", MEMBERS.join(", ")));
            }
        }
    }

    /// The text of an optional member of 1 to `max` characters.
    fn text(&mut self, member: &str, max: usize) -> Option<&'a str> {
        match self.members.get(member)? {
            Value::String(text) if text.is_empty() => self.fault(member, "is empty"),
            Value::String(text) if text.chars().count() > max => {
                self.fault(member, format!("is longer than {max} characters"));
            }
            Value::String(text) => return Some(text),
            _ => self.fault(member, "is not a string"),
        }
        None
    }

    fn parsed<T>(&mut self, member: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(member, MAX_SHORT)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.fault(member, detail);
                None
            }
        }
    }

    fn type_name(&mut self) -> Option<TypeName> {
        if !self.members.contains_key("type") {
            self.fault("type", "is required");
        }
        self.parsed("type", |text| text.parse::<Name>().map_err(|e| e.to_string()))
    }

    /// Whole seconds as a number, or a text such as `24h`.
    fn ttl(&mut self) -> Option<Duration> {
        let parsed = match self.members.get("ttl")? {
            Value::Number(seconds) => seconds.as_u64().and_then(|s| parse_duration(&format!("{s}s")).ok()),
            Value::String(text) => parse_duration(text).ok(),
            _ => None,
        };
        if parsed.is_none_or(|ttl| ttl.is_zero()) {
            self.fault("ttl", "is not a number of seconds above 0, nor a duration such as `24h`");
        }
        parsed
    }

    fn tags(&mut self) {
        match self.members.get("tags") {
            None => {}
            Some(Value::Array(tags)) if tags.len() > MAX_TAGS => {
                self.fault("tags", format!("has more than {MAX_TAGS} tags"))
            }
            Some(Value::Array(tags)) => {
                for (index, tag) in tags.iter().enumerate() {
                    let fits = tag.as_str().is_some_and(|tag| (1..=MAX_SHORT).contains(&tag.chars().count()));
                    if !fits {
                        let detail = format!("is not a string of 1 to {MAX_SHORT} characters");
                        self.violations.push(Violation::new(format!("/tags/{index}"), detail));
                    }
                }
            }
            Some(_) => self.fault("tags", "is not an array"),
        }
    }

    fn data(&mut self) {
        if self.members.get("data").is_some_and(|data| !data.is_object()) {
            self.fault("data", "is not an object");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(body: &str) -> Vec<(String, String)> {
        Draft::parse(body.as_bytes()).unwrap_err().violations().iter().cloned().map(|v| (v.pointer, v.detail)).collect()
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_pointer() {
        let body =
            r#"{"priority":"urgent","title":"","tags":["a",7],"data":[],"ttl":0,"id":"x","createdAt":"now","a/b":1}"#;
        let pointers: Vec<_> = faults(body).into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(
            pointers,
            ["/a~1b", "/createdAt", "/type", "/priority", "/id", "/ttl", "/title", "/tags/1", "/data"]
        );
    }

    #[test]
    fn priority_is_medium_unless_given() {
        let draft = Draft::parse(br#"{"type":"order.updated"}"#).unwrap();
        assert_eq!(draft.priority, Priority::Medium);
        assert_eq!(draft.members["priority"], "medium");
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        assert_eq!(faults("[]")[0].1, "is not a JSON object");
        assert!(faults("{").first().unwrap().1.starts_with("is not JSON"));
        assert!(faults("\u{feff}{}").first().unwrap().1.starts_with("is not JSON"));
    }

    #[test]
    fn a_member_that_is_there_twice_is_a_fault_beside_the_others() {
        let faults = faults(r#"{"type":"a","userId":"ada","userId":"","data":{"n":[{"id":1,"id":1}]}}"#);
        let pointers: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/userId", "/data/n/0/id", "/userId"]);
    }
}
