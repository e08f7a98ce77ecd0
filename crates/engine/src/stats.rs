//! Counters of what the engine did since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What the engine did since it was opened.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The live counters behind [`Stats`].
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Commits submitted.
    commits,
    /// Frames appended: bodies and commits.
    frames,
    /// Stored bytes of bodies appended.
    body_bytes,
    /// Groups made durable.
    groups,
    /// Synced writes and syncs of the journal.
    syncs,
    /// Bytes written to the journal, headers and padding included.
    bytes_written,
    /// Bytes of zeros that new segments were filled with, once each.
    bytes_filled,
    /// The most bytes that waited for the disk at a time; a gauge.
    pending_bytes_peak,
    /// Bytes that wait for the disk; a gauge.
    pending_bytes,
    /// Times a writer had to wait for room in memory.
    stalls,
    /// Batches refused because a condition did not hold.
    conflicts,
    /// Commits replayed from the journal when the store was opened.
    replayed,
    /// Flushes of the index.
    flushes,
    /// Compactions of the index.
    compactions,
    /// Tables in the index's first level; a gauge.
    index_first_level,
    /// Memory of the index's blocks that were read; a gauge.
    index_block_bytes,
    /// Memory of the index's memtables; a gauge.
    index_memtable_bytes,
    /// Segments of the journal, spare ones included; a gauge.
    segments,
    /// Bytes of them on the disk; a gauge.
    segment_bytes,
    /// Segments whose space was given back or used again.
    segments_freed,
    /// Bytes of live records that collection copied forward.
    records_moved_bytes,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Sets a gauge.
pub(crate) fn set(counter: &AtomicU64, n: u64) {
    counter.store(n, Ordering::Relaxed);
}
