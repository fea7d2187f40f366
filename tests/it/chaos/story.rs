//! One run: readers and producers at work, fault after fault, and what all that came to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fanfare::stream::Lane;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fault::Fault;
use super::field::{Draft, Field, QUIET};
use super::producer::produce;
use super::reader::{Log, Reader};
use super::report::{Recovery, Report};
use super::world::World;
use super::{Bounds, PATIENCE, RESTARTED};
use crate::checker::{Epochs, Run};
use crate::support::{eventually, within_deadline};

/// A run that is over.
pub(super) struct Ended {
    pub(super) run: Run,
    pub(super) world: World,
    /// Streams that the server ended.
    pub(super) closed: Vec<String>,
    pub(super) recoveries: Vec<Recovery>,
    /// Between the first publish and the last.
    pub(super) took: Duration,
}

/// Plays the faults in their order.
pub(super) async fn play(seed: u64, faults: &[Fault], bounds: &Bounds) -> Report {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::build(seed, bounds).await;
    let field = Arc::clone(&world.field);
    let mut readers = JoinSet::new();
    for reader in 0..bounds.readers {
        readers.spawn(Reader::new(&field, reader).listen());
    }
    eventually("all readers listen", async || field.seated.load(Ordering::Relaxed) == bounds.readers).await;
    let begun = Instant::now();
    let mut producers = JoinSet::new();
    for producer in 0..bounds.producers {
        let field = Arc::clone(&field);
        producers.spawn(async move { produce(&field, producer).await });
    }
    let mut recoveries = Vec::new();
    for (index, fault) in faults.iter().enumerate() {
        let share = bounds.messages / faults.len();
        traffic(&field, field.accepted.load(Ordering::Relaxed) + share / 2).await;
        world.note_fates().await;
        let quiet = field.beacon(QUIET, Lane::Normal);
        let (healed, ()) = tokio::join!(fault.strike(&mut world, &mut rng), publish_meanwhile(&field, &quiet));
        let recovery = recover(&field, *fault, healed, bounds.readers).await;
        if fault.undoes_nothing() {
            await_beacon(&field, *fault, &quiet, bounds.readers).await;
        }
        world.note_fates().await;
        // What was accepted while the fault lasted counts as well.
        traffic(&field, share * (index + 1)).await;
        recoveries.push(recovery);
    }
    field.stop_producers();
    within_deadline("producers end", producers.join_all()).await;
    let took = begun.elapsed();
    // Its epoch ends only when something follows what may be undone.
    field.insist(0, &field.beacon(QUIET, Lane::Normal)).await;
    world.note_fates().await;
    field.close(world.tops().await);
    let logs = readers.join_all().await;
    let (run, closed) = collect(&world, faults, logs);
    Report::new(Ended { run, world, closed, recoveries, took })
}

/// Waits until so many are accepted.
async fn traffic(field: &Field, until: usize) {
    let (mut last, mut progress) = (0, Instant::now());
    loop {
        let accepted = field.accepted.load(Ordering::Relaxed);
        if accepted >= until {
            return;
        }
        if accepted > last {
            (last, progress) = (accepted, Instant::now());
        }
        assert!(progress.elapsed() < 3 * PATIENCE, "nothing is accepted any more");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Measures how long after a fault both nodes publish again, and everybody hears what is published.
async fn recover(field: &Field, fault: Fault, healed: Instant, readers: usize) -> Recovery {
    let first = [0, 1].map(|node| field.beacon(&field.users[node], Lane::Normal));
    field.insist_all(&[0, 1], &first).await;
    let publishing = healed.elapsed();
    let bound = if fault.restarts() { RESTARTED } else { PATIENCE };
    assert!(publishing < 3 * bound, "publishing works again {publishing:?} after `{}`", fault.name());
    let beacons = field.beacons();
    field.insist_all(&[0, 1, 1, 0], &beacons).await;
    for beacon in &beacons {
        await_beacon(field, fault, beacon, readers).await;
    }
    Recovery { fault, publishing, arriving: healed.elapsed() }
}

/// Publishes while a fault lasts.
async fn publish_meanwhile(field: &Field, draft: &Draft) {
    tokio::time::sleep(Duration::from_millis(50)).await;
    field.insist(0, draft).await;
}

/// Waits until all who listen have heard it.
async fn await_beacon(field: &Field, fault: Fault, beacon: &Draft, readers: usize) {
    let (start, listeners) = (Instant::now(), listeners(field, beacon, readers));
    loop {
        let lacking = field.lacking(beacon, &listeners);
        if lacking.is_empty() {
            return;
        }
        let told = format!("after `{}` readers {lacking:?} do not hear `{}`", fault.name(), beacon.key);
        assert!(start.elapsed() < 3 * PATIENCE, "{told}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn listeners(field: &Field, beacon: &Draft, readers: usize) -> Vec<usize> {
    let hears = |reader: &usize| field.channels_of(*reader).iter().any(|one| beacon.to.iter().any(|(to, _)| to == one));
    (0..readers).filter(hears).collect()
}

fn collect(world: &World, faults: &[Fault], logs: Vec<Log>) -> (Run, Vec<String>) {
    let mut run = Run { epochs: Epochs::Continue, fates: world.fates.clone(), ..Run::default() };
    let mut closed = Vec::new();
    for log in logs {
        run.heard.extend(log.heard);
        run.grants.entry(log.principal).or_default().extend(log.channels);
        log.faults.into_iter().for_each(|(fault, count)| *run.faults.entry(fault).or_default() += count);
        closed.extend(log.closed);
    }
    for fault in faults {
        *run.faults.entry(fault.name()).or_default() += 1;
    }
    run.published = world.field.take_published();
    (run, closed)
}
