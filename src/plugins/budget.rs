//! What one call of a script may cost: operations and wall time, counted per thread.
//!
//! The engine's own operation limit is not used: each callback that a native function makes (`map`, `sort`) starts
//! from its caller's count and throws its own away, so nested callbacks multiply it. `on_progress` sees every
//! operation, so it is counted here.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::Failure;

/// The clock is read once in so many operations: often enough for a budget of milliseconds, too seldom to cost.
const OPERATIONS_PER_CLOCK: u64 = 64;

thread_local! {
    static METER: Cell<Option<Meter>> = const { Cell::new(None) };
}

/// What is counted during one call.
#[derive(Debug, Clone, Copy)]
struct Meter {
    budget: Budget,
    started: Instant,
    operations: u64,
    next_clock: u64,
    exceeded: Option<Limit>,
}

/// What one call may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) operations: u64,
    pub(super) time: Duration,
}

/// What one call did cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
    /// The limit that ended it.
    pub(super) exceeded: Option<Limit>,
}

/// A part of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Operations,
    Time,
}

impl From<Limit> for Failure {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Operations => Self::Operations,
            Limit::Time => Self::Time,
        }
    }
}

/// Runs `call` on a fresh meter of this thread.
pub(super) fn metered<T>(budget: Budget, call: impl FnOnce() -> T) -> (T, Spent) {
    let started = now();
    METER.set(Some(Meter { budget, started, operations: 0, next_clock: OPERATIONS_PER_CLOCK, exceeded: None }));
    let result = call();
    let meter = METER.take();
    let spent = Spent {
        operations: meter.map_or(0, |meter| meter.operations),
        elapsed: now().duration_since(started),
        exceeded: meter.and_then(|meter| meter.exceeded),
    };
    (result, spent)
}

/// Counts `operations` on the running meter, and says which limit is exceeded, now or earlier. Without a running
/// meter nothing is counted.
pub(super) fn spend(operations: u64) -> Result<(), Limit> {
    let Some(mut meter) = METER.get() else { return Ok(()) };
    meter.operations = meter.operations.saturating_add(operations);
    if meter.exceeded.is_none() {
        meter.check();
    }
    METER.set(Some(meter));
    meter.exceeded.map_or(Ok(()), Err)
}

impl Meter {
    fn check(&mut self) {
        if self.operations > self.budget.operations {
            self.exceeded = Some(Limit::Operations);
        } else if self.operations >= self.next_clock {
            self.next_clock = self.operations + OPERATIONS_PER_CLOCK;
            if now().duration_since(self.started) > self.budget.time {
                self.exceeded = Some(Limit::Time);
            }
        }
    }
}

/// The wall clock of budgets.
#[expect(clippy::disallowed_methods, reason = "a script is ended by real time, also in tests that pause tokio's")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { operations: 100, time: Duration::from_secs(60) };

    #[test]
    fn a_call_within_its_budget_is_only_counted() {
        let (result, spent) = metered(BUDGET, || spend(100));
        assert_eq!((result, spent.operations, spent.exceeded), (Ok(()), 100, None));
    }

    #[test]
    fn an_exceeded_limit_stays_exceeded_even_if_an_error_is_swallowed() {
        let (_, spent) = metered(BUDGET, || {
            assert_eq!(spend(101), Err(Limit::Operations));
            assert_eq!(spend(0), Err(Limit::Operations));
        });
        assert_eq!(spent.exceeded, Some(Limit::Operations));
    }

    #[test]
    fn time_is_looked_at_every_so_many_operations() {
        let (_, spent) = metered(Budget { time: Duration::ZERO, ..BUDGET }, || {
            assert_eq!(spend(OPERATIONS_PER_CLOCK - 1), Ok(()));
            assert_eq!(spend(1), Err(Limit::Time));
        });
        assert_eq!(spent.exceeded, Some(Limit::Time));
    }

    #[test]
    fn nothing_is_counted_outside_a_call() {
        assert_eq!(spend(1_000), Ok(()));
    }
}
