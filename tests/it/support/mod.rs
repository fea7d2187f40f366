//! What the scenarios are told with: servers, producers, subscribers, and the world around them.

mod answer;
mod chromium;
mod cluster;
mod ear;
mod http2;
mod listen;
mod notifications;
mod program;
mod proxy;
mod redis;
mod scenario;
mod seeds;
mod sentinel;
mod server;
mod sse;

pub(crate) use answer::Answer;
pub(crate) use chromium::Chromium;
pub(crate) use cluster::Cluster;
pub(crate) use ear::{Begin, Ear, content};
pub(crate) use http2::{Http2, Http2Stream};
pub(crate) use listen::{Listen, Subscriber};
pub(crate) use notifications::{alert, broadcast, mention, order, with};
pub(crate) use program::{Program, err, fanfare, out, run, run_with_input};
pub(crate) use proxy::{Order, Path, Proxy};
pub(crate) use redis::Redis;
pub(crate) use scenario::{Scenario, token};
pub(crate) use seeds::{are_usual, for_each_seed};
pub(crate) use sentinel::Guarded;
pub(crate) use server::TestServer;
pub(crate) use sse::{Event, Frame, take_frame};

use std::time::Duration;

use tokio::time::Instant;

/// How long anything that must happen may take. Generous, as a busy machine is no failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Awaits what must happen.
pub(crate) async fn within_deadline<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}
