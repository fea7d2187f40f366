//! One reader of a run: it connects in its own way, reads at its own pace, is cut, and comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::shop::Shop;
use crate::checker::{Heard, Kind};
use crate::support::{Begin, DEADLINE, Ear, Event, Http2, Http2Stream, Subscriber, within_deadline};

/// Who listens to what, besides the own channel.
const CHANNELS: [&[&str]; 3] = [&["user.c1"], &["team.t2", "user.c1"], &["ops.all", "team.t2", "user.c2"]];

/// How it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Chunked,
    /// With little room for what is not read.
    Narrow,
    Plain,
    Http2,
}

/// An open stream, however it came to be.
enum Stream {
    Http1(Subscriber),
    /// With its connection.
    Http2(Http2Stream, #[expect(dead_code, reason = "it ends the stream when it goes")] Http2),
}

impl Stream {
    async fn next(&mut self) -> Option<Event> {
        match self {
            Self::Http1(stream) => stream.next().await,
            Self::Http2(stream, _) => stream.next().await,
        }
    }
}

/// What a reader heard.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) principal: String,
    pub(super) channels: Vec<String>,
    pub(super) heard: Vec<Heard>,
    pub(super) faults: BTreeMap<&'static str, usize>,
}

/// A reader.
pub(super) struct Reader<'a> {
    shop: &'a Shop,
    number: usize,
    rng: StdRng,
    /// Reads an event only so often.
    pace: Duration,
    connections: usize,
    cursors: Vec<String>,
    log: Log,
}

impl<'a> Reader<'a> {
    pub(super) fn new(shop: &'a Shop, number: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(shop.seed * 1_000 + 500 + number as u64);
        let channels: Vec<String> = CHANNELS[number % 3].iter().map(ToString::to_string).collect();
        // Each by a name of its own, so that no two share what one principal may have.
        let principal = channels.last().unwrap().trim_start_matches("user.").to_owned();
        let pace = Duration::from_millis([0, 0, 2, 5][rng.random_range(0..4)]);
        let log = Log { principal, channels, heard: Vec::new(), faults: BTreeMap::new() };
        Self { shop, number, rng, pace, connections: 0, cursors: Vec::new(), log }
    }

    /// Listens until the shop is closed and everything was heard.
    pub(super) async fn listen(mut self) -> Log {
        while !self.shop.is_closed() {
            let (mut stream, mut ear) = self.connect().await;
            if self.rng.random_bool(0.3) {
                // Long enough for more to be published than sockets hold.
                self.fault("nap");
                tokio::time::sleep(Duration::from_millis(self.rng.random_range(200..800))).await;
            }
            let events = self.rng.random_range(1..60);
            for _ in 0..events {
                // Now and then whether the shop is closed.
                let Ok(event) = tokio::time::timeout(Duration::from_millis(200), stream.next()).await else { break };
                self.hear(&mut ear, event);
                tokio::time::sleep(self.pace).await;
            }
            self.fault("cut");
        }
        let (stream, ear) = self.connect().await;
        within_deadline("a reader gets everything", self.finish(stream, ear)).await;
        let gaps = self.log.heard.iter().filter(|heard| matches!(heard.kind, Kind::Gap { .. })).count();
        self.log.faults.insert("gap", gaps);
        self.log
    }

    async fn finish(&mut self, mut stream: Stream, mut ear: Ear) {
        let tops = self.shop.tops();
        let top = |ear: &Ear, index, lane| tops.get(&(ear.channel(index).to_string(), lane)).copied();
        let lacks = |ear: &Ear| {
            let streams = ear.streams();
            let behind = |&(index, lane, at)| top(ear, index, lane).is_some_and(|top| top != at);
            streams.is_empty() || streams.iter().any(behind)
        };
        while lacks(&ear) {
            let event = tokio::time::timeout(DEADLINE / 2, stream.next()).await;
            let Ok(event) = event else { break }; // The checker says what is missing.
            self.hear(&mut ear, event);
        }
        for (index, lane, _) in ear.streams() {
            if let Some(top) = top(&ear, index, lane) {
                ear.end(index, lane, top, &mut self.log.heard);
            }
        }
    }

    fn hear(&mut self, ear: &mut Ear, event: Option<Event>) {
        let event = event.expect("the server ended the stream");
        ear.hear(&event, &mut self.log.heard);
        self.cursors.extend(ear.cursor.clone());
    }

    async fn connect(&mut self) -> (Stream, Ear) {
        self.connections += 1;
        let begin = self.begin();
        let cursor = match &begin {
            Begin::Cursor(cursor) => Some(cursor.clone()),
            Begin::Now | Begin::Last => None,
        };
        let last = matches!(begin, Begin::Last).then(|| format!("last={}", self.rng.random_range(0..20)));
        let connection = self.number * 1_000 + self.connections;
        let ear = Ear::new(connection, &self.log.principal, &self.log.channels, begin);
        let way = [Way::Chunked, Way::Narrow, Way::Plain, Way::Http2][self.rng.random_range(0..4)];
        if way == Way::Narrow {
            self.fault("narrow");
        }
        if !self.pace.is_zero() {
            self.fault("slow");
        }
        (self.open(way, cursor.as_deref(), last).await, ear)
    }

    async fn open(&self, way: Way, cursor: Option<&str>, last: Option<String>) -> Stream {
        let server = &self.shop.server;
        let teams = json!({ "sub": self.log.principal, "teams": ["t2"], "roles": ["operator"] });
        let token = server.token_with(teams);
        if way == Way::Http2 {
            let channels = self.log.channels.iter().map(|channel| format!("channel={channel}"));
            let query: Vec<String> = channels.chain(last).collect();
            let mut connection = Http2::connect(server).await;
            let stream = connection.open(server, &token, &query.join("&"), cursor).await;
            return Stream::Http2(stream, connection);
        }
        let channels: Vec<&str> = self.log.channels.iter().map(String::as_str).collect();
        let listen = server.listen(&channels).token(&token);
        let listen = cursor.into_iter().fold(listen, |listen, cursor| listen.cursor(cursor));
        let listen = last.iter().fold(listen, |listen, last| listen.query(last));
        Stream::Http1(match way {
            Way::Narrow => listen.open_narrow().await,
            Way::Plain => listen.http_1_0().open().await,
            Way::Chunked | Way::Http2 => listen.open().await,
        })
    }

    /// Where it begins this time: mostly where it was cut.
    fn begin(&mut self) -> Begin {
        let Some(last) = self.cursors.last() else { return Begin::Now };
        match self.rng.random_range(0..20) {
            0 => Begin::Now,
            1 => Begin::Last,
            2..5 => {
                let old = self.cursors[self.rng.random_range(0..self.cursors.len())].clone();
                self.fault("old_cursor");
                Begin::Cursor(old)
            }
            _ => Begin::Cursor(last.clone()),
        }
    }

    fn fault(&mut self, kind: &'static str) {
        *self.log.faults.entry(kind).or_default() += 1;
    }
}
