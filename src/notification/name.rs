//! Names as parsed types: what is a `ChannelName` has been checked, and stays within its alphabet.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Most segments in a channel's name.
pub const MAX_SEGMENTS: usize = 8;
/// Most bytes in a segment and in a declared name.
const MAX_SEGMENT: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Empty, too long, or a character outside the alphabet.
    #[error("`{}` is not a segment: 1 to 64 of A-Z a-z 0-9 _ -", .0.escape_debug())]
    Segment(String),
    /// More than [`MAX_SEGMENTS`].
    #[error("has more than {MAX_SEGMENTS} segments")]
    TooManySegments,
    /// Not a name that a configuration may declare.
    #[error("`{}` is not a name: 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit", .0.escape_debug())]
    Declared(String),
}

/// One part of a channel's name: `[A-Za-z0-9_-]{1,64}`.
///
/// The alphabet has no `.`, so a value that fills a placeholder can never reach into the next segment, and none
/// of the characters that Redis patterns, SSE ids or log lines give a meaning to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment(Box<str>);

impl Segment {
    /// The text of the segment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<(), InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=MAX_SEGMENT).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(());
        }
        Err(InvalidName::Segment(text.chars().take(MAX_SEGMENT).collect()))
    }
}

impl FromStr for Segment {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

/// A destination such as `user.42`: segments joined by dots. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, left to right.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl FromStr for ChannelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.split('.').nth(MAX_SEGMENTS).is_some() {
            return Err(InvalidName::TooManySegments);
        }
        text.split('.').try_for_each(Segment::check)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A name that the configuration declares for a rule, policy, limit, window, plugin, channel, issuer or key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if starts && text.len() <= MAX_SEGMENT && text.bytes().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(InvalidName::Declared(text.chars().take(MAX_SEGMENT).collect()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The `type` of a notification: the [`Name`] of a declared type.
pub type TypeName = Name;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_segments_joined_by_dots() {
        let name: ChannelName = "user.42".parse().unwrap();
        assert_eq!(name.segments().collect::<Vec<_>>(), ["user", "42"]);
    }

    #[test]
    fn nothing_outside_the_alphabet_is_a_channel() {
        for text in [
            "",
            ".",
            "user.",
            "user..a",
            "user.*",
            "user.a/b",
            "user.{x}",
            "user.é",
            "user.a b",
            "user.\n",
            "a.b.c.d.e.f.g.h.i",
        ] {
            assert!(text.parse::<ChannelName>().is_err(), "{text:?}");
        }
        assert!("x".repeat(65).parse::<Segment>().is_err());
    }

    #[test]
    fn declared_names_are_lower_case() {
        assert!("order.updated".parse::<Name>().is_ok());
        for text in ["", "Order", "-x", ".x", "a b", "é"] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }
}
