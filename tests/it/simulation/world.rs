//! The nodes and the broker of one run.

use std::sync::Arc;
use std::time::Duration;

use fanfare::auth::Credential;
use fanfare::broker::Broker;
use fanfare::hub::{Hello, Hub, HubSettings, Lease, Listening, Reader, Start, Subscription};
use fanfare::notification::{ChannelName, Reason};
use fanfare::pipeline::{Mode, Pipeline, Receipt, Request, Submission};
use fanfare::reload::load_and_compile;
use fanfare::snapshot::Live;
use fanfare::stream::{Inlet, Position, RingBounds};
use fanfare::telemetry::Metrics;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use super::relay::{Relay, Shelf, Wire};
use crate::support::Scenario;

/// Configurations that keep little and much, compiled once for all runs.
pub(super) struct Settings {
    lives: [Arc<Live>; 2],
    pub(super) producer: Credential,
}

impl Settings {
    pub(super) fn load() -> Self {
        let few = "history = { size = 4, ttl = \"2s\" } # kept";
        let scenario = Scenario::shop().user_channel(few);
        let load = || {
            let snapshot = load_and_compile(&scenario.path()).snapshot.unwrap();
            Arc::new(Live::new(snapshot, Timestamp::now()))
        };
        let kept_little = load();
        scenario.edit(few, "history = { size = 60, ttl = \"1h\" }");
        Self { lives: [kept_little, load()], producer: Credential::new(scenario.api_key()) }
    }
}

/// One node.
pub(super) struct Node {
    pub(super) hub: Arc<Hub>,
    pipeline: Pipeline,
    shelf: Arc<Shelf>,
    dice: Dice,
}

/// Everything that runs.
pub(super) struct World {
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) broker: Arc<Broker>,
    pub(super) relay: Arc<Relay>,
    _running: JoinSet<()>,
}

impl World {
    pub(super) fn build(settings: &Settings, dice: &Dice) -> Self {
        let live = dice.one_of(&settings.lives);
        let relay = Arc::new(Relay { wires: (0..dice.within(1..3)).map(|_| Wire::new(dice)).collect() });
        let mut config = live.load().config.clone();
        config.broker.max_channels = *dice.one_of(&[2, 4, 1_000, 1_000]);
        let broker = Arc::new(Broker::new(&config.broker, Arc::clone(&relay) as Arc<dyn Inlet>).unwrap());
        let mut running = JoinSet::new();
        let mut nodes = Vec::new();
        for wire in &relay.wires {
            let reasons = Reason::ALL.iter().map(|reason| (reason.code(), reason.outcome().as_str()));
            let metrics = Arc::new(Metrics::new(reasons).unwrap());
            let hub = Arc::new(Hub::new(hub_settings(dice), Arc::clone(&metrics)));
            wire.hub.set(Arc::clone(&hub)).unwrap();
            let shelf = Arc::new(Shelf { broker: Arc::clone(&broker), dice: dice.clone() });
            let never = CancellationToken::new();
            for shard in 0..hub.shards() {
                running.spawn(Arc::clone(&hub).run_shard(shard, never.clone()));
            }
            running.spawn(Arc::clone(&hub).run_repairs(Arc::clone(&shelf) as _, never));
            let pipeline =
                Pipeline::new(Arc::clone(live), Arc::clone(&hub), Arc::clone(&broker), metrics, &config.server);
            nodes.push(Arc::new(Node { hub, pipeline, shelf, dice: dice.clone() }));
        }
        Self { nodes, broker, relay, _running: running }
    }

    /// What a node does now and then.
    pub(super) fn sweep(&self, node: usize) {
        let others = || self.nodes.iter().enumerate().filter(|(index, _)| *index != node);
        self.nodes[node].hub.sweep(Timestamp::now());
        self.nodes[node].hub.leave_idle(|channel| {
            self.nodes[node].dice.note("idle");
            if others().all(|(_, other)| other.hub.channel(channel).is_none()) {
                self.broker.unsubscribe(channel);
            }
        });
    }
}

fn hub_settings(dice: &Dice) -> HubSettings {
    let ring = RingBounds { records: *dice.one_of(&[1, 3, 64]), bytes: *dice.one_of(&[2_000, 1_000_000]) };
    HubSettings {
        shards: dice.within(1..3),
        ring,
        heartbeat: Duration::from_secs(2),
        stall_timeout: Duration::from_secs(10),
        max_streams_per_principal: 64,
    }
}

/// A subscription that could not be opened.
#[derive(Debug)]
pub(super) struct Refused;

impl Node {
    pub(super) async fn publish(&self, settings: &Settings, notification: &Value) -> Arc<Receipt> {
        let (credential, body) = (Some(&settings.producer), notification.to_string());
        let submission = Submission { credential, body: body.as_bytes(), idempotency_key: None, mode: Mode::Publish };
        self.pipeline.accept(submission).await.unwrap()
    }

    /// Attaches as the product does, or, as often, with a broker that takes its time and may fail.
    pub(super) async fn attach(self: Arc<Self>, request: Request) -> Result<Reader, Refused> {
        if self.dice.percent(30) {
            return self.pipeline.attach(request).await.map_err(|error| panic!("{error}"));
        }
        let Request { credential, channels, start, kill, .. } = request;
        let snapshot = self.pipeline.live.load();
        let principal = self.pipeline.authenticate(&snapshot, credential.as_ref(), Timestamp::now()).unwrap();
        let mut listening = Vec::new();
        for channel in &channels {
            let lease = self.open(&channel.parse().unwrap()).await?;
            listening.push(Listening { lease, sheds_low: false });
            self.dice.pause().await;
        }
        self.subscribe(principal, listening, start, kill)
    }

    async fn open(&self, channel: &ChannelName) -> Result<Lease, Refused> {
        let subscribe = async || -> Result<[Position; 2], Refused> {
            self.dice.pause().await;
            if self.dice.fault("attach", 5) {
                return Err(Refused);
            }
            let tops = self.shelf.broker.subscribe(channel).await.map_err(|_| Refused);
            self.dice.pause().await;
            tops
        };
        self.hub.open(channel, subscribe).await
    }

    fn subscribe(
        &self,
        principal: Arc<fanfare::auth::Principal>,
        listening: Vec<Listening>,
        start: Start,
        kill: CancellationToken,
    ) -> Result<Reader, Refused> {
        let hello = Hello { data: json!({}), retry: Duration::from_secs(3), gone: Vec::new() };
        let history = Arc::clone(&self.shelf) as _;
        let subscription = Subscription { principal, listening: listening.into(), start, hello, history, kill };
        Reader::attach(&self.hub, subscription).map_err(|_| Refused)
    }
}
