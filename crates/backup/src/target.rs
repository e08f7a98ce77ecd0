//! Where backups go: immutable files under names with `/` in them.
//!
//! Everything here may block: it is called on the blocking pool.

pub mod folder;
pub mod s3;

use std::fmt;
use std::io::{self, Read, Write};

/// A file of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Its name, from the target's root.
    pub name: String,
    /// Its bytes.
    pub len: u64,
}

/// A folder, a bucket. A file that is listed or opened was finished; what was
/// begun and never finished does not show.
pub trait Target: Send + Sync + fmt::Debug {
    /// How people call it.
    fn describe(&self) -> String;

    /// The finished files whose names begin with `prefix`, in order of names.
    ///
    /// # Errors
    /// It can't be read. A target that is not there yet is empty.
    fn list(&self, prefix: &str) -> io::Result<Vec<TargetFile>>;

    /// Opens a file for reading from its beginning.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none of this name.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;

    /// Begins a file, which shows when it is finished. There is none of this name.
    ///
    /// # Errors
    /// It can't be written.
    fn create(&self, name: &str) -> io::Result<Box<dyn TargetWriter>>;

    /// Takes a file away; one that is not there is no error.
    ///
    /// # Errors
    /// It can't be taken away.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Takes away what interrupted writers left. Nobody else writes now.
    ///
    /// # Errors
    /// It can't be taken away.
    fn clean(&self) -> io::Result<()>;
}

/// Writes one file. Dropped without `finish`, there is no file.
pub trait TargetWriter: Write + Send {
    /// Returns when the file is on stable storage and shows.
    ///
    /// # Errors
    /// It could not be written.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
