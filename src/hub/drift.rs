//! The position check: rings are compared with the broker now and then, so that a publication which was lost on its way
//! without a sign is found although nothing follows it.
//!
//! Whatever follows a lost publication shows the hole, and a feed that was cut says so. This is for what neither shows: a
//! server or a proxy that dropped a message, or that the last one before silence went to nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::survey::CHUNK;
use super::{Hub, LocalChannel};
use crate::stream::{History, Lane, Position, Tops};

/// Around how long a lost publication may stay unseen. Asking for 10 000 channels is 40 round trips.
const EVERY: Duration = Duration::from_secs(30);
/// How long a publication may be on its way. Whoever is behind for longer, and has not moved, has lost it.
const GRACE: Duration = Duration::from_secs(1);

/// A channel whose rings were not where the broker was.
struct Suspect {
    channel: Arc<LocalChannel>,
    heads: Tops,
}

impl Hub {
    /// Compares the rings with the broker every 30 s, give or take a fifth, until `shutdown`.
    pub async fn run_position_checks(self: Arc<Self>, history: Arc<dyn History>, shutdown: CancellationToken) {
        let checks = async {
            loop {
                // Jittered, so that nodes which started together do not ask together.
                tokio::time::sleep(EVERY.mul_f64(rand::random_range(0.8..1.2))).await;
                self.check_positions(&*history).await;
            }
        };
        shutdown.run_until_cancelled(checks).await;
    }

    /// Compares the rings with the broker once, and has those repaired that are behind it, or in another epoch, and do not
    /// move.
    pub async fn check_positions(&self, history: &dyn History) {
        let channels: Vec<_> = self.channels.read().values().map(Arc::clone).collect();
        let mut suspects = Vec::new();
        // One chunk after the other, as nobody waits.
        for chunk in channels.chunks(CHUNK) {
            suspects.extend(suspects_among(chunk, history).await);
        }
        if suspects.is_empty() {
            return;
        }
        tokio::time::sleep(GRACE).await;
        suspects.retain(|suspect| self.has(&suspect.channel) && heads_at_rest(&suspect.channel) == Some(suspect.heads));
        self.metrics.position_drift.inc_by(suspects.len() as u64);
        if let Some(first) = suspects.first() {
            let (count, name) = (suspects.len(), first.channel.name());
            tracing::warn!(channel = %name, count, "{count} channels were not where the broker is, the first of which is \
                `{name}`: what they lack is read from history");
        }
        self.ask_repairs(suspects.into_iter().map(|suspect| suspect.channel).collect());
    }
}

/// Those whose heads are not the broker's tops. What cannot be asked is asked at the next check.
async fn suspects_among(chunk: &[Arc<LocalChannel>], history: &dyn History) -> Vec<Suspect> {
    let at_rest = |channel: &Arc<LocalChannel>| {
        let heads = heads_at_rest(channel)?;
        Some(Suspect { channel: Arc::clone(channel), heads })
    };
    let asked: Vec<_> = chunk.iter().filter_map(at_rest).collect();
    let names: Vec<_> = asked.iter().map(|one| one.channel.name().clone()).collect();
    let tops = history.tops(&names).await;
    let answered = asked.into_iter().zip(tops).filter_map(|(one, tops)| Some((one, tops.ok()?)));
    // A channel without history had one when it was opened, so it is in another epoch.
    answered.filter(|(one, tops)| *tops != Some(one.heads)).map(|(one, _)| one).collect()
}

/// The heads of a channel that is neither opening nor about to be repaired.
fn heads_at_rest(channel: &LocalChannel) -> Option<[Position; Lane::ALL.len()]> {
    let [express, normal] = Lane::ALL.map(|lane| channel.head(lane));
    let whole = channel.holes.load(Ordering::Acquire) == 0;
    Some([express?, normal?]).filter(|_| whole)
}
