//! Delivery over real sockets: a running server with every kind of connection, readers that are slow, cut and come
//! back, and producers that do not wait for them. A seed draws what happens; when, the machine decides.

mod reader;
mod shop;

use std::sync::Arc;

use tokio::task::JoinSet;

use self::reader::Reader;
use self::shop::Shop;
use crate::checker::{Claims, Run, Tally, assert_sound};
use crate::support::{are_usual, for_each_seed};

/// Runs by default.
const SEEDS: u64 = 3;
const READERS: usize = 9;
const PRODUCERS: usize = 2;
/// Every kind of fault that the runs inject between them.
const FAULTS: [&str; 7] = ["cut", "gap", "nap", "narrow", "old_cursor", "reload", "slow"];

#[test]
fn cut_and_slow_readers_lose_nothing_in_silence() {
    let mut tally = Tally::default();
    for_each_seed("sockets", SEEDS, |seed| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let run = runtime.block_on(play(seed));
        tally.add(Tally::of(&run));
        assert_sound(&run, "the run");
    });
    if are_usual() {
        let vacuous = tally.check(&Claims { ok: 400, faults: &FAULTS });
        assert!(vacuous.is_empty(), "{vacuous:?}, of {tally:?}");
    }
}

async fn play(seed: u64) -> Run {
    let shop = Arc::new(Shop::open(seed).await);
    let mut producers = JoinSet::new();
    for producer in 0..PRODUCERS {
        let shop = Arc::clone(&shop);
        producers.spawn(async move { shop.produce(producer).await });
    }
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let shop = Arc::clone(&shop);
        readers.spawn(async move { Reader::new(&shop, reader).listen().await });
    }
    producers.join_all().await;
    shop.close();
    let mut run = Run::default();
    for log in readers.join_all().await {
        run.heard.extend(log.heard);
        run.grants.entry(log.principal).or_default().extend(log.channels);
        log.faults.into_iter().for_each(|(fault, count)| *run.faults.entry(fault).or_default() += count);
    }
    run.published = shop.published();
    run.faults.insert("reload", shop.reloads());
    run
}
