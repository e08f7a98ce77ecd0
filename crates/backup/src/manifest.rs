//! The manifest of a run: written last; a run without it doesn't exist.
//!
//! A [checked](crate::checked) file with the magic `PHBMANI` and 1:
//!
//! | field | form |
//! |---|---|
//! | store | 16 bytes: whose backup it is |
//! | begun, ended | varints, Unix ms |
//! | program | text: the version that wrote it |
//! | shards | varint |
//! | accounts, emails, octets | varints: what it holds |
//! | written | varint: stored bytes that this run added |
//! | full | byte: 1 if it did not look at earlier packs |
//! | table | stored bytes (varint), their BLAKE3 |
//! | catalogues | varint count, then each: name (text), stored bytes (varint), their BLAKE3 |
//! | packs | varint count, then each as [`crate::catalogue::write_pack`] says: all that the run needs |
//! | notes | varint count, texts: what could not be read from the store |

use crate::catalogue::{read_name, read_pack, write_pack};
use crate::checked;
use crate::error::BackupError;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::run_id::{PackId, RunId};
use crate::seal::{Seal, Stored};
use crate::target::Target;
use wire::codec::{DecodeError, Reader, Writer};

const MAGIC: &[u8; 8] = b"PHBMANI\x01";

/// Which system a backup is of.
pub type StoreId = [u8; 16];

/// What a run consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose it is.
    pub store: StoreId,
    /// When it began, in Unix milliseconds.
    pub begun_ms: u64,
    /// When it was complete.
    pub ended_ms: u64,
    /// The version that wrote it.
    pub program: String,
    /// Shards of the store.
    pub shards: u16,
    /// Accounts in it.
    pub accounts: u64,
    /// Emails in it.
    pub emails: u64,
    /// Octets of their bodies, each as often as it is named.
    pub octets: u64,
    /// Stored bytes that the run added to the target.
    pub written: u64,
    /// It did not look at what was there.
    pub full: bool,
    /// The table.
    pub table: Stored,
    /// The catalogues that the run wrote.
    pub catalogues: Vec<(String, Stored)>,
    /// The packs that the run needs, whoever wrote them.
    pub packs: Vec<(PackId, Stored)>,
    /// What could not be read from the store.
    pub notes: Vec<String>,
}

impl Manifest {
    pub(crate) fn write(
        &self,
        seal: &Seal,
        target: &dyn Target,
        run: RunId,
    ) -> Result<Stored, BackupError> {
        checked::write(seal, target, &run.file(), MAGIC, &self.encode())
    }

    pub(crate) fn read(seal: &Seal, target: &dyn Target, run: RunId) -> Result<Self, BackupError> {
        let bytes = checked::read(seal, target, &run.file(), MAGIC, MANIFEST_BYTES_MAX)?;
        Self::decode(&bytes).map_err(|error| BackupError::damaged(&run.file(), error))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&self.store)
            .varint(self.begun_ms)
            .varint(self.ended_ms)
            .text(&self.program)
            .varint(u64::from(self.shards));
        for number in [self.accounts, self.emails, self.octets, self.written] {
            out.varint(number);
        }
        out.u8(u8::from(self.full));
        out.varint(self.table.len).raw(&self.table.hash);
        out.varint(self.catalogues.len() as u64);
        for (name, stored) in &self.catalogues {
            out.text(name).varint(stored.len).raw(&stored.hash);
        }
        out.varint(self.packs.len() as u64);
        for (id, stored) in &self.packs {
            write_pack(&mut out, *id, *stored);
        }
        out.varint(self.notes.len() as u64);
        for note in &self.notes {
            out.text(note);
        }
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let store = input.raw(16)?;
        let mut manifest = Self {
            store: store.try_into().map_err(|_| DecodeError::Truncated)?,
            begun_ms: input.varint()?,
            ended_ms: input.varint()?,
            program: input.text()?.to_owned(),
            shards: u16::try_from(input.varint()?).map_err(|_| DecodeError::OutOfRange)?,
            accounts: input.varint()?,
            emails: input.varint()?,
            octets: input.varint()?,
            written: input.varint()?,
            full: input.u8()? == 1,
            table: read_stored(&mut input)?,
            catalogues: Vec::new(),
            packs: Vec::new(),
            notes: Vec::new(),
        };
        for _ in 0..input.varint()? {
            let name = input.text()?.to_owned();
            manifest.catalogues.push((name, read_stored(&mut input)?));
        }
        for _ in 0..input.varint()? {
            manifest.packs.push(read_pack(&mut input)?);
        }
        for _ in 0..input.varint()? {
            manifest.notes.push(input.text()?.to_owned());
        }
        input.finish()?;
        Ok(manifest)
    }
}

fn read_stored(input: &mut Reader<'_>) -> Result<Stored, DecodeError> {
    Ok(Stored {
        len: input.varint()?,
        hash: read_name(input)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_id::Kind;

    #[test]
    fn golden_bytes() {
        let stored = Stored {
            len: 300,
            hash: [8; 32],
        };
        let manifest = Manifest {
            store: [1; 16],
            begun_ms: 2,
            ended_ms: 3,
            program: "v".into(),
            shards: 4,
            accounts: 5,
            emails: 6,
            octets: 7,
            written: 8,
            full: true,
            table: stored,
            catalogues: vec![("c".into(), stored)],
            packs: vec![(
                PackId {
                    run: RunId { unix_seconds: 9 },
                    number: 10,
                    kind: Kind::Bodies,
                },
                stored,
            )],
            notes: vec!["n".into()],
        };
        let mut golden = vec![1; 16];
        golden.extend_from_slice(&[2, 3, 1, b'v', 4, 5, 6, 7, 8, 1, 0xac, 2]);
        golden.extend_from_slice(&[8; 32]);
        golden.extend_from_slice(&[1, 1, b'c', 0xac, 2]);
        golden.extend_from_slice(&[8; 32]);
        golden.extend_from_slice(&[1, 1, 9, 10, 0xac, 2]);
        golden.extend_from_slice(&[8; 32]);
        golden.extend_from_slice(&[1, 1, b'n']);
        assert_eq!(manifest.encode(), golden);
        assert_eq!(Manifest::decode(&golden), Ok(manifest));
        for end in 0..golden.len() {
            assert!(Manifest::decode(&golden[..end]).is_err());
        }
    }
}
