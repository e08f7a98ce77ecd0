//! The library's list of its tables, checked before the library reads it.
//!
//! The list is the file `vN`; `current` names it: N (8 bytes, low byte first),
//! the XXH3 of the file (16 bytes), and 0. The library writes the checksum and
//! does not look at it (3.1.10): from a damaged list it takes counts on trust,
//! and the room it asks for them may end the process, at every start.

use crate::contract::ReadError;
use lsm_tree::checksum::ChecksummedWriter;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

const CURRENT: &str = "current";

/// Fails if there is a list and it is not as it was written.
pub(super) fn check(folder: &Path) -> Result<(), ReadError> {
    let current = match fs::read(folder.join(CURRENT)) {
        // A new index.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let parts: Option<([u8; 8], [u8; 16])> = current
        .split_first_chunk()
        .and_then(|(number, rest)| Some((*number, *rest.first_chunk()?)))
        .filter(|_| current.len() == 25 && current.last() == Some(&0));
    let damaged = |what: &str| ReadError::Damaged(format!("index: {what}"));
    let (number, checksum) = parts.ok_or_else(|| damaged("its list of tables is not named"))?;
    let list = folder.join(format!("v{}", u64::from_le_bytes(number)));
    let mut hashed = ChecksummedWriter::new(io::sink());
    io::copy(&mut File::open(list)?, &mut hashed)?;
    if hashed.checksum().into_u128() == u128::from_le_bytes(checksum) {
        return Ok(());
    }
    Err(damaged("its list of tables is not as it was written"))
}
