//! One open subscription, as the hub sees it: what it listens to, and the bits by which it is told of news.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::directory::Clock;
use super::{Bye, LocalChannel};
use crate::auth::Principal;

/// The bit that says that a channel is lost.
const LOSS: u32 = 1 << 28;
/// The bit that wakes a writer whose connection is to end at once.
const KILL: u32 = 1 << 29;
/// The bit that asks for a heartbeat. The bits below it are the subscriber's channels, at most 16.
const HEARTBEAT: u32 = 1 << 30;
/// The bit that says how it shall end.
const BYE: u32 = 1 << 31;

/// One open subscription.
///
/// Its connection is written to either by a hyper body or directly; both own a [`super::Reader`], and this is
/// the one interface through which the hub speaks to them: bits are set, and the writer is woken.
#[derive(Debug)]
pub struct Subscriber {
    shard: usize,
    principal: Arc<Principal>,
    channels: Box<[Arc<LocalChannel>]>,
    /// What the writer has to look at; see [`News`].
    news: AtomicU32,
    waker: AtomicWaker,
    bye: Mutex<Option<Bye>>,
    /// The channels that are declared no more, one bit each by their place in the subscription.
    lost: AtomicU32,
    /// Milliseconds of the hub's clock since when there is something that its writer has not taken; 0: nothing.
    waiting_since: AtomicU64,
    next_heartbeat: AtomicU64,
    clock: Clock,
    /// Ends the connection whether or not anybody reads from it. A task that serves the connection watches it; a
    /// shard is woken.
    kill: CancellationToken,
}

/// What a writer was told since it last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News(u32);

impl News {
    /// Whether the channel at `index` has something new.
    pub(super) fn has_channel(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    /// Whether a heartbeat is due.
    pub(super) fn has_heartbeat(self) -> bool {
        self.0 & HEARTBEAT != 0
    }

    /// Whether a channel was lost.
    pub(super) fn has_loss(self) -> bool {
        self.0 & LOSS != 0
    }

    /// Whether it shall end.
    pub(super) fn has_bye(self) -> bool {
        self.0 & BYE != 0
    }
}

impl Subscriber {
    pub(super) fn new(
        shard: usize,
        principal: Arc<Principal>,
        channels: Box<[Arc<LocalChannel>]>,
        clock: Clock,
        kill: CancellationToken,
    ) -> Self {
        Self {
            shard,
            principal,
            channels,
            news: AtomicU32::new(0),
            waker: AtomicWaker::new(),
            bye: Mutex::new(None),
            lost: AtomicU32::new(0),
            waiting_since: AtomicU64::new(0),
            next_heartbeat: AtomicU64::new(u64::MAX),
            clock,
            kill,
        }
    }

    /// The shard that it belongs to.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Who listens.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What it listens to.
    #[must_use]
    pub fn channels(&self) -> &[Arc<LocalChannel>] {
        &self.channels
    }

    /// Tells it that the channel at `index` of its list has something new.
    pub(super) fn tell(&self, index: usize) {
        self.raise(1 << index);
    }

    /// Asks it to end with `bye`. The first reason stays. [`super::Hub::close`] also sees to it that it does.
    pub(super) fn ask_to_end(&self, bye: Bye) {
        self.bye.lock().get_or_insert(bye);
        self.raise(BYE);
    }

    /// Takes channels away from it, one bit each by their place. Nothing of them is sent from its next turn on, also not
    /// if they are declared again: it would be unclear what was published in between.
    pub(super) fn lose(&self, channels: u32) {
        self.lost.fetch_or(channels, Ordering::AcqRel);
        self.raise(LOSS);
    }

    /// Whether the channel at `index` was taken away.
    #[must_use]
    pub fn has_lost(&self, index: usize) -> bool {
        self.lost.load(Ordering::Acquire) & (1 << index) != 0
    }

    /// Ends its connection at once, whatever its writer does.
    pub(super) fn kill(&self) {
        self.kill.cancel();
        self.raise(KILL);
    }

    /// Whether its connection is to end at once.
    pub(super) fn is_killed(&self) -> bool {
        self.kill.is_cancelled()
    }

    fn raise(&self, bits: u32) {
        if self.news.fetch_or(bits, Ordering::AcqRel) & bits == bits {
            return; // It has been told and has not looked yet.
        }
        self.owe();
        self.waker.wake();
    }

    /// Notes that there is something which its writer has not taken.
    pub(super) fn owe(&self) {
        let now = self.clock.now_ms();
        let _ = self.waiting_since.compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Notes that its writer has taken all that there is.
    pub(super) fn settled(&self) {
        self.waiting_since.store(0, Ordering::Release);
    }

    /// Notes that its writer has taken some of what there is.
    pub(super) fn progressed(&self) {
        self.waiting_since.store(self.clock.now_ms(), Ordering::Release);
    }

    /// Has its writer woken, once, when it is told something from here on.
    pub(super) fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// What it was told since the last look. The waker is registered first, so nothing told later is missed.
    pub(super) fn look(&self, waker: &Waker) -> News {
        self.watch(waker);
        News(self.news.swap(0, Ordering::AcqRel))
    }

    /// How it shall end.
    pub(super) fn bye(&self) -> Option<Bye> {
        self.bye.lock().clone()
    }

    /// Asks for a heartbeat when one is due, and sets when the next will be.
    pub(super) fn beat(&self, interval: Duration) {
        let now = self.clock.now_ms();
        let due = self.next_heartbeat.load(Ordering::Relaxed);
        if now >= due {
            self.raise(HEARTBEAT);
        }
        if now >= due || due == u64::MAX {
            // ± 20 %, so that connections opened together do not beat together.
            let next = interval.mul_f64(rand::random_range(0.8..1.2)).as_millis() as u64;
            self.next_heartbeat.store(now + next, Ordering::Relaxed);
        }
    }

    /// For how long its writer has not taken what there is.
    pub(super) fn waiting(&self) -> Duration {
        match self.waiting_since.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.clock.now_ms().saturating_sub(since)),
        }
    }
}
