//! Memory for large bodies that are read, used again.
//!
//! A long message is read chunk by chunk, each on whichever thread is free, and
//! sent from another one. An allocator keeps such memory for each thread that
//! ever read, so the chunks come from one shelf and go back to it.

use crate::limits::BUFFERS_SHELVED;
use parking_lot::Mutex;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Shelf {
    /// Memory of that length; what is in it is undefined, but nobody's secret:
    /// the caller reads over all of it or shows none.
    pub(crate) fn lend(self: &Arc<Self>, len: usize) -> Lent {
        let mut bytes = self.buffers.lock().pop().unwrap_or_default();
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        Lent {
            bytes,
            len,
            shelf: Arc::clone(self),
        }
    }
}

/// Goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    bytes: Vec<u8>,
    len: usize,
    shelf: Arc<Shelf>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsMut<[u8]> for Lent {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffers = self.shelf.buffers.lock();
        if buffers.len() < BUFFERS_SHELVED {
            buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_back_and_no_more_is_kept_than_the_shelf_has_room_for() {
        let shelf = Arc::new(Shelf::default());
        let lent: Vec<Lent> = (0..BUFFERS_SHELVED + 2).map(|_| shelf.lend(10)).collect();
        let first = lent[0].as_ref().as_ptr();
        drop(lent);
        assert_eq!(shelf.buffers.lock().len(), BUFFERS_SHELVED);
        let again: Vec<Lent> = (0..BUFFERS_SHELVED).map(|_| shelf.lend(5)).collect();
        assert!(again.iter().any(|lent| lent.as_ref().as_ptr() == first));
        assert!(again.iter().all(|lent| lent.as_ref().len() == 5));
        assert!(shelf.buffers.lock().is_empty());
    }
}
