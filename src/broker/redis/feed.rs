//! The connection that publications come in through: it subscribes, hands what it receives to the inlet, and says so
//! when it may have missed something.
//!
//! One task owns the connection. Requests reach it through a queue, so those for one channel keep their order, and
//! those that come while a confirmation is awaited share the next round trip.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisResult, Value};
use tokio::sync::{Notify, mpsc, oneshot};

use super::dialer::{Dialer, Dialled};
use super::envelope::{self, Pushed};
use super::keys::Keys;
use super::link::{Backoff, Link};
use super::probe::Probe;
use crate::broker::Unavailable;
use crate::notification::ChannelName;
use crate::stream::{Inlet, Publication, Record};
use crate::telemetry::Metrics;

/// Most channels in one command: few enough that all confirmations come before the connection times out.
const CHUNK: usize = 256;
/// Most pushes that wait to be delivered. Beyond it the connection is given up and history is read instead, because
/// waiting would stall the read loop, and a queue without bounds is how a slow node runs out of memory.
const QUEUE: usize = 16_384;
/// How long confirmations may take. Longer than callers wait, as making the connection anew costs more than a pause of
/// the server.
const CONFIRMATION: Duration = Duration::from_secs(5);

/// The pub/sub connection.
#[derive(Debug)]
pub(super) struct Feed {
    dialer: Dialer,
    keys: Arc<Keys>,
    inlet: Arc<dyn Inlet>,
    probe: Arc<Probe>,
    link: Link<()>,
    restart: Notify,
    timeout: Duration,
    /// What is subscribed to, or about to be.
    wanted: Mutex<HashSet<ChannelName>>,
    requests: mpsc::UnboundedSender<Request>,
    /// Held by [`Feed::run`].
    inbox: tokio::sync::Mutex<Inbox>,
}

#[derive(Debug)]
enum Request {
    /// Answered when it is confirmed, dropped when it is not.
    Subscribe(ChannelName, oneshot::Sender<()>),
    Unsubscribe(ChannelName),
}

type Inbox = mpsc::UnboundedReceiver<Request>;

/// Requests that were taken from the inbox. When the connection ends before their turn comes, what was to be
/// unsubscribed from is not wanted all the same, and who was to be subscribed is told so.
struct Requests<'a> {
    feed: &'a Feed,
    left: std::iter::Peekable<std::vec::IntoIter<Request>>,
}

impl Drop for Requests<'_> {
    fn drop(&mut self) {
        self.left.by_ref().for_each(|request| self.feed.refuse(request));
    }
}

impl Request {
    fn subscribes(&self) -> bool {
        matches!(self, Self::Subscribe(..))
    }
}

impl Feed {
    pub(super) fn new(
        dialer: Dialer,
        keys: Arc<Keys>,
        inlet: Arc<dyn Inlet>,
        probe: Arc<Probe>,
        timeout: Duration,
    ) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        Self {
            dialer,
            keys,
            inlet,
            probe,
            link: Link::new("pub/sub"),
            restart: Notify::new(),
            timeout,
            wanted: Mutex::default(),
            requests,
            inbox: tokio::sync::Mutex::new(inbox),
        }
    }

    /// Whether it stands.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn state(&self) -> Result<(), String> {
        self.link.get()
    }

    /// Waits until it stands.
    pub(super) async fn up(&self) {
        self.link.wait().await;
    }

    /// Gives up the connection that stands now.
    pub(super) fn restart(&self) {
        self.restart.notify_waiters();
    }

    /// Subscribes and awaits the confirmation. The subscription ends when the result is dropped before it is kept.
    pub(super) async fn subscribe<'a>(&'a self, channel: &'a ChannelName) -> Result<Subscribing<'a>, Unavailable> {
        let subscribing = Subscribing { feed: Some(self), channel };
        let (confirmed, confirmation) = oneshot::channel();
        self.request(Request::Subscribe(channel.clone(), confirmed));
        match tokio::time::timeout(self.timeout, confirmation).await {
            Ok(Ok(())) => Ok(subscribing),
            Ok(Err(_)) => Err(Unavailable("the pub/sub connection is down".to_owned())),
            Err(_) => Err(Unavailable(format!("no subscription within {:?}", self.timeout))),
        }
    }

    pub(super) fn unsubscribe(&self, channel: &ChannelName) {
        self.request(Request::Unsubscribe(channel.clone()));
    }

    fn request(&self, request: Request) {
        // It cannot be closed, as `self` holds the receiver. It is drained also while there is no connection.
        let _ = self.requests.send(request);
    }

    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        self.link.count_in(metrics);
    }

    /// Keeps the connection up. Never ends by itself.
    pub(super) async fn run(&self) {
        let mut inbox = self.inbox.lock().await;
        let mut backoff = Backoff::new();
        loop {
            let why = self.session(&mut inbox, &mut backoff).await;
            self.link.down(&why);
            self.refuse_during(self.dialer.rest(backoff.next()), &mut inbox).await;
        }
    }

    /// One connection, from dialling to its end. Returns why it ended.
    async fn session(&self, inbox: &mut Inbox, backoff: &mut Backoff) -> String {
        let (queue, pushes) = mpsc::channel(QUEUE);
        let queue = Mutex::new(Some(queue));
        let on_push = move |push| {
            let mut queue = queue.lock();
            if queue.as_ref().is_some_and(|queue| queue.try_send(push).is_err()) {
                // From here on something is missing, so nothing later may be delivered.
                *queue = None;
            }
        };
        let Dialled { connection, tenure } =
            match self.refuse_during(self.dialer.dial(CONFIRMATION, on_push), inbox).await {
                Ok(dialled) => dialled,
                Err(error) => return error.to_string(),
            };
        tokio::select! {
            why = self.receive(pushes) => why.to_owned(),
            Err(error) = self.serve(connection, inbox, backoff) => error.to_string(),
            () = tenure.ends() => "another server is the primary now".to_owned(),
            () = self.restart.notified() => "its probes did not come back".to_owned(),
        }
    }

    /// Awaits something while there is no connection. Requests are answered meanwhile, because in a long outage
    /// those that nobody answers would pile up.
    async fn refuse_during<T>(&self, work: impl Future<Output = T>, inbox: &mut Inbox) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(request) = inbox.recv() => self.refuse(request),
            }
        }
    }

    fn refuse(&self, request: Request) {
        if let Request::Unsubscribe(channel) = request {
            self.wanted.lock().remove(&channel);
        }
    }

    /// Subscribes to all that is wanted, then to what is asked for.
    async fn serve(
        &self,
        mut connection: MultiplexedConnection,
        inbox: &mut Inbox,
        backoff: &mut Backoff,
    ) -> RedisResult<Infallible> {
        connection.subscribe(self.probe.pubsub()).await?;
        let wanted: Vec<String> = self.wanted.lock().iter().map(|channel| self.keys.pubsub(channel)).collect();
        for chunk in wanted.chunks(CHUNK) {
            connection.subscribe(chunk).await?;
        }
        backoff.reset();
        self.link.up(());
        self.inlet.missed(None);
        loop {
            let mut batch = Vec::with_capacity(CHUNK);
            inbox.recv_many(&mut batch, CHUNK).await;
            let mut requests = Requests { feed: self, left: batch.into_iter().peekable() };
            while requests.left.peek().is_some() {
                self.begin(&mut connection, &mut requests).await?;
                self.end(&mut connection, &mut requests).await?;
            }
        }
    }

    /// Subscribes for the requests up to the next to unsubscribe.
    async fn begin(&self, connection: &mut MultiplexedConnection, requests: &mut Requests<'_>) -> RedisResult<()> {
        let mut names = Vec::new();
        let mut callers = Vec::new();
        while let Some(Request::Subscribe(channel, caller)) = requests.left.next_if(Request::subscribes) {
            names.push(self.keys.pubsub(&channel));
            callers.push(caller);
            self.wanted.lock().insert(channel);
        }
        if !names.is_empty() {
            connection.subscribe(&names).await?;
        }
        for caller in callers {
            // A caller that is gone has asked to unsubscribe.
            let _ = caller.send(());
        }
        Ok(())
    }

    /// Unsubscribes for the requests up to the next to subscribe.
    async fn end(&self, connection: &mut MultiplexedConnection, requests: &mut Requests<'_>) -> RedisResult<()> {
        let mut names = Vec::new();
        while let Some(Request::Unsubscribe(channel)) = requests.left.next_if(|request| !request.subscribes()) {
            // Without a name the command would end every subscription.
            if self.wanted.lock().remove(&channel) {
                names.push(self.keys.pubsub(&channel));
            }
        }
        if !names.is_empty() {
            connection.unsubscribe(&names).await?;
        }
        Ok(())
    }

    /// Delivers what comes in. Returns why no more can come.
    async fn receive(&self, mut pushes: mpsc::Receiver<PushInfo>) -> &'static str {
        while let Some(PushInfo { kind, data }) = pushes.recv().await {
            match kind {
                PushKind::Disconnection => return "it was lost",
                PushKind::Message => self.receive_message(data),
                _ => {}
            }
        }
        "more came in than this node could deliver"
    }

    fn receive_message(&self, data: Vec<Value>) {
        let Ok([Value::BulkString(name), Value::BulkString(payload)]) = <[Value; 2]>::try_from(data) else { return };
        let Ok(name) = std::str::from_utf8(&name) else { return };
        if name == self.probe.pubsub() {
            return self.probe.echo(&payload);
        }
        // A channel that is no longer wanted may still be heard of until the server knows.
        let channel = self.keys.channel(name).and_then(|channel| self.wanted.lock().get(channel).cloned());
        let Some(channel) = channel else { return };
        match read_publication(&channel, Bytes::from(payload)) {
            Ok(publication) => self.inlet.deliver(publication),
            Err(error) => {
                tracing::error!(%channel, "what was published to `{channel}` cannot be read: {error}");
                self.inlet.missed(Some(&[channel]));
            }
        }
    }
}

fn read_publication(channel: &ChannelName, payload: Bytes) -> Result<Publication, envelope::Unreadable> {
    let Pushed { lane, position, record } = envelope::read_push(payload).ok_or(envelope::Unreadable::Malformed)?;
    let record = Record { seq: position.seq, message: envelope::decode(record)? };
    Ok(Publication { channel: channel.clone(), lane, epoch: position.epoch, record })
}

/// A subscription whose caller may yet fail or go away; then it ends.
#[derive(Debug)]
pub(super) struct Subscribing<'a> {
    feed: Option<&'a Feed>,
    channel: &'a ChannelName,
}

impl Subscribing<'_> {
    /// From now on it lasts until it is ended by name.
    pub(super) fn keep(mut self) {
        self.feed = None;
    }
}

impl Drop for Subscribing<'_> {
    fn drop(&mut self) {
        if let Some(feed) = self.feed {
            feed.unsubscribe(self.channel);
        }
    }
}
