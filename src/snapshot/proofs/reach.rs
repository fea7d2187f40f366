//! When what a rule sends goes to a channel that an invariant names, by the values of the placeholders.

use serde_json::Value;

use super::invariants::Target;
use crate::config::Operator;
use crate::notification::{Segment, TypeName};
use crate::routing::{Field, Matcher, Meeting, Route, Template, integer_of};
use crate::snapshot::Snapshot;
use crate::snapshot::evaluate::DEAD_LETTER;

/// When routes go to a target, of the notifications that they are taken for.
#[derive(Debug)]
pub(super) struct Reach {
    /// True of all that go there.
    pub(super) may: Matcher,
    /// True of none that does not, unless it is refused.
    pub(super) surely: Matcher,
}

impl Reach {
    /// Of all routes of a rule.
    pub(super) fn of_routes(routes: &[Route], target: &Target, type_name: &TypeName) -> Self {
        let each: Vec<Self> = routes
            .iter()
            .map(|route| match target {
                Target::Declared(name) => Self::wherever(Matcher::Always(route.channel.name == *name)),
                Target::Named(template) => Self::of_template(&route.template, template),
            })
            .collect();
        let any = |part: fn(&Self) -> &Matcher| Matcher::any(each.iter().map(|reach| part(reach).clone()));
        Self { may: any(|reach| &reach.may), surely: any(|reach| &reach.surely) }.for_type(type_name)
    }

    /// Of the channel of what no rule matches.
    pub(super) fn of_dead_letter(snapshot: &Snapshot, target: &Target, type_name: &TypeName) -> Self {
        match (target, DEAD_LETTER.parse(), Template::parse(DEAD_LETTER)) {
            (Target::Declared(name), Ok(channel), _) => {
                let found = snapshot.channels.find(&channel);
                Self::wherever(Matcher::Always(found.is_some_and(|(spec, _)| spec.name == *name)))
            }
            (Target::Named(template), _, Ok(letter)) => Self::of_template(&letter, template).for_type(type_name),
            _ => Self::wherever(Matcher::Always(false)),
        }
    }

    fn of_template(sent: &Template, named: &Template) -> Self {
        let Some(meetings) = sent.meets(named) else { return Self::wherever(Matcher::Always(false)) };
        let (mut may, mut surely) = (Vec::new(), Vec::new());
        for meeting in meetings {
            let (wide, narrow) = match meeting {
                // A number such as `7.0` is equal to the integer and fills nothing: what is sent is refused then.
                Meeting::Mine(path, text) => (filled(path, text), filled(path, text)),
                // But what the invariant names is no channel then, and that refuses nothing.
                Meeting::Theirs(path, text) => (filled(path, text), is_one_of(path, vec![text.as_str().into()])),
                Meeting::Both => (None, None),
            };
            may.extend(wide);
            surely.push(narrow.unwrap_or(Matcher::Always(false)));
        }
        Self { may: Matcher::all(may.into_iter()), surely: Matcher::all(surely.into_iter()) }
    }

    fn wherever(matcher: Matcher) -> Self {
        Self { may: matcher.clone(), surely: matcher }
    }

    fn for_type(self, type_name: &TypeName) -> Self {
        let [may, surely] = [self.may, self.surely].map(|matcher| matcher.for_type(type_name.as_str()));
        Self { may, surely }
    }
}

/// That what is at a path may fill this text.
fn filled(path: &[Box<str>], text: &Segment) -> Option<Matcher> {
    is_one_of(path, std::iter::once(text.as_str().into()).chain(integer_of(text).map(Value::Number)).collect())
}

fn is_one_of(path: &[Box<str>], values: Vec<Value>) -> Option<Matcher> {
    Field::compile(&path.join("."), Operator::In, &values.into()).ok().map(Matcher::from)
}
