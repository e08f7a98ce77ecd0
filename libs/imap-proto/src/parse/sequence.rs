//! Sequence sets. Their meaning is in [`crate::sequence`].

use crate::cursor::{Cursor, Parsed, syntax};
use crate::sequence::{Ranges, SeqNumber, SequenceRange, SequenceSet};

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

/// A set of plain numbers, without `*` (RFC 7162 §7 `known-uids`), in ascending
/// ranges.
pub(crate) fn known(cursor: &mut Cursor<'_>) -> Parsed<Ranges> {
    let set = set(cursor)?;
    let plain = match &set {
        SequenceSet::Saved => false,
        SequenceSet::Ranges(ranges) => {
            let plain = |range: &SequenceRange| range.from.is_some() && range.to.is_some();
            ranges.iter().all(plain)
        }
    };
    if !plain {
        return syntax("what is known is given in numbers");
    }
    Ok(set.resolve(0))
}

/// `seq-number = nz-number / "*"`
fn number(cursor: &mut Cursor<'_>) -> Parsed<SeqNumber> {
    if cursor.take(b'*') {
        return Ok(None);
    }
    cursor.nz_number().map(Some)
}
