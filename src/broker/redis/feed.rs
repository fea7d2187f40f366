//! The connection that publications come in through: it subscribes, hands what it receives to the inlet, and says so
//! when it may have missed something.
//!
//! One task owns the connection. Requests reach it through a queue, so those for one channel keep their order, and
//! those that come while a confirmation is awaited share the next round trip.
//!
//! # In a cluster
//!
//! There is a feed for each server that owns slots, and sharded pub/sub (`SSUBSCRIBE`), whose messages do not leave the
//! servers of a slot. A server that loses a slot ends the subscriptions in it by itself. Such a push is told from the reply to
//! a request by what it names, as the client takes either for a reply: a feed whose replies are not those that it asked for
//! is made anew.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Notify, mpsc, oneshot};

use super::access::Address;
use super::dialer::{Dialer, Dialled};
use super::envelope::{self, Pushed};
use super::keys::Keys;
use super::link::{Backoff, Link};
use super::probe::Probe;
use super::wanted::Wanted;
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
    /// Where its server is, if it is one of a cluster.
    place: Option<Address>,
    dialer: Dialer,
    keys: Arc<Keys>,
    inlet: Arc<dyn Inlet>,
    probe: Arc<Probe>,
    link: Link<()>,
    restart: Notify,
    /// What is subscribed to, or about to be, here or elsewhere.
    wanted: Arc<Wanted>,
    requests: mpsc::UnboundedSender<Request>,
    /// Held by [`Feed::run`].
    inbox: tokio::sync::Mutex<Inbox>,
}

/// What a feed is asked for. What is wanted is set before; when there is no connection a request is dropped, and the next
/// connection begins with what is wanted then.
#[derive(Debug)]
pub(super) enum Request {
    /// Answered when it is confirmed, dropped when it is not.
    Subscribe(ChannelName, oneshot::Sender<Subscribed>),
    Unsubscribe(ChannelName),
    /// To subscribe to what another feed had.
    Adopt(Vec<ChannelName>),
}

/// What came of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscribed {
    /// What is published from now on comes in.
    Here,
    /// Another server has the channel.
    Elsewhere,
}

type Inbox = mpsc::UnboundedReceiver<Request>;
type Requests = std::iter::Peekable<std::vec::IntoIter<Request>>;

impl Request {
    fn subscribes(&self) -> bool {
        matches!(self, Self::Subscribe(..))
    }

    fn unsubscribes(&self) -> bool {
        matches!(self, Self::Unsubscribe(_))
    }
}

impl Feed {
    pub(super) fn new(
        place: Option<Address>,
        dialer: Dialer,
        keys: Arc<Keys>,
        inlet: Arc<dyn Inlet>,
        probe: Arc<Probe>,
        wanted: Arc<Wanted>,
        server: &str,
    ) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        Self {
            place,
            dialer,
            keys,
            inlet,
            probe,
            link: Link::new("pub/sub", server),
            restart: Notify::new(),
            wanted,
            requests,
            inbox: tokio::sync::Mutex::new(inbox),
        }
    }

    /// Whether it stands.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn state(&self) -> Result<(), String> {
        self.link.state()
    }

    /// Whether it stood before, or does now.
    pub(super) fn was_up(&self) -> bool {
        self.link.was_up()
    }

    /// Waits until it stands.
    pub(super) async fn up(&self) {
        self.link.wait().await;
    }

    /// Gives up the connection that stands now.
    pub(super) fn restart(&self) {
        self.restart.notify_waiters();
    }

    pub(super) fn request(&self, request: Request) {
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
            why = tenure.ends() => why.to_owned(),
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
                Some(request) = inbox.recv() => drop(request),
            }
        }
    }

    /// Subscribes to all that is wanted, then to what is asked for.
    async fn serve(
        &self,
        mut connection: MultiplexedConnection,
        inbox: &mut Inbox,
        backoff: &mut Backoff,
    ) -> RedisResult<Infallible> {
        let probe = [self.probe.pubsub().to_owned()];
        if self.subscribe(&mut connection, &probe).await? != [Subscribed::Here] {
            // The map that led here is not true any more.
            self.wanted.doubt();
            return Err((ErrorKind::Client, "another server has what this one had").into());
        }
        let wanted = self.wanted.at(self.place.as_ref());
        self.take(&mut connection, &wanted).await?;
        backoff.reset();
        self.link.up(());
        self.inlet.missed(self.place.as_ref().map(|_| wanted.as_slice()));
        drop(wanted);
        loop {
            let mut batch = Vec::with_capacity(CHUNK);
            inbox.recv_many(&mut batch, CHUNK).await;
            let mut requests = batch.into_iter().peekable();
            while requests.peek().is_some() {
                self.begin(&mut connection, &mut requests).await?;
                self.end(&mut connection, &mut requests).await?;
                while let Some(Request::Adopt(channels)) =
                    requests.next_if(|request| matches!(request, Request::Adopt(_)))
                {
                    self.adopt(&mut connection, channels).await?;
                }
            }
        }
    }

    /// Subscribes to what another feed had. What was published between the two was not heard.
    async fn adopt(&self, connection: &mut MultiplexedConnection, mut channels: Vec<ChannelName>) -> RedisResult<()> {
        channels.retain(|channel| self.wanted.contains(channel));
        self.take(connection, &channels).await?;
        self.inlet.missed(Some(&channels));
        Ok(())
    }

    /// Subscribes to channels. Those that another server has are to find it.
    async fn take(&self, connection: &mut MultiplexedConnection, channels: &[ChannelName]) -> RedisResult<()> {
        for chunk in channels.chunks(CHUNK) {
            let names: Vec<_> = chunk.iter().map(|channel| self.keys.pubsub(channel)).collect();
            let subscribed = self.subscribe(connection, &names).await?;
            let strays = chunk.iter().zip(subscribed).filter(|(_, subscribed)| *subscribed == Subscribed::Elsewhere);
            let strays: Vec<_> = strays.map(|(channel, _)| channel.clone()).collect();
            if !strays.is_empty() {
                self.wanted.stray(strays);
            }
        }
        Ok(())
    }

    /// Subscribes to pub/sub channels, and says of each what came of it.
    async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
        names: &[String],
    ) -> RedisResult<Vec<Subscribed>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        if self.place.is_none() {
            connection.subscribe(names).await?;
            return Ok(vec![Subscribed::Here; names.len()]);
        }
        let replies = one_by_one(connection, "SSUBSCRIBE", names).await?;
        names.iter().zip(replies).map(|(name, reply)| read_subscribed(&PushKind::SSubscribe, name, reply)).collect()
    }

    async fn unsubscribe(&self, connection: &mut MultiplexedConnection, names: &[String]) -> RedisResult<()> {
        // Without a name the command would end every subscription.
        if names.is_empty() {
            return Ok(());
        }
        if self.place.is_none() {
            return connection.unsubscribe(names).await;
        }
        let replies = one_by_one(connection, "SUNSUBSCRIBE", names).await?;
        for (name, reply) in names.iter().zip(replies) {
            // Where another server has it, it has ended already.
            read_subscribed(&PushKind::SUnsubscribe, name, reply)?;
        }
        Ok(())
    }

    /// Subscribes for the requests up to the next to unsubscribe.
    async fn begin(&self, connection: &mut MultiplexedConnection, requests: &mut Requests) -> RedisResult<()> {
        let mut names = Vec::new();
        let mut callers = Vec::new();
        while let Some(Request::Subscribe(channel, caller)) = requests.next_if(Request::subscribes) {
            // Who is gone has asked to unsubscribe.
            if self.wanted.contains(&channel) {
                names.push(self.keys.pubsub(&channel));
                callers.push(caller);
            }
        }
        let subscribed = self.subscribe(connection, &names).await?;
        for (caller, subscribed) in callers.into_iter().zip(subscribed) {
            let _ = caller.send(subscribed);
        }
        Ok(())
    }

    /// Unsubscribes for the requests up to the next to subscribe.
    async fn end(&self, connection: &mut MultiplexedConnection, requests: &mut Requests) -> RedisResult<()> {
        let mut names = Vec::new();
        while let Some(Request::Unsubscribe(channel)) = requests.next_if(Request::unsubscribes) {
            // Somebody may want it again, and may have asked before that is known here.
            if !self.wanted.contains(&channel) {
                names.push(self.keys.pubsub(&channel));
            }
        }
        self.unsubscribe(connection, &names).await
    }

    /// Delivers what comes in. Returns why no more can come.
    async fn receive(&self, mut pushes: mpsc::Receiver<PushInfo>) -> &'static str {
        while let Some(PushInfo { kind, data }) = pushes.recv().await {
            match kind {
                PushKind::Disconnection => return "it was lost",
                PushKind::Message | PushKind::SMessage => self.receive_message(data),
                PushKind::SUnsubscribe => self.receive_end(&data),
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
        let channel = self.keys.channel(name).and_then(|channel| self.wanted.get(channel));
        let Some(channel) = channel else { return };
        match read_publication(&channel, Bytes::from(payload)) {
            Ok(publication) => self.inlet.deliver(publication),
            Err(error) => {
                tracing::error!(%channel, "what was published to `{channel}` cannot be read: {error}");
                self.inlet.missed(Some(&[channel]));
            }
        }
    }

    /// Takes the end of a subscription. One that is wanted was ended by the server, which has lost the slot.
    fn receive_end(&self, data: &[Value]) {
        let Some(Value::BulkString(name)) = data.first() else { return };
        let Ok(name) = std::str::from_utf8(name) else { return };
        match self.keys.channel(name).and_then(|channel| self.wanted.get(channel)) {
            Some(channel) => self.wanted.stray([channel]),
            None if name == self.probe.pubsub() => self.wanted.doubt(),
            None => {}
        }
    }
}

/// Sends a command for each name, as names of two slots may not share one. Each has its reply, which may be an error.
async fn one_by_one(
    connection: &mut MultiplexedConnection,
    command: &str,
    names: &[String],
) -> RedisResult<Vec<Value>> {
    let mut commands = Pipeline::with_capacity(names.len());
    for name in names {
        commands.cmd(command).arg(name);
    }
    connection.send_packed_commands(&commands, 0, commands.len()).await
}

/// Reads the reply to a request for a pub/sub channel.
fn read_subscribed(asked: &PushKind, name: &str, reply: Value) -> RedisResult<Subscribed> {
    match reply {
        Value::Push { kind, data } if kind == *asked && is_text(data.first(), name) => Ok(Subscribed::Here),
        Value::ServerError(error) if error.kind() == Some(ServerErrorKind::Moved) => Ok(Subscribed::Elsewhere),
        Value::ServerError(error) => Err(error.into()),
        // A push that nobody asked for was taken for a reply, so none of those that follow can be trusted.
        _ => {
            Err(RedisError::from((ErrorKind::UnexpectedReturnType, "a subscription ended while another was asked for")))
        }
    }
}

fn is_text(value: Option<&Value>, text: &str) -> bool {
    matches!(value, Some(Value::BulkString(bytes)) if bytes == text.as_bytes())
}

fn read_publication(channel: &ChannelName, payload: Bytes) -> Result<Publication, envelope::Unreadable> {
    let Pushed { lane, position, record } = envelope::read_push(payload).ok_or(envelope::Unreadable::Malformed)?;
    let record = Record { seq: position.seq, message: envelope::decode(record)? };
    Ok(Publication { channel: channel.clone(), lane, epoch: position.epoch, record })
}
