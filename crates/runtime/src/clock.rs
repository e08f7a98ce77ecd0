//! Time: the wall clock and the steady clock, real or moved by a test.
//!
//! What is not here: calendars and date formats (`mime` has them).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::timer::Sleep;

/// 2026-01-01T00:00:00Z, where a test's clock begins.
const TEST_EPOCH_MS: u64 = 1_767_225_600_000;

/// A moment on the wall clock: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Milliseconds since the epoch.
    pub unix_ms: u64,
}

impl Timestamp {
    /// From whole seconds.
    #[must_use]
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self {
            unix_ms: seconds.saturating_mul(1000),
        }
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.unix_ms / 1000
    }

    /// The moment that much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            unix_ms: self.unix_ms.saturating_add(ms),
        }
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.unix_ms.saturating_sub(earlier.unix_ms))
    }
}

/// A moment on the steady clock, counted from the making of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// The moment that much later.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

pub(crate) struct Clock {
    start: tokio::time::Instant,
    manual: Option<Arc<Manual>>,
}

/// What a test has added to tokio's clock, and who wants to hear of it.
pub(crate) struct Manual {
    offset_ms: AtomicU64,
    /// What the wall clock alone is ahead, or behind.
    wall_ms: AtomicI64,
    advanced: Notify,
}

impl Clock {
    pub(crate) fn system() -> Self {
        Self {
            start: tokio::time::Instant::now(),
            manual: None,
        }
    }

    pub(crate) fn manual() -> Self {
        Self {
            start: tokio::time::Instant::now(),
            manual: Some(Arc::new(Manual {
                offset_ms: AtomicU64::new(0),
                wall_ms: AtomicI64::new(0),
                advanced: Notify::new(),
            })),
        }
    }

    // The one place where the wall clock is read.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn now(&self) -> Timestamp {
        if let Some(manual) = &self.manual {
            let steady = Timestamp {
                unix_ms: TEST_EPOCH_MS,
            }
            .after(self.monotonic().0);
            let wall_ms = manual.wall_ms.load(Ordering::SeqCst);
            return Timestamp {
                unix_ms: steady.unix_ms.saturating_add_signed(wall_ms),
            };
        }
        // A clock before 1970 is a broken machine; zero keeps us going.
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp { unix_ms: 0 }.after(since_epoch)
    }

    pub(crate) fn monotonic(&self) -> Monotonic {
        let offset = self.manual.as_ref().map_or(0, |manual| manual.offset_ms());
        Monotonic(
            self.start
                .elapsed()
                .saturating_add(Duration::from_millis(offset)),
        )
    }

    pub(crate) fn advance(&self, by: Duration) {
        let Some(manual) = &self.manual else {
            panic!("only a test's clock can be moved");
        };
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        manual.offset_ms.fetch_add(by, Ordering::SeqCst);
        manual.advanced.notify_waiters();
    }

    pub(crate) fn step_wall(&self, by_ms: i64) {
        let Some(manual) = &self.manual else {
            panic!("only a test's clock can be moved");
        };
        manual.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        match &self.manual {
            None => Sleep::real(duration),
            Some(manual) => Sleep::manual(sleep_manual(manual.clone(), duration)),
        }
    }
}

impl Manual {
    fn offset_ms(&self) -> u64 {
        self.offset_ms.load(Ordering::SeqCst)
    }
}

/// Waits for tokio's clock plus what tests add. The moment counts from the call, not from the first poll.
fn sleep_manual(
    manual: Arc<Manual>,
    duration: Duration,
) -> impl Future<Output = ()> + Send + 'static {
    let begun = tokio::time::Instant::now();
    let offset_begun = manual.offset_ms();
    async move {
        loop {
            let advanced = manual.advanced.notified();
            tokio::pin!(advanced);
            // Registered before the clock is read, so that no step is missed.
            advanced.as_mut().enable();
            let jumped = Duration::from_millis(manual.offset_ms().saturating_sub(offset_begun));
            let left = duration.saturating_sub(begun.elapsed().saturating_add(jumped));
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                () = advanced => {}
            }
        }
    }
}
