//! What was published, by what subscribers could have heard of it.

use std::collections::{HashMap, HashSet};

use fanfare::stream::{Lane, Position};

use super::{Heard, Outcome, Published, Rule, Violation};

type StreamName<'a> = (&'a str, Lane);

/// The publishes of a run.
pub(super) struct Issued<'a> {
    at: HashMap<(StreamName<'a>, Position), u64>,
    /// Those without a known position, by what they carry.
    unknown: HashSet<(StreamName<'a>, u64)>,
    failed: HashSet<(StreamName<'a>, u64)>,
    /// Every channel that a payload was meant for.
    channels: HashMap<u64, HashSet<&'a str>>,
}

impl<'a> Issued<'a> {
    pub(super) fn new(published: &'a [Published], violations: &mut Vec<Violation>) -> Self {
        let mut issued =
            Self { at: HashMap::new(), unknown: HashSet::new(), failed: HashSet::new(), channels: HashMap::new() };
        for Published { channel, lane, payload, outcome } in published {
            let stream = (&**channel, *lane);
            issued.channels.entry(*payload).or_default().insert(channel);
            match outcome {
                Outcome::Ok(position) => {
                    if issued.at.insert((stream, *position), *payload).is_some() {
                        let what =
                            format!("`{channel}` {lane} at {position}: two publishes were told that they are it");
                        violations.push(Violation::new(Rule::IssuedTwice, what));
                    }
                }
                Outcome::Unknown => drop(issued.unknown.insert((stream, *payload))),
                Outcome::Fail => drop(issued.failed.insert((stream, *payload))),
            }
        }
        issued
    }

    /// What is wrong with a notification that carries `payload`, as such.
    pub(super) fn judge(&self, heard: &Heard, payload: u64) -> Option<Violation> {
        let stream = (&*heard.channel, heard.lane);
        let there = self.at.get(&(stream, heard.position));
        if there == Some(&payload) || (there.is_none() && self.unknown.contains(&(stream, payload))) {
            return None;
        }
        let (rule, why) = if self.failed.contains(&(stream, payload)) {
            (Rule::DeliveredFailed, "its publish was refused")
        } else if self.channels.get(&payload).is_some_and(|channels| !channels.contains(stream.0)) {
            (Rule::Crossed, "it was published to another channel")
        } else if there.is_some() {
            (Rule::Altered, "something else was published there")
        } else {
            (Rule::NotIssued, "nobody published it there")
        };
        Some(Violation::heard(rule, heard, why))
    }
}
