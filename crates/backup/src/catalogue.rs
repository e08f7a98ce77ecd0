//! Catalogues: which objects are in which packs. One is written for every few
//! packs, so that an interrupted run loses no more than those.
//!
//! A [checked](crate::checked) file with the magic `PHBCATL` and 1. For each pack:
//!
//! | field | form |
//! |---|---|
//! | pack | [`write_pack`] |
//! | objects | varint: how many names follow |
//! | each | 32 bytes |

use crate::checked;
use crate::error::BackupError;
use crate::pack::{Name, Packed};
use crate::run_id::{Kind, PackId, RunId, catalogue_file};
use crate::seal::{Seal, Stored};
use crate::target::Target;
use wire::codec::{DecodeError, Reader, Writer};

const MAGIC: &[u8; 8] = b"PHBCATL\x01";
const BYTES_MAX: u64 = 64 << 20;

/// A pack as catalogues and manifests name it: kind (byte), run (varint, Unix
/// seconds), number (varint), stored bytes (varint), their BLAKE3 (32 bytes).
pub(crate) fn write_pack(out: &mut Writer, id: PackId, stored: Stored) {
    write_id(out, id);
    out.varint(stored.len).raw(&stored.hash);
}

pub(crate) fn read_pack(input: &mut Reader<'_>) -> Result<(PackId, Stored), DecodeError> {
    let id = read_id(input)?;
    let stored = Stored {
        len: input.varint()?,
        hash: read_name(input)?,
    };
    Ok((id, stored))
}

/// A pack's name: kind (byte), run (varint), number (varint).
pub(crate) fn write_id(out: &mut Writer, id: PackId) {
    out.u8(id.kind as u8)
        .varint(id.run.unix_seconds)
        .varint(u64::from(id.number));
}

pub(crate) fn read_id(input: &mut Reader<'_>) -> Result<PackId, DecodeError> {
    let kind = input.u8()?;
    Ok(PackId {
        kind: Kind::from_code(kind).ok_or(DecodeError::Tag(kind))?,
        run: RunId {
            unix_seconds: input.varint()?,
        },
        number: input.varint32()?,
    })
}

pub(crate) fn read_name(input: &mut Reader<'_>) -> Result<Name, DecodeError> {
    let bytes = input.raw(32)?;
    bytes.try_into().map_err(|_| DecodeError::Truncated)
}

pub(crate) fn write(
    seal: &Seal,
    target: &dyn Target,
    (run, number): (RunId, u32),
    packs: &[Packed],
) -> Result<(String, Stored), BackupError> {
    let mut out = Writer::new();
    for pack in packs {
        write_pack(&mut out, pack.id, pack.stored);
        out.varint(pack.names.len() as u64);
        for name in &pack.names {
            out.raw(name);
        }
    }
    let file = catalogue_file(run, number);
    let stored = checked::write(seal, target, &file, MAGIC, &out.finish())?;
    Ok((file, stored))
}

pub(crate) fn read(
    seal: &Seal,
    target: &dyn Target,
    file: &str,
) -> Result<Vec<Packed>, BackupError> {
    let bytes = checked::read(seal, target, file, MAGIC, BYTES_MAX)?;
    decode(&bytes).map_err(|error| BackupError::damaged(file, error))
}

fn decode(bytes: &[u8]) -> Result<Vec<Packed>, DecodeError> {
    let mut input = Reader::new(bytes);
    let mut packs = Vec::new();
    while !input.is_empty() {
        let (id, stored) = read_pack(&mut input)?;
        let count = input.varint()?;
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(read_name(&mut input)?);
        }
        packs.push(Packed { id, stored, names });
    }
    Ok(packs)
}
