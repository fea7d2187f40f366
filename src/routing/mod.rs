//! Which rules are tried for a notification, and which channels they name. Pure: time is an argument.

mod channel;
mod matcher;
mod table;
mod template;
mod window;

pub use channel::{Captures, ChannelSpec, Channels};
pub use matcher::{Facts, Field, Matcher, Mismatch, Side, compare, same};
pub use table::{Action, Route, RoutingTable, Rule};
pub use template::{BadSegment, Meeting, Pattern, Template, integer_of};
pub use window::Window;
