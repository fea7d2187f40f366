//! This node's live subscribers, and the rings that they pull from.
//!
//! A publication goes into its stream's ring, and the shards that have subscribers of the channel are told.
//! Nothing is queued per subscriber: a subscriber is a cursor, and what it has not read yet waits in the ring,
//! or, when the ring has passed it, in the broker's history. A thousand stalled readers cost a thousand cursors.
//!
//! A [`Reader`] turns what its subscription has not had into bytes. Two kinds of writer own one: a [`SseBody`], for a
//! connection that hyper keeps since it carries other requests (HTTP/2), and a connection of a shard, for a [`Socket`]
//! that left hyper with its head. A shard's worker writes a turn of events to each of its sockets; readers that stand at
//! the same place share the bytes. What a socket does not take goes back into the ring, but for the event under way, and
//! its reader is woken when there is room.
//!
//! Measured when it was built, per delivery to 1000 subscribers at 50 notifications a second: a hyper body 1.60 times the
//! cost of a bare `send` of ready-made bytes and 13 KiB per idle connection, a shard's connection 1.22 times and 1.5 KiB.

mod body;
mod catch_up;
mod channel;
mod connection;
mod directory;
mod drift;
mod lag;
mod reader;
mod reads;
mod repair;
mod resume;
mod shard;
mod sse;
mod streams;
mod subscriber;
mod survey;
mod sweep;
mod turn;
mod wake;
mod worker;

pub use body::SseBody;
pub use channel::LocalChannel;
pub use connection::Socket;
pub use directory::{Hub, HubSettings, Lease, TooManyStreams};
pub use reader::{Hello, Listening, Reader, Start, Subscription};
pub use sse::{Bye, CloseReason, refusal};
pub use subscriber::Subscriber;
pub use sweep::Standing;
pub use turn::Framing;
