//! One stream as one connection heard it: in order, once, and without a hole that was not told.

use std::cmp::Ordering;
use std::collections::HashSet;

use fanfare::stream::{Epoch, Position};

use super::{Epochs, Fates, Heard, Kind, Rule, Run, Violation};

/// Where a reader stands, by what it heard and was told.
pub(super) struct Stream<'a> {
    epochs: Epochs,
    fates: &'a Fates,
    at: Position,
    /// Skipped, as `lag` events since the last delivery said.
    skipped: u64,
    delivered: HashSet<Position>,
    /// The epochs that it has left.
    left: HashSet<Epoch>,
}

/// How far a reader must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Exactly there, with all that was skipped.
    Exactly,
    /// There or further: what was skipped may lie after it.
    AtMost,
}

impl<'a> Stream<'a> {
    /// A stream of which `first` is the first that is heard.
    pub(super) fn new(run: &'a Run, first: &Heard) -> Self {
        let before = match first.kind {
            Kind::Live { .. } => first.position.seq.saturating_sub(1),
            Kind::Gap { from, .. } => from.saturating_sub(1),
            Kind::Lag { skipped } => first.position.seq.saturating_sub(skipped),
            Kind::Opened | Kind::Resumed | Kind::Reset | Kind::Stands => first.position.seq,
        };
        let at = Position::new(first.position.epoch, before);
        let Run { epochs, fates, .. } = run;
        Self { epochs: *epochs, fates, at, skipped: 0, delivered: HashSet::new(), left: HashSet::new() }
    }

    /// Takes the next that is heard, and says what is wrong with it. It counts as heard even so, so that one fault is
    /// not reported again and again.
    pub(super) fn hear(&mut self, heard: &Heard) -> Option<Violation> {
        let Position { epoch, seq } = heard.position;
        let fault = match heard.kind {
            Kind::Opened | Kind::Resumed => None,
            Kind::Live { .. } => self.deliver(heard),
            Kind::Gap { from, to } => self.gap(heard, from, to),
            Kind::Reset => self.reset(heard),
            Kind::Lag { skipped } => {
                self.skipped += skipped;
                let fault = self.reach(heard, seq, Reach::AtMost);
                if fault.is_none() && epoch == self.at.epoch {
                    return None; // The next that is delivered shows whether as many are missing.
                }
                fault
            }
            Kind::Stands => {
                let fault = self.reach(heard, seq, Reach::AtMost);
                if fault.is_none() && epoch == self.at.epoch {
                    return None; // What was skipped may not be accounted for yet.
                }
                fault
            }
        };
        self.go_to(heard.position);
        fault.map(|(rule, why)| Violation::heard(rule, heard, why))
    }

    fn deliver(&mut self, heard: &Heard) -> Option<(Rule, String)> {
        let seq = heard.position.seq;
        if !self.delivered.insert(heard.position) {
            return Some((Rule::Doubled, "it was heard before".to_owned()));
        }
        self.reach(heard, seq.saturating_sub(1), Reach::Exactly)
    }

    fn gap(&self, heard: &Heard, from: u64, to: u64) -> Option<(Rule, String)> {
        let Position { epoch, seq } = heard.position;
        if seq > to || to < from {
            return Some((Rule::Lost, format!("it leads beyond {from} to {to}, which it tells of")));
        }
        if self.epochs == Epochs::Continue && (epoch != self.at.epoch || from <= self.at.seq) {
            // History forked: what is told of includes what was heard and is undone.
            if from > self.at.seq + 1 + self.skipped || seq + 1 < from {
                return Some((Rule::Lost, format!("the reader stood at {}", self.at)));
            }
            let undone = self.fates.undone(&heard.channel, heard.lane, self.at);
            let stands = undone == Some(false) || (undone.is_none() && epoch == self.at.epoch);
            return (from <= self.at.seq && stands)
                .then(|| (Rule::Overstated, format!("the reader stood at {}, which stands", self.at)));
        }
        if epoch == self.at.epoch && (self.at.seq >= from || seq < to) {
            return Some((Rule::Overstated, format!("the reader stood at {}", self.at)));
        }
        self.reach(heard, from - 1, Reach::Exactly)
    }

    fn reset(&mut self, heard: &Heard) -> Option<(Rule, String)> {
        if self.epochs == Epochs::Continue {
            // The reader begins anew, also where what it had left is in force again.
            self.left.clear();
            self.delivered.clear();
            let stands = self.fates.undone(&heard.channel, heard.lane, self.at) == Some(false);
            return (stands && self.at.seq > 0)
                .then(|| (Rule::Overstated, format!("the reader stood at {}, which stands", self.at)));
        }
        let left = self.left.contains(&heard.position.epoch);
        left.then(|| (Rule::Reordered, "that epoch was left before".to_owned()))
    }

    /// Whether a reader that stands where this one does can have come to `seq` with what it was told.
    fn reach(&self, heard: &Heard, seq: u64, reach: Reach) -> Option<(Rule, String)> {
        let epoch = heard.position.epoch;
        if self.left.contains(&epoch) {
            return Some((Rule::Reordered, "that epoch was left before".to_owned()));
        }
        if epoch != self.at.epoch && self.fates.must_be_told(heard, self.at) {
            return Some((Rule::Lost, format!("the reader stood at {}, which is undone and was not told", self.at)));
        }
        if epoch != self.at.epoch && self.epochs == Epochs::End {
            return Some((Rule::Lost, format!("the reader stood at {}, whose end was not told", self.at)));
        }
        let Some(hole) = seq.checked_sub(self.at.seq) else {
            return Some((Rule::Reordered, format!("the reader stood at {}", self.at)));
        };
        match hole.cmp(&self.skipped) {
            Ordering::Less if reach == Reach::Exactly => {
                Some((Rule::Overstated, format!("{} were said to be skipped, and {hole} were", self.skipped)))
            }
            Ordering::Less | Ordering::Equal => None,
            Ordering::Greater => {
                let first = self.at.seq + 1;
                Some((Rule::Lost, format!("{first} to {seq}, of which {} were said to be skipped", self.skipped)))
            }
        }
    }

    fn go_to(&mut self, position: Position) {
        if position.epoch != self.at.epoch {
            self.left.insert(self.at.epoch);
        }
        self.at = position;
        self.skipped = 0;
    }
}
