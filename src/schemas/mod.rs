//! What a notification of each type must look like: one JSON Schema (2020-12) per type, compiled once.
//!
//! A schema describes the whole notification as published, `priority` filled in. Nothing is ever fetched, formats are
//! asserted, and patterns run in linear time, so that no schema can reach out; `cost` keeps it
//! from being exponential.

mod cost;
mod field;

pub use field::{Field, FieldKind, JsonType, Limit, limits};

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft as Dialect, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::config::{At, Code, Diagnostic, Diagnostics};
use crate::notification::{Draft, Name, TypeName, Unfit, Violation, closest};

/// Most violations that one notification is told about.
const MAX_VIOLATIONS: usize = 32;
/// Most memory of one compiled pattern.
const MAX_PATTERN: usize = 1 << 20;
/// What is right instead of a schema that is too costly.
const COSTLY: &str = "refer once, beside `allOf`, `anyOf` or `oneOf`, to what their branches have in common";
/// What is right instead of any other reference.
const LOCAL: &str = "only references within the file, such as `#/$defs/name`";
/// The only dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The compiled schema of every type.
#[derive(Debug, Default)]
pub struct SchemaRegistry {
    schemas: BTreeMap<TypeName, Schema>,
}

#[derive(Debug)]
struct Schema {
    validator: Validator,
    source: Value,
}

impl SchemaRegistry {
    /// Compiles the schema of each type: the file's name in the configuration and its text.
    #[must_use]
    pub fn compile(files: &BTreeMap<TypeName, (At<String>, Arc<str>)>, diagnostics: &mut Diagnostics) -> Self {
        let mut schemas = BTreeMap::new();
        for (type_name, (file, text)) in files {
            match Schema::compile(file, text) {
                Ok(schema) => {
                    schemas.insert(type_name.clone(), schema);
                }
                Err(finding) => diagnostics.push(finding),
            }
        }
        Self { schemas }
    }

    /// Gives `draft` back if it satisfies the schema of its type. A type without a schema admits nothing.
    ///
    /// # Errors
    /// [`Unfit`], with every [`Violation`] up to a limit. Their texts hold no value of the notification, so they may be
    /// logged.
    pub fn validate(&self, mut draft: Draft) -> Result<Draft, Unfit> {
        self.check(&mut draft).map(|()| draft)
    }

    /// As [`validate`](Self::validate), of a draft that is wanted in either case. It is what it was afterwards.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check(&self, draft: &mut Draft) -> Result<(), Unfit> {
        let Some(schema) = self.schemas.get(&draft.type_name) else { return Err(self.unknown(&draft.type_name)) };
        // The validator takes a `Value`; moving the members into one and back out costs no copy.
        let value = Value::Object(std::mem::take(&mut draft.members));
        let result =
            if schema.validator.is_valid(&value) { Ok(()) } else { Err(Unfit::Invalid(schema.violations(&value))) };
        if let Value::Object(members) = value {
            draft.members = members;
        }
        result
    }

    #[cold]
    fn unknown(&self, name: &TypeName) -> Unfit {
        let similar = closest(name.as_str(), self.schemas.keys().map(Name::as_str)).map(str::to_owned);
        Unfit::UnknownType { name: name.clone(), similar }
    }

    /// Whether `type_name` has a schema here: not when it is not declared, or its schema has a fault.
    #[must_use]
    pub fn has(&self, type_name: &TypeName) -> bool {
        self.schemas.contains_key(type_name)
    }

    /// The schema of a type, as written.
    #[must_use]
    pub fn source(&self, type_name: &TypeName) -> Option<&Value> {
        self.schemas.get(type_name).map(|schema| &schema.source)
    }

    /// What the schema of `type_name` says about the value at a dotted path, such as `data.status` split at its dots.
    /// What every notification has is known without a schema.
    #[must_use]
    pub fn field(&self, type_name: &TypeName, path: &[impl AsRef<str>]) -> FieldKind {
        self.schemas.get(type_name).map_or(FieldKind::Open, |schema| field::find(&schema.source, type_name, path))
    }
}

/// What a schema asks of one value by itself.
#[derive(Debug)]
pub struct Check(Validator);

impl Check {
    /// Whether a value is what is asked for.
    #[must_use]
    pub fn admits(&self, value: &Value) -> bool {
        self.0.is_valid(value)
    }
}

impl Check {
    /// What a schema asks of a value, as far as it refers to nothing; none if that is nothing that [`Field`] leaves out.
    #[must_use]
    pub fn of(schema: &Value) -> Option<Self> {
        Self::new(&field::further(schema))
    }

    fn new(further: &Map<String, Value>) -> Option<Self> {
        let asked = Some(further).filter(|further| !further.is_empty())?;
        build(&Value::Object(asked.clone())).ok().map(Self)
    }
}

impl Field {
    /// Its [`further`](Field::further) conditions; none if there are none.
    #[must_use]
    pub fn check(&self) -> Option<Check> {
        Check::new(&self.further)
    }
}

fn build(source: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .with_draft(Dialect::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN))
        .build(source)
}

impl Schema {
    fn compile(file: &At<String>, text: &str) -> Result<Self, Diagnostic> {
        let fault =
            |detail: String| Diagnostic::error(Code::BadSchema, file.span, format!("schema `{}` {detail}", file.value));
        let source: Value = serde_json::from_str(text).map_err(|error| fault(format!("is not JSON: {error}")))?;
        if let Some(dialect) = source.get("$schema").filter(|&dialect| dialect != DIALECT) {
            return Err(fault(format!("is written in {dialect}")).help(format!("the dialect is \"{DIALECT}\"")));
        }
        // Before anything is built: a validator of an exponential schema can be as large as it is slow.
        let unknown = cost::check(&source).map_err(|costly| fault(costly.to_string()).help(COSTLY))?;
        match build(&source) {
            Ok(validator) => match unknown.first() {
                None => Ok(Self { validator, source }),
                Some(reference) => Err(fault(format!("refers to `{reference}`, which is not followed")).help(LOCAL)),
            },
            Err(error) => {
                let place = format!("#{}", error.instance_path());
                let finding = fault(format!("is not a schema at `{place}`: {error}"));
                Err(match hint(&error) {
                    Some(help) => finding.help(help),
                    None => finding,
                })
            }
        }
    }

    #[cold]
    fn violations(&self, value: &Value) -> Vec<Violation> {
        self.validator.iter_errors(value).flat_map(|error| describe(&error)).take(MAX_VIOLATIONS).collect()
    }
}

/// One error as violations at the members themselves: the validator reports a missing or an unknown member at the
/// object around it.
fn describe(error: &ValidationError<'_>) -> Vec<Violation> {
    let at = error.instance_path().as_str();
    let member = |name: &str, detail| Violation::at_member(at, name, detail);
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            vec![member(property.as_str().unwrap_or_default(), "is required")]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| member(name, "is not declared in the schema")).collect()
        }
        ValidationErrorKind::FalseSchema => vec![Violation::new(at, "is not allowed")],
        _ => {
            let masked = error.masked().to_string();
            vec![Violation::new(at, masked.strip_prefix("value ").unwrap_or(&masked))]
        }
    }
}

/// Why a schema may have been refused that is valid elsewhere.
fn hint(error: &ValidationError<'_>) -> Option<&'static str> {
    match error.kind() {
        ValidationErrorKind::Referencing(_) => Some(LOCAL),
        ValidationErrorKind::Format { format } if format == "regex" => {
            Some("patterns run in linear time: no look-around, no back-references, and of moderate size")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;
    use serde_json::json;

    const SPAN: Span = Span { file: 1, start: 5, end: 9 };

    fn compile(text: &str) -> (SchemaRegistry, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let file = (At::new("a.json".to_owned(), SPAN), text.into());
        let registry = SchemaRegistry::compile(&BTreeMap::from([("a".parse().unwrap(), file)]), &mut diagnostics);
        (registry, diagnostics)
    }

    fn violations(schema: Value, mut notification: Value) -> Vec<(String, String)> {
        notification["type"] = "a".into();
        let (registry, diagnostics) = compile(&schema.to_string());
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let result = registry.validate(Draft::from_value(notification).unwrap());
        let unfit = result.err();
        let found = unfit.iter().flat_map(|unfit| unfit.violations().into_owned());
        found.map(|v| (v.pointer, v.detail)).collect()
    }

    /// The one finding about a schema that is refused.
    fn refused(text: &str) -> Diagnostic {
        let (registry, diagnostics) = compile(text);
        let findings: Vec<_> = diagnostics.iter().cloned().collect();
        assert_eq!((findings.len(), findings[0].span), (1, Some(SPAN)), "{text}");
        assert!(registry.validate(Draft::from_value(json!({"type": "a"})).unwrap()).is_err());
        findings[0].clone()
    }

    #[test]
    fn every_violation_is_told_at_its_member_and_shows_no_value() {
        let schema = json!({"required": ["userId", "data"], "properties": {"data": {
            "required": ["a/b"], "additionalProperties": false,
            "properties": {"n": {"type": "integer"}, "list": {"items": {"enum": ["x"]}}, "at": {"format": "date-time"}}
        }}});
        let told =
            violations(schema, json!({"data": {"n": "secret", "list": ["x", "secret"], "at": "secret", "more": 1}}));
        let mut pointers: Vec<_> = told.iter().map(|(pointer, _)| pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/data/at", "/data/a~1b", "/data/list/1", "/data/more", "/data/n", "/userId"]);
        assert!(told.iter().all(|(_, detail)| !detail.contains("secret")), "{told:?}");
        assert!(told.contains(&("/data/n".into(), "is not of type \"integer\"".into())), "{told:?}");
        assert!(told.contains(&("/data/more".into(), "is not declared in the schema".into())), "{told:?}");
    }

    #[test]
    fn the_whole_notification_is_looked_at_and_given_back() {
        let (registry, _) = compile(r#"{"properties": {"priority": {"enum": ["medium"]}, "title": {"minLength": 2}}}"#);
        let draft = Draft::from_value(json!({"type": "a", "title": "ok", "data": {"n": 1}})).unwrap();
        assert_eq!(registry.validate(draft.clone()).unwrap().members, draft.members);
        let low = Draft::from_value(json!({"type": "a", "title": "x", "priority": "low"})).unwrap();
        assert_eq!(registry.validate(low).unwrap_err().violations().len(), 2);
        let other = Draft::from_value(json!({"type": "b"})).unwrap();
        let unknown = registry.validate(other).unwrap_err();
        assert_eq!(unknown.to_string(), "no type `b` is declared; did you mean `a`?");
        assert_eq!(*unknown.violations(), [Violation::new("/type", "is not a declared type")]);
    }

    #[test]
    fn violations_are_capped() {
        let list: Vec<_> = (0..1_000).collect();
        let schema = json!({"properties": {"data": {"properties": {"list": {"items": false}}}}});
        assert_eq!(violations(schema, json!({"data": {"list": list}})).len(), MAX_VIOLATIONS);
    }

    #[test]
    fn a_schema_that_is_none_is_refused_at_its_name() {
        assert!(refused("{").message.starts_with("schema `a.json` is not JSON: "));
        assert!(refused("[]").message.contains("is not a schema"));
        assert!(refused(r#"{"type": "text"}"#).message.contains("at `#/type`"));
        assert!(refused(r#"{"properties": {"title": {"format": "nonsense"}}}"#).message.contains("nonsense"));
        assert!(refused(r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#).help.is_some());
    }

    #[test]
    fn nothing_is_fetched() {
        for target in ["https://example.com/a.json", "file:///etc/passwd", "other.json", "../a.json", "#/$defs/none"] {
            let help = refused(&json!({"properties": {"title": {"$ref": target}}}).to_string()).help;
            assert!(help.is_some_and(|help| help.starts_with("only references")), "{target}");
        }
    }

    #[test]
    fn an_exponential_schema_is_refused_before_it_is_built() {
        let pair = |next: usize| json!({"$ref": format!("#/$defs/l{next}")});
        let mut schema = json!({"properties": {"data": pair(0)}, "$defs": {"l30": {"type": "object"}}});
        for level in 0..30 {
            schema["$defs"][format!("l{level}")] = json!({"anyOf": [pair(level + 1), {"allOf": [pair(level + 1)]}]});
        }
        let finding = refused(&schema.to_string());
        let told = "schema `a.json` is too costly: `/data` can meet more than 1000 subschemas, \
                    `$ref` to `#/$defs/l30` alone 1073741824 times";
        assert_eq!((finding.message.as_str(), finding.help.as_deref()), (told, Some(COSTLY)));
    }

    #[test]
    fn a_reference_that_is_not_counted_is_refused() {
        let finding = refused(&json!({"properties": {"data": {"$ref": DIALECT}}}).to_string());
        assert!(finding.message.ends_with("2020-12/schema`, which is not followed"), "{}", finding.message);
        assert_eq!(finding.help.as_deref(), Some(LOCAL));
    }

    #[test]
    fn patterns_are_linear_and_of_moderate_size() {
        for pattern in ["(?=a)", r"(a)\1", "(?<!a)b", "((((a{99}){99}){99}){99})"] {
            let help = refused(&json!({"properties": {"title": {"pattern": pattern}}}).to_string()).help;
            assert!(help.is_some_and(|help| help.starts_with("patterns run")), "{pattern}");
        }
        let evil = json!({"properties": {"message": {"pattern": "^(a+)+$"}}});
        let told = violations(evil, json!({"message": format!("{}b", "a".repeat(16_000))}));
        assert_eq!(told[0].0, "/message");
    }

    #[test]
    fn a_recursive_schema_ends() {
        let tree = json!({"properties": {"data": {"$ref": "#/$defs/node"}},
            "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}}}});
        let told = violations(tree, json!({"data": {"next": {"next": {"n": "x"}}}}));
        assert_eq!(told[0].0, "/data/next/next/n");
        assert!(refused(r##"{"$ref": "#"}"##).message.ends_with("`$ref` to `#` leads back to itself"));
    }
}
