//! Chaos: two nodes on a real Redis, behind proxies, that is killed, frozen, rolled back and cut off while producers
//! publish and readers are cut and come back. A seed draws the faults; when they strike, the machine decides. The
//! checker judges what was heard.
//!
//! Where faults undo nothing, nothing is lost, doubled or told to be missing. Where they do, whoever had it is told, and
//! nobody else. After each, publishing works again, and something new reaches everybody.

mod fault;
mod field;
mod keys;
mod producer;
mod reader;
mod reloads;
mod report;
mod split;
mod story;
mod world;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use self::fault::Fault;
use self::report::Report;
use self::story::play;
use crate::checker::Claims;
use crate::support::{are_usual, for_each_seed};

/// How soon something new reaches everybody after a fault. Tests allow three times as much, as a busy machine is no
/// failure; that goes for all three.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon publishing works again once Redis is back.
const RESTARTED: Duration = Duration::from_secs(2);
/// How soon a node notices that it hears nothing.
const DEAF: Duration = Duration::from_secs(10);
/// Faults in one run of the long form: so few that what a reader can come back to is known.
const ACT: usize = 6;

/// How much happens in one run.
struct Bounds {
    readers: usize,
    /// Whose channels they listen to.
    users: usize,
    producers: usize,
    /// That are accepted, at least.
    messages: usize,
    pace: Duration,
}

const SHORT: Bounds = Bounds { readers: 26, users: 4, producers: 8, messages: 800, pace: Duration::from_millis(20) };

#[test]
fn chaos_that_undoes_nothing_loses_nothing() {
    for_each_seed("chaos_that_undoes_nothing", 1, |seed| {
        let report = run(seed, &mut Fault::LOSSLESS.to_vec(), &SHORT);
        println!("{report}");
        assert_lossless(&report);
        assert_not_vacuous(&report, &Fault::LOSSLESS);
        assert!(!are_usual() || report.repeated > 0, "no outcome was unknown\n{report}");
    });
}

#[test]
fn chaos_that_undoes_something_is_told_to_whoever_had_it() {
    for_each_seed("chaos_that_undoes_something", 1, |seed| {
        let report = run(seed, &mut Fault::LOSSY.to_vec(), &SHORT);
        println!("{report}");
        report.assert_sound();
        assert_not_vacuous(&report, &Fault::LOSSY);
        assert!(report.undone > 0 && report.gaps > 0 && report.resets > 0, "{report}");
    });
}

/// As many faults as `tests/chaos` asks for, in runs of some each: by turns those that undo nothing, and all.
#[test]
#[ignore = "takes as long as it is told to: tests/chaos"]
fn chaos_long() {
    let (faults, messages) = (asked("FAULTS", 60), asked("MESSAGES", 100_000));
    let (seed, readers) = (asked("SEED", 1) as u64, asked("SUBSCRIBERS", 200));
    let acts = faults.div_ceil(ACT);
    let users = (readers / 4).clamp(4, 50);
    // So many that what they wait for is the machine, and not so many that it has no time left for anything else.
    let producers = if cfg!(debug_assertions) { 16 } else { 64 };
    let bounds = Bounds { readers, users, producers, messages: messages / acts, pace: Duration::ZERO };
    let mut total = Report::default();
    for (act, seed) in (seed..).take(acts).enumerate() {
        let count = ACT.min(faults - act * ACT);
        let mut dealt = deal(seed, count);
        println!("seed {seed}; alone: tests/chaos --faults {count} --messages {} --seed {seed}", bounds.messages);
        let report = run(seed, &mut dealt, &bounds);
        println!("after {} of {faults} faults:\n{report}", act * ACT + count);
        if undoes_nothing(seed) {
            assert_lossless(&report);
        }
        total.add(report);
    }
    println!("all:\n{total}");
    total.assert_sound();
}

/// As many replicas that lack the latest take over as `tests/chaos --rollbacks` asks for.
#[test]
#[ignore = "takes as long as it is told to: tests/chaos --rollbacks"]
fn chaos_rollbacks() {
    let (rollbacks, seed) = (asked("ROLLBACKS", 200), asked("SEED", 1) as u64);
    let mut total = Report::default();
    for (act, seed) in (seed..).take(rollbacks.div_ceil(ACT)).enumerate() {
        let count = ACT.min(rollbacks - act * ACT);
        let report = run(seed, &mut vec![Fault::Rollback; count], &Bounds { messages: 150 * count, ..SHORT });
        println!("seed {seed}: after {} of {rollbacks} rollbacks: {}", act * ACT + count, report.in_short());
        report.assert_sound();
        assert!(report.undone > 0 && report.told > 0, "{report}");
        total.add(report);
    }
    println!("all:\n{total}");
}

/// What `tests/chaos` was asked for.
fn asked(name: &str, usually: usize) -> usize {
    let told = std::env::var(format!("FANFARE_CHAOS_{name}"));
    told.map_or(usually, |told| told.parse().unwrap_or_else(|_| panic!("FANFARE_CHAOS_{name} is no number: {told}")))
}

/// The faults of one run of the long form, so that in many runs each kind strikes about as often. Only the seed decides,
/// so that a run can be had alone.
fn deal(seed: u64, count: usize) -> Vec<Fault> {
    let turn = seed as usize / 2;
    let from =
        |kinds: &'static [Fault], each: usize| kinds.iter().copied().cycle().skip(turn * each % kinds.len()).take(each);
    if undoes_nothing(seed) {
        return from(&Fault::LOSSLESS, ACT).take(count).collect();
    }
    from(&Fault::LOSSY, ACT - 2).chain(from(&Fault::LOSSLESS, 2)).take(count).collect()
}

/// Whether a run of the long form has only such faults.
fn undoes_nothing(seed: u64) -> bool {
    seed % 2 == 1
}

fn run(seed: u64, faults: &mut [Fault], bounds: &Bounds) -> Report {
    faults.shuffle(&mut StdRng::seed_from_u64(seed));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(play(seed, faults, bounds))
}

#[track_caller]
fn assert_lossless(report: &Report) {
    report.assert_sound();
    assert_eq!((report.undone, report.gaps, report.resets), (0, 0, 0), "{report}");
}

#[track_caller]
fn assert_not_vacuous(report: &Report, faults: &[Fault]) {
    if are_usual() {
        let faults: Vec<&str> = faults.iter().map(|fault| fault.name()).chain(["cut", "old_cursor"]).collect();
        let vacuous = report.tally.check(&Claims { ok: 1_000, faults: &faults });
        assert!(vacuous.is_empty(), "{vacuous:?}, of {:?}", report.tally);
    }
}
