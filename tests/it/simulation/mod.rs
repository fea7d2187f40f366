//! Delivery under a clock that stands still: the real hubs, broker and pipeline, and between them a network that delays
//! and loses, and clients that read slowly, are cut at any byte, and come back with any cursor that they have seen.
//! A seed draws what happens and when; the checker judges what was heard.

mod client;
mod dice;
mod relay;
mod story;
mod world;

use crate::checker::{Claims, Tally, assert_sound};
use crate::support::{are_usual, for_each_seed};

use self::story::Story;
use self::world::Settings;

/// Runs by default; a few seconds.
const SEEDS: u64 = 150;
/// Every kind of fault that the runs inject between them.
const FAULTS: [&str; 9] =
    ["attach", "cut", "delay", "eviction", "gap", "idle", "loss", "old_cursor", "unreadable_history"];

#[test]
fn whatever_happens_nothing_is_lost_in_silence() {
    let settings = Settings::load();
    let mut tally = Tally::default();
    for_each_seed("simulation", SEEDS, |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let run = runtime.block_on(async { Story::begin(&settings, seed).await.run().await });
        tally.add(Tally::of(&run));
        assert_sound(&run, "the simulation");
    });
    if are_usual() {
        let vacuous = tally.check(&Claims { ok: 5_000, faults: &FAULTS });
        assert!(vacuous.is_empty(), "{vacuous:?}, of {tally:?}");
    }
}
