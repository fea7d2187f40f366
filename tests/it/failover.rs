//! Two servers on Redis behind Sentinels, and a primary that goes away.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Guarded, Scenario, Subscriber, TestServer, eventually, order};

/// Between the loss of a primary and the first publish that is accepted again, with Sentinels that wait for 1 s.
const OUTAGE: Duration = Duration::from_secs(5);
const FAILOVERS: usize = 3;

async fn nodes(guarded: &Guarded) -> [TestServer; 2] {
    let start = async || {
        let scenario = Scenario::shop().at(&guarded.url());
        TestServer::start(scenario.broker("timeout = \"300ms\"")).await
    };
    let nodes = [start().await, start().await];
    for node in &nodes {
        node.ready().await;
    }
    nodes
}

/// Publishes orders for `c7`, and keeps what became of each.
#[derive(Default)]
struct Producer {
    next: u64,
    accepted: Vec<u64>,
    refused: usize,
}

impl Producer {
    async fn publish(&mut self, node: &TestServer) -> bool {
        let (number, begun) = (self.next, Instant::now());
        self.next += 1;
        let answer = node.publish(order("c7", number)).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "a publish took {:?}", begun.elapsed());
        let accepted = answer.status == 202;
        match accepted {
            true => self.accepted.push(number),
            false => {
                assert_eq!(answer.status, 503, "{answer:?}");
                self.refused += 1;
            }
        }
        accepted
    }

    /// Publishes on until it is accepted again, and returns after how long that was.
    async fn outage(&mut self, nodes: &[TestServer; 2]) -> Duration {
        let begun = Instant::now();
        loop {
            let refused = self.refused;
            for node in nodes {
                self.publish(node).await;
            }
            // Both accept again, and something was refused since the primary went away.
            if self.refused == refused && refused > 0 {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < 4 * OUTAGE, "publishing does not go on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All that was accepted is delivered in order, or the reader is told that something is missing.
    async fn all_reach(&self, reader: &mut Subscriber) {
        let last = *self.accepted.last().unwrap();
        let (mut seen, mut told) = (BTreeSet::new(), false);
        while !seen.contains(&last) {
            let event = reader.next().await.expect("the stream was closed");
            if matches!(event.name.as_deref(), Some("gap" | "reset")) {
                told = true;
                continue;
            }
            let number: u64 = event.json()["data"]["order_id"].as_str().unwrap().parse().unwrap();
            assert!(seen.last() < Some(&number), "{number} came after {:?}", seen.last());
            seen.insert(number);
        }
        let missing: Vec<_> = self.accepted.iter().filter(|number| !seen.contains(number)).collect();
        assert!(told || missing.is_empty(), "accepted, not delivered, and not told: {missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_followed_by_its_replica() {
    let mut guarded = Guarded::start().await;
    let nodes = nodes(&guarded).await;
    let mut readers = [nodes[0].subscribe("user.c7").await, nodes[1].subscribe("user.c7").await];
    let mut producer = Producer::default();
    for round in 0..50 {
        assert!(producer.publish(&nodes[round % 2]).await);
    }
    guarded.primary.kill();
    let outage = producer.outage(&nodes).await;
    assert!(outage <= OUTAGE, "publishing went on after {outage:?}");
    for round in 0..50 {
        assert!(producer.publish(&nodes[round % 2]).await);
    }
    for reader in &mut readers {
        producer.all_reach(reader).await;
    }
    for node in &nodes {
        node.ready().await;
    }
}

/// Each comes back as a replica, and is the next to take over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primaries_that_die_one_after_another_are_followed_each_time() {
    let mut guarded = Guarded::start().await;
    let nodes = nodes(&guarded).await;
    let mut readers = [nodes[0].subscribe("user.c7").await, nodes[1].subscribe("user.c7").await];
    let mut producer = Producer::default();
    for _ in 0..FAILOVERS {
        for round in 0..20 {
            assert!(producer.publish(&nodes[round % 2]).await);
        }
        guarded.primary.kill();
        let outage = producer.outage(&nodes).await;
        assert!(outage <= OUTAGE, "publishing went on after {outage:?}");
        for reader in &mut readers {
            producer.all_reach(reader).await;
        }
        producer.accepted.clear();
        guarded.bring_back_primary().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_primary_is_left_although_its_connections_stand() {
    let guarded = Guarded::start().await;
    let nodes = nodes(&guarded).await;
    let mut readers = [nodes[0].subscribe("user.c7").await, nodes[1].subscribe("user.c7").await];
    let mut producer = Producer::default();
    assert!(producer.publish(&nodes[0]).await);
    guarded.primary.freeze();
    let outage = producer.outage(&nodes).await;
    assert!(outage <= OUTAGE, "publishing went on after {outage:?}");
    // What it hears first is that it is a replica now. Nobody may go back to it.
    guarded.primary.thaw();
    eventually("the old primary is demoted", async || guarded.primary.says("role:slave").await).await;
    for round in 0..50 {
        assert!(producer.publish(&nodes[round % 2]).await);
    }
    for reader in &mut readers {
        producer.all_reach(reader).await;
    }
    assert!(guarded.replica.says("role:master").await);
}
