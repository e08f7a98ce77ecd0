//! The configuration, certificates and keys of a backup, put into a folder beside what is in use.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use backup::KeptFile;
use engine::folders;

/// Folders of former restores in one data folder.
const FOLDERS_MAX: u32 = 1000;

/// What the folder says about itself.
const README: &str = "WHAT-THIS-IS.txt";

/// Puts the files into a new folder below the data folder; `None` if there are none.
///
/// # Errors
/// The folder or a file cannot be written.
pub(crate) fn beside(data_dir: &Path, files: &[KeptFile]) -> anyhow::Result<Option<PathBuf>> {
    if files.is_empty() {
        return Ok(None);
    }
    for n in 1..FOLDERS_MAX {
        let name = match n {
            1 => "restored-files".to_owned(),
            n => format!("restored-files-{n}"),
        };
        let folder = data_dir.join(name);
        match DirBuilder::new().mode(folders::PRIVATE).create(&folder) {
            Ok(()) => {
                put(&folder, files)?;
                folders::sync(data_dir)?;
                return Ok(Some(folder));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make {}", folder.display()));
            }
        }
    }
    bail!(
        "there are too many folders restored-files-N in {}",
        data_dir.display()
    )
}

/// Puts the files into a folder, which is made when it is not there. What is there is not overwritten: then nothing is
/// written at all.
///
/// # Errors
/// One of the files is there already, or cannot be written.
pub(crate) fn into(folder: &Path, files: &[KeptFile]) -> anyhow::Result<()> {
    folders::make(folder, folders::PRIVATE)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let names = files.iter().map(|file| file.name.as_str());
    for name in names.chain([README]) {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            bail!(
                "{} is there already; nothing was written. Name another folder, or move it away",
                path.display()
            );
        }
    }
    put(folder, files)
}

fn put(folder: &Path, files: &[KeptFile]) -> anyhow::Result<()> {
    for file in files {
        write(&folder.join(&file.name), &file.bytes, file.mode)?;
    }
    write(&folder.join(README), readme(files).as_bytes(), 0o600)?;
    folders::sync(folder).with_context(|| format!("cannot write {}", folder.display()))
}

/// A file of a mode that nobody but its owner may write to.
fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode & 0o755 | 0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn readme(files: &[KeptFile]) -> String {
    let mut text = String::from(
        "Files of a backup of Posthouse. Nothing here is used; copy what you need to its place.\n\n",
    );
    for file in files {
        let _ = writeln!(text, "{:<24} was {}", file.name, file.path);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn files() -> Vec<KeptFile> {
        let file = |name: &str, mode| KeptFile {
            name: name.into(),
            path: format!("/etc/posthouse/{name}"),
            mode,
            bytes: name.as_bytes().to_vec(),
        };
        vec![file("posthouse.toml", 0o666), file("tls-key.pem", 0o600)]
    }

    #[test]
    fn a_restore_makes_a_folder_of_its_own_each_time() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(beside(data.path(), &[]).unwrap(), None);
        let first = beside(data.path(), &files()).unwrap().unwrap();
        let second = beside(data.path(), &files()).unwrap().unwrap();
        assert_eq!(first, data.path().join("restored-files"));
        assert_eq!(second, data.path().join("restored-files-2"));
        let key = second.join("tls-key.pem");
        assert_eq!(std::fs::read(&key).unwrap(), b"tls-key.pem");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&key), 0o600);
        assert_eq!(mode(&second.join("posthouse.toml")) & 0o022, 0);
        let text = std::fs::read_to_string(second.join(README)).unwrap();
        assert!(text.contains("was /etc/posthouse/tls-key.pem"), "{text}");
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("tls-key.pem");
        std::fs::write(&key, "in use").unwrap();
        let refused = into(folder.path(), &files()).unwrap_err().to_string();
        assert!(
            refused.contains("tls-key.pem is there already"),
            "{refused}"
        );
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "in use");
        assert!(!folder.path().join("posthouse.toml").exists());
        into(&folder.path().join("new"), &files()).unwrap();
        assert!(folder.path().join("new/posthouse.toml").exists());
    }
}
