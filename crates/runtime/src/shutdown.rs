//! The shutdown signal: given once, seen by everybody, never taken back.

use std::sync::Arc;

use tokio::sync::watch;

/// Says whether the process is draining. Cheap to clone; all clones are one signal.
#[derive(Clone)]
pub struct Shutdown {
    draining: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    /// A signal that has not been given.
    #[must_use]
    pub fn new() -> Self {
        Self {
            draining: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Gives the signal: listeners close, sessions end at their next safe point, nothing new begins.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Returns when the signal is given; at once when it was. Cancel safe.
    pub async fn draining(&self) {
        let mut receiver = self.draining.subscribe();
        // The sender lives as long as `self`, so this cannot fail before the signal.
        let _ = receiver.wait_for(|draining| *draining).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shutdown")
            .field("draining", &self.is_draining())
            .finish()
    }
}
