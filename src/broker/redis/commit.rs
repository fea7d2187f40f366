//! Publishing: the messages of all callers together, one batch after the other.
//!
//! What comes while a batch is under way is the next one, so that under load many publishes share a round trip, a
//! call of the script, and what it asks the server once. A publish that comes alone waits for nobody.
//!
//! If more than the server's own reply is waited for, its replicas or its disk, that is asked once behind each batch.
//! WAIT holds up its connection, and covers all that was written there before it: so these publishes have a connection
//! of their own, and a batch and its WAIT are sent as one, because on another connection a WAIT would cover nothing.
//!
//! In a cluster there is a committer for each server, and a call of the script has the messages of one slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{Cmd, Pipeline, RedisWrite, ServerErrorKind, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::commands::{Commands, Form, NoReply, Script, is_error};
use super::envelope::encode;
use super::keys::{Keys, hex, lane_code, slot_of_channel};
use super::publish::{MARK_OUTLIVES, meta_ttl, millis};
use super::seal::Seal;
use super::slots::Topology;
use crate::broker::{Batch, Outgoing};
use crate::stream::{Epoch, Lane};

/// Most publishes in one batch.
const BATCH: usize = 512;
/// Most messages in one call of the script. Nothing else runs on the server meanwhile: it is about a millisecond.
const CALL: usize = 64;
/// Batches under way at once where nothing is waited for behind them: one is written while the server works on the other.
const UNDER_WAY: usize = 2;
/// How much of the time that is left for a batch it may be waited for.
const PATIENCE: f64 = 0.8;
/// Commits publishes, those of all callers together.
#[derive(Debug)]
pub(super) struct Committer {
    commands: Arc<Commands>,
    keys: Arc<Keys>,
    idempotency_ttl: Duration,
    /// A key to write to.
    mark: String,
    topology: Topology,
    /// Bounded by the publishes in flight.
    queue: mpsc::UnboundedSender<Job>,
    /// Held by [`Committer::run`].
    inbox: tokio::sync::Mutex<mpsc::UnboundedReceiver<Job>>,
}

/// One publish.
#[derive(Debug)]
struct Job {
    batch: Arc<Batch>,
    deadline: Instant,
    taken: Taken,
    done: oneshot::Sender<Vec<Reply>>,
}

/// Set by whoever comes first: the batch that sends a job, or the caller that waits no longer.
type Taken = Arc<AtomicBool>;

/// What came of one message: what the script says of it, or why it says nothing.
pub(super) type Reply = Result<Committed, NoReply>;

/// What the script says of a message, and whether what it wrote is where it is to be.
#[derive(Debug, Clone)]
pub(super) struct Committed {
    pub(super) value: Value,
    pub(super) sealed: bool,
}

/// A message, with the publish that it belongs to.
type Addressed<'a> = (&'a Batch, &'a Outgoing);

impl Committer {
    /// `commands` is a connection that nobody else uses, if there is more to wait for than its replies.
    pub(super) fn new(
        commands: Arc<Commands>,
        keys: Arc<Keys>,
        mark: String,
        idempotency_ttl: Duration,
        topology: Topology,
    ) -> Self {
        let (queue, inbox) = mpsc::unbounded_channel();
        Self { commands, keys, idempotency_ttl, mark, topology, queue, inbox: tokio::sync::Mutex::new(inbox) }
    }

    /// Stores the messages of one publish, and waits until they are where they are to be. There is a reply for each.
    ///
    /// # Errors
    /// [`NoReply`], which says whether anything was sent.
    pub(super) async fn commit(&self, batch: Arc<Batch>, deadline: Instant) -> Result<Vec<Reply>, NoReply> {
        self.commands.state().map_err(NoReply::NotConnected)?;
        let taken = Taken::default();
        let (done, committed) = oneshot::channel();
        // It cannot be closed, as `self` holds the receiver.
        let _ = self.queue.send(Job { batch, deadline, taken: Arc::clone(&taken), done });
        match timeout_at(deadline, committed).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(_)) => Err(NoReply::NotConnected("the broker has stopped".to_owned())),
            Err(_) if taken.swap(true, Ordering::SeqCst) => Err(NoReply::Unanswered("no confirmation".to_owned())),
            Err(_) => Err(NoReply::NotConnected("earlier publishes are not confirmed yet".to_owned())),
        }
    }

    /// Sends batch after batch. Never ends by itself.
    pub(super) async fn run(&self, script: &Script) {
        let mut inbox = self.inbox.lock().await;
        let mut under_way = FuturesUnordered::new();
        loop {
            let mut jobs = Vec::new();
            tokio::select! {
                Some(()) = under_way.next() => {}
                _ = inbox.recv_many(&mut jobs, BATCH), if under_way.len() < self.limit() => {
                    under_way.push(self.send_batch(script, jobs));
                }
            }
        }
    }

    /// How many batches may be under way: behind one that is waited for, the next would wait for it as well.
    fn limit(&self) -> usize {
        match self.commands.connection().map(|connection| connection.seal()) {
            Ok(Seal::Stored) => UNDER_WAY,
            _ => 1,
        }
    }

    async fn send_batch(&self, script: &Script, mut jobs: Vec<Job>) {
        // Those whose caller is gone are not sent: it was told so.
        jobs.retain(|job| !job.taken.swap(true, Ordering::SeqCst));
        let Some(deadline) = jobs.iter().map(|job| job.deadline).max() else { return };
        let messages: Vec<Addressed<'_>> = jobs
            .iter()
            .flat_map(|job| job.batch.messages.iter().map(move |outgoing| (&*job.batch, outgoing)))
            .collect();
        let mut replies = self.store(script, &messages, deadline).await.into_iter();
        for job in jobs {
            let own = replies.by_ref().take(job.batch.messages.len()).collect();
            // A caller that is gone has answered that it does not know.
            let _ = job.done.send(own);
        }
    }

    /// Stores messages. There is a reply for each, in their order.
    async fn store(&self, script: &Script, messages: &[Addressed<'_>], deadline: Instant) -> Vec<Reply> {
        if self.topology == Topology::Single {
            return self.store_by(script, &messages.chunks(CALL).collect::<Vec<_>>(), deadline).await;
        }
        let slot = |(_, outgoing): &Addressed<'_>| slot_of_channel(&outgoing.channel);
        let mut order: Vec<usize> = (0..messages.len()).collect();
        // It is stable, so those of one channel keep their order.
        order.sort_by_key(|index| slot(&messages[*index]));
        let sorted: Vec<_> = order.iter().map(|index| messages[*index]).collect();
        let same = sorted.chunk_by(|one, other| slot(one) == slot(other));
        let calls: Vec<_> = same.flat_map(|messages| messages.chunks(CALL)).collect();
        let mut replies: Vec<_> = order.into_iter().zip(self.store_by(script, &calls, deadline).await).collect();
        replies.sort_by_key(|(index, _)| *index);
        replies.into_iter().map(|(_, reply)| reply).collect()
    }

    /// Stores the messages of each call. There is a reply for each message.
    async fn store_by(&self, script: &Script, calls: &[&[Addressed<'_>]], deadline: Instant) -> Vec<Reply> {
        let mut replies = self.call(script, Form::Hash, calls, deadline).await;
        let unknown: Vec<usize> = (0..calls.len()).filter(|call| is_unknown(&replies[*call])).collect();
        if !unknown.is_empty() {
            // The server lacked the script, so none of these has stored anything.
            let again: Vec<_> = unknown.iter().map(|call| calls[*call]).collect();
            let answers = self.call(script, Form::Text, &again, deadline).await;
            unknown.into_iter().zip(answers).for_each(|(call, answer)| replies[call] = answer);
        }
        calls.iter().zip(replies).flat_map(|(call, reply)| split(call.len(), reply)).collect()
    }

    /// Makes calls of the script, each with some messages, in one round trip. There is a reply for each call.
    async fn call(&self, script: &Script, form: Form, calls: &[&[Addressed<'_>]], deadline: Instant) -> Vec<Reply> {
        let mut pipeline = Pipeline::with_capacity(calls.len() + 2);
        for messages in calls {
            pipeline.add_command(self.script_call(script, form, messages));
        }
        let replies = match self.exchange(pipeline, deadline).await {
            Ok(replies) => replies,
            Err(error) => vec![Err(error); calls.len()],
        };
        debug_assert_eq!(replies.len(), calls.len());
        replies
    }

    fn script_call(&self, script: &Script, form: Form, messages: &[Addressed<'_>]) -> Cmd {
        let size = messages.iter().map(|(_, outgoing)| 400 + outgoing.message.json.len()).sum();
        let with_key = messages.iter().filter(|(batch, _)| batch.key.is_some()).count();
        let mut call = script.begin(form, messages.len() * 3 + with_key, messages.len() * 14 + 4, size);
        for (batch, Outgoing { channel, .. }) in messages {
            self.keys.for_write(channel, &mut call);
            if let Some(key) = &batch.key {
                call.write_arg_fmt(self.keys.mark(channel, key.digest));
            }
        }
        // Epochs are told apart within a channel, so all may have the same.
        call.write_arg_fmt(Epoch::random());
        for (batch, Outgoing { channel, retention, message }) in messages {
            call.write_arg(lane_code(Lane::of(message.priority)).as_bytes());
            call.write_arg(&encode(message));
            call.arg(retention.size).arg(millis(retention.ttl)).arg(millis(meta_ttl(retention.ttl)));
            call.write_arg_fmt(self.keys.pubsub(channel));
            call.write_arg_fmt(batch.id.simple());
            match &batch.key {
                Some(key) => {
                    call.write_arg_fmt(hex(key.fingerprint));
                    let ttl = self.idempotency_ttl;
                    call.arg(millis(ttl + MARK_OUTLIVES)).arg(millis(ttl));
                }
                None => drop(call.arg("").arg(0).arg(0)),
            }
        }
        call
    }

    /// Sends calls and what seals them, as one.
    async fn exchange(&self, mut calls: Pipeline, deadline: Instant) -> Result<Vec<Reply>, NoReply> {
        let count = calls.len();
        let connection = self.commands.connection()?;
        let seal = connection.seal();
        // The replies to the batch come with that to the WAIT, and what they refuse is to be told in time.
        let within = deadline.saturating_duration_since(Instant::now()).mul_f64(PATIENCE);
        for command in seal.commands(&self.mark, within) {
            calls.add_command(command);
        }
        let mut values = connection.clone().send(&calls).await?;
        let behind: Vec<_> = values.drain(count.min(values.len())..).collect();
        // Without the mark a WAIT says nothing of what others wrote. It is refused while its slot is moved.
        let marked = !behind.iter().any(|reply| matches!(reply, Value::ServerError(_)));
        let sealed = marked && seal.is_reached(behind.last());
        if values.iter().any(refuses_writes) {
            connection.leave_replica();
        }
        Ok(values.into_iter().map(|value| Ok(Committed { value, sealed })).collect())
    }
}

/// Whether the server lacks the script.
fn is_unknown(reply: &Reply) -> bool {
    matches!(reply, Ok(Committed { value, .. }) if is_error(value, ServerErrorKind::NoScript))
}

/// Whether the server has become a replica, as one of the messages of a call found.
fn refuses_writes(reply: &Value) -> bool {
    matches!(reply, Value::Array(outcomes) if outcomes.iter().any(|one| is_error(one, ServerErrorKind::ReadOnly)))
}

/// The reply to a call of so many messages, message by message.
fn split(count: usize, reply: Reply) -> Vec<Reply> {
    match reply {
        Ok(Committed { value: Value::Array(outcomes), sealed }) if outcomes.len() == count => {
            outcomes.into_iter().map(|value| Ok(Committed { value, sealed })).collect()
        }
        // What refuses the call refuses each.
        other => vec![other; count],
    }
}
