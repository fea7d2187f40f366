//! The checker on logs of which it is known what is wrong with them: whoever judges must be judged first.

use std::sync::Arc;

use fanfare::stream::Position;
use proptest::prelude::*;
use proptest::sample::Index;

use super::generator::sound;
use super::{Claims, Epochs, Heard, Kind, Outcome, Published, Rule, Run, Tally, assert_sound, check};

/// Whether what follows in the stream tells that `index` is missing, as all but a reset does.
fn is_missed(run: &Run, index: usize) -> bool {
    let gone = &run.heard[index];
    let next = run.heard[index + 1..].iter().find(|heard| same_stream(heard, gone));
    next.is_some_and(|next| next.kind != Kind::Reset)
}

fn same_stream(one: &Heard, other: &Heard) -> bool {
    (one.connection, &one.channel, one.lane) == (other.connection, &other.channel, other.lane)
}

fn is_live(heard: &Heard) -> bool {
    matches!(heard.kind, Kind::Live { .. })
}

/// A place in the log of which `is` holds.
fn pick(run: &Run, place: Index, is: impl Fn(usize, &Heard) -> bool) -> Option<usize> {
    let places: Vec<usize> = (0..run.heard.len()).filter(|index| is(*index, &run.heard[*index])).collect();
    (!places.is_empty()).then(|| places[place.index(places.len())])
}

fn rules(run: &Run) -> Vec<Rule> {
    check(run).into_iter().map(|violation| violation.rule).collect()
}

/// A payload of the same stream whose publish ended otherwise than by a position.
fn other_payload(run: &Run, heard: &Heard, outcome: Outcome) -> Option<u64> {
    let is = |it: &&super::Published| {
        let Kind::Live { payload } = heard.kind else { return false };
        (&it.channel, it.lane, it.outcome) == (&heard.channel, heard.lane, outcome) && it.payload != payload
    };
    run.published.iter().find(is).map(|it| it.payload)
}

/// Whether nobody was told which payload is at that position, so that only its hearers can know.
fn is_unknown(run: &Run, heard: &Heard) -> bool {
    let known = |it: &super::Published| it.channel == heard.channel && it.outcome == Outcome::Ok(heard.position);
    is_live(heard) && !run.published.iter().any(known)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_sound_log_passes(seed: u64) {
        let run = sound(seed);
        assert_sound(&run, "a sound run");
        let lenient = Run { epochs: Epochs::Continue, ..run };
        prop_assert_eq!(rules(&lenient), []);
    }

    #[test]
    fn what_is_dropped_is_lost(seed: u64, place: Index) {
        let mut run = sound(seed);
        let told = |kind| matches!(kind, Kind::Live { .. } | Kind::Gap { .. } | Kind::Lag { .. });
        let gone = pick(&run, place, |index, heard| told(heard.kind) && is_missed(&run, index)).unwrap();
        run.heard.remove(gone);
        prop_assert_eq!(rules(&run), [Rule::Lost]);
    }

    #[test]
    fn a_new_epoch_must_be_told(seed: u64, place: Index) {
        let mut run = sound(seed);
        let gone = pick(&run, place, |_, heard| heard.kind == Kind::Reset).unwrap();
        run.heard.remove(gone);
        prop_assert_eq!(rules(&run), [Rule::Lost]);
    }

    #[test]
    fn what_is_swapped_is_reordered(seed: u64, place: Index) {
        let mut run = sound(seed);
        let pairs = |index: usize, heard: &Heard| {
            run.heard.get(index + 1).is_some_and(|next| is_live(heard) && is_live(next) && same_stream(heard, next))
        };
        let first = pick(&run, place, pairs).unwrap();
        run.heard.swap(first, first + 1);
        prop_assert!(rules(&run).contains(&Rule::Reordered));
    }

    #[test]
    fn what_is_doubled_is_seen(seed: u64, place: Index) {
        let mut run = sound(seed);
        let twice = pick(&run, place, |_, heard| is_live(heard)).unwrap();
        run.heard.insert(twice, run.heard[twice].clone());
        prop_assert_eq!(rules(&run), [Rule::Doubled]);
    }

    #[test]
    fn what_comes_again_later_is_doubled(seed: u64, place: Index) {
        let mut run = sound(seed);
        let twice = pick(&run, place, |_, heard| is_live(heard)).unwrap();
        let again = run.heard[twice].clone();
        let last = run.heard.iter().rposition(|heard| same_stream(heard, &again)).unwrap();
        run.heard.insert(last + 1, again);
        prop_assert_eq!(rules(&run), [Rule::Doubled]);
    }

    #[test]
    fn what_crosses_to_another_channel_is_seen(seed: u64, place: Index) {
        let mut run = sound(seed);
        let crossed = pick(&run, place, |_, heard| is_live(heard) && &*heard.principal == "c7").unwrap();
        let heard = &mut run.heard[crossed];
        heard.channel = if &*heard.channel == "user.c7" { "team.t2".into() } else { "user.c7".into() };
        prop_assert!(rules(&run).contains(&Rule::Crossed));
        prop_assert!(!rules(&run).contains(&Rule::NotGranted));
    }

    #[test]
    fn what_is_heard_without_a_grant_is_seen(seed: u64, place: Index) {
        let mut run = sound(seed);
        let leaked = pick(&run, place, |_, heard| &*heard.channel == "ops.all").unwrap();
        run.heard[leaked].principal = "c7".into();
        prop_assert_eq!(rules(&run), [Rule::NotGranted]);
    }

    #[test]
    fn an_altered_payload_is_seen(seed: u64, place: Index) {
        let mut run = sound(seed);
        let altered = pick(&run, place, |_, heard| is_live(heard)).unwrap();
        let rule = if is_unknown(&run, &run.heard[altered]) { Rule::NotIssued } else { Rule::Altered };
        if let Kind::Live { payload } = &mut run.heard[altered].kind {
            *payload ^= 1;
        }
        prop_assert!(rules(&run).contains(&rule));
    }

    #[test]
    fn what_was_refused_may_not_be_delivered(seed: u64, place: Index) {
        let mut run = sound(seed);
        let refused = pick(&run, place, |_, heard| is_live(heard)).unwrap();
        let payload = other_payload(&run, &run.heard[refused], Outcome::Fail).unwrap();
        run.heard[refused].kind = Kind::Live { payload };
        prop_assert!(rules(&run).contains(&Rule::DeliveredFailed));
    }

    #[test]
    fn a_gap_that_is_too_short_or_too_long_is_seen(seed: u64, place: Index) {
        let run = sound(seed);
        let is_gap = |index: usize, heard: &Heard| matches!(heard.kind, Kind::Gap { .. }) && is_missed(&run, index);
        let Some(gap) = pick(&run, place, is_gap) else { return Ok(()) };
        let Kind::Gap { from, to } = run.heard[gap].kind else { unreachable!() };
        let with = |kind| {
            let mut run = run.clone();
            run.heard[gap].kind = kind;
            rules(&run)
        };
        prop_assert_eq!(with(Kind::Gap { from: from + 1, to }), [Rule::Lost]);
        prop_assert_eq!(with(Kind::Gap { from, to: to - 1 }), [Rule::Lost]);
        prop_assert_eq!(with(Kind::Gap { from: from - 1, to }), [Rule::Overstated]);
        prop_assert_eq!(with(Kind::Gap { from, to: to + 1 }), [Rule::Overstated]);
        let mut shorter = run.clone();
        shorter.heard[gap].kind = Kind::Gap { from, to: to - 1 };
        shorter.heard[gap].position.seq -= 1;
        prop_assert!(rules(&shorter).contains(&Rule::Lost));
    }

    #[test]
    fn a_lag_that_miscounts_is_seen(seed: u64, place: Index) {
        let mut run = sound(seed);
        let next_is_live = |index: usize, heard: &Heard| {
            run.heard.get(index + 1).is_some_and(|next| is_live(next) && same_stream(heard, next))
        };
        let is_lag = |index: usize, heard: &Heard| matches!(heard.kind, Kind::Lag { .. }) && next_is_live(index, heard);
        let Some(lag) = pick(&run, place, is_lag) else { return Ok(()) };
        let Kind::Lag { skipped } = run.heard[lag].kind else { unreachable!() };
        run.heard[lag].kind = Kind::Lag { skipped: skipped - 1 };
        prop_assert!(rules(&run).contains(&Rule::Lost));
        run.heard[lag].kind = Kind::Lag { skipped: skipped + 1 };
        prop_assert_eq!(rules(&run), [Rule::Overstated]);
    }

    #[test]
    fn subscribers_must_agree(seed: u64, place: Index) {
        let mut run = sound(seed);
        let by_two = |_: usize, heard: &Heard| {
            let hears = |other: &&Heard| is_live(other) && (&other.channel, other.position) == (&heard.channel, heard.position);
            is_unknown(&run, heard) && run.heard.iter().filter(hears).count() > 1
        };
        let Some(one) = pick(&run, place, by_two) else { return Ok(()) };
        let payload = other_payload(&run, &run.heard[one], Outcome::Unknown).unwrap();
        run.heard[one].kind = Kind::Live { payload };
        prop_assert!(rules(&run).contains(&Rule::Disagreement));
    }

    #[test]
    fn a_position_is_given_once(seed: u64, place: Index) {
        let mut run = sound(seed);
        let ok: Vec<_> = run.published.iter().filter(|it| matches!(it.outcome, Outcome::Ok(_))).cloned().collect();
        let mut again = ok[place.index(ok.len())].clone();
        again.payload ^= 1;
        run.published.push(again);
        prop_assert!(rules(&run).contains(&Rule::IssuedTwice));
    }
}

#[test]
fn a_run_that_shows_nothing_fails() {
    let run = sound(1);
    let claims = Claims { ok: 50, faults: &["cut"] };
    let vacuous = |run: &Run, claims: &Claims<'_>| Tally::of(run).check(claims).len();
    assert_eq!(vacuous(&run, &claims), 0);
    assert_eq!(vacuous(&run, &Claims { ok: 5_000, ..claims }), 1);
    assert_eq!(vacuous(&run, &Claims { faults: &["cut", "failover"], ..claims }), 1);
    let mut nobody_came_back = run.clone();
    nobody_came_back.heard.retain(|heard| heard.kind != Kind::Resumed);
    assert_eq!(vacuous(&nobody_came_back, &claims), 1);
    assert_eq!(vacuous(&Run::default(), &claims), 4);
}

/// In Redis a failover that loses nothing a reader had is not told: the next epoch counts on from there.
#[test]
fn an_epoch_that_goes_on_need_not_be_told_where_the_broker_says_so() {
    let mut run = sound(2);
    let first = run.heard[0].clone();
    let at = |epoch, seq| fanfare::stream::Position::new(fanfare::stream::Epoch::from_bits(epoch), seq);
    run.heard = vec![
        Heard { position: at(1, 4), kind: Kind::Opened, ..first.clone() },
        Heard { position: at(2, 4), kind: Kind::Stands, ..first.clone() },
        Heard { position: at(2, 5), kind: Kind::Gap { from: 5, to: 5 }, ..first.clone() },
        Heard { position: at(3, 3), kind: Kind::Gap { from: 4, to: 5 }, ..first.clone() },
        Heard { position: at(3, 4), kind: Kind::Stands, ..first.clone() },
        Heard { position: at(2, 6), kind: Kind::Stands, ..first },
    ];
    run.epochs = Epochs::Continue;
    assert_eq!(rules(&run), [Rule::Lost, Rule::Reordered]);
    run.epochs = Epochs::End;
    assert_eq!(rules(&run), [Rule::Lost, Rule::Lost, Rule::Lost, Rule::Reordered]);
}

/// What finding 1 of others' failovers was: numbers that are given anew to whoever had come beyond them.
#[test]
fn what_is_undone_must_be_told_to_who_had_it_and_to_nobody_else() {
    let first = sound(3).heard[0].clone();
    let [old, new] = [1, 2].map(fanfare::stream::Epoch::from_bits);
    let judge = |from: u64, kind, to: u64| {
        let mut run = Run { epochs: Epochs::Continue, grants: sound(3).grants, ..Run::default() };
        run.fates.note(&first.channel, new, &[(old, [3, 3])]);
        let heard = |epoch, seq, kind| Heard { position: Position::new(epoch, seq), kind, ..first.clone() };
        run.heard = vec![heard(old, from, Kind::Opened), heard(new, to, kind)];
        rules(&run)
    };
    assert_eq!(judge(6, Kind::Stands, 6), [Rule::Lost]);
    assert_eq!(judge(3, Kind::Stands, 3), []);
    assert_eq!(judge(6, Kind::Gap { from: 4, to: 6 }, 3), []);
    assert_eq!(judge(3, Kind::Gap { from: 3, to: 3 }, 2), [Rule::Overstated]);
    assert_eq!(judge(6, Kind::Reset, 0), []);
    assert_eq!(judge(2, Kind::Reset, 0), [Rule::Overstated]);
}

#[test]
fn a_repeat_that_was_stored_twice_is_doubled_unless_the_first_is_undone() {
    let mut run = sound(4);
    let one = run.heard.iter().position(is_live).unwrap();
    let mut other = run.heard[one].clone();
    other.connection = 999;
    other.position.seq += 1_000;
    let Kind::Live { payload } = other.kind else { unreachable!() };
    let (channel, lane, outcome) = (Arc::clone(&other.channel), other.lane, Outcome::Unknown);
    run.published.push(Published { channel: Arc::clone(&channel), lane, payload, outcome });
    let epoch = other.position.epoch;
    run.heard.push(other);
    assert_eq!(rules(&run), [Rule::Copied]);
    run.fates.note_gone(&channel, epoch);
    assert_eq!(rules(&run), []);
}

#[test]
fn a_record_has_one_place_whatever_epoch_it_is_read_in() {
    let mut run = sound(5);
    run.epochs = Epochs::Continue;
    let renamed = run.heard.iter().position(is_live).unwrap();
    let one = run.heard[renamed].clone();
    let other = fanfare::stream::Epoch::from_bits(77);
    run.heard.push(Heard { connection: 999, position: Position::new(other, one.position.seq), ..one.clone() });
    assert!(!rules(&run).is_empty());
    let last = one.position.seq;
    run.fates.note(&one.channel, other, &[(one.position.epoch, [last, last])]);
    assert_eq!(rules(&run).iter().filter(|rule| **rule != Rule::Lost).count(), 0);
}
