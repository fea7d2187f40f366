//! A reader pulls what one subscription has not had yet, and turns it into bytes: from the rings, or, where they
//! have passed it, from history. Both writers of connections, body and socket, own one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::channel::Pulled;
use super::directory::{Lease, Registration, TooManyStreams};
use super::resume::Resume;
use super::subscriber::News;
use super::{CloseReason, Hub, sse};
use crate::auth::Principal;
use crate::stream::{Cursor, Gap, History, Lane, Page, Position, Record};

/// Bytes staged for one subscriber at most, beyond the event that reaches it.
const MAX_STAGED: usize = 64 * 1024;
/// Records per read of history.
const PAGE: usize = 64;
/// Between tries when history cannot be read.
const RETRY_READ: Duration = Duration::from_millis(500);

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
}

/// Reads for one subscription. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Reader {
    hub: Arc<Hub>,
    registration: Registration,
    /// Keeps the channels open.
    _leases: Box<[Lease]>,
    streams: Box<[[Stream; Lane::ALL.len()]]>,
    hello: Option<Hello>,
    unreadable: bool,
    resume: Resume,
    history: Arc<dyn History>,
    reading: Reading,
    staged: Vec<u8>,
    ended: bool,
}

/// Where the reader stands in one stream.
#[derive(Debug)]
struct Stream {
    at: Position,
    state: State,
    /// Nothing was read yet, and missing records before the first are not told: the client asked for the last few,
    /// not for a place.
    quiet: bool,
    /// There was news while history was read.
    news: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has all that the ring had.
    UpToDate,
    /// The ring may have more.
    Pull,
    /// The ring has passed it: history is, or shall be, read.
    Behind,
}

type PageFuture = Pin<Box<dyn Future<Output = Page> + Send>>;

/// The one read of history that a reader does at a time.
enum Reading {
    Idle,
    Pending(usize, Lane, PageFuture),
    /// A page in the midst of being staged. `moved`: it leads further than where the reader stood.
    Page {
        index: usize,
        lane: Lane,
        end: Position,
        moved: bool,
        records: std::vec::IntoIter<Record>,
    },
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Pending(..) => "Pending",
            Self::Page { .. } => "Page",
        })
    }
}

/// What a reader is made from.
#[derive(Debug)]
pub struct Subscription {
    /// Who listens.
    pub principal: Arc<Principal>,
    /// To what.
    pub leases: Box<[Lease]>,
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
        let Subscription { principal, leases, start, hello, history, kill } = subscription;
        let registration = hub.register(principal, &leases, kill)?;
        let streams = leases.iter().map(|lease| Lane::ALL.map(|lane| Stream::begin(lease, lane, &start))).collect();
        Ok(Self {
            hub: Arc::clone(hub),
            registration,
            _leases: leases,
            streams,
            hello: Some(hello),
            unreadable: start == Start::Unreadable,
            resume: Resume::new(&start),
            history,
            reading: Reading::Idle,
            staged: Vec::new(),
            ended: false,
        })
    }

    /// The next bytes for the client, of as many events as there are, up to about 64 KiB; `None` at the end.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let news = self.registration.subscriber.look(cx.waker());
        self.note(news);
        self.greet();
        self.pull_lane(Lane::Express);
        let reading = self.read_history(cx);
        self.pull_lane(Lane::Normal);
        // What the pulls found to be behind is read at once, not at the next wake.
        if reading.is_ready() {
            let _ = self.read_history(cx);
        }
        if self.resume.is_open() && self.is_live() {
            self.resume.settle(&self.hub.metrics);
        }
        if news.has_bye() {
            self.say_bye();
        } else if self.staged.is_empty() && news.has_heartbeat() {
            self.staged.extend_from_slice(sse::HEARTBEAT);
        }
        if self.staged.is_empty() {
            return Poll::Pending;
        }
        if self.has_more() {
            self.registration.subscriber.owe();
        }
        Poll::Ready(Some(std::mem::take(&mut self.staged).into()))
    }

    fn note(&mut self, news: News) {
        for (index, lanes) in self.streams.iter_mut().enumerate() {
            if news.has_channel(index) {
                lanes.iter_mut().for_each(Stream::note);
            }
        }
    }

    fn has_more(&self) -> bool {
        let pulls = self.streams.iter().flatten().any(|stream| stream.state == State::Pull);
        pulls || matches!(self.reading, Reading::Page { .. })
    }

    fn is_live(&self) -> bool {
        self.streams.iter().flatten().all(|stream| stream.state == State::UpToDate)
    }

    fn greet(&mut self) {
        if let Some(hello) = self.hello.take() {
            sse::event(&mut self.staged, Some("hello"), Some(hello.retry), hello.data.to_string().as_bytes());
            self.end_event();
        }
        if std::mem::take(&mut self.unreadable) {
            let data = json!({"reason": "unreadable_cursor"});
            sse::event(&mut self.staged, Some("reset"), None, data.to_string().as_bytes());
            self.end_event();
        }
    }

    fn say_bye(&mut self) {
        if let Some(bye) = self.registration.subscriber.bye() {
            let data = json!({"code": bye.reason.code(), "retry": bye.retry.as_millis() as u64});
            sse::event(&mut self.staged, Some("bye"), Some(bye.retry), data.to_string().as_bytes());
            self.end_event();
        }
        self.ended = true;
    }

    /// Stages what the rings have in one lane of every channel.
    fn pull_lane(&mut self, lane: Lane) {
        for index in 0..self.streams.len() {
            if self.streams[index][lane.index()].state == State::Pull {
                self.pull_stream(index, lane);
            }
        }
    }

    fn pull_stream(&mut self, index: usize, lane: Lane) {
        let Self { registration, streams, staged, hub, .. } = self;
        let channels = registration.subscriber.channels();
        let at = streams[index][lane.index()].at;
        let mut delivered = 0;
        let (at, pulled) = channels[index].pull(lane, at, |message, position| {
            sse::message(staged, message);
            streams[index][lane.index()].at = position;
            sse::end_with_id(staged, |id| write_cursor(channels, streams, id));
            delivered += 1;
            staged.len() < MAX_STAGED
        });
        hub.metrics.deliveries.inc_by(delivered);
        let stream = &mut streams[index][lane.index()];
        stream.at = at;
        stream.quiet &= pulled == Pulled::Passed;
        stream.state = match pulled {
            Pulled::UpToDate => State::UpToDate,
            Pulled::Full => State::Pull,
            Pulled::Passed => State::Behind,
        };
    }

    /// Goes on with history: reads a page for a stream that is behind, express ones first, and stages it.
    /// Pending while a read is under way.
    fn read_history(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.reading {
                Reading::Idle => match self.first_behind() {
                    Some((index, lane)) => self.reading = self.start_read(index, lane),
                    None => return Poll::Ready(()),
                },
                Reading::Pending(index, lane, page) => {
                    let page = ready!(page.as_mut().poll(cx));
                    let (index, lane) = (*index, *lane);
                    self.take_page(index, lane, page);
                }
                Reading::Page { .. } => {
                    if self.staged.len() >= MAX_STAGED {
                        return Poll::Ready(());
                    }
                    self.stage_record();
                }
            }
        }
    }

    fn first_behind(&self) -> Option<(usize, Lane)> {
        let in_lane = |lane: Lane| self.streams.iter().position(|lanes| lanes[lane.index()].state == State::Behind);
        Lane::ALL.into_iter().find_map(|lane| Some((in_lane(lane)?, lane)))
    }

    fn start_read(&self, index: usize, lane: Lane) -> Reading {
        let channel = self.registration.subscriber.channels()[index].name().clone();
        let at = self.streams[index][lane.index()].at;
        let (history, reads) = (Arc::clone(&self.history), Arc::clone(&self.hub.reads));
        Reading::Pending(
            index,
            lane,
            Box::pin(async move {
                loop {
                    let permit = reads.acquire().await;
                    let page = history.read(&channel, lane, at, PAGE).await;
                    drop(permit);
                    match page {
                        Ok(page) => return page,
                        // The broker is away; the stream stays open and goes on where it stands.
                        Err(_) => tokio::time::sleep(RETRY_READ.mul_f64(rand::random_range(1.0..2.0))).await,
                    }
                }
            }),
        )
    }

    fn take_page(&mut self, index: usize, lane: Lane, page: Page) {
        let end = page.end();
        let stream = &mut self.streams[index][lane.index()];
        let moved = end != stream.at;
        let before = page.records.first().map_or(end.seq, |record| record.seq.saturating_sub(1));
        stream.at = Position::new(end.epoch, before);
        let quiet = std::mem::take(&mut stream.quiet);
        if let Some(gap) = page.gap.filter(|_| !quiet) {
            self.tell_gap(index, lane, &gap);
        }
        self.reading = Reading::Page { index, lane, end, moved, records: page.records.into_iter() };
    }

    fn tell_gap(&mut self, index: usize, lane: Lane, gap: &Gap) {
        let channel = &self.registration.subscriber.channels()[index];
        self.hub.metrics.gap(gap.reason.as_str());
        self.resume.note(gap);
        let (name, data) = sse::gap(channel.name(), lane, gap);
        sse::event(&mut self.staged, Some(name), None, data.to_string().as_bytes());
        self.end_event();
    }

    fn stage_record(&mut self) {
        let Reading::Page { index, lane, end, moved, records } = &mut self.reading else { return };
        let stream = &mut self.streams[*index][lane.index()];
        match records.next() {
            Some(record) => {
                stream.at = Position::new(end.epoch, record.seq);
                sse::message(&mut self.staged, &record.message);
                self.hub.metrics.deliveries.inc();
                self.end_event();
            }
            None => {
                stream.at = *end;
                // Where the page ends the ring may go on. When it led nowhere the ring is the one that is behind:
                // it is being repaired, and its news will come.
                let go_on = *moved || std::mem::take(&mut stream.news);
                stream.state = if go_on { State::Pull } else { State::UpToDate };
                let (index, lane) = (*index, *lane);
                self.reading = Reading::Idle;
                if go_on {
                    self.pull_stream(index, lane);
                }
            }
        }
    }

    fn end_event(&mut self) {
        let Self { registration, streams, staged, .. } = self;
        sse::end_with_id(staged, |id| write_cursor(registration.subscriber.channels(), streams, id));
    }
}

fn write_cursor(channels: &[Arc<super::LocalChannel>], streams: &[[Stream; 2]], id: &mut Vec<u8>) {
    let entries = channels.iter().zip(streams);
    Cursor::write(entries.map(|(channel, [express, normal])| (channel.tag(), [express.at, normal.at])), id);
}

impl Stream {
    fn note(&mut self) {
        match self.state {
            State::UpToDate => self.state = State::Pull,
            State::Pull => {}
            State::Behind => self.news = true,
        }
    }

    fn begin(lease: &Lease, lane: Lane, start: &Start) -> Self {
        let channel = lease.channel();
        let Some(head) = channel.head(lane) else {
            // Not reached: a lease is given out once its channel is open.
            return Self {
                at: Position::new(crate::stream::Epoch::from_bits(0), 0),
                state: State::Behind,
                quiet: true,
                news: false,
            };
        };
        let at = match start {
            Start::Live | Start::Unreadable => None,
            Start::Cursor(cursor) => cursor.position(channel.name(), lane),
            Start::Last(count) => Some(Position::new(head.epoch, head.seq.saturating_sub(*count))),
        };
        match at {
            None => Self { at: head, state: State::UpToDate, quiet: false, news: false },
            // Ahead of this node: either it has not received that much yet, or history was rolled back, and only
            // the broker knows.
            Some(at) if at.seq > head.seq => Self { at, state: State::Behind, quiet: false, news: false },
            Some(at) => Self { at, state: State::Pull, quiet: matches!(start, Start::Last(_)), news: false },
        }
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
