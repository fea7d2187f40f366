//! One entry of a policy's `allow`, and what it finds missing in a principal.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use super::{Principal, Proof, Template};
use crate::notification::Name;

/// Whom one entry of `allow` admits.
#[derive(Debug, PartialEq)]
pub(super) enum Grant {
    /// Also without a credential.
    Anyone,
    /// The holder of one API key.
    Key(Name),
    /// Holders of tokens with a claim.
    Claim(ClaimGrant),
}

/// What a claim must be like.
#[derive(Debug, PartialEq)]
pub(super) struct ClaimGrant {
    pub(super) path: String,
    pub(super) test: Test,
    /// Only tokens of this issuer.
    pub(super) issuer: Option<Name>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Test {
    Equals(Template),
    Contains(Template),
    In(Vec<Template>),
}

/// Why an entry does not admit a principal. Names what was asked for, never what the principal's claims hold.
#[derive(Debug, PartialEq)]
pub(super) enum Missing<'a> {
    Key(&'a Name),
    Token { claim: &'a str },
    Issuer(&'a Name),
    Claim(&'a str),
    Capture { claim: &'a str, placeholder: &'a str },
    Equal { claim: &'a str, text: Cow<'a, str> },
    Element { claim: &'a str, text: Cow<'a, str> },
    OneOf { claim: &'a str, texts: Vec<Cow<'a, str>> },
}

impl Grant {
    /// Whether this entry admits `principal`, and if not, why.
    pub(super) fn check<'a>(&'a self, principal: &Principal, captures: &[(&str, &str)]) -> Result<(), Missing<'a>> {
        match (self, &principal.proof) {
            (Self::Anyone, _) => Ok(()),
            (Self::Key(wanted), Proof::Key(name)) if name == wanted => Ok(()),
            (Self::Key(wanted), _) => Err(Missing::Key(wanted)),
            (Self::Claim(grant), Proof::Token { issuer, claims }) => grant.check(issuer, claims, captures),
            (Self::Claim(grant), _) => Err(Missing::Token { claim: &grant.path }),
        }
    }

    /// Whether it asks that a claim equal this placeholder and nothing else.
    pub(super) fn is_own(&self, placeholder: &str) -> bool {
        matches!(self, Self::Claim(ClaimGrant { test: Test::Equals(text), .. }) if text.is_only(placeholder))
    }

    /// The value that the placeholder must have for the entry to admit `principal`, if one claim says so.
    pub(super) fn own_value(&self, principal: &Principal, placeholder: &str) -> Option<String> {
        let (Self::Claim(grant), Proof::Token { issuer, claims }) = (self, &principal.proof) else { return None };
        if !self.is_own(placeholder) || grant.issuer.as_ref().is_some_and(|wanted| wanted != issuer) {
            return None;
        }
        match claim_at(claims, &grant.path)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            _ => None,
        }
    }

    /// Every text that may hold placeholders.
    pub(super) fn templates(&self) -> &[Template] {
        match self {
            Self::Claim(ClaimGrant { test: Test::Equals(text) | Test::Contains(text), .. }) => {
                std::slice::from_ref(text)
            }
            Self::Claim(ClaimGrant { test: Test::In(texts), .. }) => texts,
            Self::Anyone | Self::Key(_) => &[],
        }
    }
}

impl ClaimGrant {
    fn check(&self, issuer: &Name, claims: &Map<String, Value>, captures: &[(&str, &str)]) -> Result<(), Missing<'_>> {
        if let Some(wanted) = self.issuer.as_ref().filter(|wanted| *wanted != issuer) {
            return Err(Missing::Issuer(wanted));
        }
        let claim = self.path.as_str();
        let value = claim_at(claims, claim).ok_or(Missing::Claim(claim))?;
        match &self.test {
            Test::Equals(text) => {
                let text = self.fill(text, captures)?;
                if equals(value, &text) { Ok(()) } else { Err(Missing::Equal { claim, text }) }
            }
            Test::Contains(text) => {
                let text = self.fill(text, captures)?;
                if contains(value, &text) { Ok(()) } else { Err(Missing::Element { claim, text }) }
            }
            Test::In(texts) => {
                let texts = texts.iter().map(|text| self.fill(text, captures)).collect::<Result<Vec<_>, _>>()?;
                if texts.iter().any(|text| equals(value, text)) { Ok(()) } else { Err(Missing::OneOf { claim, texts }) }
            }
        }
    }

    /// Without a value for each placeholder nothing matches, whatever else the test lists.
    fn fill<'a>(&'a self, text: &'a Template, captures: &[(&str, &str)]) -> Result<Cow<'a, str>, Missing<'a>> {
        text.fill(captures).map_err(|placeholder| Missing::Capture { claim: &self.path, placeholder })
    }
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "not the API key `{name}`"),
            Self::Token { claim } => write!(f, "no token with a claim `{claim}`"),
            Self::Issuer(name) => write!(f, "not a token of issuer `{name}`"),
            Self::Claim(claim) => write!(f, "no claim `{claim}`"),
            Self::Capture { claim, placeholder } => {
                write!(f, "no `{{{placeholder}}}` here to compare claim `{claim}` with")
            }
            Self::Equal { claim, text } => write!(f, "claim `{claim}` is not `{text}`"),
            Self::Element { claim, text } => write!(f, "claim `{claim}` does not contain `{text}`"),
            Self::OneOf { claim, texts } => write!(f, "claim `{claim}` is none of `{}`", texts.join("`, `")),
        }
    }
}

/// The claim at a dotted path. A claim of exactly that name comes first, because providers name their own claims
/// by URL, dots included.
fn claim_at<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let nested = || {
        let (first, rest) = path.split_once('.')?;
        claim_at(claims.get(first)?.as_object()?, rest)
    };
    claims.get(path).or_else(nested)
}

/// Whether a scalar is written as `text`. Floats have no one way to be written, so they equal nothing.
fn equals(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string == text,
        Value::Bool(bool) => text == if *bool { "true" } else { "false" },
        Value::Number(number) if !number.is_f64() => number.to_string() == text,
        _ => false,
    }
}

/// Whether an array has `text` as an element, or a string has it as a word, as `scope` does (RFC 8693, section 4.2).
fn contains(value: &Value, text: &str) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| equals(element, text)),
        Value::String(words) => words.split_ascii_whitespace().any(|word| word == text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn equality_is_of_scalars() {
        for (value, text) in [(json!("a"), "a"), (json!(7), "7"), (json!(-7), "-7"), (json!(true), "true")] {
            assert!(equals(&value, text), "{value}");
        }
        for (value, text) in [
            (json!("a"), "A"),
            (json!("a "), "a"),
            (json!(7.0), "7"),
            (json!(null), "null"),
            (json!(["a"]), "a"),
            (json!({"a": 1}), "a"),
            (json!(7), "07"),
        ] {
            assert!(!equals(&value, text), "{value}");
        }
    }

    #[test]
    fn containing_is_of_elements_and_words() {
        for value in [json!(["t1", "t2"]), json!("t1 t2"), json!("  t2"), json!(["t2"])] {
            assert!(contains(&value, "t2"), "{value}");
        }
        for value in
            [json!(["t22"]), json!("t22"), json!(["t1 t2"]), json!([["t2"]]), json!({"t2": true}), json!("t1,t2")]
        {
            assert!(!contains(&value, "t2"), "{value}");
        }
        assert!(!contains(&json!("a  b"), ""));
    }

    #[test]
    fn a_path_descends_after_the_whole_name_was_tried() {
        let claims = claims(json!({"a": {"b": {"c": 1}, "b.c": 2}, "https://x.example/roles": 3, "s": "text"}));
        assert_eq!(claim_at(&claims, "a.b.c"), Some(&json!(2)));
        assert_eq!(claim_at(&claims, "a.b"), Some(&json!({"c": 1})));
        assert_eq!(claim_at(&claims, "https://x.example/roles"), Some(&json!(3)));
        for absent in ["b", "a.c", "s.t", "a.b.c.d", ""] {
            assert_eq!(claim_at(&claims, absent), None, "{absent:?}");
        }
    }

    proptest! {
        #[test]
        fn no_strict_substring_is_contained(
            text in "[a-z0-9]{1,8}", before in "[a-z0-9]{0,4}", after in "[a-z0-9]{0,4}",
        ) {
            prop_assume!(!before.is_empty() || !after.is_empty());
            let longer = format!("{before}{text}{after}");
            prop_assert!(!contains(&json!(longer), &text));
            prop_assert!(!contains(&json!([longer]), &text));
            let sentence = format!("x{text} {longer} {text}x");
            prop_assert!(!contains(&json!(sentence), &text));
            let with_word = format!("{longer} {text}");
            prop_assert!(contains(&json!(with_word), &text));
        }
    }
}
