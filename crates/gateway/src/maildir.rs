//! A Maildir: a message is written in `tmp`, and moved into `new` when it is whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use envelope::Recipient;

use crate::dress::{Dress, Form};
use crate::{Handing, Refused, names};

impl Handing<'_> {
    pub(crate) async fn maildir(
        &self,
        pattern: &Path,
        recipient: &Recipient,
    ) -> Result<String, Refused> {
        let folder = names::path(pattern, recipient)?;
        let now = self.runtime.now();
        let number = self.runtime.random_u64();
        let name = format!("{}.R{number:016x}.{}", now.unix_ms / 1000, self.hostname);
        let begin = move || Unfinished::begin(&folder, &name);
        let file = self.runtime.blocking(begin).await?;
        let mut head = Vec::new();
        Dress::plain().push(self.head(recipient).as_bytes(), &mut head);
        let file = self.write(file, &head, Form::File(Dress::plain())).await?;
        let path = self.runtime.blocking(move || file.finish()).await?;
        Ok(format!("delivered as {}", path.display()))
    }
}

/// A message in `tmp`; removed unless it is finished.
struct Unfinished {
    file: File,
    from: PathBuf,
    to: PathBuf,
    is_done: bool,
}

impl Unfinished {
    fn begin(folder: &Path, name: &str) -> io::Result<Self> {
        for folder in [
            folder,
            &folder.join("tmp"),
            &folder.join("new"),
            &folder.join("cur"),
        ] {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => {}
                // Its entry, before anything is said to be in it.
                Ok(()) => sync_above(folder)?,
            }
        }
        let from = folder.join("tmp").join(name);
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&from)?;
        Ok(Self {
            file,
            from,
            to: folder.join("new").join(name),
            is_done: false,
        })
    }

    fn finish(mut self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        std::fs::rename(&self.from, &self.to)?;
        self.is_done = true;
        sync_above(&self.to)?;
        Ok(self.to.clone())
    }
}

/// The folder above is on stable storage, and so what it says of this.
pub(crate) fn sync_above(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            // At worst a file stays in `tmp`, where readers do not look.
            let _ = std::fs::remove_file(&self.from);
        }
    }
}
