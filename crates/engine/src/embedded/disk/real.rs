//! Segments as files of a folder.

use super::{Disk, SegmentFile};
use crate::embedded::buffer::Buffer;
use crate::embedded::format::BLOCK;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of zeros written at a time.
const FILL_BYTES: usize = 1 << 20;

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
        fs::create_dir_all(folder)?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        let disk = Self {
            folder: folder.to_path_buf(),
            direct: AtomicBool::new(direct),
        };
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "new") {
                // A segment that was being made when the process ended.
                fs::remove_file(path)?;
            }
        }
        Ok(disk)
    }

    fn path(&self, segment: u32) -> PathBuf {
        self.folder.join(format!("{segment:010}.seg"))
    }

    /// Opens for direct, synced writes, or `None` where they are refused.
    fn open_direct(&self, path: &Path) -> io::Result<Option<File>> {
        if !self.direct.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::DSYNC | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => {
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

    fn preallocate(&self, segment: u32, header: &[u8], bytes: u64) -> io::Result<()> {
        let new = self.path(segment).with_extension("new");
        let made = fill(&new, header, bytes);
        if let Err(error) = made {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        fs::rename(&new, self.path(segment))?;
        sync_folder(&self.folder)
    }

    fn open(&self, segment: u32) -> io::Result<Arc<dyn SegmentFile>> {
        let path = self.path(segment);
        let file = File::options().read(true).write(true).open(&path)?;
        let direct = self.open_direct(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Arc::new(RealSegment {
            file,
            direct,
            bytes,
        }))
    }

    fn remove(&self, segment: u32) -> io::Result<()> {
        fs::remove_file(self.path(segment))?;
        sync_folder(&self.folder)
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

/// Writes a new segment file, every byte of it, so that later writes change no
/// metadata: a sync that extends a file costs twenty times one that does not.
fn fill(path: &Path, header: &[u8], bytes: u64) -> io::Result<()> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let mut zeros = Buffer::new(FILL_BYTES);
    zeros.pad_to(FILL_BYTES);
    let mut at = 0;
    while at < bytes {
        let len = (bytes - at).min(FILL_BYTES as u64) as usize;
        file.write_all_at(&zeros.as_slice()[..len], at)?;
        at += len as u64;
    }
    file.write_all_at(header, 0)?;
    file.write_all_at(header, bytes - BLOCK as u64)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[derive(Debug)]
struct RealSegment {
    file: File,
    direct: Option<File>,
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
        self.direct.is_some()
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
