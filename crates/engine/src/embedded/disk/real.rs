//! Segments as files of a folder.

use super::{Disk, SegmentFile};
use crate::folders;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A folder of segments.
#[derive(Debug)]
pub(crate) struct RealDisk {
    folder: PathBuf,
    /// Direct, synced writes are wanted and were not refused yet.
    direct: AtomicBool,
}

impl RealDisk {
    /// Opens the folder, which is made if it is not there.
    pub(crate) fn open(folder: &Path, direct: bool) -> io::Result<Self> {
        folders::make(folder, folders::PRIVATE)?;
        let disk = Self {
            folder: folder.to_path_buf(),
            direct: AtomicBool::new(direct),
        };
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "new") {
                // A segment that was being made when the process ended, or was
                // taken out of the list.
                fs::remove_file(path)?;
            }
        }
        Ok(disk)
    }

    fn path(&self, segment: u32) -> PathBuf {
        self.folder.join(format!("{segment:010}.seg"))
    }

    /// A segment that is being made.
    fn new_path(&self, segment: u32) -> PathBuf {
        self.path(segment).with_extension("new")
    }

    /// Opens for direct writes, or `None` where they are refused.
    fn open_direct(&self, path: &Path, synced: OFlags) -> io::Result<Option<File>> {
        if !self.direct.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC | synced;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                tracing::info!("the file system takes no direct writes; using ordinary ones");
                self.direct.store(false, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<u32>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "seg")
                && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
                && let Ok(number) = stem.parse()
            {
                segments.push(number);
            }
        }
        segments.sort_unstable();
        Ok(segments)
    }

    fn create(&self, segment: u32, bytes: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let path = self.new_path(segment);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        // What is written now is synced at its end only; but piece by piece it
        // goes past the page cache, which would write all of it at that end and
        // keep the groups of the journal waiting.
        let direct = self.open_direct(&path, OFlags::empty())?;
        if direct.is_some() {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                // Then the writes take the space.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Arc::new(RealSegment {
            file,
            direct,
            synced: false,
            bytes,
        }))
    }

    fn publish(&self, segment: u32) -> io::Result<()> {
        fs::rename(self.new_path(segment), self.path(segment))
    }

    fn discard(&self, segment: u32) {
        let _ = fs::remove_file(self.new_path(segment));
    }

    fn unlink(&self, segment: u32) -> io::Result<()> {
        fs::remove_file(self.path(segment))
    }

    fn retire(&self, segment: u32) -> io::Result<()> {
        fs::rename(self.path(segment), self.new_path(segment))
    }

    fn reuse(&self, retired: u32, segment: u32) -> io::Result<Arc<dyn SegmentFile>> {
        let path = self.new_path(segment);
        fs::rename(self.new_path(retired), &path)?;
        let file = File::options().read(true).write(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Arc::new(RealSegment {
            file,
            direct: None,
            synced: false,
            bytes,
        }))
    }

    fn sync_folder(&self) -> io::Result<()> {
        folders::sync(&self.folder)
    }

    fn open(&self, segment: u32) -> io::Result<Arc<dyn SegmentFile>> {
        let path = self.path(segment);
        let file = File::options().read(true).write(true).open(&path)?;
        let direct = self.open_direct(&path, OFlags::DSYNC)?;
        let bytes = file.metadata()?.len();
        Ok(Arc::new(RealSegment {
            file,
            synced: direct.is_some(),
            direct,
            bytes,
        }))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn random_u64(&self) -> u64 {
        // The standard library's hash keys come from the system's randomness.
        RandomState::new().build_hasher().finish()
    }
}

#[derive(Debug)]
struct RealSegment {
    file: File,
    direct: Option<File>,
    /// Each write is.
    synced: bool,
    bytes: u64,
}

impl SegmentFile for RealSegment {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&self, blocks: &[u8], offset: u64) -> io::Result<()> {
        self.direct
            .as_ref()
            .unwrap_or(&self.file)
            .write_all_at(blocks, offset)
    }

    fn writes_are_synced(&self) -> bool {
        self.synced
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.file.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}
