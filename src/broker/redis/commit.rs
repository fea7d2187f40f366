//! Publishing that waits for more than the server's own reply: for its replicas, or for its disk.
//!
//! WAIT holds up its connection, and covers all that was written there before it. So these publishes have a connection
//! of their own, on which one batch at a time is under way, with one WAIT behind it; what comes meanwhile is the next
//! batch. A batch and its WAIT are sent as one, because on another connection a WAIT would cover nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::commands::{Commands, NoReply, Script};
use super::inspection::Seal;
use super::publish::millis;
use crate::telemetry::Metrics;

/// Most publishes in one batch.
const BATCH: usize = 512;
/// How much of the time that is left for a batch it may be waited for.
const PATIENCE: f64 = 0.8;
/// For how long the write that a WAIT may need is kept.
const MARK_TTL: Duration = Duration::from_secs(60);

/// Commits publishes, those of all callers together.
#[derive(Debug)]
pub(super) struct Committer {
    commands: Commands,
    /// A key to write to.
    mark: String,
    /// Bounded by the publishes in flight.
    queue: mpsc::UnboundedSender<Job>,
    /// Held by [`Committer::run`].
    inbox: tokio::sync::Mutex<mpsc::UnboundedReceiver<Job>>,
}

/// The script calls of one publish.
#[derive(Debug)]
struct Job {
    calls: Pipeline,
    deadline: Instant,
    taken: Taken,
    done: oneshot::Sender<Committed>,
}

/// Set by whoever comes first: the batch that sends a job, or the caller that waits no longer.
type Taken = Arc<AtomicBool>;

/// The reply to each call.
type Committed = Result<Vec<Reply>, NoReply>;

/// The reply to a call, and whether what it wrote is where it is to be.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) value: Value,
    pub(super) sealed: bool,
}

impl Committer {
    /// `commands` is a connection that nobody else uses.
    pub(super) fn new(commands: Commands, mark: String) -> Self {
        let (queue, inbox) = mpsc::unbounded_channel();
        Self { commands, mark, queue, inbox: tokio::sync::Mutex::new(inbox) }
    }

    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        self.commands.count_in(metrics);
    }

    /// Whether its connection stands.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn state(&self) -> Result<(), String> {
        self.commands.state()
    }

    /// Waits until its connection stands.
    pub(super) async fn up(&self) {
        self.commands.up().await;
    }

    /// Makes the calls of one publish, and waits until what they wrote is where it is to be.
    ///
    /// # Errors
    /// [`NoReply`], which says whether anything was sent.
    pub(super) async fn commit(&self, calls: Pipeline, deadline: Instant) -> Committed {
        self.commands.state().map_err(NoReply::NotConnected)?;
        let taken = Taken::default();
        let (done, committed) = oneshot::channel();
        // It cannot be closed, as `self` holds the receiver.
        let _ = self.queue.send(Job { calls, deadline, taken: Arc::clone(&taken), done });
        match timeout_at(deadline, committed).await {
            Ok(Ok(committed)) => committed,
            Ok(Err(_)) => Err(NoReply::NotConnected("the broker has stopped".to_owned())),
            Err(_) if taken.swap(true, Ordering::SeqCst) => Err(NoReply::Unanswered("no confirmation".to_owned())),
            Err(_) => Err(NoReply::NotConnected("earlier publishes are not confirmed yet".to_owned())),
        }
    }

    /// Keeps the connection up, and sends batch after batch. Never ends by itself.
    pub(super) async fn run(&self, script: &Script) {
        tokio::join!(self.commands.run(), self.send_batches(script));
    }

    async fn send_batches(&self, script: &Script) {
        let mut inbox = self.inbox.lock().await;
        loop {
            let mut jobs = Vec::new();
            inbox.recv_many(&mut jobs, BATCH).await;
            // Those whose caller is gone are not sent: it was told so.
            jobs.retain(|job| !job.taken.swap(true, Ordering::SeqCst));
            if let Some(latest) = jobs.iter().map(|job| job.deadline).max() {
                self.send_batch(script, jobs, latest).await;
            }
        }
    }

    async fn send_batch(&self, script: &Script, jobs: Vec<Job>, deadline: Instant) {
        let mut batch = Pipeline::with_capacity(jobs.len() + 2);
        for call in jobs.iter().flat_map(|job| job.calls.cmd_iter()) {
            // The first one brings the script, so that none behind it waits in vain for a server that lacks it.
            let call = if batch.is_empty() { script.with_text(call) } else { call.clone() };
            batch.add_command(call);
        }
        match self.exchange(batch, deadline).await {
            Ok(replies) => {
                let mut replies = replies.into_iter();
                for job in jobs {
                    let own = replies.by_ref().take(job.calls.len()).collect();
                    // A caller that is gone has answered that it does not know.
                    let _ = job.done.send(Ok(own));
                }
            }
            Err(error) => jobs.into_iter().for_each(|job| drop(job.done.send(Err(error.clone())))),
        }
    }

    /// Sends a batch and what seals it, as one.
    async fn exchange(&self, mut batch: Pipeline, deadline: Instant) -> Committed {
        let count = batch.len();
        let connection = self.commands.connection()?;
        let seal = connection.seal();
        // The replies to the batch come with that to the WAIT, and what they refuse is to be told in time.
        let within = deadline.saturating_duration_since(Instant::now()).mul_f64(PATIENCE);
        for command in seal.commands(&self.mark, within) {
            batch.add_command(command);
        }
        let mut values = connection.send(&batch).await?;
        let behind: Vec<_> = values.drain(count.min(values.len())..).collect();
        // Without the mark a WAIT says nothing of what others wrote. It is refused while its slot is moved.
        let marked = !behind.iter().any(|reply| matches!(reply, Value::ServerError(_)));
        let sealed = marked && seal.is_reached(behind.last());
        Ok(values.into_iter().map(|value| Reply { value, sealed }).collect())
    }
}

impl Seal {
    /// What is sent behind a batch, so that the last reply tells whether it is where it is to be.
    fn commands(self, mark: &str, within: Duration) -> Vec<Cmd> {
        let mut wait = match self {
            Self::Stored => return Vec::new(),
            Self::Replicas(count) => {
                let mut wait = redis::cmd("WAIT");
                wait.arg(count.get());
                wait
            }
            Self::Disk => {
                let mut wait = redis::cmd("WAITAOF");
                wait.arg(1).arg(0);
                wait
            }
        };
        // Without end where it is zero, which it never is.
        wait.arg(millis(within));
        // WAIT covers what its own connection wrote. What a repeat finds stored was written on another one, so there
        // must be something of ours behind it.
        let mut write = redis::cmd("SET");
        write.arg(mark).arg("").arg("PX").arg(millis(MARK_TTL));
        vec![write, wait]
    }

    fn is_reached(self, reply: Option<&Value>) -> bool {
        match (self, reply) {
            (Self::Stored, _) => true,
            (Self::Replicas(count), Some(Value::Int(reached))) => *reached >= i64::from(count.get()),
            (Self::Disk, Some(Value::Array(reached))) => matches!(reached.first(), Some(Value::Int(1..))),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_reached_when_its_reply_says_so() {
        let two = Seal::Replicas(2.try_into().unwrap());
        for (count, reached) in [(0, false), (1, false), (2, true), (3, true)] {
            assert_eq!(two.is_reached(Some(&Value::Int(count))), reached);
        }
        for (local, reached) in [(0, false), (1, true)] {
            let reply = Value::Array(vec![Value::Int(local), Value::Int(0)]);
            assert_eq!(Seal::Disk.is_reached(Some(&reply)), reached);
        }
        for seal in [two, Seal::Disk] {
            assert!(!seal.is_reached(None) && !seal.is_reached(Some(&Value::Nil)));
        }
        assert!(Seal::Stored.is_reached(None));
    }

    #[test]
    fn no_wait_is_without_end() {
        let last = Seal::Disk.commands("m", Duration::ZERO).pop().unwrap();
        assert_eq!(last.get_packed_command(), b"*4\r\n$7\r\nWAITAOF\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n1\r\n");
    }
}
