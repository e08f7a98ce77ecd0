//! The journal's files, behind a port: the real disk, or a simulated one that
//! loses, tears and refuses.
//!
//! The port is small steps, as a file system takes them, and each may be lost
//! until the sync that follows it. What must be whole (a segment that is made,
//! one that is removed) is built here of those steps, once for every disk.

#[cfg(test)]
mod blocks;
#[cfg(test)]
pub(crate) mod random;
pub(crate) mod real;
#[cfg(test)]
pub(crate) mod simulated;

use super::buffer::Buffer;
use super::format::BLOCK;
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

    /// Makes an empty file for a segment of `bytes`, which [`Disk::list`] does
    /// not show before [`Disk::publish`]. What an earlier try left is replaced.
    ///
    /// # Errors
    /// No space is left, or the disk refuses.
    fn create(&self, segment: u32, bytes: u64) -> io::Result<Arc<dyn SegmentFile>>;

    /// Gives the file that [`Disk::create`] made its place in the list. Lost
    /// by a power cut until [`Disk::sync_folder`] returns.
    ///
    /// # Errors
    /// The disk refuses.
    fn publish(&self, segment: u32) -> io::Result<()>;

    /// Throws away what [`Disk::create`] made and nobody published.
    fn discard(&self, segment: u32);

    /// Takes a segment out of the list. Undone by a power cut until
    /// [`Disk::sync_folder`] returns.
    ///
    /// # Errors
    /// It is not there or cannot be removed.
    fn unlink(&self, segment: u32) -> io::Result<()>;

    /// Takes a segment out of the list, but keeps its file for
    /// [`Disk::reuse`]. Undone by a power cut until [`Disk::sync_folder`]
    /// returns.
    ///
    /// # Errors
    /// It is not there, or the disk keeps no files.
    fn retire(&self, _segment: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes of a retired segment's file what [`Disk::create`] makes, with its
    /// length and its bytes.
    ///
    /// # Errors
    /// It is not there, or the disk refuses.
    fn reuse(&self, _retired: u32, _segment: u32) -> io::Result<Arc<dyn SegmentFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns when the list is on stable storage as it is.
    ///
    /// # Errors
    /// The disk refuses.
    fn sync_folder(&self) -> io::Result<()>;

    /// Opens a segment for reading and writing.
    ///
    /// # Errors
    /// It is not there or cannot be opened.
    fn open(&self, segment: u32) -> io::Result<Arc<dyn SegmentFile>>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// The system does not say.
    fn free_bytes(&self) -> io::Result<u64>;

    /// A number that nobody can guess.
    fn random_u64(&self) -> u64;

    /// Makes a segment of `bytes` zeros with `header` as its first and last
    /// block. It is there as a whole, on stable storage, or not at all.
    ///
    /// # Errors
    /// No space is left, or the disk refuses.
    fn preallocate(&self, segment: u32, header: &[u8], bytes: u64) -> io::Result<()> {
        let filled = self
            .create(segment, bytes)
            .and_then(|file| fill(&*file, header, bytes));
        if let Err(error) = filled {
            self.discard(segment);
            return Err(error);
        }
        self.publish(segment)?;
        self.sync_folder()
    }

    /// Makes a segment of the file of a retired one, whose retirement is on
    /// stable storage. It is not filled: what is left of its former life has
    /// another generation.
    ///
    /// # Errors
    /// The disk refuses; the file is thrown away.
    fn make_again(&self, retired: u32, segment: u32, header: &[u8], bytes: u64) -> io::Result<()> {
        let made = self.reuse(retired, segment).and_then(|file| {
            file.write_at(header, 0)?;
            file.write_at(header, bytes - BLOCK as u64)?;
            file.sync()
        });
        if let Err(error) = made {
            self.discard(retired);
            self.discard(segment);
            return Err(error);
        }
        self.publish(segment)?;
        self.sync_folder()
    }

    /// Removes a segment; it does not come back.
    ///
    /// # Errors
    /// It is not there or cannot be removed.
    fn remove(&self, segment: u32) -> io::Result<()> {
        self.unlink(segment)?;
        self.sync_folder()
    }
}

/// Bytes of zeros written at a time: what a group may have to wait for.
const FILL_BYTES: usize = 256 << 10;

/// Writes every byte of a new segment, so that later writes change no
/// metadata: a sync that extends a file costs twenty times one that does not.
fn fill(file: &dyn SegmentFile, header: &[u8], bytes: u64) -> io::Result<()> {
    let mut zeros = Buffer::new(FILL_BYTES);
    zeros.pad_to(FILL_BYTES);
    let mut at = 0;
    while at < bytes {
        let len = (bytes - at).min(FILL_BYTES as u64) as usize;
        file.write_at(&zeros.as_slice()[..len], at)?;
        at += len as u64;
    }
    let mut block = zeros;
    block.clear();
    block.extend(header);
    file.write_at(block.as_slice(), 0)?;
    file.write_at(block.as_slice(), bytes - BLOCK as u64)?;
    file.sync()
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
