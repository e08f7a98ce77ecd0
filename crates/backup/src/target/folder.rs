//! A folder as a target. A file is written under a name that ends with
//! `.unfinished`, synced, and renamed.

use super::{Target, TargetFile, TargetWriter};
use engine::folders;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const UNFINISHED: &str = ".unfinished";

/// A folder, made with its first file, for its owner alone.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn walk(&self, folder: &Path, found: &mut Vec<(String, u64)>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            // It may have gone since.
            let Ok(about) = fs::symlink_metadata(&path) else {
                continue;
            };
            if about.is_dir() {
                self.walk(&path, found)?;
            } else if let Ok(name) = path.strip_prefix(&self.root)
                && let Some(name) = name.to_str()
            {
                found.push((name.to_owned(), about.len()));
            }
        }
        Ok(())
    }
}

impl Target for Folder {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<TargetFile>> {
        let mut found = Vec::new();
        // Only the folder that the prefix names is walked.
        let below = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.walk(&self.root.join(below), &mut found)?;
        let mut files: Vec<TargetFile> = found
            .into_iter()
            .filter(|(name, _)| name.starts_with(prefix) && !name.ends_with(UNFINISHED))
            .map(|(name, len)| TargetFile { name, len })
            .collect();
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.root.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn TargetWriter>> {
        let path = self.root.join(name);
        let unfinished = self.root.join(format!("{name}{UNFINISHED}"));
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        folders::make(&folder, folders::PRIVATE)?;
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        Ok(Box::new(Writer {
            file: Some(BufWriter::with_capacity(256 << 10, file)),
            unfinished,
            path,
            folder,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn clean(&self) -> io::Result<()> {
        let mut found = Vec::new();
        self.walk(&self.root, &mut found)?;
        for (name, _) in found {
            if name.ends_with(UNFINISHED) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }
}

struct Writer {
    file: Option<BufWriter<File>>,
    unfinished: PathBuf,
    path: PathBuf,
    folder: PathBuf,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl TargetWriter for Writer {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let Some(file) = self.file.take() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let done = file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&self.unfinished, &self.path))
            .and_then(|()| folders::sync(&self.folder));
        if done.is_err() {
            let _ = fs::remove_file(&self.unfinished);
        }
        done
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Whoever cleans up finds what cannot be removed now.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}
