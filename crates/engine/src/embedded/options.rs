//! How an embedded store is set up.

use super::disk::Disk;
use super::index::Index;
use super::index::tree::TreeOptions;
use crate::limits::{PENDING_BYTES_MAX, UNFLUSHED_COMMITS_MAX};
use std::fmt;
use std::sync::Arc;

/// What to do when a write or sync of the journal failed. Nothing more is
/// acknowledged whatever it does; the usual one ends the process.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How an embedded store is set up; the defaults are what production uses.
#[derive(Clone)]
pub struct Options {
    /// Bytes of a journal segment; the first one of a store is smaller.
    pub segment_bytes: u64,
    /// Unused segments that are kept ready: the reserve for a full disk too.
    pub spare_segments: usize,
    /// Write past the page cache where the file system allows it.
    pub direct: bool,
    /// No segment is made when fewer bytes than this would be left.
    pub reserve_bytes: u64,
    /// A memtable of the index that has this many bytes becomes a table.
    pub memtable_bytes: u64,
    /// ... or that holds this many commits: bounds replay.
    pub unflushed_commits: u64,
    /// Memory for the index's blocks.
    pub cache_bytes: u64,
    /// Frames that may wait for the disk before writers wait, in bytes; large
    /// ones, the chunks of long messages, may take a quarter of it.
    pub pending_bytes: usize,
    /// What to do when the journal cannot be written.
    pub on_fatal: OnFatal,
    pub(crate) disk: Option<Arc<dyn Disk>>,
    pub(crate) index: Option<Arc<dyn Index>>,
    /// What a writer does instead of waiting for room, where it is the only
    /// thread: move the store forward itself.
    pub(crate) on_stall: Option<OnStall>,
}

pub(crate) type OnStall = Arc<dyn Fn() + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            spare_segments: 1,
            direct: true,
            reserve_bytes: 64 << 20,
            memtable_bytes: 16 << 20,
            unflushed_commits: UNFLUSHED_COMMITS_MAX,
            cache_bytes: 16 << 20,
            pending_bytes: PENDING_BYTES_MAX,
            on_fatal: Arc::new(end_the_process),
            disk: None,
            index: None,
            on_stall: None,
        }
    }
}

impl Options {
    pub(crate) fn tree(&self) -> TreeOptions {
        TreeOptions {
            memtable_bytes: self.memtable_bytes,
            unflushed_commits: self.unflushed_commits,
            cache_bytes: self.cache_bytes,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("segment_bytes", &self.segment_bytes)
            .field("direct", &self.direct)
            .finish_non_exhaustive()
    }
}

/// After a failed sync nobody knows what is on the disk: the only safe thing
/// is to start again from what is.
fn end_the_process(why: &str) {
    tracing::error!("{why}: the process ends, so that nothing is promised that is not stored");
    std::process::abort();
}
