//! One reload after the other while streams are open and a producer publishes: no stream is closed, no publish fails,
//! nothing is lost, and how much memory grows is told. And how soon a file that was saved is in force.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::asked;
use crate::support::{Answer, Listen, Program, Scenario, Subscriber, eventually, order};

/// Streams that listen to one channel.
const READERS_OF_ONE: usize = 10;
const PACE: Duration = Duration::from_millis(5);
/// The order after which nothing comes.
const END: &str = "end";
/// How soon a file that was saved is in force. Tests allow three times as much, as a busy machine is no failure.
const EFFECTIVE: Duration = Duration::from_secs(1);

/// How much happens.
struct Bounds {
    reloads: usize,
    streams: usize,
    /// After so many reloads memory is looked at for the first time.
    first: usize,
    /// For so long nothing is reloaded before it is looked at.
    settle: Duration,
    /// Publishes before, so that histories, rings and the decisions of late are as full as they get.
    published: usize,
    /// Files that are saved and left to the watcher.
    saves: usize,
}

/// What it came to.
struct Report {
    reloads: usize,
    took: Duration,
    by_watcher: usize,
    published: usize,
    failed: Vec<String>,
    streams: usize,
    closed: usize,
    delivered: usize,
    /// By stream, where it did not get what was accepted, in order and once.
    wrong: Vec<String>,
    /// In KiB, after the first reloads and at the end.
    memory: [u64; 2],
    /// From a save to its revision, sorted.
    effective: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_close_no_stream_and_lose_nothing() {
    let report =
        storm(&Bounds { reloads: 50, streams: 50, first: 10, settle: Duration::ZERO, published: 0, saves: 3 }).await;
    println!("{report}");
    report.assert_sound();
}

#[test]
#[ignore = "takes as long as it is told to: tests/chaos --reloads"]
fn chaos_reloads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (reloads, streams) = (asked("RELOADS", 1_000), asked("STREAMS", 1_000));
    let settle = Duration::from_secs(3);
    let report = runtime.block_on(storm(&Bounds {
        reloads,
        streams,
        first: 50,
        settle,
        published: 300 * streams.div_ceil(READERS_OF_ONE),
        saves: 50,
    }));
    println!("{report}");
    report.assert_sound();
}

/// A server in a process of its own, so that what it uses can be told from what its readers do.
struct Server {
    scenario: Scenario,
    text: String,
    program: Program,
    address: SocketAddr,
    admin: SocketAddr,
    client: Client,
}

impl Server {
    async fn start() -> Self {
        let scenario = Scenario::shop();
        let text = std::fs::read_to_string(scenario.path()).unwrap();
        let log = scenario.file("log");
        let program = Program::serve(&scenario.path(), &log);
        let line = || {
            let text = std::fs::read_to_string(&log).unwrap();
            text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|it| it["listen"].is_string())
        };
        eventually("it serves", async || line().is_some()).await;
        let line = line().unwrap();
        let [address, admin] = ["listen", "admin"].map(|name| line[name].as_str().unwrap().parse().unwrap());
        Self { scenario, text, program, address, admin, client: Client::builder().no_proxy().build().unwrap() }
    }

    /// Replaces the main file by another revision, in one step.
    fn save(&self, number: usize) {
        self.scenario.write(&self.text.replace("gte = 100_000", &format!("gte = {}", 200_000 + number)));
    }

    fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    async fn ask(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.unwrap()).await
    }

    async fn revision(&self) -> Value {
        self.ask(self.client.get(self.admin("/v1/admin/config"))).await.ok()["revision"].take()
    }

    /// None when it is accepted.
    async fn publish(&self, user: usize, order_id: impl ToString) -> Option<String> {
        let request = self.client.post(format!("http://{}/v1/notifications", self.address));
        let request = request.bearer_auth(self.scenario.api_key()).json(&order(&format!("c{user}"), order_id));
        match request.send().await {
            Ok(answer) if answer.status() == 202 => None,
            Ok(answer) => Some(Answer::read(answer).await.text),
            Err(error) => Some(format!("{error:?}")),
        }
    }
}

async fn storm(bounds: &Bounds) -> Report {
    let server = Server::start().await;
    let users = bounds.streams.div_ceil(READERS_OF_ONE);
    let mut readers = JoinSet::new();
    for stream in 0..bounds.streams {
        let user = stream % users;
        let subscriber = Listen::new(server.address, &[&format!("user.c{user}")]).greeted().await;
        readers.spawn(async move { (user, heard(subscriber).await) });
    }
    let (stop, full) = (CancellationToken::new(), CancellationToken::new());
    let reloading = async {
        full.cancelled().await;
        let reloaded = reload(&server, bounds).await;
        let effective = save(&server, bounds).await;
        stop.cancel();
        (reloaded, effective)
    };
    let producing = produce(&server, users, (bounds.published, &full), &stop);
    let (((memory, took, by_watcher), effective), (accepted, failed)) = tokio::join!(reloading, producing);
    let mut report = Report {
        reloads: bounds.reloads,
        took,
        by_watcher,
        published: accepted.iter().map(Vec::len).sum::<usize>() + failed.len(),
        failed,
        streams: bounds.streams,
        closed: 0,
        delivered: 0,
        wrong: Vec::new(),
        memory,
        effective,
    };
    for (user, (heard, is_closed)) in readers.join_all().await {
        report.closed += usize::from(is_closed);
        report.delivered += heard.len();
        if heard != accepted[user] {
            report.wrong.push(format!("c{user}: {} of {}", heard.len(), accepted[user].len()));
        }
    }
    report
}

/// What a stream brings up to the last order, and whether it was closed before.
async fn heard(mut subscriber: Subscriber) -> (Vec<String>, bool) {
    let mut heard = Vec::new();
    while let Some(event) = subscriber.next().await.filter(|event| !event.is_system()) {
        match event.json()["data"]["order_id"].as_str().unwrap() {
            END => return (heard, false),
            order_id => heard.push(order_id.to_owned()),
        }
    }
    (heard, true)
}

/// Publishes flat out until so many are `full`, then at its pace until `stop`. By user, what was accepted; and what was
/// said of the rest.
async fn produce(
    server: &Server,
    users: usize,
    (first, full): (usize, &CancellationToken),
    stop: &CancellationToken,
) -> (Vec<Vec<String>>, Vec<String>) {
    let (mut accepted, mut failed) = (vec![Vec::new(); users], Vec::new());
    for number in 0.. {
        if stop.is_cancelled() {
            break;
        }
        if number >= first {
            full.cancel();
            sleep(PACE).await;
        }
        match server.publish(number % users, number.to_string()).await {
            None => accepted[number % users].push(number.to_string()),
            Some(why) => failed.push(why),
        }
    }
    for user in 0..users {
        failed.extend(server.publish(user, END).await);
    }
    (accepted, failed)
}

/// Saves and asks for a reload each time; now and then the watcher comes first. What is in use, how long it took, and
/// how often the watcher did.
async fn reload(server: &Server, bounds: &Bounds) -> ([u64; 2], Duration, usize) {
    let (mut memory, mut took, mut by_watcher) = ([0; 2], Duration::ZERO, 0);
    for number in 1..=bounds.reloads {
        let begun = Instant::now();
        server.save(number);
        let report = server.ask(server.client.post(server.admin("/v1/admin/reload"))).await.ok();
        took += begun.elapsed();
        by_watcher += usize::from(report["loadedBy"] == "change");
        if number == bounds.first {
            sleep(bounds.settle).await;
            memory[0] = server.program.memory_kib();
        }
    }
    sleep(bounds.settle).await;
    memory[1] = server.program.memory_kib();
    (memory, took, by_watcher)
}

/// Saves and waits for the watcher each time.
async fn save(server: &Server, bounds: &Bounds) -> Vec<Duration> {
    let mut effective = Vec::new();
    for number in 1..=bounds.saves {
        let before = server.revision().await;
        let saved = Instant::now();
        server.save(bounds.reloads + number);
        eventually("the save is in force", async || server.revision().await != before).await;
        effective.push(saved.elapsed());
    }
    effective.sort_unstable();
    effective
}

impl Report {
    /// By what part memory has grown.
    fn grown(&self) -> f64 {
        self.memory[1] as f64 / self.memory[0] as f64 - 1.0
    }

    #[track_caller]
    fn assert_sound(&self) {
        assert_eq!((self.closed, &self.failed, &self.wrong), (0, &Vec::new(), &Vec::new()));
        assert!(self.delivered >= self.published, "little was published while it was reloaded");
        assert!(self.effective.last().is_some_and(|slowest| *slowest <= 3 * EFFECTIVE));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: &Duration| format!("{:.0} ms", time.as_secs_f64() * 1_000.0);
        let median = self.effective.get(self.effective.len() / 2).map(ms);
        let lines = [
            ("reloads", self.reloads.to_string()),
            ("took", format!("{:.1} s", self.took.as_secs_f64())),
            ("by the watcher", self.by_watcher.to_string()),
            ("streams", self.streams.to_string()),
            ("streams closed", self.closed.to_string()),
            ("published", self.published.to_string()),
            ("publishes failed", self.failed.len().to_string()),
            ("delivered", self.delivered.to_string()),
            ("streams wrong", self.wrong.len().to_string()),
            ("memory before", format!("{:.1} MiB", self.memory[0] as f64 / 1_024.0)),
            ("memory after", format!("{:.1} MiB", self.memory[1] as f64 / 1_024.0)),
            ("grown by", format!("{:.1} %", self.grown() * 100.0)),
            ("saves", self.effective.len().to_string()),
            ("in force, median", median.unwrap_or_default()),
            ("in force, slowest", self.effective.last().map(ms).unwrap_or_default()),
        ];
        lines.iter().try_for_each(|(name, value)| writeln!(f, "{name:18} {value:>12}"))
    }
}
