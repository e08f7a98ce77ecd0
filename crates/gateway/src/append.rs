//! Appending to a file that other programs read and append to as well.
//!
//! They agree by locks: that of `flock`, which also keeps our own attempts apart,
//! and that of `fcntl`, which older programs take. What is not whole is cut off again.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;

use crate::limits::MOVED_MAX;
use crate::maildir::sync_above;
use crate::{Handing, Refused};

/// How long between two looks at a lock that somebody else has, and how often.
const LOCKED_PAUSE: Duration = Duration::from_millis(200);
const LOCKED_MAX: u32 = 50;

/// The files that are appended to now. Whoever closes a file loses all locks of
/// `fcntl` that this process has on it: so nobody opens one that another of us has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files(Arc<Mutex<HashSet<PathBuf>>>);

impl Files {
    /// Nothing if another of us has it.
    fn take(&self, path: &Path) -> Option<Taken> {
        let is_free = self.0.lock().insert(path.to_owned());
        is_free.then(|| Taken {
            files: self.clone(),
            path: path.to_owned(),
        })
    }
}

/// Free again when it is dropped.
struct Taken {
    files: Files,
    path: PathBuf,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.files.0.lock().remove(&self.path);
    }
}

/// A file with something new behind its end; cut off unless it is finished.
pub(crate) struct Appending {
    file: File,
    start: u64,
    is_done: bool,
    /// Behind the file: dropped when that is closed.
    taken: Taken,
}

impl Handing<'_> {
    /// The file, locked; made if there is none.
    pub(crate) async fn append(&self, path: PathBuf) -> Result<Appending, Refused> {
        for _ in 0..LOCKED_MAX {
            if let Some(taken) = self.files.take(&path) {
                let opened = self.runtime.blocking(move || open(taken)).await?;
                if let Some(appending) = opened {
                    return Ok(appending);
                }
            }
            self.runtime.sleep(LOCKED_PAUSE).await;
        }
        let why = format!("{} is locked by another program", path.display());
        Err(Refused::temporary((4, 3, 0), &why))
    }
}

/// Nothing if another program has it.
fn open(taken: Taken) -> io::Result<Option<Appending>> {
    let path = taken.path.as_path();
    for _ in 0..MOVED_MAX {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(path)?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive));
        match locked {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let (ours, there) = (file.metadata()?, std::fs::metadata(path));
        // Its reader has moved it away between our opening and our lock.
        let is_there =
            there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if is_there {
            let start = ours.len();
            if start == 0 {
                sync_above(path)?;
            }
            return Ok(Some(Appending {
                file,
                start,
                is_done: false,
                taken,
            }));
        }
    }
    Ok(None)
}

impl Appending {
    pub(crate) fn is_empty(&self) -> bool {
        self.start == 0
    }

    /// Whether what is there ends with these octets.
    pub(crate) fn ends_with(&mut self, end: &[u8]) -> io::Result<bool> {
        let Some(at) = self.start.checked_sub(end.len() as u64) else {
            return Ok(false);
        };
        let mut there = vec![0; end.len()];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut there)?;
        Ok(there == end)
    }

    pub(crate) fn finish(mut self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        self.is_done = true;
        Ok(self.taken.path.clone())
    }
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        if !self.is_done {
            // Nobody else has written behind it: the lock is still ours.
            if let Err(error) = self.file.set_len(self.start) {
                tracing::error!(path = %self.taken.path.display(), %error, "half a message stays in a file");
            }
        }
    }
}
