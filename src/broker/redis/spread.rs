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
use super::commands::{NoReply, Script};
use super::commit::Reply;
use super::field::Layout;
use super::place::Address;
use super::server::Server;
use super::slots::Slot;

/// Between two tries of what a server refuses while it moves a slot; spread.
const PAUSE: Duration = Duration::from_millis(40);

/// How calls are sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// As they are.
    Plain,
    /// As calls of a script, which the server may not know yet.
    Script(&'a Script),
    /// As calls that store.
    Publish,
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

type Outcome = Result<Reply, NoReply>;

impl Redis {
    /// Makes calls, each on keys of its slot, and returns what came of each.
    pub(super) async fn spread(&self, calls: &[(Slot, Cmd)], way: Way<'_>, deadline: Instant) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::new();
        outcomes.resize_with(calls.len(), || Err(NoReply::Unanswered("a reply is missing".to_owned())));
        let mut left: Vec<usize> = (0..calls.len()).collect();
        loop {
            let layout = self.field.layout();
            let groups = group(&layout, calls, &left, &mut outcomes);
            let sent = groups.iter().map(|group| self.send_group(group, calls, way, deadline));
            let replies = join_all(sent).await;
            for (group, replies) in groups.iter().zip(replies) {
                note(&mut outcomes, group, replies);
            }
            if !self.field.is_cluster() {
                return outcomes;
            }
            if !matches!(way, Way::Publish) {
                self.send_on(&layout, calls, way, &left, &mut outcomes).await;
            }
            left.retain(|&index| may_succeed(&layout, calls, index, &outcomes));
            if left.is_empty() || !self.settle(&layout, calls, &left, &outcomes, deadline).await {
                return outcomes;
            }
        }
    }

    async fn send_group(
        &self,
        group: &Group,
        calls: &[(Slot, Cmd)],
        way: Way<'_>,
        deadline: Instant,
    ) -> Result<Vec<Reply>, NoReply> {
        let mut pipeline = Pipeline::with_capacity(group.places.len());
        for &index in &group.places {
            pipeline.add_command(calls[index].1.clone());
        }
        let sent = match way {
            Way::Plain => group.server.commands.send(&pipeline).await,
            Way::Script(script) => group.server.commands.run_script(script, &pipeline).await,
            Way::Publish => return self.call_publish(&group.server, pipeline, deadline).await,
        };
        Ok(sent?.into_iter().map(Reply::of).collect())
    }

    /// Makes those calls that were sent on to the server that is about to have their slot, if it is in use.
    async fn send_on(
        &self,
        layout: &Layout,
        calls: &[(Slot, Cmd)],
        way: Way<'_>,
        left: &[usize],
        outcomes: &mut [Outcome],
    ) {
        for &index in left {
            let Some(Again::Ask(place)) = outcomes[index].as_ref().ok().and_then(|reply| again(&reply.value)) else {
                continue;
            };
            let Some(server) = layout.at(&place) else { continue };
            let call = match way {
                Way::Script(script) => script.with_text(&calls[index].1),
                _ => calls[index].1.clone(),
            };
            let mut pipeline = Pipeline::with_capacity(2);
            // It holds for the next call, and the two are written as one.
            pipeline.cmd("ASKING");
            pipeline.add_command(call);
            if let Ok(replies) = server.commands.send(&pipeline).await
                && let Some(value) = replies.into_iter().nth(1)
            {
                outcomes[index] = Ok(Reply::of(value));
            }
        }
    }

    /// Waits until it makes sense to try again. False if that is not before the deadline.
    async fn settle(
        &self,
        layout: &Layout,
        calls: &[(Slot, Cmd)],
        left: &[usize],
        outcomes: &[Outcome],
        deadline: Instant,
    ) -> bool {
        let moved = |&index: &usize| match &outcomes[index] {
            Ok(reply) => again(&reply.value) == Some(Again::Moved),
            Err(_) => layout.server(calls[index].0).is_none(),
        };
        if left.iter().any(moved) {
            return self.field.asked_anew(deadline).await;
        }
        if let Some(server) = left.iter().filter(|&&index| outcomes[index].is_err()).find_map(|&index| {
            let server = self.field.layout().server(calls[index].0).map(Arc::clone);
            server.filter(|server| server.is_young())
        }) {
            let up = async {
                server.commands.up().await;
                if let Some(committer) = &server.committer {
                    committer.up().await;
                }
            };
            // It may be left meanwhile.
            let up = tokio::time::timeout(PAUSE, up);
            return timeout_at(deadline, up).await.is_ok();
        }
        let pause = PAUSE.mul_f64(rand::random_range(0.5..=1.0));
        timeout_at(deadline, tokio::time::sleep(pause)).await.is_ok()
    }
}

impl Reply {
    /// One that needs no seal.
    pub(super) fn of(value: Value) -> Self {
        Self { value, sealed: true }
    }
}

/// Puts calls together by the server that has their slots. Those of no server have their outcome.
fn group(layout: &Layout, calls: &[(Slot, Cmd)], left: &[usize], outcomes: &mut [Outcome]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(1);
    for &index in left {
        let slot = calls[index].0;
        let Some(server) = layout.server(slot) else {
            outcomes[index] = Err(NoReply::NotConnected(layout.lack(slot)));
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
fn note(outcomes: &mut [Outcome], group: &Group, replies: Result<Vec<Reply>, NoReply>) {
    match replies {
        Ok(replies) => {
            for (&index, reply) in group.places.iter().zip(replies) {
                outcomes[index] = Ok(reply);
            }
        }
        Err(error) => group.places.iter().for_each(|&index| outcomes[index] = Err(error.clone())),
    }
}

/// Whether a call that failed was not made, and may be made soon.
fn may_succeed(layout: &Layout, calls: &[(Slot, Cmd)], index: usize, outcomes: &[Outcome]) -> bool {
    match &outcomes[index] {
        Ok(reply) => again(&reply.value).is_some(),
        Err(NoReply::Unanswered(_)) => false,
        Err(NoReply::NotConnected(_)) => match layout.server(calls[index].0) {
            Some(server) => server.is_young() || server.is_retired(),
            None => false,
        },
    }
}

/// Whether a reply says that the call was not made, and may be made again.
fn again(reply: &Value) -> Option<Again> {
    let Value::ServerError(error) = reply else { return None };
    match error.kind()? {
        ServerErrorKind::Moved => Some(Again::Moved),
        ServerErrorKind::Ask => Some(error.details().and_then(asked).map_or(Again::Later, Again::Ask)),
        // In a batch whose first call, which brings the script, was refused.
        ServerErrorKind::TryAgain | ServerErrorKind::NoScript => Some(Again::Later),
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
        let reply = |line: &str| redis::parse_redis_value(line.as_bytes()).unwrap();
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
