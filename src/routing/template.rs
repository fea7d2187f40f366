//! Channel names with placeholders: patterns that declare channels, templates that rules send to.
//!
//! A placeholder fills exactly one [`Segment`], whose alphabet has no dot, so no value can make a rule reach a
//! channel that its author did not write.

use std::fmt;

use serde_json::{Number, Value};
use smallvec::SmallVec;

use super::Captures;
use crate::notification::{ChannelName, InvalidName, MAX_SEGMENTS, Notification, Segment};

/// One segment as written: a literal, or what stands between braces.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<P> {
    Literal(Segment),
    Placeholder(P),
}

/// Splits at the dots outside braces: a template's placeholder is a path and has dots of its own.
fn parse_parts(text: &str) -> Result<Vec<Part<&str>>, InvalidName> {
    let mut parts = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let fault = || InvalidName::Segment(text.to_owned());
        let (part, after) = if let Some(inner) = text.strip_prefix('{') {
            let (inner, after) = inner.split_once('}').ok_or_else(fault)?;
            (Part::Placeholder(inner), after)
        } else {
            let (literal, after) = text.split_at(text.find('.').unwrap_or(text.len()));
            (Part::Literal(literal.parse()?), after)
        };
        parts.push(part);
        rest = if after.is_empty() { None } else { Some(after.strip_prefix('.').ok_or_else(fault)?) };
    }
    if parts.len() > MAX_SEGMENTS { Err(InvalidName::TooManySegments) } else { Ok(parts) }
}

/// A declared channel's pattern, such as `user.{user}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Box<[Part<Box<str>>]>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidName`] for a literal outside the alphabet, or a placeholder that is no simple name.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let named = |part: Part<&str>| match part {
            Part::Literal(segment) => Ok(Part::Literal(segment)),
            Part::Placeholder(name) => name.parse::<Segment>().map(|_| Part::Placeholder(name.into())),
        };
        Ok(Self { parts: parse_parts(text)?.into_iter().map(named).collect::<Result<_, _>>()? })
    }

    /// The placeholders' names, left to right.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Placeholder(name) => Some(&**name),
        })
    }

    /// What the placeholders stand for in `channel`, if it fits.
    #[must_use]
    pub fn captures<'a>(&'a self, channel: &'a ChannelName) -> Option<Captures<'a>> {
        let mut captures = SmallVec::new();
        let mut segments = channel.segments();
        for part in &self.parts {
            let segment = segments.next()?;
            match part {
                Part::Literal(literal) if literal.as_str() != segment => return None,
                Part::Literal(_) => {}
                Part::Placeholder(name) => captures.push((&**name, segment)),
            }
        }
        segments.next().is_none().then_some(captures)
    }

    /// The channel that it names with `value` in each placeholder; none when a value is missing or no segment.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Option<ChannelName> {
        let segments = self.parts.iter().map(|part| match part {
            Part::Literal(segment) => Some(segment.as_str().to_owned()),
            Part::Placeholder(name) => value(name).filter(|value| value.parse::<Segment>().is_ok()),
        });
        segments.collect::<Option<Vec<_>>>()?.join(".").parse().ok()
    }

    /// Whether one channel name could fit both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.parts, &other.parts)
    }
}

/// Whether placeholders can be filled so that both are the same.
fn overlap<P>(mine: &[Part<P>], theirs: &[Part<P>]) -> bool {
    mine.len() == theirs.len()
        && mine.iter().zip(theirs).all(|pair| match pair {
            (Part::Literal(mine), Part::Literal(theirs)) => mine == theirs,
            _ => true,
        })
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match part {
                Part::Literal(segment) => write!(f, "{dot}{}", segment.as_str())?,
                Part::Placeholder(name) => write!(f, "{dot}{{{name}}}")?,
            }
        }
        Ok(())
    }
}

/// A rule's target, such as `team.{data.seller_team_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part<Path>]>,
}

/// A dotted path, split once.
type Path = Box<[Box<str>]>;

/// What a segment asks for two templates to be filled to one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting<'a> {
    /// That what the first has at a path fills this text.
    Mine(&'a [Box<str>], &'a Segment),
    /// That what the second has at a path does.
    Theirs(&'a [Box<str>], &'a Segment),
    /// That what is at two paths fills the same text.
    Both,
}

/// A value cannot fill the segment that a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{placeholder}` {fault}")]
pub struct BadSegment {
    /// The placeholder's path.
    pub placeholder: String,
    /// What is wrong with the value.
    pub fault: String,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`InvalidName`] for a literal outside the alphabet or an unclosed brace.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let split = |part: Part<&str>| match part {
            Part::Literal(segment) => Part::Literal(segment),
            Part::Placeholder(path) => Part::Placeholder(path.split('.').map(Box::from).collect()),
        };
        Ok(Self { parts: parse_parts(text)?.into_iter().map(split).collect() })
    }

    /// The placeholders' paths, left to right.
    pub fn placeholders(&self) -> impl Iterator<Item = &[Box<str>]> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Placeholder(path) => Some(&**path),
        })
    }

    /// Whether everything it can be filled to is a channel of `pattern`: the same number of segments, literals
    /// where the pattern has them, and placeholders only where the pattern has one.
    #[must_use]
    pub fn fits(&self, pattern: &Pattern) -> bool {
        self.parts.len() == pattern.parts.len()
            && self.parts.iter().zip(&pattern.parts).all(|pair| match pair {
                (Part::Literal(mine), Part::Literal(theirs)) => mine == theirs,
                (Part::Placeholder(_), Part::Literal(_)) => false,
                (_, Part::Placeholder(_)) => true,
            })
    }

    /// What must be so for both to be filled to one channel; none if they never are.
    #[must_use]
    pub fn meets<'a>(&'a self, other: &'a Self) -> Option<Vec<Meeting<'a>>> {
        overlap(&self.parts, &other.parts).then(|| {
            let pairs = self.parts.iter().zip(&other.parts);
            let meeting = |(mine, theirs): (&'a Part<Path>, &'a Part<Path>)| match (mine, theirs) {
                (Part::Placeholder(path), Part::Literal(text)) => Some(Meeting::Mine(path, text)),
                (Part::Literal(text), Part::Placeholder(path)) => Some(Meeting::Theirs(path, text)),
                (Part::Placeholder(mine), Part::Placeholder(theirs)) if mine != theirs => Some(Meeting::Both),
                _ => None,
            };
            pairs.filter_map(meeting).collect()
        })
    }

    /// The channel that it names for `notification`.
    ///
    /// # Errors
    /// [`BadSegment`] when a value is missing, no scalar, or not one segment.
    pub fn fill(&self, notification: &Notification) -> Result<ChannelName, BadSegment> {
        let mut name = String::new();
        for part in &self.parts {
            if !name.is_empty() {
                name.push('.');
            }
            match part {
                Part::Literal(segment) => name.push_str(segment.as_str()),
                Part::Placeholder(path) => push_value(&mut name, path, notification)?,
            }
        }
        let bad = |error: InvalidName| BadSegment { placeholder: name.clone(), fault: error.to_string() };
        name.parse().map_err(bad)
    }
}

fn push_value(name: &mut String, path: &Path, notification: &Notification) -> Result<(), BadSegment> {
    let bad = |fault: &str| BadSegment { placeholder: path.join("."), fault: fault.to_owned() };
    let text = match notification.lookup(path) {
        None => return Err(bad("is missing")),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
        Some(_) => return Err(bad("is neither a string nor an integer")),
    };
    // The value itself is not echoed: it may be personal, and the producer knows it.
    text.parse::<Segment>().map_err(|_| bad("is not one segment: 1 to 64 of A-Z a-z 0-9 _ -"))?;
    name.push_str(&text);
    Ok(())
}

/// The integer that fills a placeholder with this text, if there is one.
#[must_use]
pub fn integer_of(text: &Segment) -> Option<Number> {
    let text = text.as_str();
    let number = text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from)).ok()?;
    // `007` is the text of no integer.
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::notification::Draft;

    fn order(team: Value) -> Notification {
        let body = json!({"type": "order.updated", "userId": "c7", "data": {"team": team}});
        Notification::accept(Draft::from_value(body).unwrap(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_pattern_captures_what_its_placeholders_stand_for() {
        let pattern = Pattern::parse("team.{team}.{room}").unwrap();
        let channel = "team.t2.lobby".parse().unwrap();
        assert_eq!(pattern.captures(&channel).unwrap().to_vec(), [("team", "t2"), ("room", "lobby")]);
        for other in ["team.t2", "team.t2.lobby.x", "user.t2.lobby"] {
            assert!(pattern.captures(&other.parse().unwrap()).is_none(), "{other}");
        }
    }

    #[test]
    fn a_value_fills_exactly_one_segment() {
        let template = Template::parse("team.{data.team}").unwrap();
        assert_eq!(template.fill(&order(json!("t2"))).unwrap().as_str(), "team.t2");
        assert_eq!(template.fill(&order(json!(7))).unwrap().as_str(), "team.7");
        for value in
            [json!("a.b"), json!("*"), json!(""), json!("{x}"), json!("é"), json!(1.5), json!(null), json!(["t2"])]
        {
            assert!(template.fill(&order(value.clone())).is_err(), "{value}");
        }
    }

    #[test]
    fn the_integer_of_a_text_fills_it() {
        let template = Template::parse("team.{data.team}").unwrap();
        for text in ["7", "0", "-7", "18446744073709551615", "-9223372036854775808"] {
            let integer = integer_of(&text.parse().unwrap()).unwrap();
            assert_eq!(template.fill(&order(integer.into())).unwrap().as_str(), format!("team.{text}"));
        }
        for text in ["007", "-0", "7a", "18446744073709551616", "1e3", "_7"] {
            assert_eq!(integer_of(&text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_template_fits_where_every_filling_is_of_the_pattern() {
        let fits =
            |template: &str, pattern: &str| Template::parse(template).unwrap().fits(&Pattern::parse(pattern).unwrap());
        assert!(fits("user.{userId}", "user.{user}"));
        assert!(fits("user.admin", "user.{user}"));
        assert!(!fits("{data.kind}.42", "user.{user}"), "a value must not choose the literal");
        assert!(!fits("user.{userId}.x", "user.{user}"));
    }

    #[test]
    fn braces_must_close_and_fill_a_whole_segment() {
        for text in ["user.{", "user.{a}b", "user.a{b}", "user.{a}{b}", "user..x", "", "{a.b"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse("user.{a.b}").is_err(), "a pattern's placeholder is a name, not a path");
    }
}
