//! Tasks with owners: one ([`Task`]) or a crowd ([`Tasks`]).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::sync::Notify;

use crate::Runtime;

/// A running task. Joined with [`Task::join`]; aborted when dropped.
#[must_use = "a dropped task is aborted"]
#[derive(Debug)]
pub struct Task<T> {
    name: &'static str,
    handle: tokio::task::JoinHandle<T>,
}

/// Why a task has no result.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It panicked: our mistake.
    #[error("task {0} panicked")]
    Panicked(&'static str),
    /// It was aborted.
    #[error("task {0} was aborted")]
    Aborted(&'static str),
}

impl<T> Task<T> {
    pub(crate) fn new(name: &'static str, handle: tokio::task::JoinHandle<T>) -> Self {
        Self { name, handle }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When the task panicked or was aborted.
    ///
    /// # Cancel safety
    /// Dropping this future aborts the task.
    pub async fn join(mut self) -> Result<T, TaskError> {
        match (&mut self.handle).await {
            Ok(value) => Ok(value),
            Err(error) if error.is_panic() => Err(TaskError::Panicked(self.name)),
            Err(_) => Err(TaskError::Aborted(self.name)),
        }
    }

    /// Asks the task to stop at its next await.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// A crowd of tasks without results, such as the sessions of a listener. Costs a few bytes per task.
/// The owner waits for all with [`Tasks::wait`]; those that outstay the drain end with the executor.
#[derive(Clone, Default)]
pub struct Tasks {
    inner: Arc<Crowd>,
}

#[derive(Default)]
struct Crowd {
    running: AtomicUsize,
    left: Notify,
}

impl Tasks {
    /// An empty crowd.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task of the crowd. A panic inside ends that task alone.
    pub fn spawn<F>(&self, runtime: &Runtime, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.running.fetch_add(1, Ordering::SeqCst);
        runtime.handle().spawn(Member {
            future,
            _leave: Leave(self.inner.clone()),
        });
    }

    /// How many run now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.running.load(Ordering::SeqCst)
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns when none runs. Cancel safe.
    pub async fn wait(&self) {
        loop {
            let left = self.inner.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.is_empty() {
                return;
            }
            left.await;
        }
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks")
            .field("running", &self.len())
            .finish()
    }
}

struct Leave(Arc<Crowd>);

impl Drop for Leave {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

pin_project! {
    /// Holds the session's future in place: an `async` block around it would keep it twice.
    struct Member<F> {
        #[pin]
        future: F,
        _leave: Leave,
    }
}

impl<F: Future<Output = ()>> Future for Member<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().future.poll(cx)
    }
}
