//! Many publishes with one idempotency key, at once and through two nodes: exactly one is stored.

use std::collections::HashSet;

use serde_json::Value;
use tokio::time::Instant;

use super::asked;
use crate::support::{Answer, Redis, Scenario, TestServer, order};

/// Publishes with each key.
const PUBLISHES: usize = 100;
/// Channels that they are spread over.
const USERS: usize = 10;
const HISTORY: &str = "history = { size = 1_000_000, ttl = \"24h\" }";

/// What became of the publishes, with one key or with all.
#[derive(Default)]
struct Fates {
    duplicates: usize,
    /// Those that met another on their own node, which is answered 409.
    in_flight: usize,
    /// Those that were answered 503, on a busy machine.
    failed: usize,
    /// What the others were told: the id, and where it is.
    places: HashSet<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_publishes_with_one_key_one_is_stored() {
    println!("{}", publish_with(20).await);
}

#[test]
#[ignore = "takes as long as it is told to: tests/chaos --keys"]
fn chaos_keys() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("{}", runtime.block_on(publish_with(asked("KEYS", 1_000))));
}

/// What that came to, as a table.
async fn publish_with(keys: usize) -> String {
    let redis = Redis::start().await;
    // It is not to die, and need not wait for its disk.
    redis.run("CONFIG SET appendfsync no").await;
    let start = async || {
        let node = TestServer::start(Scenario::shop().at(&redis.url()).user_channel(HISTORY)).await;
        node.ready().await;
        node
    };
    let nodes = [start().await, start().await];
    let (begun, mut all) = (Instant::now(), Fates::default());
    for key in 0..keys {
        all.add(publish_at_once(&nodes, key).await);
    }
    let mut stored = 0;
    for user in 0..USERS {
        let length = redis.run(&format!("LLEN fanfare:{{user.c{user}}}:n")).await;
        stored += redis::from_redis_value::<usize>(length).unwrap();
    }
    assert_eq!((all.places.len(), stored), (keys, keys));
    let lines = [
        ("keys", keys),
        ("publishes", keys * PUBLISHES),
        ("stored", stored),
        ("duplicates", all.duplicates),
        ("in flight (409)", all.in_flight),
        ("failed (503)", all.failed),
    ];
    let table: String = lines.iter().map(|(name, count)| format!("{name:16} {count:>9}\n")).collect();
    format!("{table}took {:>17.1}s", begun.elapsed().as_secs_f64())
}

async fn publish_at_once(nodes: &[TestServer; 2], key: usize) -> Fates {
    let (name, body) = (format!("k{key}"), order(&format!("c{}", key % USERS), key));
    let publish = |node: usize| nodes[node].publish_once(&name, body.clone());
    let answers = futures_util::future::join_all((0..PUBLISHES).map(|index| publish(index % 2))).await;
    let mut fates = Fates::default();
    answers.into_iter().for_each(|answer| fates.note(answer));
    let firsts = PUBLISHES - fates.duplicates - fates.in_flight - fates.failed;
    // The one that stored it may have had no answer in time.
    assert!(firsts == 1 || (firsts == 0 && fates.failed > 0), "{name}: {firsts} were told that they are the first");
    for node in [0, 1] {
        // Whoever comes later is told of the same one.
        let receipt = publish(node).await.accepted();
        assert!(receipt["duplicate"] == true || (firsts == 0 && node == 0), "{name}: {receipt}");
        fates.places.insert(place(&receipt));
    }
    assert_eq!(fates.places.len(), 1, "{name}: {:?}", fates.places);
    fates
}

impl Fates {
    fn note(&mut self, answer: Answer) {
        match answer.status.as_u16() {
            409 => self.in_flight += 1,
            503 => self.failed += 1,
            _ => {
                let receipt = answer.accepted();
                self.duplicates += usize::from(receipt["duplicate"] == true);
                self.places.insert(place(&receipt));
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.duplicates += other.duplicates;
        self.in_flight += other.in_flight;
        self.failed += other.failed;
        self.places.extend(other.places);
    }
}

fn place(receipt: &Value) -> String {
    format!("{} {}", receipt["id"], receipt["channels"])
}
