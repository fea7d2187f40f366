//! Sending calls to the servers that have their keys: one round trip for each server, all at once.
//!
//! A server of a cluster that does not have a key says so and does nothing. Such a call is made again within its deadline,
//! where the key is by then. What a reply means for the caller is as with one server: an error in place of a reply is
//! what its server said last.
//!
//! # While a slot is moved
//!
//! A server that is giving a slot away sends a call on (ASK) if all of its keys are gone, and refuses it (TRYAGAIN) if some
//! are. The one that receives the slot refuses a call with several keys of which one does not exist, and most channels
//! lack one: a lane that was never used, or the mark of a new idempotency key. So a call of one key is sent on, and a
//! publish is refused until the slot has moved, which stores nothing and is tried again until the deadline.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

use super::Redis;
use super::access::Address;
use super::commands::{NoReply, Script};
use super::commit::{Committed, Reply};
use super::keys::slot_of_channel;
use super::server::Server;
use super::servers::Layout;
use super::slots::Slot;
use crate::broker::Batch;

/// Between two tries of what a server refuses while it moves a slot; spread.
const PAUSE: Duration = Duration::from_millis(40);

/// What is to be done, each part of it on keys of one slot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work<'a> {
    /// Calls as they are.
    Plain(&'a [(Slot, Cmd)]),
    /// Calls of a script, which the server may not know yet.
    Script(&'a Script, &'a [(Slot, Cmd)]),
    /// Messages to be stored.
    Publish(&'a Arc<Batch>),
}

impl<'a> Work<'a> {
    fn len(self) -> usize {
        match self {
            Self::Plain(calls) | Self::Script(_, calls) => calls.len(),
            Self::Publish(batch) => batch.messages.len(),
        }
    }

    fn slot(self, index: usize) -> Slot {
        match self {
            Self::Plain(calls) | Self::Script(_, calls) => calls[index].0,
            Self::Publish(batch) => slot_of_channel(&batch.messages[index].channel),
        }
    }

    /// The call that may be sent on to another server; none where it would be refused there.
    fn alone(self, index: usize) -> Option<Cmd> {
        match self {
            Self::Plain(calls) => Some(calls[index].1.clone()),
            Self::Script(script, calls) => Some(script.with_text(&calls[index].1)),
            Self::Publish(_) => None,
        }
    }

    async fn send(self, Group { server, places }: &Group, deadline: Instant) -> Result<Vec<Reply>, NoReply> {
        let pipeline = |calls: &'a [(Slot, Cmd)]| {
            let mut pipeline = Pipeline::with_capacity(places.len());
            for &index in places {
                pipeline.add_command(calls[index].1.clone());
            }
            pipeline
        };
        let values = match self {
            Self::Plain(calls) => server.commands.send(&pipeline(calls)).await,
            Self::Script(script, calls) => server.commands.run_script(script, &pipeline(calls)).await,
            Self::Publish(batch) => return server.committer.commit(part(batch, places), deadline).await,
        };
        Ok(values?.into_iter().map(|value| Ok(Committed::of(value))).collect())
    }
}

/// The messages of a batch that one server has to store.
fn part(batch: &Arc<Batch>, places: &[usize]) -> Arc<Batch> {
    if places.len() == batch.messages.len() {
        return Arc::clone(batch);
    }
    let messages = places.iter().map(|&index| batch.messages[index].clone()).collect();
    Arc::new(Batch { id: batch.id, key: batch.key.clone(), messages })
}

/// Why a call is to be made again. Nothing was done.
#[derive(Debug, PartialEq, Eq)]
enum Again {
    /// Another server has the slot.
    Moved,
    /// The server at this address may have the key.
    Ask(Address),
    /// Not now.
    Later,
}

/// Calls for one server.
struct Group {
    server: Arc<Server>,
    /// Their places among all.
    places: Vec<usize>,
}

impl Redis {
    /// Does work, and returns what came of each part of it.
    pub(super) async fn spread(&self, work: Work<'_>, deadline: Instant) -> Vec<Reply> {
        let mut left: Vec<usize> = (0..work.len()).collect();
        if let Some(server) = self.servers.only() {
            let group = Group { server, places: left };
            let mut replies = work.send(&group, deadline).await.unwrap_or_else(|error| vec![Err(error); work.len()]);
            replies.resize_with(work.len(), missing);
            return replies;
        }
        let mut replies: Vec<Reply> = Vec::new();
        replies.resize_with(work.len(), missing);
        loop {
            let layout = self.servers.layout();
            let groups = group(&layout, work, &left, &mut replies);
            let answers = join_all(groups.iter().map(|group| work.send(group, deadline))).await;
            for (group, answers) in groups.iter().zip(answers) {
                note(&mut replies, group, answers);
            }
            send_on(&layout, work, &left, &mut replies).await;
            left.retain(|&index| may_succeed(&layout, work.slot(index), &replies[index]));
            if left.is_empty() || !self.settle(&layout, work, &left, &replies, deadline).await {
                return replies;
            }
        }
    }

    /// Waits until it makes sense to try again. False if that is not before the deadline.
    async fn settle(
        &self,
        layout: &Layout,
        work: Work<'_>,
        left: &[usize],
        replies: &[Reply],
        deadline: Instant,
    ) -> bool {
        if left.iter().any(|&index| again(&replies[index]) == Some(Again::Moved)) {
            return self.servers.asked_anew(deadline).await;
        }
        let pause = tokio::time::sleep(PAUSE.mul_f64(rand::random_range(0.5..=1.0)));
        let not_up = left.iter().find(|&&index| replies[index].is_err());
        let young = not_up.and_then(|&index| layout.server(work.slot(index))).filter(|server| server.is_young());
        let wait = async {
            match young {
                // It may be left meanwhile, and is looked at again then.
                Some(server) => tokio::select! { () = server.up() => {}, () = pause => {} },
                None => pause.await,
            }
        };
        timeout_at(deadline, wait).await.is_ok()
    }
}

fn missing() -> Reply {
    Err(NoReply::Unanswered("a reply is missing".to_owned()))
}

/// Makes those calls that were sent on to the server that is about to have their slot, if it is in use.
async fn send_on(layout: &Layout, work: Work<'_>, left: &[usize], replies: &mut [Reply]) {
    for &index in left {
        let Some(Again::Ask(place)) = again(&replies[index]) else { continue };
        let (Some(server), Some(call)) = (layout.at(&place), work.alone(index)) else { continue };
        let mut pipeline = Pipeline::with_capacity(2);
        // It holds for the next call, and the two are written as one.
        pipeline.cmd("ASKING");
        pipeline.add_command(call);
        replies[index] = match server.commands.send(&pipeline).await {
            Ok(values) => Ok(Committed::of(values.into_iter().nth(1).unwrap_or_default())),
            Err(error) => Err(error),
        };
    }
}

impl Committed {
    /// What needs no seal.
    fn of(value: Value) -> Self {
        Self { value, sealed: true }
    }
}

/// Puts work together by the server that has its slots. What no server has is told so.
fn group(layout: &Layout, work: Work<'_>, left: &[usize], replies: &mut [Reply]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(1);
    for &index in left {
        let slot = work.slot(index);
        let Some(server) = layout.server(slot) else {
            replies[index] = Err(NoReply::NotConnected(layout.lack(slot)));
            continue;
        };
        match groups.iter_mut().find(|group| Arc::ptr_eq(&group.server, server)) {
            Some(group) => group.places.push(index),
            None => groups.push(Group { server: Arc::clone(server), places: vec![index] }),
        }
    }
    groups
}

/// Puts what a server replied where it belongs.
fn note(replies: &mut [Reply], group: &Group, answers: Result<Vec<Reply>, NoReply>) {
    match answers {
        Ok(answers) => {
            for (&index, answer) in group.places.iter().zip(answers) {
                replies[index] = answer;
            }
        }
        Err(error) => group.places.iter().for_each(|&index| replies[index] = Err(error.clone())),
    }
}

/// Whether something was not done, and may be soon.
fn may_succeed(layout: &Layout, slot: Slot, reply: &Reply) -> bool {
    match (reply, layout.server(slot)) {
        (Ok(_), _) => again(reply).is_some(),
        (Err(NoReply::NotConnected(_)), Some(server)) => server.is_young() || server.is_retired(),
        (Err(_), _) => false,
    }
}

/// Whether a reply says that nothing was done, and may be.
fn again(reply: &Reply) -> Option<Again> {
    let Ok(Committed { value: Value::ServerError(error), .. }) = reply else { return None };
    match error.kind()? {
        ServerErrorKind::Moved => Some(Again::Moved),
        ServerErrorKind::Ask => Some(error.details().and_then(asked).map_or(Again::Later, Again::Ask)),
        ServerErrorKind::TryAgain => Some(Again::Later),
        _ => None,
    }
}

/// Reads `slot host:port`.
fn asked(details: &str) -> Option<Address> {
    let (host, port) = details.split_whitespace().nth(1)?.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_done_is_told_from_what_was() {
        let reply = |line: &str| Ok(Committed::of(redis::parse_redis_value(line.as_bytes()).unwrap()));
        let place = ("10.0.0.7".to_owned(), 6_379);
        assert_eq!(again(&reply("-MOVED 3999 10.0.0.7:6379\r\n")), Some(Again::Moved));
        assert_eq!(again(&reply("-ASK 3999 10.0.0.7:6379\r\n")), Some(Again::Ask(place)));
        assert_eq!(again(&reply("-ASK nonsense\r\n")), Some(Again::Later));
        assert_eq!(again(&reply("-TRYAGAIN Multiple keys\r\n")), Some(Again::Later));
        for other in ["-CLUSTERDOWN The cluster is down\r\n", "-OOM memory\r\n", "+OK\r\n", ":1\r\n"] {
            assert_eq!(again(&reply(other)), None, "{other}");
        }
    }
}
