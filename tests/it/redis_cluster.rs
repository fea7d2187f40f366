//! Two servers on a Redis cluster, whose slots are moved and whose primaries go away.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Cluster, Redis, Scenario, Subscriber, TestServer, alert, eventually, fanfare, order};

/// Between the loss of a primary and the first publish to it that is accepted again, with servers that wait for 1 s.
const OUTAGE: Duration = Duration::from_secs(8);

async fn nodes(cluster: &Cluster) -> [TestServer; 2] {
    let start = async || TestServer::start(Scenario::shop().at(&cluster.url())).await;
    let nodes = [start().await, start().await];
    for node in &nodes {
        node.ready().await;
    }
    nodes
}

/// Publishes orders for one user until each is accepted, and follows them on both nodes.
struct Customer {
    user: String,
    readers: Vec<Subscriber>,
    next: u64,
    /// Publishes that were refused before.
    refused: usize,
}

impl Customer {
    async fn all(cluster: &Cluster, nodes: &[TestServer]) -> Vec<Self> {
        let mut customers = Vec::new();
        for user in cluster.users().await {
            let mut readers = Vec::new();
            for node in nodes {
                readers.push(node.subscribe(&format!("user.{user}")).await);
            }
            customers.push(Self { user, readers, next: 0, refused: 0 });
        }
        customers
    }

    async fn publish(&mut self, node: &TestServer) {
        let key = format!("{}-{}", self.user, self.next);
        let begun = Instant::now();
        loop {
            let answer = node.publish_once(&key, order(&self.user, self.next)).await;
            match answer.status.as_u16() {
                202 => break,
                409 | 503 => self.refused += 1,
                _ => panic!("{answer:?}"),
            }
            assert!(begun.elapsed() < OUTAGE, "{key} was refused for {:?}: {answer:?}", begun.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.next += 1;
    }

    /// Each reader gets each order once and in order.
    async fn all_arrived(&mut self) {
        for reader in &mut self.readers {
            for number in 0..self.next {
                assert_eq!(reader.next_order().await, number.to_string(), "of {}", self.user);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_of_every_server_reach_readers_of_either_node() {
    let cluster = Cluster::start().await;
    let nodes = nodes(&cluster).await;
    let mut customers = Customer::all(&cluster, &nodes).await;
    for round in 0..20 {
        for customer in &mut customers {
            customer.publish(&nodes[round % 2]).await;
        }
    }
    let mut operators = [nodes[0].subscribe("ops.all").await, nodes[1].subscribe("ops.all").await];
    for customer in &mut customers {
        customer.all_arrived().await;
        assert_eq!(customer.refused, 0);
        // One notification for channels of two servers, most often.
        nodes[0].publish(alert(&customer.user, &customer.user)).await.accepted();
        for reader in operators.iter_mut().chain(&mut customer.readers) {
            assert_eq!(reader.next_notification().await["title"], *customer.user);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load_lose_nothing_and_double_nothing() {
    let cluster = Cluster::start().await;
    let nodes = nodes(&cluster).await;
    let mut customers = Customer::all(&cluster, &nodes).await;
    let channels: Vec<_> = customers.iter().map(|customer| format!("user.{}", customer.user)).collect();
    let moves = async {
        for channel in &channels {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let to = (cluster.owner(channel).await + 1) % cluster.primaries.len();
            cluster.migrate(channel, to).await;
        }
    };
    let load = async {
        for round in 0..100 {
            for customer in &mut customers {
                customer.publish(&nodes[round % 2]).await;
            }
        }
    };
    tokio::join!(moves, load);
    for customer in &mut customers {
        customer.all_arrived().await;
    }
    for node in &nodes {
        node.ready().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_lost_disturbs_its_own_channels_only() {
    let mut cluster = Cluster::start().await;
    let nodes = nodes(&cluster).await;
    let mut customers = Customer::all(&cluster, &nodes).await;
    for customer in &mut customers {
        customer.publish(&nodes[0]).await;
    }
    // The replica has it all: what it has not, a failover loses, and tells.
    eventually("it is at the replica", async || {
        let state: String = redis::from_redis_value(cluster.primaries[0].run("INFO replication").await).unwrap();
        let value = |name: &str| state.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let behind = value("slave0:").unwrap();
        behind.contains(&format!("offset={},", value("master_repl_offset:").unwrap()))
    })
    .await;
    cluster.primaries[0].kill();
    for round in 0..10 {
        for customer in &mut customers {
            customer.publish(&nodes[round % 2]).await;
        }
    }
    for (index, customer) in customers.iter_mut().enumerate() {
        assert_eq!(customer.refused > 0, index == 0, "{index}: {}", customer.refused);
        customer.all_arrived().await;
    }
    for node in &nodes {
        node.ready().await;
    }
}

#[tokio::test]
async fn a_url_of_the_other_kind_ends_the_start() {
    let redis = Redis::start().await;
    let member = Redis::start_with(&["--cluster-enabled", "yes"]).await;
    let cluster_url = redis.url().replace("redis://", "redis+cluster://");
    for (url, told) in [(member.url(), "redis+cluster://"), (cluster_url, "not a server of a cluster")] {
        let scenario = Scenario::shop().at(&url);
        let ended = fanfare(&["serve", "--config", scenario.path().to_str().unwrap()]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains(told), "{said}");
    }
}
