//! The key that application passwords for CRAM-MD5 and APOP are encrypted with: a
//! file beside the store, made when it is first needed, readable by the server's
//! user alone. It goes into backups with the other keys.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use directory::SealingKey;
use engine::folders;
use runtime::Runtime;

const KEY_BYTES: usize = 32;

/// Where it is.
pub(crate) fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("app-passwords.key")
}

/// The key, made where there is none.
///
/// # Errors
/// The file cannot be read or written, or is none of ours.
pub(crate) fn find_or_make(data_dir: &Path, runtime: &Runtime) -> anyhow::Result<SealingKey> {
    let path = file(data_dir);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(data_dir, &path, runtime),
        read => read,
    };
    let text = text.with_context(|| format!("the key file {}", path.display()))?;
    let bytes = wire::base64::decode(text.trim().as_bytes());
    let Some(Ok(bytes)) = bytes.map(<[u8; KEY_BYTES]>::try_from) else {
        bail!(
            "{} is no key: bring it back from a backup, or move it away for a new one; passwords for CRAM-MD5 that were made with it have to be made again then",
            path.display()
        );
    };
    Ok(SealingKey::new(&bytes))
}

/// Whole and on stable storage before anything is encrypted with it; another
/// process that makes one at the same time wins or loses, both use the same.
fn make(data_dir: &Path, path: &Path, runtime: &Runtime) -> io::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    runtime.fill_random(&mut bytes);
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    writeln!(file, "{}", wire::base64::encode(&bytes))?;
    file.as_file().sync_all()?;
    if let Err(error) = file.persist_noclobber(path)
        && error.error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error.error);
    }
    folders::sync(data_dir)?;
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_key_is_made_once_and_for_one_user() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::for_tests();
        find_or_make(folder.path(), &runtime).expect("made");
        let path = file(folder.path());
        let first = std::fs::read_to_string(&path).expect("there");
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        find_or_make(folder.path(), &runtime).expect("found");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), first);
        for damaged in ["", "AAAA", &first[..first.len() - 3]] {
            std::fs::write(&path, damaged).expect("written");
            assert!(
                find_or_make(folder.path(), &runtime).is_err(),
                "{damaged:?}"
            );
        }
    }
}
