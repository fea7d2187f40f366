//! Logs of runs in which everything went as it must, for the checker's own tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfare::stream::{Epoch, Lane, Position};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Heard, Kind, Outcome, Published, Run, payload};

const CHANNELS: [&str; 3] = ["ops.all", "team.t2", "user.c7"];
/// With the channels that each may hear.
const PRINCIPALS: [(&str, &[&str]); 2] = [("c7", &["team.t2", "user.c7"]), ("operator", &CHANNELS)];
/// Records of a stream.
const RECORDS: usize = 24;

/// One stream as it came to be: what was stored, in order.
struct Truth {
    channel: Arc<str>,
    lane: Lane,
    records: Vec<(Position, u64)>,
}

/// The logs of a run that is sound, and that has something of everything.
pub(super) fn sound(seed: u64) -> Run {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut run = Run::default();
    for (principal, channels) in PRINCIPALS {
        run.grants.insert(principal.into(), channels.iter().map(ToString::to_string).collect());
    }
    run.faults = BTreeMap::from([("cut", 1)]);
    let truths: Vec<Truth> = CHANNELS
        .iter()
        .flat_map(|channel| Lane::ALL.map(|lane| (channel, lane)))
        .map(|(channel, lane)| publish(&mut rng, &mut run, channel, lane))
        .collect();
    let mut connection = 0;
    for (principal, channels) in PRINCIPALS {
        let mut at = vec![0; truths.len()];
        for session in 0..3 {
            connection += 1;
            for (truth, at) in truths.iter().zip(&mut at).filter(|(truth, _)| channels.contains(&&*truth.channel)) {
                let mut reader = Reader { run: &mut run, truth, connection, principal: principal.into() };
                let begin = if session == 0 { Kind::Opened } else { Kind::Resumed };
                let end = if session == 2 { RECORDS } else { rng.random_range(*at..=RECORDS) };
                *at = reader.listen(&mut rng, begin, *at, end);
            }
        }
    }
    run
}

fn publish(rng: &mut StdRng, run: &mut Run, channel: &str, lane: Lane) -> Truth {
    let mut truth = Truth { channel: channel.into(), lane, records: Vec::new() };
    let mut at = Position::new(Epoch::from_bits(rng.random()), 0);
    for number in 0..RECORDS {
        let mut log = |outcome, what: &str| {
            let payload = payload(&(channel, lane, number, what));
            run.published.push(Published { channel: channel.into(), lane, payload, outcome });
            payload
        };
        if number == 0 || rng.random_bool(0.2) {
            log(Outcome::Fail, "refused");
            log(Outcome::Unknown, "not stored");
        }
        // Never the first, so that there is something to be told of it.
        if number == RECORDS / 2 {
            at = Position::new(Epoch::from_bits(rng.random()), 0);
        }
        at.seq += 1;
        let outcome = if rng.random_bool(0.2) { Outcome::Unknown } else { Outcome::Ok(at) };
        truth.records.push((at, log(outcome, "stored")));
    }
    truth
}

struct Reader<'a> {
    run: &'a mut Run,
    truth: &'a Truth,
    connection: usize,
    principal: Arc<str>,
}

impl Reader<'_> {
    /// Hears the records from `from` until `end`, and says where it goes on, which may be before that.
    fn listen(&mut self, rng: &mut StdRng, begin: Kind, from: usize, end: usize) -> usize {
        let records = &self.truth.records;
        let mut at = match from.checked_sub(1) {
            Some(last) => records[last].0,
            None => Position::new(records[0].0.epoch, 0),
        };
        self.hear(at, begin);
        let mut next = from;
        while next < end {
            let (position, payload) = records[next];
            if position.epoch != at.epoch {
                at = Position::new(position.epoch, 0);
                self.hear(at, Kind::Reset);
                continue;
            }
            let left = records[next..end].iter().filter(|(later, _)| later.epoch == at.epoch).count();
            let some = rng.random_range(1..=left.min(3));
            let last = records[next + some - 1].0;
            let (kind, taken) = match rng.random_range(0..10) {
                0 => (Kind::Gap { from: position.seq, to: last.seq }, some),
                1 => (Kind::Lag { skipped: some as u64 }, some),
                _ => (Kind::Live { payload }, 1),
            };
            at = records[next + taken - 1].0;
            self.hear(at, kind);
            next += taken;
        }
        self.hear(at, Kind::Stands);
        // A client may come back with an older place than its last.
        if rng.random_bool(0.3) { next.saturating_sub(3) } else { next }
    }

    fn hear(&mut self, position: Position, kind: Kind) {
        let Self { connection, truth: Truth { channel, lane, .. }, .. } = *self;
        let (channel, lane) = (Arc::clone(channel), *lane);
        let principal = Arc::clone(&self.principal);
        self.run.heard.push(Heard { connection, principal, channel, lane, position, kind });
    }
}
