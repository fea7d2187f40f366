//! The server of one run, and those who publish to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanfare::stream::{Lane, Position};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::checker::{Outcome, Published};
use crate::support::{Scenario, TestServer, alert, content, order, with};

/// Publishes of each producer.
const PUBLISHES: usize = 100;
const USERS: [&str; 2] = ["c1", "c2"];

/// A shop at work.
pub(super) struct Shop {
    pub(super) server: TestServer,
    pub(super) seed: u64,
    published: Mutex<Vec<Published>>,
    reloads: AtomicUsize,
    closed: CancellationToken,
}

impl Shop {
    pub(super) async fn open(seed: u64) -> Self {
        let size = if seed.is_multiple_of(2) { 8 } else { 100 };
        let ring = [1, 4, 256][seed as usize % 3];
        let scenario = Scenario::shop()
            .user_channel(&format!("history = {{ size = {size}, ttl = \"1h\" }}"))
            .server(&format!("ring_records = {ring}"));
        let server = TestServer::start(scenario).await;
        let (published, reloads, closed) = Default::default();
        Self { server, seed, published, reloads, closed }
    }

    /// Publishes as fast as it is let.
    pub(super) async fn produce(&self, producer: usize) {
        let mut rng = StdRng::seed_from_u64(self.seed * 1_000 + producer as u64);
        for number in 0..PUBLISHES {
            let notification = draw(&mut rng, format!("{producer}-{number}"));
            match rng.random_range(0..20) {
                0 => self.publish_refused(&with(notification, "data.unheard_of", true)).await,
                1 => {
                    let key = format!("{producer}-{number}");
                    let first = self.server.publish_once(&key, notification.clone()).await.accepted();
                    let again = self.server.publish_once(&key, notification.clone()).await.accepted();
                    assert_eq!((&again["channels"], &again["duplicate"]), (&first["channels"], &Value::from(true)));
                    self.note(&notification, &first);
                }
                _ => self.note(&notification, &self.server.publish(notification.clone()).await.accepted()),
            }
            if rng.random_bool(0.02) {
                self.reload(producer, number).await;
            }
            if rng.random_bool(0.1) {
                tokio::time::sleep(Duration::from_millis(rng.random_range(1..20))).await;
            }
        }
    }

    /// Nobody may hear of it.
    async fn publish_refused(&self, notification: &Value) {
        self.server.publish(notification.clone()).await.refused(422, "invalid");
        for user in USERS {
            let (channel, payload) = (format!("user.{user}").into(), content(notification));
            let lane = if notification["priority"] == "low" { Lane::Normal } else { Lane::Express };
            self.published.lock().push(Published { channel, lane, payload, outcome: Outcome::Fail });
        }
    }

    fn note(&self, notification: &Value, receipt: &Value) {
        for sent in receipt["channels"].as_array().unwrap() {
            let lane = if sent["lane"] == "express" { Lane::Express } else { Lane::Normal };
            let position = sent["position"].as_str().unwrap().parse().unwrap();
            let channel = sent["channel"].as_str().unwrap().into();
            let (payload, outcome) = (content(notification), Outcome::Ok(position));
            self.published.lock().push(Published { channel, lane, payload, outcome });
        }
    }

    /// A reload that changes nothing for whoever listens.
    async fn reload(&self, producer: usize, number: usize) {
        self.server
            .scenario
            .append(&format!("[limits.unused-{producer}-{number}]\nrate = \"1/s\"\nkey = \"{{principal}}\"\n"));
        self.server.reload().await.ok();
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing more is published.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Where each stream ends, by what producers were told.
    pub(super) fn tops(&self) -> HashMap<(String, Lane), Position> {
        let mut tops = HashMap::new();
        for one in self.published.lock().iter() {
            let Outcome::Ok(position) = one.outcome else { continue };
            let top = tops.entry((one.channel.to_string(), one.lane)).or_insert(position);
            assert_eq!(top.epoch, position.epoch, "`{}` began anew", one.channel);
            top.seq = top.seq.max(position.seq);
        }
        tops
    }

    pub(super) fn published(&self) -> Vec<Published> {
        self.published.lock().clone()
    }

    pub(super) fn reloads(&self) -> usize {
        self.reloads.load(Ordering::Relaxed)
    }
}

/// A notification unlike any other, of any size, to one channel or two, in either lane.
fn draw(rng: &mut StdRng, number: String) -> Value {
    let user = USERS[rng.random_range(0..USERS.len())];
    let long = "x".repeat([1, 1, 200, 12_000][rng.random_range(0..4)]);
    if rng.random_bool(0.3) {
        return with(alert(user, number), "message", long);
    }
    let order = with(order(user, number), "priority", ["low", "high"][rng.random_range(0..2)]);
    // What a reader that lags may be spared.
    let order = if rng.random_bool(0.2) { with(order, "collapseKey", "latest") } else { order };
    let order = if rng.random_bool(0.1) { with(order, "ttl", "1s") } else { order };
    let order = with(order, "message", long);
    if rng.random_bool(0.4) { with(order, "data.total_cents", 1_000_000) } else { order }
}
