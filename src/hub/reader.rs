//! A reader pulls what one subscription has not had yet, and turns it into bytes: from the rings, or, where they
//! have passed it, from history. Both writers of connections, body and socket, own one.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::catch_up::CatchUp;
use super::channel::Pulled;
use super::directory::{Lease, Registration, TooManyStreams};
use super::lag::{Skipped, Sparing};
use super::resume::Resume;
use super::streams::{Place, State, Stream, Streams};
use super::subscriber::News;
use super::turn::{Pull, Tally, Turn};
use super::{CloseReason, Hub, LocalChannel, Socket, Subscriber, sse};
use crate::auth::Principal;
use crate::notification::ChannelName;
use crate::stream::{Cursor, History, Lane, Message};

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    Live,
    /// Where a cursor stands; at the top of streams that it does not know.
    Cursor(Cursor),
    /// This many records before the top of each stream.
    Last(u64),
    /// The client sent something that is no cursor: from now on, after saying so.
    Unreadable,
}

/// The first event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// Its data.
    pub data: Value,
    /// After how long the client reconnects when the connection breaks.
    pub retry: Duration,
    /// The channels that it asks for and that are declared no more: it is told of each. Where its cursor stands in them
    /// it goes on to stand.
    pub gone: Vec<ChannelName>,
}

/// Reads for one subscription. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Reader {
    pub(super) hub: Arc<Hub>,
    pub(super) registration: Registration,
    /// Keeps the channels open.
    _listening: Box<[Listening]>,
    pub(super) streams: Streams,
    hello: Option<Box<Hello>>,
    unreadable: bool,
    pub(super) resume: Resume,
    pub(super) history: Arc<dyn History>,
    pub(super) catch_up: CatchUp,
    /// Its connection did not take what there was, and has not had all of it since.
    pub(super) behind: bool,
    over: bool,
}

/// A channel that a subscription listens to.
#[derive(Debug)]
pub struct Listening {
    /// Keeps the channel open.
    pub lease: Lease,
    /// Whether low priority is shed while the reader lags.
    pub sheds_low: bool,
}

/// What a reader is made from.
#[derive(Debug)]
pub struct Subscription {
    /// Who listens.
    pub principal: Arc<Principal>,
    /// To what.
    pub listening: Box<[Listening]>,
    /// From where on.
    pub start: Start,
    /// How it is greeted.
    pub hello: Hello,
    /// What is asked for records that the rings no longer hold.
    pub history: Arc<dyn History>,
    /// Ends its connection, whether or not anybody reads from it.
    pub kill: CancellationToken,
}

impl Reader {
    /// Registers a subscription, then decides where it begins: what is published in between is in
    /// the rings, so there is neither a hole nor a repeat at the seam.
    ///
    /// # Errors
    /// [`TooManyStreams`] when the principal has its share.
    pub fn attach(hub: &Arc<Hub>, subscription: Subscription) -> Result<Self, TooManyStreams> {
        let Subscription { principal, listening, start, hello, history, kill } = subscription;
        let registration = hub.register(principal, listening.iter().map(|it| &it.lease), kill)?;
        let streams = Streams::begin(&listening, &start, &hello.gone);
        Ok(Self {
            hub: Arc::clone(hub),
            registration,
            _listening: listening,
            streams,
            hello: Some(Box::new(hello)),
            unreadable: start == Start::Unreadable,
            resume: Resume::new(&start),
            history,
            catch_up: CatchUp::default(),
            behind: false,
            over: false,
        })
    }

    /// Hands the reader and the socket that it shall feed to its shard.
    pub fn feed(self, socket: Socket) {
        let (hub, shard) = (Arc::clone(&self.hub), self.subscriber().shard());
        hub.shards[shard].adopt(self, socket);
    }

    /// From now on its shard writes to it, as `connection`.
    pub(super) fn move_to_shard(&mut self, connection: usize) {
        self.registration.move_to_shard(connection);
    }

    pub(super) fn subscriber(&self) -> &Subscriber {
        &self.registration.subscriber
    }

    pub(super) fn channels(&self) -> &[Arc<LocalChannel>] {
        self.registration.subscriber.channels()
    }

    /// Stages what follows, of as many events as there are until the turn is full.
    pub(super) fn stage(&mut self, cx: &mut Context<'_>, turn: &mut Turn) {
        let news = self.subscriber().look(cx.waker());
        if news.has_loss() {
            self.drop_lost(turn);
        }
        self.note_all(news);
        self.greet(turn);
        self.pull_lane(Lane::Express, turn);
        let caught_up = self.read_history(cx, turn);
        self.pull_lane(Lane::Normal, turn);
        // What the pulls found to be behind is read at once, not at the next wake.
        if caught_up.is_ready() {
            let _ = self.read_history(cx, turn);
        }
        if self.resume.is_open() && self.is_live() {
            self.resume.settle(&self.hub.metrics);
        }
        if news.has_bye() {
            self.say_bye(turn);
        } else if turn.is_empty() && news.has_heartbeat() {
            turn.beat();
        }
    }

    fn is_live(&self) -> bool {
        self.streams.iter().flatten().all(|stream| matches!(stream.state, State::UpToDate | State::Lost))
    }

    /// Whether it has said goodbye.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether there was more than the turn could hold.
    pub(super) fn has_more(&self) -> bool {
        let pulls = self.streams.iter().flatten().any(|stream| stream.state == State::Pull);
        pulls || self.catch_up.has_records()
    }

    /// Where it stands, when it listens to one channel and has all of it.
    pub(super) fn place(&self) -> Option<Place> {
        let [express, normal] = self.streams.only()?;
        let rests = self.is_live() && !self.behind && !self.over && self.hello.is_none();
        rests.then_some([express.at, normal.at])
    }

    /// Moves to where another reader stands that listens to the same one channel.
    pub(super) fn go_to(&mut self, place: Place) {
        for (stream, at) in self.streams.iter_mut().flatten().zip(place) {
            (stream.at, stream.state) = (at, State::UpToDate);
        }
    }

    /// Notes that the channel at `index` has news.
    pub(super) fn note(&mut self, index: usize) {
        self.streams[index].iter_mut().for_each(Stream::note);
    }

    /// Takes back pulls of which nothing was sent.
    pub(super) fn put_back(&mut self, pulls: &[Pull]) {
        for pull in pulls.iter().rev() {
            let stream = &mut self.streams[pull.index][pull.lane.index()];
            let state = if stream.state == State::Lost { State::Lost } else { State::Pull };
            (stream.at, stream.state) = (pull.before, state);
            self.catch_up.give_up(pull.index, pull.lane);
        }
    }

    /// Counts what became of notifications.
    pub(super) fn count(&self, tally: Tally) {
        self.hub.metrics.deliveries.inc_by(tally.written);
        if tally.skipped > 0 {
            self.hub.metrics.lag_skipped.inc_by(tally.skipped);
        }
    }

    /// Its connection does not take what there is.
    pub(super) fn fell_behind(&mut self) {
        self.behind = true;
    }

    /// Its connection has taken all that there was.
    pub(super) fn caught_up(&mut self) {
        self.behind &= !self.is_live();
    }

    /// What it is spared in a stream, while it is behind.
    pub(super) fn sparing(&self, index: usize, lane: Lane) -> Option<Sparing> {
        let sheds_low = self.streams[index][lane.index()].sheds_low;
        // The wall clock, as expiry is a time of day.
        let now_ms = || u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        self.behind.then(|| Sparing { now_ms: now_ms(), sheds_low })
    }

    fn note_all(&mut self, news: News) {
        for index in 0..self.streams.len() {
            if news.has_channel(index) {
                self.note(index);
            }
        }
    }

    /// Takes no more of channels that it has lost, and tells of each.
    fn drop_lost(&mut self, turn: &mut Turn) {
        // Only then is it clear to which stream the news belong.
        self.greet(turn);
        for index in (0..self.streams.len()).filter(|index| self.subscriber().has_lost(*index)).collect::<Vec<_>>() {
            if self.streams[index].iter().all(|stream| stream.state == State::Lost) {
                continue;
            }
            for lane in Lane::ALL {
                self.streams[index][lane.index()].state = State::Lost;
                self.catch_up.give_up(index, lane);
            }
            self.tell_gone(self.channels()[index].name(), turn);
        }
    }

    fn tell_gone(&self, channel: &ChannelName, turn: &mut Turn) {
        self.tell(turn, "gone", None, &json!({"channel": channel.as_str(), "code": "removed"}));
    }

    fn greet(&mut self, turn: &mut Turn) {
        if let Some(hello) = self.hello.take() {
            self.tell(turn, "hello", Some(hello.retry), &hello.data);
            hello.gone.iter().for_each(|channel| self.tell_gone(channel, turn));
        }
        if std::mem::take(&mut self.unreadable) {
            self.tell(turn, "reset", None, &json!({"reason": "unreadable_cursor"}));
        }
    }

    fn say_bye(&mut self, turn: &mut Turn) {
        if let Some(bye) = self.subscriber().bye() {
            let data = json!({"code": bye.reason.code(), "retry": bye.retry.as_millis() as u64});
            self.tell(turn, "bye", Some(bye.retry), &data);
        }
        self.over = true;
    }

    /// Stages an event of the system.
    pub(super) fn tell(&self, turn: &mut Turn, name: &str, retry: Option<Duration>, data: &Value) {
        tell(turn, self.channels(), &self.streams, name, retry, data);
    }

    /// Stages what the rings have in one lane of every channel.
    fn pull_lane(&mut self, lane: Lane, turn: &mut Turn) {
        for index in 0..self.streams.len() {
            if self.streams[index][lane.index()].state == State::Pull && !turn.is_full() {
                self.pull_stream(index, lane, turn);
            }
        }
    }

    pub(super) fn pull_stream(&mut self, index: usize, lane: Lane, turn: &mut Turn) {
        let sparing = self.sparing(index, lane);
        let Self { registration, streams, .. } = self;
        let channels = registration.subscriber.channels();
        let channel = &channels[index];
        let mut before = streams[index][lane.index()].at;
        let mut skipped = Skipped::default();
        let (at, pulled) = channel.pull(lane, before, |message, position, ring| {
            let is_replaced = |key: &str| ring.replaces(key, position);
            if sparing.is_some_and(|sparing| sparing.skips(message, is_replaced, &mut skipped)) {
                streams[index][lane.index()].at = position;
                return true;
            }
            let start = turn.len();
            tell_lag(turn, channels, streams, (index, lane), skipped);
            streams[index][lane.index()].at = position;
            stage_message(turn, channels, streams, message);
            let tally = Tally { skipped: std::mem::take(&mut skipped).total(), ..Tally::ONE };
            turn.pulled(index, lane, std::mem::replace(&mut before, position), tally, start);
            !turn.is_full()
        });
        if skipped != Skipped::default() {
            let start = turn.len();
            tell_lag(turn, channels, streams, (index, lane), skipped);
            turn.pulled(index, lane, before, Tally { written: 0, skipped: skipped.total() }, start);
        }
        let stream = &mut streams[index][lane.index()];
        stream.at = at;
        stream.quiet &= pulled == Pulled::Passed;
        stream.state = match pulled {
            Pulled::UpToDate => State::UpToDate,
            Pulled::Full => State::Pull,
            Pulled::Passed => State::Behind,
        };
    }
}

/// Stages a notification, with the cursor of `streams`, which stand behind it already.
pub(super) fn stage_message(turn: &mut Turn, channels: &[Arc<LocalChannel>], streams: &Streams, message: &Message) {
    let out = turn.begin();
    sse::message(out, message);
    sse::end_with_id(out, |id| streams.write_cursor(channels, id));
    turn.end();
}

/// Stages an event of the system, with the cursor of `streams`.
fn tell(
    turn: &mut Turn,
    channels: &[Arc<LocalChannel>],
    streams: &Streams,
    name: &str,
    retry: Option<Duration>,
    data: &Value,
) {
    let out = turn.begin();
    sse::event(out, Some(name), retry, data.to_string().as_bytes());
    sse::end_with_id(out, |id| streams.write_cursor(channels, id));
    turn.end();
}

/// Stages what tells of skipped notifications, if there are any: the last of them is where the stream stands.
pub(super) fn tell_lag(
    turn: &mut Turn,
    channels: &[Arc<LocalChannel>],
    streams: &Streams,
    (index, lane): (usize, Lane),
    skipped: Skipped,
) {
    if skipped != Skipped::default() {
        let to = streams[index][lane.index()].at.seq;
        tell(turn, channels, streams, "lag", None, &skipped.to_json(channels[index].name(), lane, to));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.resume.end(&self.hub.metrics);
        self.hub.unregister(&self.registration);
        let reason = self.registration.subscriber.bye().map_or(CloseReason::Disconnected, |bye| bye.reason);
        self.hub.metrics.stream_closed(reason.code());
    }
}
