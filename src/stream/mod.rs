//! Streams as the brokers and the hub share them: positions, cursors, records, rings. No sockets, no clock.
//!
//! A stream is one ordered log: a (channel, [`Lane`]) pair. Inside an [`Epoch`] its `seq` is contiguous, so a
//! missing record shows as arithmetic, and what was lost is told as a [`Gap`], never passed over.

mod cursor;
mod position;
mod record;
mod ring;

pub use cursor::{Cursor, InvalidCursor, MAX_CHANNELS};
pub use position::{Epoch, Lane, Position};
pub use record::{Gap, GapReason, Message, Page, Publication, Record};
pub use ring::{Append, Pull, Ring, RingBounds};

use std::fmt;
use std::pin::Pin;

use crate::notification::ChannelName;

/// Where the hub reads what its rings no longer hold. Brokers implement it.
pub trait History: Send + Sync + fmt::Debug {
    /// Up to `limit` records of one stream after `after`, oldest first, and what is missing before them.
    fn read<'a>(&'a self, channel: &'a ChannelName, lane: Lane, after: Position, limit: usize) -> ReadFuture<'a>;

    /// The tops of both lanes of each channel, in the order in which they are named, all asked for at once. None for a
    /// channel that has no history. One that cannot be asked or read keeps no other from being told.
    fn tops<'a>(&'a self, channels: &'a [ChannelName]) -> TopsFuture<'a>;
}

/// The pending result of [`History::read`].
pub type ReadFuture<'a> = Pin<Box<dyn Future<Output = Result<Page, HistoryUnavailable>> + Send + 'a>>;

/// The pending result of [`History::tops`].
pub type TopsFuture<'a> = Pin<Box<dyn Future<Output = Vec<Result<Option<Tops>, HistoryUnavailable>>> + Send + 'a>>;

/// Where the lanes of a channel end, in the order of [`Lane::ALL`].
pub type Tops = [Position; Lane::ALL.len()];

/// The broker could not be asked now; the position is still good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("history is not available: {0}")]
pub struct HistoryUnavailable(pub String);

/// Where a broker delivers what it receives. It is called inside the broker's read loop: it must not block.
pub trait Inlet: Send + Sync + fmt::Debug {
    /// One publication, in order per stream unless the broker lost some.
    fn deliver(&self, publication: Publication);
    /// The broker may have missed publications of `channels` (all it is subscribed to when `None`).
    fn missed(&self, channels: Option<&[ChannelName]>);
}
