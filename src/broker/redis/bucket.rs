//! Buckets that nodes share: one script call, timed by the server's clock, so that nodes need not agree on the time.
//!
//! Taking a token is 10 µs of the server's CPU time, half of what storing a record is.

use std::time::Duration;

use super::keys::slot_of_digest;
use super::{Redis, read_reply};
use crate::broker::{Bucket, Draw, Drawn, Unavailable};

impl Redis {
    pub(in crate::broker) async fn draw(&self, bucket: &Bucket, draw: Draw) -> Result<Drawn, Unavailable> {
        let mut call = self.scripts.bucket.call(&[self.keys.bucket(bucket.id)]);
        call.arg(micros(bucket.interval)).arg(micros(bucket.window)).arg(match draw {
            Draw::Take => "take",
            Draw::Look => "look",
        });
        let reply = self.run_once(slot_of_digest(bucket.id), &self.scripts.bucket, call).await?;
        let (admitted, debt) = read_reply::<(u8, u64)>(reply)?;
        Ok(Drawn { admitted: admitted == 1, debt: Duration::from_micros(debt) })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
