//! A network that splits: one node is alone with the primary, and for the other a replica takes over, until the net is
//! whole again and what only the old primary has is undone.

use std::time::Duration;

use fanfare::stream::Lane;
use tokio::time::Instant;

use super::field::Try;
use super::world::World;
use crate::checker::Outcome;
use crate::support::{Order, Path, Proxy, Redis, eventually};

/// For how long a primary that is alone may go on to accept: `min-replicas-max-lag 2`, and a second in which it looks.
const ALONE: Duration = Duration::from_millis(3_500);

/// Both sides accept.
pub(super) async fn split(world: &mut World, time: Duration) {
    let (replica, bridge) = prepare(world).await;
    part(world, &replica, &bridge).await;
    let field = &world.field;
    let [here, there] = [field.beacons(), field.beacons()];
    tokio::join!(field.insist_all(&[0], &here), field.insist_all(&[1], &there), tokio::time::sleep(time));
    unite(world, replica).await;
}

/// The primary accepts nothing once it has been alone for a while.
pub(super) async fn split_guarded(world: &mut World, time: Duration) {
    let (replica, bridge) = prepare(world).await;
    world.redis.run("CONFIG SET min-replicas-max-lag 2").await;
    world.redis.run("CONFIG SET min-replicas-to-write 1").await;
    part(world, &replica, &bridge).await;
    let parted = Instant::now();
    eventually("the primary that is alone accepts nothing", async || try_here(world).await == Try::NotAccepted).await;
    let seen = parted.elapsed();
    assert!(seen < 3 * ALONE, "after {seen:?}");
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert_eq!(try_here(world).await, Try::NotAccepted, "it accepts again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.field.insist_all(&[1], &world.field.beacons()).await;
    unite(world, replica).await;
}

/// Publishes something once on the side of the old primary.
async fn try_here(world: &World) -> Try {
    let field = &world.field;
    let draft = field.beacon(&field.users[0], Lane::Normal);
    let came = field.publish(0, &draft).await;
    match came {
        Try::Accepted => {}
        Try::NotAccepted => field.note_all(&draft, Outcome::Fail),
        Try::Unknown => field.note_all(&draft, Outcome::Unknown),
    }
    came
}

/// Starts a replica that sees the primary through a proxy, and lets each reader keep to one side: whoever went from the
/// new side to the old one would know epochs that nobody has heard of there.
async fn prepare(world: &mut World) -> (Redis, Proxy) {
    let bridge = Proxy::start(world.redis.address()).await;
    let replica = world.replica(bridge.address).await;
    world.field.take_sides().await;
    // The first replica gave the primary another replication id.
    world.note_fates().await;
    (replica, bridge)
}

async fn part(world: &World, replica: &Redis, bridge: &Proxy) {
    bridge.set(Path::Commands, Order::Hold);
    replica.run("REPLICAOF NO ONE").await;
    world.proxies[1].lead_to(replica.address());
    world.proxies[1].cut();
}

/// As Sentinel does it: the old primary is told that it is a replica now, and then its connections are closed.
async fn unite(world: &mut World, replica: Redis) {
    // What it has in epochs of its own is gone with it.
    world.note_fates().await;
    world.redis.run(&format!("REPLICAOF 127.0.0.1 {}", replica.address().port())).await;
    world.proxies[0].lead_to(replica.address());
    // Meanwhile publishes meet a server that may not write.
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.proxies[0].cut();
    world.redis = replica;
    world.field.leave_sides();
}
