//! What one request may have read, and what its answers may come to.
//!
//! Whoever reads or writes takes from it first. Once it is spent nothing more is given, and the call is told that it
//! asks for too much.

use crate::api::size_of;
use crate::auth::Inside;
use crate::limits::READ_BYTES_MAX;
use serde_json::Value;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Octets that may still be read of messages beyond what is asked for itself.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU64,
    is_spent: AtomicBool,
    /// The place of the request: work keeps it, so that who goes away does not begin anew while it still goes on.
    _inside: Option<Inside>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(READ_BYTES_MAX)
    }
}

impl Budget {
    pub(crate) fn of(bytes: u64) -> Self {
        Self {
            left: AtomicU64::new(bytes),
            is_spent: AtomicBool::new(false),
            _inside: None,
        }
    }

    /// Of a request that has a place at the door.
    pub(crate) fn of_request(inside: Inside) -> Self {
        Self {
            _inside: Some(inside),
            ..Self::default()
        }
    }

    /// Takes so many; false if there are not as many any more.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        let order = Ordering::Relaxed;
        let taken = self.left.fetch_update(order, order, less).is_ok() && !self.is_spent();
        if !taken {
            self.is_spent.store(true, order);
        }
        taken
    }

    /// Somebody was given less than he asked for.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

/// Octets that answers may still have.
#[derive(Debug)]
pub(crate) struct Room {
    left: Cell<usize>,
    is_over: Cell<bool>,
}

impl Room {
    pub(crate) fn of(bytes: usize) -> Self {
        Self {
            left: Cell::new(bytes),
            is_over: Cell::new(false),
        }
    }

    /// The value, if there is room for it under this name.
    pub(crate) fn take(&self, name: &str, value: Value) -> Value {
        let size = name.len() + 4 + size_of(&value);
        match self.left.get().checked_sub(size) {
            Some(left) if !self.is_over.get() => {
                self.left.set(left);
                value
            }
            _ => {
                self.is_over.set(true);
                Value::Null
            }
        }
    }

    /// Something was left out.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    pub(crate) fn left(&self) -> usize {
        self.left.get()
    }
}
