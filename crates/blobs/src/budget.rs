//! The memory of all messages that are being received, shared; and that of
//! bodies read before they are sent.
//!
//! Nobody ever waits for it: whoever receives and gets no more writes out what
//! it has, in a chunk that is smaller than usual; whoever reads ahead and gets
//! none reads piece by piece. So a crowd of slow senders costs smaller
//! chunks, and no message stands in another's way.

use crate::limits::{CHUNK_BYTES, RECEIVE_STEPS};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all buffers together may take.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
}

/// What one buffer takes; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    /// The most that was used at a time.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// What is used now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A share of so many bytes, or none if that is more than is left.
    pub(crate) fn share_of(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut share = self.share();
        self.take(bytes, false).then(|| {
            share.bytes = bytes;
            share
        })
    }

    /// An empty share.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }

    fn take(&self, bytes: usize, always: bool) -> bool {
        let more = |used: usize| {
            let used = used.saturating_add(bytes);
            (always || used <= self.bytes_max).then_some(used)
        };
        let taken = self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        if let Ok(before) = taken {
            self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        }
        taken.is_ok()
    }
}

impl Share {
    /// Bytes that the buffer may have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next step; false when the budget is spent or the buffer is as
    /// large as any may be. The first step is always given: it is what a session costs.
    pub(crate) fn grow(&mut self) -> bool {
        let next = RECEIVE_STEPS.into_iter().find(|step| *step > self.bytes);
        let Some(next) = next.filter(|next| *next <= CHUNK_BYTES) else {
            return false;
        };
        let taken = self.budget.take(next - self.bytes, self.bytes == 0);
        if taken {
            self.bytes = next;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
