//! Rate limits: quotas are compiled with each configuration, the buckets that they fill live across reloads.
//!
//! The buckets of a limit that counts for the whole cluster are kept by the broker, which knows no limits; `shared`
//! says which bucket it is and what its state means.

mod bucket;
mod limiter;
mod quota;
mod shared;
#[cfg(test)]
mod tests;

pub use limiter::{Limited, RateLimiter, Remaining};
pub use quota::{KeyFields, Quota, Quotas};
