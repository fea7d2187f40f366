//! Rate limits: quotas are compiled with each configuration, the buckets that they fill live across reloads.

mod bucket;
mod limiter;
mod quota;
#[cfg(test)]
mod tests;

pub use limiter::{Limited, RateLimiter, Remaining};
pub use quota::{KeyFields, Quota, Quotas};
