//! Where records go that a repair takes out of the store: `DATA/aside/<date>-<n>/`, three files each.
//!
//! The folder is made with its first record. What is kept is on stable storage before the store forgets it.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use engine::check::{Aside, SetAside, key_text};
use engine::folders;
use tokio::sync::watch;

/// Folders of one day.
const FOLDERS_MAX: u32 = 100_000;

/// Readable pieces of a value that the text shows.
const PIECES_MAX: usize = 50;
const PIECE_BYTES_MIN: usize = 4;

const README: &str = "\
Records that `posthouse fsck --repair` took out of the store. Nothing here is used any more; keep it as long as you like.

Each record is three files with one number: the .txt says what it was and why it was taken out, the .key and the .value are its
bytes. Look at one with `less 0001-*.txt` and `xxd 0001-*.value | less`. A .value that is a message can be opened in a mail program.
";

/// The folder of one repair.
#[derive(Debug)]
pub(crate) struct AsideFolder {
    root: PathBuf,
    date: String,
    state: watch::Sender<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    folder: Option<PathBuf>,
    kept: u32,
}

impl AsideFolder {
    /// A folder below the data folder, with this date in its name; made when it is needed.
    pub(crate) fn new(data_dir: &Path, date: &str) -> Self {
        Self {
            root: data_dir.join("aside"),
            date: date.to_owned(),
            state: watch::Sender::new(State::default()),
        }
    }

    /// Where records were kept, if any were.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.state.borrow().folder.clone()
    }

    fn make(&self) -> io::Result<PathBuf> {
        folders::make(&self.root, folders::PRIVATE)?;
        for n in 1..FOLDERS_MAX {
            let folder = self.root.join(format!("{}-{n}", self.date));
            match DirBuilder::new().mode(folders::PRIVATE).create(&folder) {
                Ok(()) => {
                    write(&folder.join("README.txt"), README.as_bytes())?;
                    folders::sync(&self.root)?;
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("there are too many folders of this day"))
    }

    fn keep_in(&self, folder: &Path, n: u32, item: &SetAside<'_>) -> io::Result<()> {
        let path = |suffix| folder.join(format!("{n:04}-{}.{suffix}", item.checker));
        write(&path("key"), item.key)?;
        write(&path("value"), item.value)?;
        write(&path("txt"), words(item).as_bytes())?;
        folders::sync(folder)
    }
}

impl Aside for AsideFolder {
    fn keep(&self, item: &SetAside<'_>) -> io::Result<()> {
        let mut result = Ok(());
        // One after the other: the numbers of files are given here.
        self.state.send_modify(|state| {
            result = (|| {
                let folder = match &state.folder {
                    Some(folder) => folder.clone(),
                    None => self.make()?,
                };
                state.folder = Some(folder.clone());
                state.kept += 1;
                self.keep_in(&folder, state.kept, item)
            })();
        });
        result
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What a person reads about a record.
fn words(item: &SetAside<'_>) -> String {
    let mut text = String::new();
    let account = item
        .account
        .map_or_else(|| "none".to_owned(), |id| id.to_string());
    let _ = writeln!(text, "Why:     {}", item.why);
    let _ = writeln!(text, "Check:   {}", item.checker);
    let _ = writeln!(text, "Account: {account}");
    let _ = writeln!(text, "Key:     {}", key_text(item.key));
    let _ = writeln!(text, "Value:   {} bytes", item.value.len());
    let pieces = pieces(item.value);
    if !pieces.is_empty() {
        let _ = writeln!(text, "\nText in the value:");
        for piece in pieces {
            let _ = writeln!(text, "    {piece}");
        }
    }
    text
}

/// The runs of readable characters.
fn pieces(value: &[u8]) -> Vec<String> {
    let readable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    value
        .split(|byte| !readable(byte))
        .filter(|piece| piece.len() >= PIECE_BYTES_MIN)
        .take(PIECES_MAX)
        .map(|piece| String::from_utf8_lossy(piece).into_owned())
        .collect()
}

/// Today, as it stands in the folder's name.
pub(crate) fn date(unix_ms: u64) -> String {
    let time = observe::rfc3339(unix_ms);
    time.split('T').next().unwrap_or("undated").to_owned()
}

/// The folders that were made in a data folder, for tests.
#[cfg(test)]
pub(crate) fn folders(data_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("aside")) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use engine::check::Checker;

    use super::*;

    #[test]
    fn a_record_is_three_files_that_a_person_can_read() {
        let data = tempfile::tempdir().unwrap();
        let aside = AsideFolder::new(data.path(), "2026-01-02");
        assert_eq!(aside.folder(), None);
        assert!(folders(data.path()).is_empty());
        for value in [&b"\x01\x02Subject: hello\x00x"[..], b""] {
            let item = SetAside {
                checker: Checker::RecordReadable,
                account: Some(3),
                key: b"A\0k",
                value,
                why: "it is damaged",
            };
            aside.keep(&item).unwrap();
        }
        let folder = aside.folder().unwrap();
        assert_eq!(folder, data.path().join("aside/2026-01-02-1"));
        let text = fs::read_to_string(folder.join("0001-record-readable.txt")).unwrap();
        assert_eq!(
            text,
            "Why:     it is damaged\nCheck:   record-readable\nAccount: 3\nKey:     A\\x00k\nValue:   18 bytes\n\nText in the value:\n    Subject: hello\n"
        );
        assert_eq!(
            fs::read(folder.join("0001-record-readable.key")).unwrap(),
            b"A\0k"
        );
        assert_eq!(
            fs::read(folder.join("0002-record-readable.value")).unwrap(),
            b""
        );
        assert!(folder.join("README.txt").exists());
        // Another repair of the day has a folder of its own.
        let again = AsideFolder::new(data.path(), "2026-01-02");
        let item = SetAside {
            checker: Checker::KeyKnown,
            account: None,
            key: b"Sx",
            value: b"",
            why: "unknown",
        };
        again.keep(&item).unwrap();
        assert_eq!(folders(data.path()).len(), 2);
    }

    #[test]
    fn the_date_is_the_day() {
        assert_eq!(date(0), "1970-01-01");
    }
}
