//! Records cut into stretches, always in the same places.
//!
//! A stretch is a sequence of records in order of keys: each the key's length
//! (varint), the key, the value's length (varint), the value. Where it ends
//! depends on its keys alone, or on its size: so a run that finds most records
//! as they were writes only the stretches that changed.

use crate::limits::{STRETCH_BYTES_MAX, STRETCH_BYTES_MIN, STRETCH_CUT_MASK};
use crate::pack::Name;
use wire::codec::{DecodeError, Reader, Writer};

/// Cuts records into stretches.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    bytes: Vec<u8>,
}

impl Cutter {
    /// Adds a record; gives the stretch that it ends.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let mut record = Writer::new();
        record.bytes(key).bytes(value);
        self.bytes.extend_from_slice(&record.finish());
        let cut = self.bytes.len() >= STRETCH_BYTES_MAX
            || self.bytes.len() >= STRETCH_BYTES_MIN
                && blake3::hash(key).as_bytes()[0] & STRETCH_CUT_MASK == 0;
        cut.then(|| std::mem::take(&mut self.bytes))
    }

    /// What is left at the end.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.bytes.is_empty()).then_some(self.bytes)
    }
}

/// The name of an object in memory.
pub(crate) fn name_of(bytes: &[u8]) -> Name {
    *blake3::hash(bytes).as_bytes()
}

/// The records of a stretch.
pub(crate) fn records(stretch: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), DecodeError>> {
    let mut reader = Reader::new(stretch);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let mut record = || Ok((reader.bytes()?, reader.bytes()?));
        let record = record();
        if record.is_err() {
            // Nothing behind it can be found.
            reader = Reader::new(&[]);
        }
        Some(record)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::default();
        let mut all: Vec<_> = records
            .iter()
            .filter_map(|(key, value)| cutter.push(key, value))
            .collect();
        all.extend(cutter.finish());
        all
    }

    #[test]
    fn golden_bytes_and_the_way_back() {
        let stretches = cut(&[(b"a".to_vec(), b"12".to_vec()), (b"b".to_vec(), Vec::new())]);
        assert_eq!(stretches, [b"\x01a\x0212\x01b\x00".to_vec()]);
        let read: Result<Vec<_>, _> = records(&stretches[0]).collect();
        assert_eq!(read, Ok(vec![(&b"a"[..], &b"12"[..]), (b"b", b"")]));
        assert!(records(&stretches[0][..4]).any(|record| record.is_err()));
    }

    #[test]
    fn a_record_more_changes_few_stretches() {
        let mut all: Vec<_> = (0..20_000u32)
            .map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; 200]))
            .collect();
        let before = cut(&all);
        assert!(before.len() > 10);
        let joined: usize = before.iter().map(Vec::len).sum();
        all.insert(7000, (vec![0, 0, 27, 87, 1], vec![1; 200]));
        all.push((vec![1], vec![2; 50]));
        let after = cut(&all);
        assert!(after.iter().map(Vec::len).sum::<usize>() > joined);
        let new = after.iter().filter(|stretch| !before.contains(stretch));
        assert!(new.count() <= 3);
    }
}
