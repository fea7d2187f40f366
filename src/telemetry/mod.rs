//! What the server says about itself: logs, metrics, and the traces that its callers are in.

mod logging;
mod metrics;
mod traceparent;

pub use logging::{Format, InitError, Logging, init};
pub use metrics::{Metrics, PluginMetrics};
pub use traceparent::{InvalidTraceParent, TraceParent};
