//! What was published, by what subscribers could have heard of it.

use std::collections::{HashMap, HashSet};

use fanfare::stream::{Lane, Position};

use super::{Fates, Heard, Outcome, Published, Rule, Run, Violation};

type StreamName<'a> = (&'a str, Lane);

/// The publishes of a run.
pub(super) struct Issued<'a> {
    fates: &'a Fates,
    at: HashMap<(StreamName<'a>, Position), u64>,
    /// Those without a known position, by what they carry.
    unknown: HashSet<(StreamName<'a>, u64)>,
    failed: HashSet<(StreamName<'a>, u64)>,
    /// Every channel that a payload was meant for.
    channels: HashMap<u64, HashSet<&'a str>>,
}

impl<'a> Issued<'a> {
    pub(super) fn new(run: &'a Run, violations: &mut Vec<Violation>) -> Self {
        let fates = &run.fates;
        let (at, unknown, failed, channels) = Default::default();
        let mut issued = Self { fates, at, unknown, failed, channels };
        for Published { channel, lane, payload, outcome } in &run.published {
            let stream = (&**channel, *lane);
            issued.channels.entry(*payload).or_default().insert(channel);
            match outcome {
                Outcome::Ok(position) => {
                    if issued.at.insert((stream, fates.stored_as(channel, *lane, *position)), *payload).is_some() {
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
        let there = self.at.get(&(stream, self.fates.stored_as(&heard.channel, heard.lane, heard.position)));
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
