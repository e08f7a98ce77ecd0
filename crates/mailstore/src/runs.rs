//! Runs of UIDs, as records have them.
//!
//! | field of each run | form |
//! |---|---|
//! | first UID minus the end of the run before | varint |
//! | last minus first | varint |
//!
//! How many there are, and what stands behind each, is the record's. They ascend, and none
//! touches another's UIDs.

use mailbox_model::Uid;
use wire::codec::{DecodeError, Reader, Writer};

/// Where the run before ends; 0 before the first.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    end: u32,
}

impl Runs {
    /// Writes the next run.
    pub(crate) fn write(&mut self, out: &mut Writer, first: Uid, last: Uid) {
        out.varint(u64::from(first.0 - self.end));
        out.varint(u64::from(last.0 - first.0));
        self.end = last.0;
    }

    /// Reads the next run.
    pub(crate) fn read(&mut self, input: &mut Reader<'_>) -> Result<(Uid, Uid), DecodeError> {
        let gap = input.varint32()?;
        let first = self.end.checked_add(gap).filter(|_| gap > 0);
        let first = first.ok_or(DecodeError::OutOfRange)?;
        let last = first.checked_add(input.varint32()?);
        self.end = last.ok_or(DecodeError::OutOfRange)?;
        Ok((Uid(first), Uid(self.end)))
    }
}
