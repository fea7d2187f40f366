//! Two nodes on one Redis, each behind a proxy of its own, and what Redis itself holds of the channels.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fanfare::stream::{Epoch, Lane, Position};

use super::Bounds;
use super::field::{Field, Tops, channels};
use crate::checker::Fates;
use crate::support::{Proxy, Redis, Scenario, TestServer, eventually};

/// More than any run publishes to one stream, so that nothing is missing because it was too old.
const HISTORY: &str = "history = { size = 1_000_000, ttl = \"24h\" }";

/// Everything that faults are done to.
pub(super) struct World {
    pub(super) redis: Redis,
    pub(super) proxies: [Proxy; 2],
    pub(super) field: Arc<Field>,
    /// Every channel that is published to.
    channels: Vec<Arc<str>>,
    /// Every epoch that a channel was seen in.
    seen: HashMap<Arc<str>, HashSet<Epoch>>,
    pub(super) fates: Fates,
    /// How long it took until a node noticed that it heard nothing.
    pub(super) deaf: Vec<Duration>,
}

/// What Redis holds of a channel: its epoch, its tops by lane, and the ends of earlier epochs.
struct Meta {
    epoch: Epoch,
    tops: [u64; 2],
    chain: Vec<(Epoch, [u64; 2])>,
}

impl World {
    pub(super) async fn build(seed: u64, bounds: &Bounds) -> Self {
        let redis = Redis::start().await;
        let proxies = [Proxy::start(redis.address()).await, Proxy::start(redis.address()).await];
        let nodes = [node(proxies[0].address).await, node(proxies[1].address).await];
        for node in &nodes {
            eventually("the node is ready", async || is_ready(node).await).await;
        }
        let field = Arc::new(Field::new(nodes, seed, bounds));
        let (channels, seen, fates, deaf) = (channels(bounds), HashMap::new(), Fates::default(), Vec::new());
        Self { redis, proxies, field, channels, seen, fates, deaf }
    }

    /// Starts a replica that reaches the primary there, and waits until it has all that the primary has.
    pub(super) async fn replica(&self, primary: SocketAddr) -> Redis {
        let replica = Redis::start().await;
        replica.run(&format!("REPLICAOF 127.0.0.1 {}", primary.port())).await;
        eventually("the replica is in sync", async || replica.says("master_link_status:up").await).await;
        replica
    }

    /// Notes which epochs have ended, and where.
    pub(super) async fn note_fates(&mut self) {
        for channel in self.channels.clone() {
            let Some(meta) = self.meta(&channel).await else { continue };
            self.fates.note(&channel, meta.epoch, &meta.chain);
            let seen = self.seen.entry(Arc::clone(&channel)).or_default();
            let known = |epoch: &&Epoch| **epoch == meta.epoch || meta.chain.iter().any(|(one, _)| one == *epoch);
            for epoch in seen.iter().filter(|epoch| !known(epoch)) {
                self.fates.note_gone(&channel, *epoch);
            }
            seen.insert(meta.epoch);
            seen.extend(meta.chain.iter().map(|(epoch, _)| *epoch));
        }
    }

    /// Where the streams end that something was published to.
    pub(super) async fn tops(&self) -> Tops {
        let mut tops = Tops::new();
        for channel in &self.channels {
            let Some(meta) = self.meta(channel).await else { continue };
            for lane in Lane::ALL {
                let top = Position::new(meta.epoch, meta.tops[lane.index()]);
                if top.seq > 0 {
                    tops.insert((channel.to_string(), lane), top);
                }
            }
        }
        tops
    }

    async fn meta(&self, channel: &str) -> Option<Meta> {
        let reply = self.redis.run(&format!("GET fanfare:{{{channel}}}:m")).await;
        let meta: Option<String> = redis::from_redis_value(reply).unwrap();
        let meta = meta?;
        let [_, epoch, express, normal, _, _, _, chain] = *meta.split('|').collect::<Vec<_>>() else {
            panic!("`{meta}` is no meta")
        };
        let links = chain.split(',').filter(|link| !link.is_empty()).map(|link| {
            let [epoch, express, normal] = *link.split(':').collect::<Vec<_>>() else { panic!("`{link}` is no link") };
            (parse(epoch), [express.parse().unwrap(), normal.parse().unwrap()])
        });
        Some(Meta {
            epoch: parse(epoch),
            tops: [express, normal].map(|top| top.parse().unwrap()),
            chain: links.collect(),
        })
    }
}

pub(super) async fn is_ready(node: &TestServer) -> bool {
    node.send(node.get("/readyz")).await.status == 200
}

async fn node(redis: SocketAddr) -> TestServer {
    let scenario = Scenario::shop().at(&format!("redis://{redis}"));
    let scenario = ["user", "team", "ops"].iter().fold(scenario, |scenario, channel| {
        let section = format!("[channels.{channel}]\n");
        scenario.replace(&section, &format!("{section}{HISTORY}\n"))
    });
    TestServer::start(scenario).await
}

fn parse(epoch: &str) -> Epoch {
    format!("{epoch}-0").parse::<Position>().unwrap().epoch
}
