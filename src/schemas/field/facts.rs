//! What is known of one field, and how messages put it.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Number, Value};

/// What a schema says about the value at a path.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    /// It is declared.
    Declared(Field),
    /// It is not declared.
    Undeclared {
        /// The part of the path that is not.
        key: String,
        /// The names that there may be in its place, and its own where one part of the schema declares it and another
        /// refuses it.
        known: Vec<String>,
        /// Whether the schema refuses a notification that has it; otherwise it is only not spoken of.
        refused: bool,
    },
    /// The schema says too little to tell, or says it in a way that is not followed here.
    Open,
}

/// What is known of a declared value. The schema may demand more than this, never less.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Whether every valid notification has it, which needs each object on the way to be required as well.
    pub required: bool,
    /// The types that it may have.
    pub types: BTreeSet<JsonType>,
    /// The only values that it may have, where the schema lists them.
    pub values: Option<Vec<Value>>,
    /// What bounds it if it is a number.
    pub limits: Vec<(Limit, Number)>,
    /// What else the schema asks of it, as far as that refers to nothing: a schema of its own.
    pub further: Map<String, Value>,
}

/// A keyword that bounds a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `minimum`
    Minimum,
    /// `exclusiveMinimum`
    ExclusiveMinimum,
    /// `maximum`
    Maximum,
    /// `exclusiveMaximum`
    ExclusiveMaximum,
}

/// A type of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JsonType {
    /// `null`
    Null,
    /// `boolean`
    Boolean,
    /// A number without a fraction.
    Integer,
    /// Any number, integers included.
    Number,
    /// `string`
    String,
    /// `array`
    Array,
    /// `object`
    Object,
}

/// As messages name it: `an integer from 0 to 100`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 6;
        if let Some(values) = &self.values {
            let shown: Vec<_> = values.iter().take(MOST).map(Value::to_string).collect();
            let more = values.len().saturating_sub(MOST);
            let one_of = if values.len() == 1 { "" } else { "one of " };
            write!(f, "{one_of}{}", shown.join(", "))?;
            return if more == 0 { Ok(()) } else { write!(f, " and {more} more") };
        }
        for (index, kind) in self.types.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { " or " }, kind.as_str())?;
            self.fmt_asked(f, *kind)?;
        }
        Ok(())
    }
}

impl Field {
    /// Keywords that have schemas in them. What they ask for is not shown.
    pub const COMPOSED: [&'static str; 4] = ["allOf", "anyOf", "not", "oneOf"];

    /// Its types, as messages name them.
    #[must_use]
    pub fn kinds(&self) -> String {
        let words: Vec<_> = self.types.iter().map(|kind| kind.as_str()).collect();
        words.join(" or ")
    }

    /// Whether more is asked of it than is shown.
    #[must_use]
    pub fn is_composed(&self) -> bool {
        Self::COMPOSED.iter().any(|keyword| self.further.contains_key(*keyword))
    }

    /// What is asked of values of one type.
    fn fmt_asked(&self, f: &mut fmt::Formatter<'_>, kind: JsonType) -> fmt::Result {
        let keywords: &[&str] = match kind {
            JsonType::Integer | JsonType::Number => &["multipleOf"],
            JsonType::String => &["minLength", "maxLength", "pattern", "format"],
            _ => return Ok(()),
        };
        let limits = if kind == JsonType::String { &[][..] } else { &self.limits };
        let limits = limits.iter().map(|(limit, number)| format!("{} {number}", limit.as_str()));
        let asked =
            keywords.iter().filter_map(|keyword| Some(format!("with {keyword} {}", self.further.get(*keyword)?)));
        let asked: Vec<_> = limits.chain(asked).collect();
        if asked.is_empty() { Ok(()) } else { write!(f, " {}", asked.join(" and ")) }
    }
}

impl Limit {
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Minimum, "minimum"),
        (Self::ExclusiveMinimum, "exclusiveMinimum"),
        (Self::Maximum, "maximum"),
        (Self::ExclusiveMaximum, "exclusiveMaximum"),
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Minimum => "of at least",
            Self::ExclusiveMinimum => "above",
            Self::Maximum => "of at most",
            Self::ExclusiveMaximum => "below",
        }
    }
}

impl JsonType {
    /// All of them; an integer is a number.
    pub(super) const ALL: [Self; 6] =
        [Self::Null, Self::Boolean, Self::Number, Self::String, Self::Array, Self::Object];

    /// The type of a value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "string" => Self::String,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => return None,
        })
    }
}
