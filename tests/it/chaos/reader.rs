//! Subscribers on bare sockets: each is cut again and again, and comes back to either node where it was cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fanfare::stream::Lane;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::field::{Field, Tops, is_quiet};
use crate::checker::{Heard, Kind};
use crate::support::{Begin, DEADLINE, Ear, Event, Subscriber};

/// Old cursors that a reader remembers.
const REMEMBERED: usize = 32;

/// What a reader heard.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) principal: String,
    pub(super) channels: Vec<String>,
    pub(super) heard: Vec<Heard>,
    pub(super) faults: BTreeMap<&'static str, usize>,
    /// What it was told when the server ended a stream that stood.
    pub(super) closed: Vec<String>,
}

/// A reader.
pub(super) struct Reader {
    field: Arc<Field>,
    number: usize,
    rng: StdRng,
    connections: usize,
    cursor: Option<String>,
    old: Vec<String>,
    log: Log,
}

impl Reader {
    pub(super) fn new(field: &Arc<Field>, number: usize) -> Self {
        let channels = field.channels_of(number);
        // By what it may hear, as readers of one user may hear different things.
        let log = Log { principal: channels.join("+"), channels, ..Log::default() };
        Self {
            field: Arc::clone(field),
            number,
            rng: StdRng::seed_from_u64(field.seed * 1_000 + 500 + number as u64),
            connections: 0,
            cursor: None,
            old: Vec::new(),
            log,
        }
    }

    /// Listens until nothing more is published and everything was heard.
    pub(super) async fn listen(mut self) -> Log {
        let tops = loop {
            if let Some(tops) = self.field.tops() {
                break tops;
            }
            let Some((node, mut stream, mut ear)) = self.connect().await else {
                self.field.rise(self.number);
                tokio::time::sleep(Duration::from_millis(self.rng.random_range(50..200))).await;
                continue;
            };
            let millis = if is_quiet(self.number) { 3_600_000 } else { self.rng.random_range(100..6_000) };
            let until = Instant::now() + Duration::from_millis(millis);
            let stands = self.listen_until(node, &mut stream, &mut ear, until).await;
            if stands {
                *self.log.faults.entry("cut").or_default() += 1;
            }
            drop(stream);
            self.field.rise(self.number);
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..200))).await;
        };
        self.finish(&tops).await;
        self.log
    }

    /// False when the server ended the stream.
    async fn listen_until(&mut self, node: usize, stream: &mut Subscriber, ear: &mut Ear, until: Instant) -> bool {
        while Instant::now() < until && !self.field.is_over() && self.field.may_sit(self.number, node) {
            // Now and then whether that is still so.
            let Ok(event) = timeout(Duration::from_millis(200), stream.next()).await else { continue };
            if !self.hear(ear, event) {
                return false;
            }
        }
        true
    }

    /// False when the stream has ended.
    fn hear(&mut self, ear: &mut Ear, event: Option<Event>) -> bool {
        let Some(event) = event.filter(|event| event.name.as_deref() != Some("bye")) else {
            self.log.closed.push(format!("reader {} at {:?}", self.number, self.cursor));
            return false;
        };
        let from = self.log.heard.len();
        ear.hear(&event, &mut self.log.heard);
        for heard in &self.log.heard[from..] {
            if let Kind::Live { payload } = heard.kind {
                self.field.heard(self.number, payload);
            }
        }
        self.cursor.clone_from(&ear.cursor);
        true
    }

    /// Connects where it was cut; none when the server cannot serve it now.
    async fn connect(&mut self) -> Option<(usize, Subscriber, Ear)> {
        let begin = self.begin();
        let drawn = self.rng.random_range(0..2);
        let index = self.field.sit(self.number, drawn);
        let node = &self.field.nodes[index];
        let channels: Vec<&str> = self.log.channels.iter().map(String::as_str).collect();
        let token =
            node.token_with(json!({ "sub": self.field.user_of(self.number), "teams": ["t2"], "roles": ["operator"] }));
        let listen = node.listen(&channels).token(&token);
        let listen = if let Begin::Cursor(cursor) = &begin { listen.cursor(cursor) } else { listen };
        let mut stream = listen.open().await;
        let hello = stream.next().await.filter(|event| event.name.as_deref() == Some("hello"))?;
        self.connections += 1;
        let connection = self.number * 100_000 + self.connections;
        let mut ear = Ear::new(connection, &self.log.principal, &self.log.channels, begin);
        self.hear(&mut ear, Some(hello));
        if self.connections == 1 {
            self.field.seated.fetch_add(1, Ordering::Relaxed);
        }
        Some((index, stream, ear))
    }

    /// Mostly where it was cut, and sometimes where it was long ago. Never anew, as it would not hear what it lacks.
    fn begin(&mut self) -> Begin {
        let Some(cursor) = self.cursor.clone() else { return Begin::Now };
        if self.old.len() < REMEMBERED {
            self.old.push(cursor.clone());
        } else {
            let place = self.rng.random_range(0..REMEMBERED);
            self.old[place].clone_from(&cursor);
        }
        if self.rng.random_bool(0.05) {
            *self.log.faults.entry("old_cursor").or_default() += 1;
            let old = &self.old[self.rng.random_range(0..self.old.len())];
            return Begin::Cursor(old.clone());
        }
        Begin::Cursor(cursor)
    }

    /// Hears everything that there is. What does not come in time the checker finds missing.
    async fn finish(&mut self, tops: &Tops) {
        let deadline = Instant::now() + DEADLINE / 2;
        let (_, mut stream, mut ear) = loop {
            if let Some(connected) = self.connect().await {
                break connected;
            }
            assert!(Instant::now() < deadline, "reader {} cannot come back", self.number);
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let top = |ear: &Ear, index, lane: Lane| tops.get(&(ear.channel(index).to_string(), lane)).copied();
        let lacks = |ear: &Ear| {
            let mut streams = ear.streams().into_iter();
            streams.any(|(index, lane, at)| top(ear, index, lane).is_some_and(|top| top != at))
        };
        while lacks(&ear) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = timeout(left, stream.next()).await else { break };
            if !self.hear(&mut ear, event) {
                break;
            }
        }
        for (index, lane, _) in ear.streams() {
            if let Some(top) = top(&ear, index, lane) {
                ear.end(index, lane, top, &mut self.log.heard);
            }
        }
    }
}
