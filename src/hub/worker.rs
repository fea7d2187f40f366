//! What runs a shard: it alone touches the shard's connections, so none of them has a lock.

use std::sync::Arc;

use slab::Slab;
use tokio::task::yield_now;

use super::connection::{Connection, Next};
use super::shard::Shard;
use super::streams::Place;
use super::turn::{Framing, Turn};
use super::wake::Wake;
use super::{LocalChannel, Reader, Socket};

/// Connections that are served before other tasks have their turn.
const STRETCH: usize = 64;

/// The connections of a shard.
#[derive(Debug)]
pub(super) struct Worker {
    shard: Arc<Shard>,
    /// The shard's place among all.
    index: usize,
    connections: Slab<Connection>,
    turn: Turn,
    /// From where to where `turn` leads in the channel of this fan-out: it is good for every reader of that channel
    /// alone that stands at its beginning.
    shared: Option<[Place; 2]>,
    /// Members of the channel of this fan-out that are served next; kept, so that a fan-out allocates nothing.
    stretch: Vec<(usize, usize)>,
    /// Connections served since other tasks had their turn.
    served: usize,
}

impl Worker {
    pub(super) fn new(shard: &Arc<Shard>, index: usize) -> Self {
        let turn = Turn::new(Framing::Plain);
        let (shard, stretch) = (Arc::clone(shard), Vec::with_capacity(STRETCH));
        Self { shard, index, connections: Slab::new(), turn, shared: None, stretch, served: 0 }
    }

    /// Takes over connections.
    pub(super) fn welcome(&mut self, arrivals: Vec<(Reader, Socket)>) {
        for (mut reader, socket) in arrivals {
            let place = self.connections.vacant_entry();
            // From here on its channels' news come by `fan_out`, on this task; what came before, it was told.
            reader.move_to_shard(place.key());
            let wake = Wake::new(&self.shard, place.key());
            place.insert(Connection::new(reader, socket, wake)).queue();
        }
    }

    /// Serves the connections that were woken.
    pub(super) async fn attend(&mut self, woken: &[usize]) {
        for stretch in woken.chunks(STRETCH) {
            for &key in stretch {
                // It may have ended since.
                if let Some(connection) = self.connections.get_mut(key) {
                    let next = connection.attend(&mut self.turn);
                    self.go_on(key, next);
                }
            }
            self.give_way(stretch.len()).await;
        }
    }

    /// Brings the news of a channel to all its subscribers on this shard.
    pub(super) async fn fan_out(&mut self, channel: &LocalChannel) {
        channel.notify(self.index);
        self.shared = None;
        let mut stretch = std::mem::take(&mut self.stretch);
        let mut from = 0;
        while let Some(next) = channel.members(self.index, from, &mut stretch) {
            from = next;
            let (served, all) = (stretch.len(), stretch.len() < stretch.capacity());
            for (key, index) in stretch.drain(..) {
                self.deliver(key, index);
            }
            self.give_way(served).await;
            if all {
                break;
            }
        }
        self.stretch = stretch;
    }

    fn deliver(&mut self, key: usize, index: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let place = connection.reader().place();
        connection.reader().note(index);
        if connection.is_blocked() {
            return; // It pulls when its socket has room.
        }
        let next = match (self.shared, place) {
            (Some([from, to]), Some(place)) if from == place && connection.framing() == self.turn.framing() => {
                connection.reader().go_to(to);
                connection.hand_over(&self.turn)
            }
            _ => {
                let next = connection.run(&mut self.turn);
                let to = connection.reader().place();
                self.shared = place.zip(to).filter(|(from, to)| from != to).map(|(from, to)| [from, to]);
                next
            }
        };
        self.go_on(key, next);
    }

    async fn give_way(&mut self, served: usize) {
        self.served += served;
        if self.served >= STRETCH {
            self.served = 0;
            yield_now().await;
        }
    }

    fn go_on(&mut self, key: usize, next: Next) {
        match next {
            Next::Wait => {}
            Next::Again => self.connections[key].queue(),
            Next::Close => drop(self.connections.remove(key)),
        }
    }
}
