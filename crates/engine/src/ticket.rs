//! Who waits for a group of commits: one allocation for the whole group.
//!
//! Every commit of a group becomes durable and visible at the same moment, so
//! its tickets share one [`Group`]; firing it wakes them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use tokio::sync::Notify;

/// The firing side.
#[derive(Debug, Default)]
pub(crate) struct Group {
    done: AtomicBool,
    notify: Notify,
}

impl Group {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Ends the wait of every ticket of the group.
    pub(crate) fn fire(&self) {
        self.done.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }
}

/// The waiting side.
#[derive(Debug, Clone)]
pub(crate) struct Waiter(pub(crate) Arc<Group>);

impl Waiter {
    pub(crate) async fn wait(&self) {
        // Taken before the look at the flag: it hears every later firing.
        let notified = self.0.notify.notified();
        if !self.0.done.load(Ordering::Acquire) {
            notified.await;
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.done.load(Ordering::Acquire)
    }

    /// Waits on a thread that runs no tasks.
    pub(crate) fn wait_blocking(&self) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut wait = std::pin::pin!(self.wait());
        while wait.as_mut().poll(&mut context).is_pending() {
            thread::park();
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
