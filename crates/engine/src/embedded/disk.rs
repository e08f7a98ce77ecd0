//! The journal's files, behind a port: the real disk, or a simulated one that
//! loses, tears and refuses.

pub(crate) mod real;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// The folder that holds the segments of one journal.
pub trait Disk: Debug + Send + Sync {
    /// The numbers of the segments that are there, in order.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self) -> io::Result<Vec<u32>>;

    /// Makes a segment of `bytes` zeros with `header` as its first and last
    /// block. It is there as a whole, on stable storage, or not at all.
    ///
    /// # Errors
    /// No space is left, or the disk refuses.
    fn preallocate(&self, segment: u32, header: &[u8], bytes: u64) -> io::Result<()>;

    /// Opens a segment for reading and writing.
    ///
    /// # Errors
    /// It is not there or cannot be opened.
    fn open(&self, segment: u32) -> io::Result<Arc<dyn SegmentFile>>;

    /// Removes a segment.
    ///
    /// # Errors
    /// It is not there or cannot be removed.
    fn remove(&self, segment: u32) -> io::Result<()>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// The system does not say.
    fn free_bytes(&self) -> io::Result<u64>;

    /// A number that nobody can guess.
    fn random_u64(&self) -> u64;
}

/// One open segment.
pub trait SegmentFile: Debug + Send + Sync {
    /// Bytes of the whole file.
    fn bytes(&self) -> u64;

    /// Writes whole blocks from memory that starts at a block's boundary.
    ///
    /// # Errors
    /// Whatever is wrong, the process must end: what was written is unknown.
    fn write_at(&self, blocks: &[u8], offset: u64) -> io::Result<()>;

    /// True when [`SegmentFile::write_at`] returns only after the bytes are on
    /// stable storage, so that no [`SegmentFile::sync`] has to follow.
    fn writes_are_synced(&self) -> bool;

    /// Returns when everything written is on stable storage.
    ///
    /// # Errors
    /// As [`SegmentFile::write_at`]; never try again as if nothing happened.
    fn sync(&self) -> io::Result<()>;

    /// Reads up to `into.len()` bytes; fewer only at the end of the file.
    ///
    /// # Errors
    /// The disk cannot read.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}
