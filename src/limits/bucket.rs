//! The generic cell rate algorithm, and the buckets of one limit.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// The generic cell rate algorithm in its virtual scheduling form (ITU-T I.371).
///
/// A token bucket whose whole state is one instant, at which it will be full again (the theoretical arrival time).
/// Each token taken moves that instant one interval away; it may be as far away as the bucket is deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Gcra {
    /// Between two tokens that flow in; never zero.
    pub(super) interval: Duration,
    /// Tokens that the bucket holds.
    pub(super) burst: u32,
}

impl Gcra {
    /// How long an empty bucket takes to be full.
    pub(super) fn window(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }

    /// Takes one token from a bucket that is full at `full_at`.
    ///
    /// # Errors
    /// How long to wait for the next token.
    pub(super) fn take(self, full_at: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let debt = debt(full_at, now) + self.interval;
        let excess = debt.saturating_sub(self.window());
        if excess.is_zero() { Ok(now + debt) } else { Err(excess) }
    }

    /// The whole tokens left in a bucket that is full at `full_at`, and for how long no more than these can be taken:
    /// until one more has flowed in. A full bucket counts as one whose tokens are taken now.
    pub(super) fn left(self, full_at: Option<Instant>, now: Instant) -> (u32, Duration) {
        self.left_of(debt(full_at, now))
    }

    /// The same of a bucket that will be full after `debt`.
    pub(super) fn left_of(self, debt: Duration) -> (u32, Duration) {
        let content = self.window().saturating_sub(debt).as_nanos();
        let (left, part) = (content / self.interval.as_nanos(), content % self.interval.as_nanos());
        let next = self.interval - Duration::from_nanos(part.try_into().unwrap_or_default());
        (left.try_into().unwrap_or(self.burst), next)
    }
}

fn debt(full_at: Option<Instant>, now: Instant) -> Duration {
    full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now))
}

/// A bucket's key, hashed with seeds that no caller knows. Its size does not depend on what callers send.
pub(super) type KeyHash = u128;

/// The buckets of one limit that are not full; one that is not here is full.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    full_at: HashMap<KeyHash, Instant>,
    /// The same buckets, the one that is full first in front.
    by_time: BTreeSet<(Instant, KeyHash)>,
}

impl Buckets {
    pub(super) fn full_at(&self, key: KeyHash) -> Option<Instant> {
        self.full_at.get(&key).copied()
    }

    /// Sets when a bucket will be full, and keeps at most `max` buckets by forgetting the one that is full first.
    ///
    /// That one is full already if any is, and otherwise has the least to lose. So a flood of new keys pushes out
    /// itself, and not the bucket that somebody has emptied and would like to see forgotten.
    pub(super) fn set(&mut self, key: KeyHash, full_at: Instant, now: Instant, max: usize) {
        if let Some(before) = self.full_at.remove(&key) {
            self.by_time.remove(&(before, key));
        }
        // Two for each one that comes in: buckets that are full again go without a scan, and without a timer.
        self.forget_full(now, 2);
        while self.full_at.len() >= max.max(1) {
            self.forget_first();
        }
        self.full_at.insert(key, full_at);
        self.by_time.insert((full_at, key));
    }

    /// Forgets up to `most` buckets that are full again.
    pub(super) fn forget_full(&mut self, now: Instant, most: usize) {
        for _ in 0..most {
            if self.by_time.first().is_none_or(|(full_at, _)| *full_at > now) {
                return;
            }
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.by_time.pop_first() {
            self.full_at.remove(&key);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.full_at.len(), self.by_time.len());
        self.full_at.len()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_and_then_one_token_per_interval() {
        let (gcra, start) = (Gcra { interval: SECOND, burst: 3 }, Instant::now());
        let mut full_at = None;
        for left in [2, 1, 0] {
            full_at = Some(gcra.take(full_at, start).unwrap());
            assert_eq!(gcra.left(full_at, start).0, left);
        }
        assert_eq!(gcra.take(full_at, start), Err(SECOND));
        assert_eq!(gcra.take(full_at, start + SECOND / 4), Err(SECOND / 4 * 3));
        full_at = Some(gcra.take(full_at, start + SECOND).unwrap());
        assert_eq!(gcra.left(full_at, start + SECOND), (0, SECOND));
        assert_eq!(gcra.left(full_at, start + 3 * SECOND / 2), (0, SECOND / 2));
        assert_eq!(gcra.left(full_at, start + 9 * SECOND), (3, SECOND));
    }

    #[test]
    fn the_deepest_and_slowest_bucket_does_not_overflow() {
        let gcra = Gcra { interval: 86_400 * SECOND, burst: u32::MAX };
        let now = Instant::now();
        let full_at = gcra.take(None, now).unwrap();
        assert_eq!(gcra.left(Some(full_at), now).0, u32::MAX - 1);
    }

    #[test]
    fn a_flood_of_keys_neither_grows_nor_frees_an_empty_bucket() {
        let now = Instant::now();
        let mut buckets = Buckets::default();
        buckets.set(0, now + 9 * SECOND, now, 10);
        for key in 1..1_000 {
            buckets.set(key, now + SECOND, now, 10);
            assert!(buckets.len() <= 10);
        }
        assert_eq!(buckets.full_at(0), Some(now + 9 * SECOND));
    }

    #[test]
    fn full_buckets_go_before_others() {
        let now = Instant::now();
        let mut buckets = Buckets::default();
        for key in 0..10 {
            buckets.set(key, now + SECOND * (key as u32 + 1), now, 10);
        }
        let later = now + 3 * SECOND;
        buckets.set(99, later + SECOND, later, 10);
        assert!((0..2).all(|key| buckets.full_at(key).is_none()));
        assert!((2..10).all(|key| buckets.full_at(key).is_some()));
        buckets.forget_full(later, usize::MAX);
        assert_eq!(buckets.len(), 8);
    }

    proptest! {
        #[test]
        fn no_window_admits_more_than_burst_and_rate(
            interval in 1_u64..50, burst in 1_u32..20, gaps in prop::collection::vec(0_u64..40, 1..200),
        ) {
            let gcra = Gcra { interval: Duration::from_millis(interval), burst };
            let (mut now, mut full_at, mut admitted) = (Instant::now(), None, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if let Ok(next) = gcra.take(full_at, now) {
                    full_at = Some(next);
                    admitted.push(now);
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let most = u128::from(burst) + (*to - *from).as_nanos() / gcra.interval.as_nanos();
                    prop_assert!((last - first + 1) as u128 <= most);
                }
            }
        }

        #[test]
        fn what_is_told_to_be_left_is_all_that_can_be_taken_meanwhile(
            interval in 1_u64..50, burst in 1_u32..9, taken in 0_u32..20, wait in 0_u64..200,
        ) {
            let gcra = Gcra { interval: Duration::from_millis(interval), burst };
            let now = Instant::now();
            let full_at = (0..taken).fold(None, |full_at, _| gcra.take(full_at, now).ok().or(full_at));
            let now = now + Duration::from_millis(wait);
            let (left, next) = gcra.left(full_at, now);
            let take_all = |mut full_at: Option<Instant>, at| {
                let mut count = 0;
                while let Ok(next) = gcra.take(full_at, at) {
                    (full_at, count) = (Some(next), count + 1);
                }
                (full_at, count)
            };
            let (emptied, count) = take_all(full_at, now);
            prop_assert_eq!(count, left);
            prop_assert_eq!(take_all(emptied, now + next - Duration::from_nanos(1)).1, 0);
            prop_assert_eq!(take_all(emptied, now + next).1, 1);
        }

        #[test]
        fn whoever_waits_as_told_is_admitted(burst in 1_u32..9, taken in 0_u32..30, wait in 0_u64..5_000) {
            let (gcra, now) = (Gcra { interval: SECOND, burst }, Instant::now());
            let full_at = (0..taken).fold(None, |full_at, _| gcra.take(full_at, now).ok().or(full_at));
            let later = now + Duration::from_millis(wait);
            if let Err(retry_after) = gcra.take(full_at, later) {
                prop_assert!(gcra.take(full_at, later + retry_after).is_ok());
                prop_assert!(gcra.take(full_at, later + retry_after - Duration::from_nanos(1)).is_err());
            }
        }
    }
}
