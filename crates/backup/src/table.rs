//! The table of a run: what each account consists of, and the rest of the store.
//!
//! | field | form |
//! |---|---|
//! | magic | `PHBTABL` and the format's version, 1 |
//! | entries | each: its bytes (4 bytes, high byte first), the first 8 bytes of BLAKE3 of them, and they |
//! | end | length 0, then how many entries there are (8 bytes) |
//!
//! | field of an entry | form |
//! |---|---|
//! | what | byte: 1 an account, 2 a space |
//! | which | account: shard and number, varints; space: its letter and shard (varint) |
//! | mark | bytes: the account's state when it was taken; equal marks, equal records |
//! | emails, octets | varints: bodies that it names, with repetitions, and their sum |
//! | stretches | varint count, 32 bytes each, in order of keys |
//! | packs | varint count, then each as [`crate::catalogue::write_id`] says: where they and the bodies are |
//!
//! Accounts come in order of shard and number; those that were made while the
//! run was under way come behind.

use crate::catalogue::{read_id, read_name, write_id};
use crate::error::BackupError;
use crate::pack::Name;
use crate::run_id::{PackId, RunId};
use crate::seal::{Seal, SealedWriter, Stored};
use crate::target::Target;
use engine::ShardId;
use envelope::AccountId;
use std::io::Read;
use wire::codec::{DecodeError, Reader, Writer};

const MAGIC: &[u8; 8] = b"PHBTABL\x01";
const ACCOUNT: u8 = 1;
const SPACE: u8 = 2;
const CHECK_BYTES: usize = 8;
const ENTRY_BYTES_MAX: usize = 256 << 20;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    Account(ShardId, AccountId),
    /// The keys of a space, by its first byte.
    Space(u8, ShardId),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) part: Part,
    pub(crate) mark: Vec<u8>,
    pub(crate) emails: u64,
    pub(crate) octets: u64,
    pub(crate) stretches: Vec<Name>,
    pub(crate) packs: Vec<PackId>,
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self.part {
            Part::Account(shard, account) => {
                out.u8(ACCOUNT).varint(u64::from(shard.0)).varint(account.0)
            }
            Part::Space(letter, shard) => out.u8(SPACE).u8(letter).varint(u64::from(shard.0)),
        };
        out.bytes(&self.mark)
            .varint(self.emails)
            .varint(self.octets);
        out.varint(self.stretches.len() as u64);
        for name in &self.stretches {
            out.raw(name);
        }
        out.varint(self.packs.len() as u64);
        for pack in &self.packs {
            write_id(&mut out, *pack);
        }
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let shard = |input: &mut Reader<'_>| {
            let shard = u16::try_from(input.varint()?).map_err(|_| DecodeError::OutOfRange)?;
            Ok::<_, DecodeError>(ShardId(shard))
        };
        let part = match input.u8()? {
            ACCOUNT => Part::Account(shard(&mut input)?, AccountId(input.varint()?)),
            SPACE => Part::Space(input.u8()?, shard(&mut input)?),
            other => return Err(DecodeError::Tag(other)),
        };
        let mark = input.bytes()?.to_vec();
        let (emails, octets) = (input.varint()?, input.varint()?);
        let mut stretches = Vec::new();
        for _ in 0..input.varint()? {
            stretches.push(read_name(&mut input)?);
        }
        let mut packs = Vec::new();
        for _ in 0..input.varint()? {
            packs.push(read_id(&mut input)?);
        }
        input.finish()?;
        Ok(Self {
            part,
            mark,
            emails,
            octets,
            stretches,
            packs,
        })
    }
}

fn check_of(entry: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = blake3::hash(entry);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// Writes a run's table.
pub(crate) struct TableWriter {
    file: SealedWriter,
    entries: u64,
}

impl TableWriter {
    pub(crate) fn new(seal: &Seal, target: &dyn Target, run: RunId) -> Result<Self, BackupError> {
        let mut file = seal.create(target, &run.table())?;
        file.put(MAGIC)?;
        Ok(Self { file, entries: 0 })
    }

    pub(crate) fn push(&mut self, entry: &Entry) -> Result<(), BackupError> {
        let bytes = entry.encode();
        self.file.put(&(bytes.len() as u32).to_be_bytes())?;
        self.file.put(&check_of(&bytes))?;
        self.file.put(&bytes)?;
        self.entries += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(String, Stored), BackupError> {
        self.file.put(&0u32.to_be_bytes())?;
        self.file.put(&self.entries.to_be_bytes())?;
        let name = self.file.name().to_owned();
        Ok((name, self.file.finish()?))
    }
}

/// Reads a run's table.
pub(crate) struct TableReader {
    name: String,
    input: Box<dyn Read + Send>,
    entries: u64,
    ended: bool,
}

impl TableReader {
    pub(crate) fn open(seal: &Seal, target: &dyn Target, run: RunId) -> Result<Self, BackupError> {
        let name = run.table();
        let mut input = seal.read(target, &name)?;
        let mut magic = [0; 8];
        input
            .read_exact(&mut magic)
            .map_err(|error| BackupError::damaged(&name, error))?;
        if magic != *MAGIC {
            return Err(BackupError::damaged(&name, "it is no table of this format"));
        }
        Ok(Self {
            name,
            input,
            entries: 0,
            ended: false,
        })
    }

    /// The next entry, none at the end.
    ///
    /// # Errors
    /// This entry or all that follow can't be read.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, BackupError> {
        if self.ended {
            return Ok(None);
        }
        let mut len = [0; 4];
        self.read(&mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        let mut check = [0; CHECK_BYTES];
        self.read(&mut check)?;
        if len == 0 {
            self.ended = true;
            if u64::from_be_bytes(check) != self.entries {
                return Err(BackupError::damaged(&self.name, "entries are missing"));
            }
            return Ok(None);
        }
        if len > ENTRY_BYTES_MAX {
            self.ended = true;
            return Err(BackupError::damaged(&self.name, "an entry is too long"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(len as u64).read_to_end(&mut bytes);
        if !matches!(read, Ok(read) if read == len) {
            self.ended = true;
            return Err(BackupError::damaged(&self.name, "an entry is cut off"));
        }
        self.entries += 1;
        if check_of(&bytes) != check {
            return Err(BackupError::damaged(
                &self.name,
                "an entry is not what was written",
            ));
        }
        Entry::decode(&bytes)
            .map(Some)
            .map_err(|error| BackupError::damaged(&self.name, error))
    }

    /// True when nothing more can be read.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), BackupError> {
        self.input.read_exact(into).map_err(|error| {
            self.ended = true;
            BackupError::damaged(&self.name, error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_id::Kind;

    #[test]
    fn golden_bytes() {
        let entry = Entry {
            part: Part::Account(ShardId(1), AccountId(300)),
            mark: vec![7],
            emails: 2,
            octets: 128,
            stretches: vec![[9; 32]],
            packs: vec![PackId {
                run: RunId { unix_seconds: 5 },
                number: 6,
                kind: Kind::Records,
            }],
        };
        let mut golden = vec![1, 1, 0xac, 2, 1, 7, 2, 0x80, 1, 1];
        golden.extend_from_slice(&[9; 32]);
        golden.extend_from_slice(&[1, 2, 5, 6]);
        assert_eq!(entry.encode(), golden);
        assert_eq!(Entry::decode(&golden), Ok(entry));
        for end in 0..golden.len() {
            assert!(Entry::decode(&golden[..end]).is_err());
        }
        let space = [2, b'Q', 3, 0, 0, 0, 0, 0];
        let part = Entry::decode(&space).map(|entry| entry.part);
        assert_eq!(part, Ok(Part::Space(b'Q', ShardId(3))));
    }
}
