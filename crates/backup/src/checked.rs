//! Small files that are read whole: magic, record, and BLAKE3 of both (32 bytes).

use crate::error::BackupError;
use crate::seal::{Seal, Stored};
use crate::target::Target;
use std::io::Read as _;

const HASH_BYTES: usize = 32;

pub(crate) fn write(
    seal: &Seal,
    target: &dyn Target,
    name: &str,
    magic: &[u8; 8],
    record: &[u8],
) -> Result<Stored, BackupError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(magic).update(record);
    let mut file = seal.create(target, name)?;
    file.put(magic)?;
    file.put(record)?;
    file.put(hasher.finalize().as_bytes())?;
    file.finish()
}

pub(crate) fn read(
    seal: &Seal,
    target: &dyn Target,
    name: &str,
    magic: &[u8; 8],
    bytes_max: u64,
) -> Result<Vec<u8>, BackupError> {
    let mut bytes = Vec::new();
    seal.read(target, name)?
        .take(bytes_max)
        .read_to_end(&mut bytes)
        .map_err(|error| BackupError::damaged(name, error))?;
    let Some(at) = bytes
        .len()
        .checked_sub(HASH_BYTES)
        .filter(|at| *at >= magic.len())
    else {
        return Err(BackupError::damaged(name, "it is too short"));
    };
    if bytes[..7] != magic[..7] {
        return Err(BackupError::damaged(name, "it is not such a file"));
    }
    if bytes[7] != magic[7] {
        return Err(BackupError::NewerFormat(u32::from(bytes[7])));
    }
    if *blake3::hash(&bytes[..at]).as_bytes() != bytes[at..] {
        return Err(BackupError::damaged(
            name,
            "its bytes are not what was written",
        ));
    }
    bytes.truncate(at);
    Ok(bytes.split_off(magic.len()))
}
