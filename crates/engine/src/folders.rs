//! Folders whose names survive a power cut.
//!
//! A new folder's name is data of the folder it lies in: until that is synced,
//! everything below may be gone, however well it was synced itself.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// What only the server's user may enter.
pub const PRIVATE: u32 = 0o700;

/// Makes the folder at `path`, with those above it, and returns when their names
/// are on stable storage. `mode` is for those that are made (less the umask).
///
/// One that is there already is taken as it is, but its name is synced too:
/// whoever made it may not have come to that.
///
/// # Errors
/// A folder cannot be made or synced, or something else has its name.
pub fn make(path: &Path, mode: u32) -> io::Result<()> {
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) => Path::new("."),
        // The root.
        None => return Ok(()),
    };
    if path.is_dir() {
        return match sync(above) {
            // Not ours: whoever may not read it has not made anything in it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    if !above.is_dir() {
        make(above, mode)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        // Somebody else was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync(above)
}

/// Returns when the names in the folder at `path` are on stable storage.
///
/// # Errors
/// It cannot be opened, or the disk refuses.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::tests::Folder;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn folders_are_made_with_those_above_them() {
        let folder = Folder::new();
        let deep = folder.path().join("a/b/c");
        make(&deep, PRIVATE).expect("made");
        make(&deep, 0o755).expect("there already");
        for path in [&deep, &folder.path().join("a")] {
            let mode = path.metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o777, PRIVATE);
        }
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let folder = Folder::new();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").expect("written");
        assert!(make(&file, PRIVATE).is_err());
        assert!(make(&file.join("below"), PRIVATE).is_err());
    }
}
