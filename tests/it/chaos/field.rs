//! What all who take part in a run share: the nodes, the logs, and what readers are waited for to hear.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fanfare::stream::{Lane, Position};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::Bounds;
use crate::checker::{Outcome, Published};
use crate::support::{TestServer, alert, content, eventually, order, with};

/// One to whom nothing is published but what is lost on the way if it can be: nothing that follows shows the hole.
pub(super) const QUIET: &str = "quiet";
/// Where a stream ends.
pub(super) type Tops = HashMap<(String, Lane), Position>;

/// The shared part of a run.
pub(super) struct Field {
    pub(super) nodes: [TestServer; 2],
    pub(super) seed: u64,
    /// Those whose channels the readers listen to.
    pub(super) users: Vec<String>,
    /// Between two publishes of a producer.
    pub(super) pace: Duration,
    published: Mutex<Vec<Published>>,
    /// Notifications, by how they ended.
    pub(super) accepted: AtomicUsize,
    pub(super) failed: AtomicUsize,
    pub(super) unknown: AtomicUsize,
    /// Accepted after a try of which nobody knew.
    pub(super) repeated: AtomicUsize,
    /// The longest that a publish waited for its answer, in milliseconds.
    pub(super) slowest: AtomicUsize,
    /// Readers that have connected.
    pub(super) seated: AtomicUsize,
    /// Which node each reader is connected to, or about to be.
    seats: Mutex<HashMap<usize, usize>>,
    /// Whether readers keep to one node each.
    sides: AtomicBool,
    /// Those who wait for a payload to be heard, and who has heard it.
    beacons: Mutex<HashMap<u64, HashSet<usize>>>,
    beacon_number: AtomicUsize,
    closed: AtomicBool,
    over: AtomicBool,
    tops: Mutex<Option<Arc<Tops>>>,
}

/// A notification, and where it must arrive.
pub(super) struct Draft {
    pub(super) key: String,
    pub(super) body: Value,
    pub(super) to: Vec<(String, Lane)>,
}

/// How one try to publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    Accepted,
    NotAccepted,
    Unknown,
}

impl Field {
    pub(super) fn new(nodes: [TestServer; 2], seed: u64, bounds: &Bounds) -> Self {
        Self {
            nodes,
            seed,
            users: users(bounds),
            pace: bounds.pace,
            published: Mutex::default(),
            accepted: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            unknown: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            slowest: AtomicUsize::new(0),
            seated: AtomicUsize::new(0),
            seats: Mutex::default(),
            sides: AtomicBool::new(false),
            beacons: Mutex::default(),
            beacon_number: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            tops: Mutex::default(),
        }
    }

    /// Publishes once. What is accepted is noted; what is not is for the caller to note once it gives up.
    pub(super) async fn publish(&self, node: usize, draft: &Draft) -> Try {
        let start = Instant::now();
        let answer = self.nodes[node].publish_once(&draft.key, draft.body.clone()).await;
        self.slowest.fetch_max(start.elapsed().as_millis() as usize, Ordering::Relaxed);
        match answer.status.as_u16() {
            202 => {
                for sent in answer.json()["channels"].as_array().unwrap() {
                    let lane = if sent["lane"] == "express" { Lane::Express } else { Lane::Normal };
                    let position = sent["position"].as_str().unwrap().parse().unwrap();
                    self.note(sent["channel"].as_str().unwrap(), lane, &draft.body, Outcome::Ok(position));
                }
                self.accepted.fetch_add(1, Ordering::Relaxed);
                Try::Accepted
            }
            // On this node a publish with the key is still under way.
            409 => Try::Unknown,
            503 => match answer.json()["code"].as_str() {
                Some("not_accepted") => Try::NotAccepted,
                Some("unknown_outcome") => Try::Unknown,
                code => panic!("{code:?}"),
            },
            _ => panic!("{answer:?}"),
        }
    }

    /// Notes how a notification ended in every channel that it was to go to.
    pub(super) fn note_all(&self, draft: &Draft, outcome: Outcome) {
        draft.to.iter().for_each(|(channel, lane)| self.note(channel, *lane, &draft.body, outcome));
    }

    fn note(&self, channel: &str, lane: Lane, body: &Value, outcome: Outcome) {
        let (channel, payload) = (channel.into(), content(body));
        self.published.lock().push(Published { channel, lane, payload, outcome });
    }

    /// Publishes until it is accepted, as a producer does that must not lose anything.
    pub(super) async fn insist(&self, node: usize, draft: &Draft) {
        let start = Instant::now();
        loop {
            match self.publish(node, draft).await {
                Try::Accepted => return,
                Try::NotAccepted => {}
                Try::Unknown => self.note_all(draft, Outcome::Unknown),
            }
            assert!(start.elapsed() < 3 * super::PATIENCE, "node {node} does not take `{}`", draft.key);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A notification to one user, or to the team and the operators as well, that readers are waited for to hear.
    pub(super) fn beacon(&self, user: &str, lane: Lane) -> Draft {
        let number = format!("beacon-{}", self.beacon_number.fetch_add(1, Ordering::Relaxed));
        let draft = match lane {
            _ if user == QUIET => to_user(user, &number, "low"),
            Lane::Express => to_operators(user, &number),
            Lane::Normal => to_team(user, &number, "low"),
        };
        self.beacons.lock().insert(content(&draft.body), HashSet::new());
        draft
    }

    /// Notes that a reader has heard something.
    pub(super) fn heard(&self, reader: usize, payload: u64) {
        if let Some(heard) = self.beacons.lock().get_mut(&payload) {
            heard.insert(reader);
        }
    }

    /// Who of `readers` has not heard it.
    pub(super) fn lacking(&self, draft: &Draft, readers: &[usize]) -> Vec<usize> {
        let beacons = self.beacons.lock();
        let heard = &beacons[&content(&draft.body)];
        readers.iter().copied().filter(|reader| !heard.contains(reader)).collect()
    }

    /// Beacons of every user, in both lanes.
    pub(super) fn beacons(&self) -> Vec<Draft> {
        self.users.iter().flat_map(|user| Lane::ALL.map(|lane| self.beacon(user, lane))).collect()
    }

    /// Publishes them until they are accepted: at one node, or at both by turns.
    pub(super) async fn insist_all(&self, nodes: &[usize], drafts: &[Draft]) {
        let insist = |(draft, node): (_, &usize)| self.insist(*node, draft);
        futures_util::future::join_all(drafts.iter().zip(nodes.iter().cycle()).map(insist)).await;
    }

    /// The channels that a reader listens to: its user's, and for some the team's or the operators' as well. The first
    /// two are those of the quiet user.
    pub(super) fn channels_of(&self, reader: usize) -> Vec<String> {
        let user = format!("user.{}", self.user_of(reader));
        let more: &[&str] = match (reader % self.users.len(), reader / self.users.len() % 4) {
            _ if is_quiet(reader) => &[],
            // A few for each of these channels suffice.
            (..4, 2) => &["team.t2"],
            (..4, 3) => &["ops.all", "team.t2"],
            _ => &[],
        };
        more.iter().map(ToString::to_string).chain([user]).collect()
    }

    pub(super) fn user_of(&self, reader: usize) -> &str {
        if is_quiet(reader) { QUIET } else { &self.users[reader % self.users.len()] }
    }

    /// Lets readers go to either node again.
    pub(super) fn leave_sides(&self) {
        self.sides.store(false, Ordering::SeqCst);
    }

    /// Lets each reader keep to the node of its side, and waits until all do. Those who are between two connections will.
    pub(super) async fn take_sides(&self) {
        // Whoever sits down from now on sees it.
        let seats = self.seats.lock();
        self.sides.store(true, Ordering::SeqCst);
        drop(seats);
        eventually("the readers are on their sides", async || {
            self.seats.lock().iter().all(|(reader, node)| self.may_sit(*reader, *node))
        })
        .await;
    }

    /// Whether a reader may listen to that node now.
    pub(super) fn may_sit(&self, reader: usize, node: usize) -> bool {
        // The quiet stay where they are, so that what one has missed is not made good by the other node.
        let sides = self.sides.load(Ordering::SeqCst) || is_quiet(reader);
        !sides || reader % 2 == node
    }

    /// The node that a reader connects to: the one that it would like, if it may.
    pub(super) fn sit(&self, reader: usize, node: usize) -> usize {
        let mut seats = self.seats.lock();
        let node = if self.may_sit(reader, node) { node } else { 1 - node };
        seats.insert(reader, node);
        node
    }

    /// Notes that it is not connected any more.
    pub(super) fn rise(&self, reader: usize) {
        self.seats.lock().remove(&reader);
    }

    /// Nothing more is published, and streams end there.
    pub(super) fn close(&self, tops: Tops) {
        *self.tops.lock() = Some(Arc::new(tops));
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn tops(&self) -> Option<Arc<Tops>> {
        self.tops.lock().clone()
    }

    /// Whether nothing more is published.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Producers end.
    pub(super) fn stop_producers(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn take_published(&self) -> Vec<Published> {
        std::mem::take(&mut *self.published.lock())
    }
}

/// Those who hear nothing but what must not be missed.
pub(super) fn is_quiet(reader: usize) -> bool {
    reader < 2
}

fn users(bounds: &Bounds) -> Vec<String> {
    (1..=bounds.users).map(|user| format!("c{user}")).collect()
}

/// Every channel that is published to.
pub(super) fn channels(bounds: &Bounds) -> Vec<Arc<str>> {
    let users = users(bounds).into_iter().map(|user| format!("user.{user}").into());
    users.chain([format!("user.{QUIET}").into(), "team.t2".into(), "ops.all".into()]).collect()
}

/// To one user, in either lane.
pub(super) fn to_user(user: &str, number: &str, priority: &str) -> Draft {
    let lane = if priority == "high" { Lane::Express } else { Lane::Normal };
    let body = with(order(user, number), "priority", priority);
    Draft { key: number.to_owned(), body, to: vec![(format!("user.{user}"), lane)] }
}

/// To one user and the team.
pub(super) fn to_team(user: &str, number: &str, priority: &str) -> Draft {
    let mut draft = to_user(user, number, priority);
    draft.body = with(draft.body, "data.total_cents", 1_000_000);
    draft.to.push(("team.t2".to_owned(), draft.to[0].1));
    draft
}

/// To one user and the operators.
pub(super) fn to_operators(user: &str, number: &str) -> Draft {
    let to = vec![(format!("user.{user}"), Lane::Express), ("ops.all".to_owned(), Lane::Express)];
    Draft { key: number.to_owned(), body: alert(user, number), to }
}
