//! Clock, randomness, tasks, network, TLS: the only crate that names tokio's spawn, net and time.
//!
//! A short tour:
//!
//! - [`Runtime`]: the handle that every entry point is given. It knows the time, makes random bytes,
//!   starts tasks, runs blocking work and waits. Cheap to clone.
//! - [`Shutdown`]: the one signal that says "finish what you have, begin nothing new".
//! - [`Task`] and [`Tasks`]: every task has an owner; a dropped [`Task`] is aborted, a [`Tasks`] is waited for.
//! - [`net`]: listeners, connections (plain, TLS, unix, in memory), outgoing connections.
//! - [`tls`]: server and client TLS configurations.
//! - [`process`]: what the binary alone needs: building the executor, signals, privileges, limits, the service manager.
//!
//! What is not here: protocols, settings, logging. Nothing here decides anything about mail.
//!
//! Invariants: nobody else reads a clock or starts a task; an idle plain connection holds no buffer;
//! every future that is documented as cancel safe may be dropped at any await without losing bytes.

mod clock;
mod dane;
mod limits;
pub mod net;
pub mod process;
mod race;
mod random;
mod shutdown;
mod task;
mod timer;
pub mod tls;
mod x509;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use clock::{Monotonic, Timestamp};
pub use shutdown::Shutdown;
pub use task::{Task, TaskError, Tasks};
pub use timer::{Elapsed, Sleep, Timeout};

use clock::Clock;
use random::Randomness;

/// The outside world's handle: time, randomness, tasks. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    randomness: Randomness,
    shutdown: Shutdown,
    handle: Option<tokio::runtime::Handle>,
}

impl Runtime {
    /// The real thing: the system's clock and randomness. Called inside the executor it remembers it,
    /// so that [`Runtime::spawn`] works from any thread afterwards.
    #[must_use]
    pub fn new() -> Self {
        Self::build(Clock::system(), Randomness::System)
    }

    /// For tests: the clock starts at 2026-01-01T00:00:00Z, runs with tokio's (which a test may have
    /// paused) and jumps by [`Runtime::advance`]; randomness is seeded with a fixed number.
    #[must_use]
    pub fn for_tests() -> Self {
        Self::seeded(0x706f_7374)
    }

    /// [`Runtime::for_tests`] with another seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::build(Clock::manual(), Randomness::seeded(seed))
    }

    fn build(clock: Clock, randomness: Randomness) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock,
                randomness,
                shutdown: Shutdown::new(),
                handle: tokio::runtime::Handle::try_current().ok(),
            }),
        }
    }

    /// Wall-clock time, for what people and peers see. It can jump.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Time since this runtime was made; never goes back. For intervals and deadlines.
    #[must_use]
    pub fn monotonic(&self) -> Monotonic {
        self.inner.clock.monotonic()
    }

    /// Moves a test's clock on and wakes the sleepers whose time has come.
    ///
    /// # Panics
    /// On the real clock: that is our mistake.
    pub fn advance(&self, by: Duration) {
        self.inner.clock.advance(by);
    }

    /// Sets a test's wall clock by so much, as a person or NTP does; the steady
    /// clock does not notice.
    ///
    /// # Panics
    /// On the real clock: that is our mistake.
    pub fn step_wall_clock(&self, by_ms: i64) {
        self.inner.clock.step_wall(by_ms);
    }

    /// A random number, good enough for secrets.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Fills `bytes` with randomness good enough for secrets.
    ///
    /// # Panics
    /// When the system has no randomness to give: nothing can go on safely then.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.inner.randomness.fill(bytes);
    }

    /// The process's shutdown signal.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.inner.shutdown.clone()
    }

    /// Starts a task and gives it to the caller, who joins it or, by dropping it, aborts it.
    /// `name` is for the reader of the code and of panics.
    ///
    /// # Panics
    /// Outside an executor, when the runtime was also made outside one.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Task::new(name, self.handle().spawn(future))
    }

    /// Runs `work`, which may read the disk or compute for long, on the blocking pool.
    /// A panic inside is passed on to the caller. Work that has begun runs to its end even when this future is dropped.
    ///
    /// # Panics
    /// As `work` does.
    pub async fn blocking<T, F>(&self, work: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.handle().spawn_blocking(work).await {
            Ok(value) => value,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The executor is going down and will never poll us again.
            Err(_) => std::future::pending().await,
        }
    }

    /// Drives a future to its end from a thread of the blocking pool or any thread outside the executor.
    ///
    /// # Panics
    /// On a worker thread of the executor, or when there is no executor.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle().block_on(future)
    }

    /// Waits. Cancel safe.
    #[must_use]
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.inner.clock.sleep(duration)
    }

    /// Waits until the moment; at once when it has passed. Cancel safe.
    #[must_use]
    pub fn sleep_until(&self, moment: Monotonic) -> Sleep {
        self.sleep(moment.since(self.monotonic()))
    }

    /// Gives `future` that long. Adds no copy of it: the future stays where it is put.
    #[must_use]
    pub fn timeout<F: Future>(&self, duration: Duration, future: F) -> Timeout<F> {
        Timeout::new(future, self.sleep(duration))
    }

    fn handle(&self) -> tokio::runtime::Handle {
        match &self.inner.handle {
            Some(handle) => handle.clone(),
            None => tokio::runtime::Handle::current(),
        }
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
