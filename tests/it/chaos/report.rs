//! What runs came to, added up, and as a table.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fanfare::stream::Position;

use super::fault::Fault;
use super::story::Ended;
use crate::checker::{Kind, Outcome, Rule, Tally, Violation, check};

/// How long it took after the end of a fault.
pub(super) struct Recovery {
    pub(super) fault: Fault,
    /// Until both nodes published.
    pub(super) publishing: Duration,
    /// Until all readers had heard something new on each of their channels.
    pub(super) arriving: Duration,
}

/// What runs came to.
#[derive(Default)]
pub(super) struct Report {
    pub(super) tally: Tally,
    recoveries: BTreeMap<&'static str, [Vec<Duration>; 2]>,
    /// See [`World::deaf`](super::world::World::deaf).
    deaf: Vec<Duration>,
    accepted: usize,
    failed: usize,
    unknown: usize,
    /// Accepted after a try of which nobody knew.
    pub(super) repeated: usize,
    /// Accepted, by channel, and undone by a fault.
    pub(super) undone: usize,
    /// By connection and stream, those who stood on what was undone and were told.
    pub(super) told: usize,
    /// Numbers that gaps told of, and resets.
    pub(super) gaps: u64,
    pub(super) resets: usize,
    /// Of the runs together.
    pub(super) took: Duration,
    /// In milliseconds.
    slowest: usize,
    /// Streams that the server ended.
    pub(super) closed: Vec<String>,
    pub(super) violations: Vec<Violation>,
}

impl Report {
    pub(super) fn new(ended: Ended) -> Self {
        let Ended { run, world, closed, recoveries, took } = ended;
        let field = &world.field;
        let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
        let mut report = Self {
            tally: Tally::of(&run),
            accepted: count(&field.accepted),
            failed: count(&field.failed),
            unknown: count(&field.unknown),
            repeated: count(&field.repeated),
            slowest: count(&field.slowest),
            deaf: world.deaf,
            closed,
            took,
            violations: check(&run),
            ..Self::default()
        };
        for recovery in recoveries {
            let [publishing, arriving] = report.recoveries.entry(recovery.fault.name()).or_default();
            publishing.push(recovery.publishing);
            arriving.push(recovery.arriving);
        }
        let is_undone = |one: &&crate::checker::Published| match one.outcome {
            Outcome::Ok(at) => run.fates.undone(&one.channel, one.lane, at) == Some(true),
            Outcome::Fail | Outcome::Unknown => false,
        };
        report.undone = run.published.iter().filter(is_undone).count();
        let mut at = HashMap::new();
        for heard in &run.heard {
            let stream = (heard.connection, &heard.channel, heard.lane);
            let before = at.insert(stream, heard.position);
            let is_told = matches!(heard.kind, Kind::Gap { .. } | Kind::Reset);
            let had_it =
                |before: Position| before.epoch != heard.position.epoch && run.fates.must_be_told(heard, before);
            report.told += usize::from(is_told && before.is_some_and(had_it));
            match heard.kind {
                Kind::Gap { from, to } => report.gaps += to + 1 - from,
                Kind::Reset => report.resets += 1,
                _ => {}
            }
        }
        report
    }

    pub(super) fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        for (fault, times) in other.recoveries {
            let all = self.recoveries.entry(fault).or_default();
            all.iter_mut().zip(times).for_each(|(all, times)| all.extend(times));
        }
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.repeated += other.repeated;
        self.undone += other.undone;
        self.told += other.told;
        self.gaps += other.gaps;
        self.resets += other.resets;
        self.took += other.took;
        self.slowest = self.slowest.max(other.slowest);
        self.deaf.extend(other.deaf);
        self.closed.extend(other.closed);
        self.violations.extend(other.violations);
    }

    /// Fails with what is wrong.
    #[track_caller]
    pub(super) fn assert_sound(&self) {
        let first: Vec<String> = self.violations.iter().take(10).map(ToString::to_string).collect();
        let count = self.violations.len();
        assert!(count == 0, "{self}\n{count} violations, of which the first:\n{}", first.join("\n"));
        assert!(self.slowest < 5_000, "{self}\na publish waited for {} ms", self.slowest);
        assert!(self.closed.is_empty(), "{self}\nthe server ended streams: {:?}", self.closed);
    }

    /// What it came to, on one line.
    pub(super) fn in_short(&self) -> String {
        let [undone, told, lost] = [self.undone, self.told, self.count(&[Rule::Lost])];
        let accepted = self.accepted;
        format!("{accepted} accepted, {undone} undone, {told} told who had it, {lost} lost in silence")
    }

    fn count(&self, rules: &[Rule]) -> usize {
        self.violations.iter().filter(|violation| rules.contains(&violation.rule)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:16} {:>5}   {:>18}   {:>18}", "", "", "publishes again", "all is heard again")?;
        writeln!(f, "{:16} {:>5}   {:>8}  {:>8}   {:>8}  {:>8}", "fault", "times", "median", "max", "median", "max")?;
        for (fault, [publishing, arriving]) in &self.recoveries {
            let count = publishing.len();
            let [first, second, third, last] = [median(publishing), max(publishing), median(arriving), max(arriving)]
                .map(|time| format!("{time:.2}s"));
            writeln!(f, "{fault:16} {count:>5}   {first:>8}  {second:>8}   {third:>8}  {last:>8}")?;
        }
        if !self.deaf.is_empty() {
            let times = format!("median {:.1}s, max {:.1}s", median(&self.deaf), max(&self.deaf));
            writeln!(f, "a deaf feed was seen after {times}")?;
        }
        let lines = [
            ("accepted", self.accepted),
            ("failed", self.failed),
            ("unknown", self.unknown),
            ("repeated", self.repeated),
            ("delivered", self.tally.delivered),
            ("resumed", self.tally.resumed),
            ("undone by faults", self.undone),
            ("had it, told", self.told),
            ("told as gap", usize::try_from(self.gaps).unwrap_or(usize::MAX)),
            ("told as reset", self.resets),
            ("lost in silence", self.count(&[Rule::Lost])),
            ("doubled", self.count(&[Rule::Doubled, Rule::IssuedTwice])),
            ("stored twice", self.count(&[Rule::Copied])),
            ("reordered", self.count(&[Rule::Reordered])),
            ("crossed", self.count(&[Rule::Crossed, Rule::NotGranted])),
            ("other violations", 0),
            ("streams ended", self.closed.len()),
        ];
        let named: usize = lines[10..15].iter().map(|(_, count)| count).sum();
        for (name, count) in lines {
            let count = if name == "other violations" { self.violations.len() - named } else { count };
            writeln!(f, "{name:16} {count:>9}")?;
        }
        let rate = self.accepted as f64 / self.took.as_secs_f64();
        writeln!(f, "accepted a second{rate:>9.0}, in {:.1}s", self.took.as_secs_f64())?;
        writeln!(f, "slowest answer   {:>8}ms", self.slowest)
    }
}

fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2].as_secs_f64()
}

fn max(times: &[Duration]) -> f64 {
    times.iter().max().map_or(0.0, Duration::as_secs_f64)
}
