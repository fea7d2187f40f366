//! Everything that is done to Redis and to the connections to it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::split;
use super::world::{World, is_ready};
use crate::support::{Order, Path, eventually};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process is killed, and comes back with all that it had acknowledged.
    Crash,
    /// The process stands still.
    Freeze,
    PauseAll,
    PauseWrites,
    KillFeeds,
    KillCommands,
    ForgetScripts,
    Delay,
    Reset,
    HalfClose,
    /// Nothing arrives, and neither end is told.
    BlackHole,
    /// Nothing arrives any more at one node's feed, while its commands go through.
    DeafFeed,
    /// Redis ends a feed that takes too little of what it is sent.
    Overflow,
    /// Redis has no memory left, and may evict nothing.
    NoMemory,
    /// Its disk is full, so it takes no writes.
    FullDisk,
    /// Its disk is full, and it ends itself, as it is to have everything on disk.
    FatalDisk,
    /// The process is killed, and the end of its log is lost.
    TornLog,
    /// The process is killed, and comes back with nothing.
    NoPersistence,
    Flush,
    LostStream,
    LostMeta,
    /// A replica that lacks the latest takes over.
    Rollback,
    /// One node is alone with the primary, and for the other a replica takes over: both sides publish.
    SplitBrain,
    /// The same, where the primary takes no writes without a replica.
    GuardedSplit,
}

impl Fault {
    /// Those that undo nothing.
    pub(super) const LOSSLESS: [Self; 16] = [
        Self::Crash,
        Self::Freeze,
        Self::PauseAll,
        Self::PauseWrites,
        Self::KillFeeds,
        Self::KillCommands,
        Self::ForgetScripts,
        Self::Delay,
        Self::Reset,
        Self::HalfClose,
        Self::BlackHole,
        Self::DeafFeed,
        Self::Overflow,
        Self::NoMemory,
        Self::FullDisk,
        Self::FatalDisk,
    ];
    /// Those that undo what was acknowledged.
    pub(super) const LOSSY: [Self; 8] = [
        Self::TornLog,
        Self::NoPersistence,
        Self::Flush,
        Self::LostStream,
        Self::LostMeta,
        Self::Rollback,
        Self::SplitBrain,
        Self::GuardedSplit,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Freeze => "freeze",
            Self::PauseAll => "pause all",
            Self::PauseWrites => "pause writes",
            Self::KillFeeds => "kill feeds",
            Self::KillCommands => "kill commands",
            Self::ForgetScripts => "forget scripts",
            Self::Delay => "delay",
            Self::Reset => "reset",
            Self::HalfClose => "half-close",
            Self::BlackHole => "black hole",
            Self::DeafFeed => "deaf feed",
            Self::Overflow => "overflow",
            Self::NoMemory => "no memory",
            Self::FullDisk => "full disk",
            Self::FatalDisk => "fatal disk",
            Self::TornLog => "torn log",
            Self::NoPersistence => "no persistence",
            Self::Flush => "flush",
            Self::LostStream => "lost stream",
            Self::LostMeta => "lost meta",
            Self::Rollback => "rollback",
            Self::SplitBrain => "split brain",
            Self::GuardedSplit => "guarded split",
        }
    }

    pub(super) fn undoes_nothing(self) -> bool {
        Self::LOSSLESS.contains(&self)
    }

    /// Whether Redis is another process afterwards, which nodes find by trying again.
    pub(super) fn restarts(self) -> bool {
        matches!(self, Self::Crash | Self::FatalDisk | Self::TornLog | Self::NoPersistence | Self::Rollback)
    }

    /// Lets it happen while producers publish, and ends it; returns when that was.
    pub(super) async fn strike(self, world: &mut World, rng: &mut StdRng) -> Instant {
        let users = &world.field.users;
        let (millis, user) = (rng.random_range(300..2_000), users[rng.random_range(0..users.len())].clone());
        let time = Duration::from_millis(millis);
        match self {
            Self::Crash | Self::TornLog | Self::NoPersistence => {
                world.redis.kill();
                match self {
                    Self::TornLog => world.redis.truncate(rng.random_range(200..4_000)),
                    Self::NoPersistence => world.redis.wipe(),
                    _ => {}
                }
                tokio::time::sleep(time).await;
                world.redis.restart().await;
            }
            Self::Freeze => {
                world.redis.freeze();
                tokio::time::sleep(time).await;
                world.redis.thaw();
            }
            Self::PauseAll => pause(world, "ALL", time).await,
            Self::PauseWrites => pause(world, "WRITE", time).await,
            Self::KillFeeds => kill(world, "pubsub", rng).await,
            Self::KillCommands => kill(world, "normal", rng).await,
            Self::ForgetScripts => drop(world.redis.run("SCRIPT FLUSH").await),
            Self::Delay => during(world, time, Order::Pass(Duration::from_millis(rng.random_range(10..80)))).await,
            Self::BlackHole => during(world, time, Order::Hold).await,
            Self::Reset => once(world, Order::Reset, rng).await,
            Self::HalfClose => once(world, Order::HalfClose, rng).await,
            Self::DeafFeed => deafen(world, rng.random_range(0..2)).await,
            Self::Overflow => overflow(world, rng.random_range(0..2)).await,
            Self::Flush => drop(world.redis.run("FLUSHALL").await),
            Self::LostStream => drop(world.redis.run(&format!("DEL fanfare:{{user.{user}}}:n")).await),
            Self::LostMeta => drop(world.redis.run(&format!("DEL fanfare:{{user.{user}}}:m")).await),
            Self::NoMemory => {
                world.redis.run("CONFIG SET maxmemory 1").await;
                refuse(world, time).await;
                world.redis.run("CONFIG SET maxmemory 0").await;
            }
            Self::FullDisk => fill_disk(world, time).await,
            Self::FatalDisk => {
                eventually("redis ends itself", async || {
                    world.redis.fill_disk();
                    world.redis.has_ended()
                })
                .await;
                tokio::time::sleep(time).await;
                world.redis.restart().await;
            }
            Self::Rollback => roll_back(world, time).await,
            Self::SplitBrain => split::split(world, time).await,
            Self::GuardedSplit => split::split_guarded(world, time).await,
        }
        Instant::now()
    }
}

async fn pause(world: &World, what: &str, time: Duration) {
    world.redis.run(&format!("CLIENT PAUSE {} {what}", time.as_millis())).await;
    tokio::time::sleep(time).await;
}

/// Some kills one after another, so that connections are lost again while they come back.
async fn kill(world: &World, kind: &str, rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..5) {
        world.redis.run(&format!("CLIENT KILL TYPE {kind}")).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// On one path or on both, of both nodes.
async fn during(world: &World, time: Duration, order: Order) {
    for set in [order, Order::Pass(Duration::ZERO)] {
        for path in [Path::Commands, Path::Feed] {
            world.proxies.iter().for_each(|proxy| proxy.set(path, set));
        }
        if set == order {
            tokio::time::sleep(time).await;
        }
    }
}

/// To the commands that stand, or to both paths, while answers are under way: what they tell is then unknown.
async fn once(world: &World, order: Order, rng: &mut StdRng) {
    let paths: &[Path] =
        [&[Path::Commands][..], &[Path::Commands], &[Path::Commands, Path::Feed]][rng.random_range(0..3)];
    let slow = |time| world.proxies.iter().for_each(|proxy| proxy.set(Path::Commands, Order::Pass(time)));
    slow(Duration::from_millis(40));
    tokio::time::sleep(Duration::from_millis(400)).await;
    for path in paths {
        world.proxies.iter().for_each(|proxy| proxy.tell(*path, order));
    }
    // Connections that have ended take no further orders.
    slow(Duration::ZERO);
}

/// Until the node says that it hears nothing.
async fn deafen(world: &mut World, node: usize) {
    let start = Instant::now();
    world.proxies[node].tell(Path::Feed, Order::Hold);
    let node = &world.field.nodes[node];
    eventually("the node notices that it is deaf", async || !is_ready(node).await).await;
    let seen = start.elapsed();
    assert!(seen < 3 * super::DEAF, "seen after {seen:?}");
    world.deaf.push(seen);
}

/// Until Redis has ended the node's feed, which is told only then. What fills it goes to the node's own probe, which
/// takes it for nothing.
async fn overflow(world: &World, node: usize) {
    let lines = async |command: &str| -> Vec<String> {
        let told: redis::Value = world.redis.run(command).await;
        match redis::from_redis_value::<String>(told.clone()) {
            Ok(list) => list.lines().map(str::to_owned).collect(),
            Err(_) => redis::from_redis_value(told).unwrap(),
        }
    };
    let feeds = async || lines("CLIENT LIST TYPE pubsub").await.len();
    eventually("both feeds stand", async || feeds().await == 2).await;
    world.redis.limit_feeds(200_000).await;
    // Their names tell when the nodes were started.
    let mut probes = lines("PUBSUB CHANNELS fanfare:probe:*").await;
    probes.sort();
    let proxy = &world.proxies[node];
    proxy.set(Path::Feed, Order::Hold);
    let fill = format!("PUBLISH {} {}", probes[node], "x".repeat(100_000));
    eventually("redis ends the feed", async || {
        world.redis.run(&fill).await;
        feeds().await < 2
    })
    .await;
    proxy.set(Path::Feed, Order::Pass(Duration::ZERO));
    world.redis.limit_feeds(32_000_000).await;
}

/// Lets time pass in which nothing is accepted.
async fn refuse(world: &World, time: Duration) {
    let accepted = || world.field.accepted.load(Ordering::Relaxed);
    // What was taken before may be answered now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = accepted();
    tokio::time::sleep(time).await;
    assert_eq!(accepted(), before, "something was accepted that redis cannot have stored");
}

/// Until Redis has written to its disk again. With `always` it would end itself.
async fn fill_disk(world: &World, time: Duration) {
    world.redis.run("CONFIG SET appendfsync everysec").await;
    eventually("redis cannot write", async || {
        world.redis.fill_disk();
        world.redis.says("aof_last_write_status:err").await
    })
    .await;
    refuse(world, time).await;
    world.redis.free_disk();
    eventually("redis writes again", async || world.redis.says("aof_last_write_status:ok").await).await;
    world.redis.run("CONFIG SET appendfsync always").await;
}

/// A replica loses sight of the primary, which goes on to acknowledge, and is promoted when that dies.
async fn roll_back(world: &mut World, time: Duration) {
    let replica = world.replica(world.redis.address()).await;
    replica.run("REPLICAOF 127.0.0.1 1").await;
    world.field.insist_all(&[0], &world.field.beacons()).await;
    tokio::time::sleep(time).await;
    // The first replica gave the primary another replication id, and so the channels epochs that nothing may be left of.
    world.note_fates().await;
    world.redis.kill();
    replica.run("REPLICAOF NO ONE").await;
    world.proxies.iter().for_each(|proxy| proxy.lead_to(replica.address()));
    world.redis = replica;
}
