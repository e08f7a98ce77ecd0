//! Files beside the store that a system needs to run again: its configuration,
//! certificates, keys.
//!
//! They are records of the space `F`, which no store has: a program that puts
//! records into a store leaves them out.
//!
//! | field | form |
//! |---|---|
//! | key | `F` · name |
//! | version | byte, 1 |
//! | path | text: where it was |
//! | mode | varint: its permissions |
//! | bytes | the rest |

use crate::archive::{Backup, Run};
use crate::error::BackupError;
use crate::limits::FILE_NAME_BYTES_MAX;
use crate::pack::Name;
use crate::pass::{Pass, Sink};
use crate::table::Part;
use blobs::{BlobId, Owner};
use bytes::Bytes;
use engine::ShardId;
use wire::codec::{DecodeError, Reader, Writer};

/// The letter of the space.
const SPACE: u8 = b'F';
const VERSION: u8 = 1;

/// The part of a run that holds files.
pub(crate) const PART: Part = Part::Space(SPACE, ShardId(0));

/// A file with what it is called in the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    /// What it is called: letters, digits, `.` and `-`, and never a path.
    pub name: String,
    /// Where it was.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl KeptFile {
    pub(crate) fn key(&self) -> Vec<u8> {
        let mut key = vec![SPACE];
        key.extend_from_slice(self.name.as_bytes());
        key
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION)
            .text(&self.path)
            .varint(u64::from(self.mode))
            .raw(&self.bytes);
        out.finish()
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        let name = key.get(1..).unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(|_| DecodeError::OutOfRange)?;
        if !is_name(name) {
            return Err(DecodeError::OutOfRange);
        }
        let mut input = Reader::new(value);
        match input.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Tag(other)),
        }
        let path = input.text()?.to_owned();
        let mode = u32::try_from(input.varint()?).map_err(|_| DecodeError::OutOfRange)?;
        let bytes = input.rest().to_vec();
        Ok(Self {
            name: name.to_owned(),
            path,
            mode: mode & 0o777,
            bytes,
        })
    }
}

/// True for a name that can be put into any folder and stays there.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    name.len() <= FILE_NAME_BYTES_MAX
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// The files that a run holds, and in words what of them is lost.
///
/// # Errors
/// The target can't be read.
pub fn read(backup: &Backup<'_>, run: &Run) -> Result<(Vec<KeptFile>, Vec<String>), BackupError> {
    let mut pass = Pass::new(backup, false)?;
    pass.table(run, |part| *part == PART, |_| {})?;
    let mut found = Found::default();
    pass.records(&mut found, &mut ())?;
    pass.tell_lost_stretches(run, |part| *part == PART)?;
    found.lost.extend(pass.damage.told);
    Ok((found.files, found.lost))
}

#[derive(Default)]
struct Found {
    files: Vec<KeptFile>,
    lost: Vec<String>,
}

impl Sink for Found {
    fn record(&mut self, key: &[u8], value: &Bytes) -> Result<(), BackupError> {
        if key.first() != Some(&SPACE) {
            return Ok(());
        }
        match KeptFile::decode(key, value) {
            Ok(file) => self.files.push(file),
            Err(error) => self.lost.push(format!("a file does not decode: {error}")),
        }
        Ok(())
    }

    fn needs(&mut self, _: &[u8], _: BlobId, _: Owner) -> Result<(), BackupError> {
        Ok(())
    }

    fn piece(&mut self, _: &Name, _: &[u8], _: bool, _: bool) -> Result<(), BackupError> {
        Ok(())
    }

    fn drop_body(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let file = KeptFile {
            name: "tls-key.pem".into(),
            path: "/k".into(),
            mode: 0o600,
            bytes: b"key".to_vec(),
        };
        assert_eq!(file.key(), b"Ftls-key.pem");
        let golden = [1, 2, b'/', b'k', 0x80, 3, b'k', b'e', b'y'];
        assert_eq!(file.encode(), golden);
        assert_eq!(KeptFile::decode(&file.key(), &golden), Ok(file));
        for end in 0..6 {
            assert!(KeptFile::decode(b"Fa", &golden[..end]).is_err());
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_its_folder() {
        for name in ["", ".", "..", ".hidden", "a/b", "-a", "a\\b", "a\0", "ä"] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(!is_name(&"a".repeat(FILE_NAME_BYTES_MAX + 1)));
        assert!(is_name("posthouse.toml"));
    }
}
