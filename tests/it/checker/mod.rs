//! Judges what subscribers heard by what publishers were told, in the manner of Jepsen: it knows nothing of how the
//! two logs were made, so simulations, sockets and chaos are judged alike.
//!
//! What is heard must have been published, unaltered, to that channel, by a publish that was not refused, and to
//! somebody who may hear it; in order and without holes, but for those that a `gap`, `reset` or `lag` told of; at most
//! once a connection and under one number; and the same for everybody. What a broker has undone is told to whoever had
//! come so far, and to nobody else. And a run in which nothing happened proves nothing.

mod fates;
mod generator;
mod issued;
mod stream;
mod tally;
mod tests;
mod violation;

pub(crate) use fates::Fates;
pub(crate) use tally::{Claims, Tally};
pub(crate) use violation::{Rule, Violation};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use fanfare::stream::{Lane, Position};

use self::issued::Issued;
use self::stream::Stream;

/// The logs of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// In any order.
    pub(crate) published: Vec<Published>,
    /// In the order in which each connection heard it; connections may be mixed.
    pub(crate) heard: Vec<Heard>,
    /// The channels that each principal may hear.
    pub(crate) grants: BTreeMap<String, BTreeSet<String>>,
    /// How often each kind of fault was injected.
    pub(crate) faults: BTreeMap<&'static str, usize>,
    pub(crate) epochs: Epochs,
    /// How epochs ended, where a broker may undo what it had acknowledged.
    pub(crate) fates: Fates,
}

/// What a broker promises when an epoch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Epochs {
    /// Its records are gone, and every reader is told.
    #[default]
    End,
    /// The next epoch goes on counting where the last survivor stood: readers who had no more need not be told.
    Continue,
}

/// A message as its publisher knows it: one for each channel that a notification was routed to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Published {
    pub(crate) channel: Arc<str>,
    pub(crate) lane: Lane,
    /// See [`payload`]; no two publishes have the same.
    pub(crate) payload: u64,
    pub(crate) outcome: Outcome,
}

/// What its publisher was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok(Position),
    /// It was refused: nobody may hear it.
    Fail,
    /// It may have been stored, anywhere in its stream.
    Unknown,
}

/// One thing that a connection heard of one stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    pub(crate) connection: usize,
    pub(crate) principal: Arc<str>,
    pub(crate) channel: Arc<str>,
    pub(crate) lane: Lane,
    /// Where a client that comes back would go on after it.
    pub(crate) position: Position,
    pub(crate) kind: Kind,
}

/// What it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The connection begins, and was told so.
    Opened,
    /// The connection goes on at the position that the client named.
    Resumed,
    /// A notification.
    Live { payload: u64 },
    /// The numbers from `from` to `to` are lost.
    Gap { from: u64, to: u64 },
    /// An unknown number is lost.
    Reset,
    /// As many were skipped because the reader was slow.
    Lag { skipped: u64 },
    /// Everything up to the position counts as heard: a cursor says so, or the run has ended and it was published.
    Stands,
}

/// The fingerprint of a payload.
pub(crate) fn payload(content: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// Everything that is wrong with a run.
pub(crate) fn check(run: &Run) -> Vec<Violation> {
    let mut violations = Vec::new();
    let issued = Issued::new(run, &mut violations);
    let mut streams: HashMap<(usize, &str, Lane), Stream<'_>> = HashMap::new();
    let mut agreed: HashMap<(&str, Lane, Position), u64> = HashMap::new();
    let mut copies: HashMap<(&str, Lane, u64), Position> = HashMap::new();
    for heard in &run.heard {
        if !run.grants.get(&*heard.principal).is_some_and(|channels| channels.contains(&*heard.channel)) {
            violations.push(Violation::heard(Rule::NotGranted, heard, format!("{} may not", heard.principal)));
        }
        if let Kind::Live { payload } = heard.kind {
            violations.extend(issued.judge(heard, payload));
            let stored_as = run.fates.stored_as(&heard.channel, heard.lane, heard.position);
            let first = *agreed.entry((&heard.channel, heard.lane, stored_as)).or_insert(payload);
            if first != payload {
                violations.push(Violation::heard(Rule::Disagreement, heard, "others heard something else there"));
            }
            let copy = copies.entry((&heard.channel, heard.lane, payload)).or_insert(stored_as);
            let is_undone = |at| run.fates.undone(&heard.channel, heard.lane, at) == Some(true);
            if *copy != stored_as && is_undone(*copy) {
                *copy = stored_as;
            } else if *copy != stored_as && !is_undone(stored_as) {
                violations.push(Violation::heard(Rule::Copied, heard, format!("it is at {copy} as well")));
            }
        }
        let stream = (heard.connection, &*heard.channel, heard.lane);
        let stream = streams.entry(stream).or_insert_with(|| Stream::new(run, heard));
        violations.extend(stream.hear(heard));
    }
    violations
}

/// Fails with everything that is wrong with a run.
#[track_caller]
pub(crate) fn assert_sound(run: &Run, of: &str) {
    let violations = check(run);
    if violations.is_empty() {
        return;
    }
    let first: Vec<String> = violations.iter().take(10).map(Violation::to_string).collect();
    panic!("{of}: {} violations, of which the first:\n{}", violations.len(), first.join("\n"));
}
