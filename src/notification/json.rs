//! Reads JSON of which every reader makes the same: an object with two members of one name is told, at any depth.
//!
//! RFC 8259 leaves open which of the two counts. A gateway that checks the first and a server that takes the last would
//! see two notifications.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Violation;

/// Most repeated members that are told. Each names its whole path, so that many of them, deep inside, would make a
/// refusal far larger than the body.
const MAX_TOLD: usize = 16;

/// Reads one value, and the members that are there more than once; of these the last is taken.
pub(super) fn read(text: &[u8]) -> serde_json::Result<(Value, Vec<Violation>)> {
    let mut repeated = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = Reader { at: Place::Whole, repeated: &mut repeated }.deserialize(&mut json)?;
    json.end()?;
    Ok((value, repeated))
}

/// Where a value stands. It becomes a text only when there is something to tell.
#[derive(Clone, Copy)]
enum Place<'a> {
    Whole,
    Member(&'a Place<'a>, &'a str),
    Element(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn pointer(self) -> String {
        match self {
            Self::Whole => String::new(),
            Self::Member(parent, key) => Violation::at_member(&parent.pointer(), key, "").pointer,
            Self::Element(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

/// Reads the value at a place.
struct Reader<'a> {
    at: Place<'a>,
    repeated: &'a mut Vec<Violation>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let Self { at, repeated } = self;
        let mut elements = Vec::new();
        loop {
            let element = Reader { at: Place::Element(&at, elements.len()), repeated: &mut *repeated };
            match sequence.next_element_seed(element)? {
                Some(element) => elements.push(element),
                None => return Ok(Value::Array(elements)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let Self { at, repeated } = self;
        let (mut members, mut told) = (Map::new(), BTreeSet::new());
        while let Some(key) = object.next_key::<String>()? {
            let place = Place::Member(&at, &key);
            if members.contains_key(&key) && repeated.len() < MAX_TOLD && told.insert(key.clone()) {
                repeated.push(Violation::new(place.pointer(), "is there more than once"));
            }
            let value = object.next_value_seed(Reader { at: place, repeated: &mut *repeated })?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn repeated(text: &str) -> Vec<String> {
        read(text.as_bytes()).unwrap().1.into_iter().map(|violation| violation.pointer).collect()
    }

    #[test]
    fn members_that_are_there_twice_are_told_at_every_depth() {
        assert_eq!(repeated(r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}"#), Vec::<String>::new());
        assert_eq!(repeated(r#"{"a":1,"b":2,"a":1,"a":1}"#), ["/a"]);
        assert_eq!(repeated(r#"{"a":{"x/y":[0,{"":1,"":2}]},"a":{"~":1,"~":2}}"#), ["/a/x~1y/1/", "/a", "/a/~0"]);
        assert_eq!(repeated(r#"{"userId":1,"user\u0049d":2}"#), ["/userId"], "however it is spelt");
    }

    #[test]
    fn a_refusal_is_not_larger_than_what_is_refused() {
        let (key, members) = ("k".repeat(10_000), (0..500).map(|n| format!(r#""{n}":0,"{n}":1"#)).collect::<Vec<_>>());
        assert_eq!(repeated(&format!(r#"{{"{key}":{{{}}}}}"#, members.join(","))).len(), MAX_TOLD);
    }

    #[test]
    fn values_are_what_they_are_for_others() {
        let text = r#" {"n":null,"b":[true,false],"i":-9223372036854775808,"u":18446744073709551615,"f":5e-324,"z":-0.0,
            "s":"\ud83c\udf89\n","o":{"":{}},"$serde_json::private::RawValue":"1"} "#;
        let (value, _) = read(text.as_bytes()).unwrap();
        assert_eq!(value["$serde_json::private::RawValue"], json!("1"));
        let plain = text.replace(r#","$serde_json::private::RawValue":"1""#, "");
        assert_eq!(read(plain.as_bytes()).unwrap().0, serde_json::from_str::<Value>(&plain).unwrap());
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in ["", "{", "{}{}", "{} x", "[1,]", r#"{"a":}"#, "1e999", r#""\ud800""#, "nul", &deep] {
            let ours = read(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(ours, serde_json::from_str::<Value>(text).unwrap_err().to_string(), "{text}");
        }
    }
}
