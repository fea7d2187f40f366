//! What happens in one run.

use std::sync::Arc;
use std::time::Duration;

use fanfare::hub::Reader;
use fanfare::pipeline::Request;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Connection, State};
use super::dice::Dice;
use super::world::{Refused, Settings, World};
use crate::checker::{Outcome, Published, Run};
use crate::support::{Ear, alert, content, order, with};

/// Parts of a run: after each, everything comes to rest.
const ACTS: usize = 4;
/// Steps of an act.
const STEPS: usize = 30;
const USERS: [&str; 3] = ["c0", "c1", "c2"];
/// Who listens to what.
const CLIENTS: [(&str, &[&str]); 5] = [
    ("c0", &["user.c0"]),
    ("c1", &["team.t1", "user.c1"]),
    ("c2", &["ops.all", "team.t1", "user.c2"]),
    ("c3", &["ops.all"]),
    ("c0", &["team.t1", "user.c0"]),
];

/// A subscription that was asked for.
struct Opened {
    client: usize,
    ear: Ear,
    kill: CancellationToken,
    reader: Result<Reader, Refused>,
}

/// One run.
pub(super) struct Story<'a> {
    settings: &'a Settings,
    dice: Dice,
    world: World,
    clients: Vec<Client>,
    opening: JoinSet<Opened>,
    connections: usize,
    published: usize,
    run: Run,
}

impl<'a> Story<'a> {
    /// A run of which nothing has happened yet; it needs the runtime, as the nodes are running.
    pub(super) async fn begin(settings: &'a Settings, seed: u64) -> Self {
        let dice = Dice::new(seed);
        let mut run = Run::default();
        for (name, channels) in CLIENTS {
            let granted = run.grants.entry(name.to_owned()).or_default();
            granted.extend(channels.iter().map(ToString::to_string));
        }
        Self {
            settings,
            world: World::build(settings, &dice),
            dice,
            clients: CLIENTS.iter().map(|(name, channels)| Client::new(name, channels)).collect(),
            opening: JoinSet::new(),
            connections: 0,
            published: 0,
            run,
        }
    }

    /// Lets things happen, and time and again lets everything come to rest; says what was heard.
    pub(super) async fn run(mut self) -> Run {
        for _ in 0..ACTS {
            for _ in 0..STEPS {
                self.step().await;
                self.seat();
            }
            self.dice.calm();
            self.come_to_rest().await;
            self.note_ends().await;
            self.dice.unsettle();
        }
        self.run.faults = self.dice.faults();
        self.run
    }

    async fn step(&mut self) {
        let dice = self.dice.clone();
        let node = dice.below(self.world.nodes.len());
        let client = dice.below(self.clients.len());
        match dice.below(100) {
            0..35 => self.publish(1).await,
            35..37 => self.publish(20).await,
            37..52 => self.connect(client, node),
            52..78 => self.clients[client].read(*dice.one_of(&[1, 100, 3_000, 1_000_000]), &mut self.run.heard),
            78..84 => self.cut(client),
            84..87 => self.world.relay.wires[node].pump(dice.within(1..10)),
            87..89 => self.world.relay.wires[node].mend(),
            89..93 => self.world.sweep(node),
            93..98 => tokio::time::sleep(Duration::from_millis(dice.within(1..500) as u64)).await,
            98 => tokio::time::sleep(Duration::from_secs(dice.within(5..12) as u64)).await,
            99 => self.opening.abort_all(),
            _ => {}
        }
        if dice.percent(40) {
            tokio::task::yield_now().await;
        }
    }

    async fn publish(&mut self, count: usize) {
        let dice = self.dice.clone();
        for _ in 0..dice.within(1..count + 1) {
            let notification = self.draw();
            let node = &self.world.nodes[dice.below(self.world.nodes.len())];
            let receipt = node.publish(self.settings, &notification).await;
            for sent in &receipt.channels {
                let outcome = Outcome::Ok(sent.position.unwrap());
                let channel = sent.channel.as_str().into();
                let published = Published { channel, lane: sent.lane, payload: content(&notification), outcome };
                self.run.published.push(published);
            }
        }
    }

    /// A notification unlike any other, of any size, to one channel or two, in either lane.
    fn draw(&mut self) -> Value {
        self.published += 1;
        let (dice, number) = (&self.dice, self.published);
        let user = dice.one_of(&USERS);
        let long = "x".repeat(if dice.percent(2) { 5_000 } else { *dice.one_of(&[1, 1, 1, 300]) });
        if dice.percent(25) {
            return with(alert(user, number), "message", long);
        }
        let order = with(order(user, number), "priority", *dice.one_of(&["low", "medium", "high"]));
        let order = with(with(order, "data.seller_team_id", "t1"), "message", long);
        if dice.percent(40) { with(order, "data.total_cents", 1_000_000) } else { order }
    }

    fn connect(&mut self, client: usize, node: usize) {
        let Client { principal, channels, credential, state: State::Away, .. } = &self.clients[client] else { return };
        let (start, begin) = self.clients[client].start(&self.dice);
        self.connections += 1;
        let ear = Ear::new(self.connections, principal, channels, begin);
        let kill = CancellationToken::new();
        let (credential, channels) = (Some(credential.clone()), channels.clone());
        let request = Request { credential, channels, start, is_strict: false, kill: kill.clone() };
        let node = Arc::clone(&self.world.nodes[node]);
        self.opening.spawn(async move { Opened { client, ear, kill, reader: node.attach(request).await } });
        self.clients[client].state = State::Coming;
    }

    /// Takes the subscriptions that have been opened, or given up.
    fn seat(&mut self) {
        while let Some(opened) = self.opening.try_join_next() {
            match opened {
                Ok(Opened { client, ear, kill, reader: Ok(reader) }) => {
                    self.clients[client].state = State::There(Box::new(Connection::new(ear, reader, kill)));
                }
                Ok(Opened { client, reader: Err(Refused), .. }) => self.clients[client].state = State::Away,
                Err(error) if error.is_cancelled() => {}
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        if self.opening.is_empty() {
            let waiting = self.clients.iter_mut().filter(|client| matches!(client.state, State::Coming));
            waiting.for_each(|client| client.state = State::Away);
        }
    }

    fn cut(&mut self, client: usize) {
        if matches!(self.clients[client].state, State::There(_)) {
            self.dice.note("cut");
            self.clients[client].cut(&self.dice, &mut self.run.heard);
        }
    }

    /// Everybody comes back, the network is whole, and everybody reads what there is.
    async fn come_to_rest(&mut self) {
        while !self.opening.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.seat();
        }
        self.world.relay.wires.iter().for_each(|wire| wire.mend());
        // Some leave while they listen, as the body of a killed connection does, and come back once more.
        for time in [1, 4] {
            for client in 0..self.clients.len() {
                self.connect(client, self.dice.below(self.world.nodes.len()));
            }
            self.listen_for(Duration::from_secs(time)).await;
        }
    }

    async fn listen_for(&mut self, time: Duration) {
        const TICK: Duration = Duration::from_millis(250);
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.seat();
            for client in &mut self.clients {
                // As often as a burst has turns; what is not woken is not asked.
                (0..20).for_each(|_| client.read(usize::MAX, &mut self.run.heard));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Everything that the broker has must have been heard, or told to be lost.
    async fn note_ends(&mut self) {
        for client in &self.clients {
            let State::There(connection) = &client.state else { panic!("`{}` could not come back", client.principal) };
            for (index, lane, _) in connection.ear.streams() {
                let top = self.world.broker.info(connection.ear.channel(index)).await.unwrap()[lane.index()].top;
                // A channel that was evicted and has nothing has nothing to be told of.
                if let Some(top) = top.filter(|top| top.seq > 0) {
                    connection.ear.end(index, lane, top, &mut self.run.heard);
                }
            }
        }
    }
}
