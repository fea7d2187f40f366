//! Texts with `{placeholders}`, as policies and limits use them.

use std::borrow::Cow;

/// A text with `{placeholders}`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Box<[Part]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Placeholder(Box<str>),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A brace without its partner.
    #[error("has a brace without its partner")]
    Unbalanced,
    /// Not a name between the braces.
    #[error("`{{{0}}}` is not a placeholder: letters, digits and _ within braces")]
    Name(String),
}

impl Template {
    /// Splits `text` at its placeholders.
    ///
    /// # Errors
    /// When braces do not pair, or hold something else than a name.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(InvalidTemplate::Unbalanced)?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(InvalidTemplate::Name(name.to_owned()));
            }
            parts.push(literal(before)?);
            parts.push(Part::Placeholder(name.into()));
            rest = after;
        }
        parts.push(literal(rest)?);
        Ok(Self(parts.into()))
    }

    /// The names within braces, in the order in which they are written.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// Whether it is this placeholder and nothing else.
    #[must_use]
    pub fn is_only(&self, placeholder: &str) -> bool {
        let text = |part: &&Part| **part != Part::Text("".into());
        let mut parts = self.0.iter().filter(text);
        parts.next() == Some(&Part::Placeholder(placeholder.into())) && parts.next().is_none()
    }

    /// The text with each placeholder replaced by its value.
    ///
    /// # Errors
    /// The name of the first placeholder that `values` lacks.
    pub fn fill(&self, values: &[(&str, &str)]) -> Result<Cow<'_, str>, &str> {
        if let [Part::Text(text)] = &*self.0 {
            return Ok(Cow::Borrowed(text));
        }
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let mut filled = String::new();
        for part in &self.0 {
            filled.push_str(match part {
                Part::Text(text) => text,
                Part::Placeholder(name) => value(name).ok_or(&**name)?,
            });
        }
        Ok(Cow::Owned(filled))
    }
}

fn literal(text: &str) -> Result<Part, InvalidTemplate> {
    if text.contains('}') { Err(InvalidTemplate::Unbalanced) } else { Ok(Part::Text(text.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_a_missing_one_is_named() {
        let template = Template::parse("{tenant}/u-{user}").unwrap();
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["tenant", "user"]);
        assert_eq!(template.fill(&[("user", "1"), ("tenant", "t")]).unwrap(), "t/u-1");
        assert_eq!(template.fill(&[("tenant", "t")]), Err("user"));
        assert_eq!(Template::parse("plain").unwrap().fill(&[]).unwrap(), "plain");
    }

    #[test]
    fn a_value_is_never_parsed_as_a_template() {
        let template = Template::parse("{a}").unwrap();
        assert_eq!(template.fill(&[("a", "{b}"), ("b", "x")]).unwrap(), "{b}");
    }

    #[test]
    fn braces_must_pair_and_hold_a_name() {
        for text in ["{", "}", "{a", "a}", "{a}}", "{a{b}}", "{}", "{a b}", "{a.b}"] {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
    }
}
