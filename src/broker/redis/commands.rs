//! The connection that commands and scripts go through, brought back for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Arg, Cmd, Pipeline, PushKind, ServerErrorKind, Value};
use tokio::sync::watch;

use super::dialer::{Dialer, Dialled, NotDialled};
use super::inspection::{Inspector, NotInspected, Unfit};
use super::link::{Backoff, Link};
use super::seal::Seal;
use crate::telemetry::Metrics;

/// How long a look at the server may hold up the start.
const CHECK: Duration = Duration::from_secs(3);
/// Why a connection is of no use that has ended by itself.
const LOST: &str = "it was lost";

/// The command connection.
#[derive(Debug)]
pub(super) struct Commands {
    dialer: Dialer,
    inspector: Arc<Inspector>,
    timeout: Duration,
    link: Link<Connection>,
}

/// One connection, for as long as it lasts.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    redis: MultiplexedConnection,
    /// What its server needs behind a batch, if it is to be kept as the configuration asks.
    seal: Seal,
    end: End,
}

/// Why a connection is of no use any more, set by whoever finds it first. A later connection has its own.
#[derive(Debug, Clone, Default)]
struct End(Arc<watch::Sender<Option<&'static str>>>);

impl End {
    fn set(&self, why: &'static str) {
        self.0.send_if_modified(|end| {
            let news = end.is_none();
            end.get_or_insert(why);
            news
        });
    }

    fn get(&self) -> Option<&'static str> {
        *self.0.borrow()
    }

    async fn wait(&self) -> &'static str {
        // It cannot close, as `self` holds the sender.
        self.0.subscribe().wait_for(Option::is_some).await.ok().and_then(|end| *end).unwrap_or(LOST)
    }
}

/// Why there is no connection that can be used.
#[derive(Debug, thiserror::Error)]
enum NotConnected {
    #[error(transparent)]
    NotDialled(#[from] NotDialled),
    #[error(transparent)]
    NotInspected(#[from] NotInspected),
}

/// Why there is no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum NoReply {
    /// Nothing was sent.
    #[error("{0}")]
    NotConnected(String),
    /// It was sent, perhaps.
    #[error("{0}")]
    Unanswered(String),
}

/// A script, known to the server by its hash once it has run there.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    hash: String,
    by_hash: &'static str,
    by_text: &'static str,
}

/// How a call names its script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// By its hash, which the server may not know.
    Hash,
    /// By its text, after which the server knows the hash.
    Text,
}

impl Script {
    /// A script that writes.
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash, by_hash: "EVALSHA", by_text: "EVAL" }
    }

    /// A script that only reads.
    pub(super) fn read_only(text: impl Into<String>) -> Self {
        Self { by_hash: "EVALSHA_RO", by_text: "EVAL_RO", ..Self::new(text) }
    }

    /// Begins a call; its arguments are to be added.
    pub(super) fn call(&self, keys: &[String]) -> Cmd {
        let mut call = redis::cmd(self.by_hash);
        call.arg(&self.hash).arg(keys.len()).arg(keys);
        call
    }

    /// Begins a call of so many keys; these and its arguments are to be added, `words` in all and of about `size` bytes.
    pub(super) fn begin(&self, form: Form, keys: usize, words: usize, size: usize) -> Cmd {
        let mut call = Cmd::with_capacity(words, size);
        match form {
            Form::Hash => call.arg(self.by_hash).arg(&self.hash),
            Form::Text => call.arg(self.by_text).arg(&self.text),
        };
        call.arg(keys);
        call
    }

    /// What it does.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The same call, with the script itself.
    pub(super) fn with_text(&self, call: &Cmd) -> Cmd {
        let mut again = redis::cmd(self.by_text);
        again.arg(&self.text);
        for argument in call.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                again.arg(bytes);
            }
        }
        again
    }
}

impl Connection {
    /// Gives it up, as its server takes no writes.
    pub(super) fn leave_replica(&self) {
        self.end.set("its server has become a replica");
    }

    /// What belongs behind a batch here.
    pub(super) fn seal(&self) -> Seal {
        self.seal
    }

    /// As [`Commands::send`], and on no other connection.
    pub(super) async fn send(mut self, commands: &Pipeline) -> Result<Vec<Value>, NoReply> {
        let replies = self.redis.send_packed_commands(commands, 0, commands.len()).await;
        match &replies {
            // A primary that was demoted keeps its connections; another one may have taken its place.
            Ok(replies) if replies.iter().any(|reply| is_error(reply, ServerErrorKind::ReadOnly)) => {
                self.leave_replica()
            }
            Err(error) if error.is_connection_dropped() => self.end.set(LOST),
            _ => {}
        }
        replies.map_err(|error| NoReply::Unanswered(error.to_string()))
    }
}

impl Commands {
    /// `name` and that of its server tell it from others in logs.
    pub(super) fn new(
        name: &'static str,
        server: &str,
        dialer: Dialer,
        inspector: Arc<Inspector>,
        timeout: Duration,
    ) -> Self {
        Self { dialer, inspector, timeout, link: Link::new(name, server) }
    }

    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        self.link.count_in(metrics);
    }

    /// Keeps the connection up. Never ends by itself.
    pub(super) async fn run(&self) {
        let mut backoff = Backoff::new();
        loop {
            let end = End::default();
            match self.connect(&end).await {
                Ok((Dialled { connection, tenure }, seal)) => {
                    backoff.reset();
                    self.link.up(Connection { redis: connection, seal, end: end.clone() });
                    let why = tokio::select! {
                        why = end.wait() => why,
                        why = tenure.ends() => why,
                    };
                    end.set(why);
                    self.link.down(why);
                }
                Err(error) => self.link.down(&error.to_string()),
            }
            self.dialer.rest(backoff.next()).await;
        }
    }

    /// Looks at the server, if it can be reached now.
    ///
    /// # Errors
    /// Why it can never be used.
    pub(super) async fn check(&self) -> Result<(), Unfit> {
        match tokio::time::timeout(CHECK, self.connect(&End::default())).await {
            Ok(Err(NotConnected::NotInspected(NotInspected::Unfit(unfit)))) => Err(unfit),
            Ok(Err(NotConnected::NotDialled(error))) => error.unfit().map_or(Ok(()), Err),
            // What is away may come back, and is looked at then.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A connection to a server that can be used.
    async fn connect(&self, end: &End) -> Result<(Dialled, Seal), NotConnected> {
        let end = end.clone();
        let on_push = move |push: redis::PushInfo| {
            if push.kind == PushKind::Disconnection {
                end.set(LOST);
            }
        };
        let mut dialled = self.dialer.dial(self.timeout, on_push).await?;
        let seal = self.inspector.inspect(&mut dialled.connection).await?;
        Ok((dialled, seal))
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

    /// The connection that stands now.
    pub(super) fn connection(&self) -> Result<Connection, NoReply> {
        let connection = self.link.get().map_err(NoReply::NotConnected)?;
        match connection.end.get() {
            Some(why) => Err(NoReply::NotConnected(format!("the connection was left: {why}"))),
            None => Ok(connection),
        }
    }

    /// Sends commands in one round trip. Each has its reply, which may be an error.
    pub(super) async fn send(&self, commands: &Pipeline) -> Result<Vec<Value>, NoReply> {
        self.connection()?.send(commands).await
    }

    /// Sends calls of one script in one round trip, and in a second one those for which the server lacked its text.
    pub(super) async fn run_script(&self, script: &Script, calls: &Pipeline) -> Result<Vec<Value>, NoReply> {
        let mut replies = self.send(calls).await?;
        let (mut again, mut unknown) = (Pipeline::new(), Vec::new());
        for (call, reply) in calls.cmd_iter().zip(&mut replies) {
            if is_error(reply, ServerErrorKind::NoScript) {
                again.add_command(script.with_text(call));
                unknown.push(reply);
            }
        }
        if !again.is_empty() {
            // The first round may have stored something, so this cannot be called not sent any more.
            let answers = self.send(&again).await.map_err(|error| NoReply::Unanswered(error.to_string()))?;
            unknown.into_iter().zip(answers).for_each(|(reply, answer)| *reply = answer);
        }
        Ok(replies)
    }
}

pub(super) fn is_error(reply: &Value, kind: ServerErrorKind) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(kind))
}
