//! Sequence sets. Their meaning is in [`crate::sequence`].

use crate::cursor::{Cursor, Parsed};
use crate::sequence::{SeqNumber, SequenceRange, SequenceSet};

/// A set behind a space.
pub(crate) fn argument(cursor: &mut Cursor<'_>) -> Parsed<SequenceSet> {
    cursor.space()?;
    set(cursor)
}

/// ```abnf
/// sequence-set  = (seq-number / seq-range) ["," sequence-set]
/// sequence-set /= seq-last-command
/// seq-last-command = "$"
/// ```
pub(crate) fn set(cursor: &mut Cursor<'_>) -> Parsed<SequenceSet> {
    if cursor.take(b'$') {
        return Ok(SequenceSet::Saved);
    }
    let mut ranges = Vec::new();
    loop {
        let from = number(cursor)?;
        let to = if cursor.take(b':') {
            number(cursor)?
        } else {
            from
        };
        ranges.push(SequenceRange { from, to });
        if !cursor.take(b',') {
            return Ok(SequenceSet::Ranges(ranges));
        }
    }
}

/// `seq-number = nz-number / "*"`
fn number(cursor: &mut Cursor<'_>) -> Parsed<SeqNumber> {
    if cursor.take(b'*') {
        return Ok(None);
    }
    cursor.nz_number().map(Some)
}
