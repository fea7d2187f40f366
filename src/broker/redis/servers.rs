//! The servers in use: one, or those that own the slots of a cluster, as they are now.
//!
//! The map of a cluster is asked for every second or so, and at once when somebody doubts it: a server that sends a key
//! elsewhere, or ends a subscription by itself. One task asks, so however many doubt it at once, it is one question.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::InvalidUrl;
use super::access::{Address, shown};
use super::cluster::{Cluster, Told, Untold};
use super::feed::Request;
use super::inspection::Unfit;
use super::server::{Builder, Server};
use super::slots::{Owners, Slot};
use super::wanted::{Inner, Wanted};
use crate::config::BrokerUrl;
use crate::notification::ChannelName;
use crate::telemetry::Metrics;

/// How often the map is asked for, at most; spread, so that nodes do not ask in step.
const WATCH: Duration = Duration::from_secs(1);
/// Between two questions, at least, however often the map is doubted; spread.
const PAUSE: Duration = Duration::from_millis(60);
/// For so long an older map than the one in use is not believed. Longer, and the newer is of a cluster that is gone.
const MEMORY: Duration = Duration::from_secs(10);

/// The servers in use.
#[derive(Debug)]
pub(super) struct Servers {
    cluster: Option<Cluster>,
    builder: Builder,
    wanted: Arc<Wanted>,
    layout: watch::Sender<Arc<Layout>>,
    /// How often the map was asked for, with an answer or without.
    asked: watch::Sender<u64>,
    metrics: OnceLock<Arc<Metrics>>,
}

/// Which server has what.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) servers: Vec<Arc<Server>>,
    /// Of a cluster: for each slot an index into `servers`.
    owners: Option<Arc<Owners>>,
    epoch: u64,
    /// When a server last told this map or a newer one.
    told: Instant,
    /// Why there is no map.
    why: Option<String>,
}

impl Layout {
    /// The server that has a slot.
    pub(super) fn server(&self, slot: Slot) -> Option<&Arc<Server>> {
        match &self.owners {
            Some(owners) => self.servers.get(owners.index(slot)?),
            None => self.servers.first(),
        }
    }

    /// Of a cluster, the server at an address.
    pub(super) fn at(&self, place: &Address) -> Option<&Arc<Server>> {
        self.servers.iter().find(|server| server.place.as_ref() == Some(place))
    }

    /// Why nobody has a slot.
    pub(super) fn lack(&self, slot: Slot) -> String {
        match &self.why {
            Some(why) => format!("the servers of the cluster are not known: {why}"),
            None => format!("no server of the cluster has slot {}", slot.number()),
        }
    }
}

impl Servers {
    pub(super) fn new(builder: Builder) -> Result<Self, InvalidUrl> {
        let cluster = match &builder.config.url.value {
            BrokerUrl::Cluster(cluster) => Some(Cluster::new(cluster, builder.config.ca.as_deref())?),
            _ => None,
        };
        let servers = if cluster.is_some() { Vec::new() } else { vec![Arc::new(builder.only()?)] };
        let why = cluster.is_some().then(|| "none was asked yet".to_owned());
        let layout = Layout { servers, owners: None, epoch: 0, told: Instant::now(), why };
        Ok(Self {
            cluster,
            wanted: Arc::clone(&builder.wanted),
            builder,
            layout: watch::Sender::new(Arc::new(layout)),
            asked: watch::Sender::new(0),
            metrics: OnceLock::new(),
        })
    }

    /// Which server has what, now.
    pub(super) fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout.borrow())
    }

    /// The server that has everything, where it is not spread over a cluster.
    pub(super) fn only(&self) -> Option<Arc<Server>> {
        if self.cluster.is_some() { None } else { self.layout.borrow().servers.first().cloned() }
    }

    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
        self.layout().servers.iter().for_each(|server| server.count_in(metrics));
    }

    /// Whether what is published anywhere comes back.
    ///
    /// # Errors
    /// What is broken, and where.
    pub(super) fn readiness(&self) -> Result<(), String> {
        let layout = self.layout();
        if let Some(why) = &layout.why {
            return Err(format!("the servers of the cluster are not known: {why}"));
        }
        match layout.owners.as_ref().map_or(0, |owners| owners.unowned()) {
            0 => layout.servers.iter().try_for_each(|server| server.readiness()),
            count => Err(format!("no server of the cluster has {count} of its slots")),
        }
    }

    /// Looks at the servers, if they can be reached now.
    ///
    /// # Errors
    /// Why one can never be used.
    pub(super) async fn check(&self) -> Result<(), Unfit> {
        if let Some(cluster) = &self.cluster
            && let Err(Untold::Unfit(unfit)) = self.ask(cluster).await
        {
            return Err(unfit);
        }
        let layout = self.layout();
        join_all(layout.servers.iter().map(|server| server.commands.check())).await.into_iter().collect()
    }

    /// Keeps the connections up, and the map as it is, until `shutdown`.
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        let mut servers = JoinSet::new();
        let running = async { tokio::join!(self.run_servers(&mut servers), self.follow()) };
        shutdown.run_until_cancelled(Box::pin(running)).await;
        servers.shutdown().await;
    }

    async fn run_servers(&self, running: &mut JoinSet<()>) {
        let mut layouts = self.layout.subscribe();
        loop {
            let layout = Arc::clone(&layouts.borrow_and_update());
            for server in layout.servers.iter().filter(|server| server.claim()) {
                running.spawn(Arc::clone(server).run());
            }
            tokio::select! {
                _ = layouts.changed() => {}
                // One that was left has ended.
                Some(_) = running.join_next() => {}
            }
        }
    }

    /// Asks for the map again and again.
    async fn follow(&self) {
        let Some(cluster) = &self.cluster else { return };
        let mut known = true;
        if self.layout().why.is_none() {
            self.rest().await;
        }
        loop {
            match self.ask(cluster).await {
                Ok(()) => known = true,
                // The connections may well stand.
                Err(error) if known => {
                    tracing::warn!("no server of the cluster tells which of them has what: {error}");
                    known = false;
                }
                Err(_) => {}
            }
            self.rest().await;
        }
    }

    async fn rest(&self) {
        tokio::time::sleep(PAUSE.mul_f64(rand::random_range(0.5..=1.0))).await;
        let watch = tokio::time::sleep(WATCH.mul_f64(rand::random_range(0.5..=1.0)));
        tokio::select! {
            () = watch => {}
            () = self.wanted.doubted() => {}
        }
    }

    /// Asks once, and takes what is told.
    async fn ask(&self, cluster: &Cluster) -> Result<(), Untold> {
        let layout = self.layout();
        let known = layout.owners.iter().flat_map(|owners| owners.primaries.iter().chain(&owners.replicas));
        let known: Vec<_> = known.cloned().collect();
        let told = cluster.ask(&layout.servers, &known).await;
        match &told {
            Ok(told) => self.take(cluster, told),
            Err(error) if layout.why.is_some() => self.say_why(error),
            Err(_) => {}
        }
        self.asked.send_modify(|asked| *asked += 1);
        told.map(drop)
    }

    fn say_why(&self, error: &Untold) {
        let why = Some(error.to_string());
        let layout = Layout { servers: Vec::new(), owners: None, epoch: 0, told: Instant::now(), why };
        self.layout.send_replace(Arc::new(layout));
    }

    /// Takes a map, unless it is an older one, and has what moved subscribed to where it is now.
    fn take(&self, cluster: &Cluster, told: &Told) {
        let before = self.layout();
        if told.epoch < before.epoch && before.told.elapsed() < MEMORY {
            return;
        }
        // Nobody subscribes meanwhile, so every subscription is either among those that move, or is made by the new map.
        let mut wanted = self.wanted.lock();
        let (owners, servers) = match &before.owners {
            Some(owners) if **owners == told.owners => (Arc::clone(owners), before.servers.clone()),
            _ => match self.build(cluster, &told.owners, &before) {
                Some(servers) => (Arc::new(told.owners.clone()), servers),
                None => return,
            },
        };
        wanted.owners = Some(Arc::clone(&owners));
        let layout = Layout { servers, owners: Some(owners), epoch: told.epoch, told: Instant::now(), why: None };
        let layout = Arc::new(layout);
        self.layout.send_replace(Arc::clone(&layout));
        hand_over(&mut wanted, &before, &layout);
        drop(wanted);
        let is_left = |server: &&Arc<Server>| !layout.servers.iter().any(|other| Arc::ptr_eq(server, other));
        for left in before.servers.iter().filter(is_left) {
            left.retire();
        }
    }

    /// The servers of a map, those that are in use already among them.
    fn build(&self, cluster: &Cluster, owners: &Owners, before: &Layout) -> Option<Vec<Arc<Server>>> {
        let build = |place| {
            // What this node has at a server must be in a slot that the server owns: its probe, and what it waits for.
            if let Some(known) = before.at(place)
                && owners.address(known.slot) == Some(place)
            {
                return Some(Arc::clone(known));
            }
            let tag = owners.tag(place)?;
            let server = self.builder.member(&cluster.access, place, &tag);
            let server = server.inspect_err(|error| tracing::error!("redis at {}: {error}", shown(place))).ok()?;
            tracing::info!("redis at {} has slots of the cluster", shown(place));
            self.metrics.get().inspect(|metrics| server.count_in(metrics));
            Some(Arc::new(server))
        };
        owners.primaries.iter().map(build).collect()
    }

    /// Waits until the map was asked for anew. False if that is not before the deadline.
    pub(super) async fn asked_anew(&self, deadline: Instant) -> bool {
        let mut asked = self.asked.subscribe();
        asked.borrow_and_update();
        self.wanted.doubt();
        tokio::time::timeout_at(deadline, asked.changed()).await.is_ok()
    }
}

/// Has channels subscribed to at the server that has them now: those that moved, and those that were found to be astray.
fn hand_over(wanted: &mut Inner, before: &Layout, now: &Layout) {
    let mut moved = wanted.take_strays();
    let same = |slot| match (before.server(slot), now.server(slot)) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        _ => false,
    };
    if !before.owners.as_ref().zip(now.owners.as_ref()).is_some_and(|(before, now)| Arc::ptr_eq(before, now)) {
        let others = wanted.channels.iter().filter(|channel| !same(Slot::of(channel.as_str())));
        moved.extend(others.cloned());
    }
    let mut by_server: HashMap<usize, Vec<ChannelName>> = HashMap::new();
    for channel in moved {
        let index = now.owners.as_ref().and_then(|owners| owners.index(Slot::of(channel.as_str())));
        // What nobody has is wanted on, and found to have moved when somebody has it.
        if let Some(index) = index {
            by_server.entry(index).or_default().push(channel);
        }
    }
    for (index, channels) in by_server {
        if let Some(server) = now.servers.get(index) {
            server.feed.request(Request::Adopt(channels));
        }
    }
}
