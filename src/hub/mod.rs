//! This node's live subscribers, and the rings that they pull from.
//!
//! A publication goes into its stream's ring, and the shards that have subscribers of the channel are told.
//! Nothing is queued per subscriber: a subscriber is a cursor, and what it has not read yet waits in the ring,
//! or, when the ring has passed it, in the broker's history. A thousand stalled readers cost a thousand cursors.

mod body;
mod catch_up;
mod channel;
mod connection;
mod directory;
mod lag;
mod reader;
mod repair;
mod resume;
mod shard;
mod sse;
mod subscriber;
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
pub use turn::Framing;
