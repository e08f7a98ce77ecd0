//! The documents of a term as bytes, in the shorter of two forms.
//!
//! | field | form |
//! |---|---|
//! | documents | varint: how many, times two; plus one for a map of bits |
//! | the first | varint |
//! | the others | varint each: difference to the one before, minus one |
//! | or: the map | the rest: bit `n % 8` of byte `n / 8` is document *first* + n |

use crate::limits::DOCUMENTS_MAX;
use wire::codec::{DecodeError, Reader, Writer};

/// Documents of a term, as they are written.
#[derive(Debug, Clone, Copy)]
pub struct Postings<'a> {
    count: u64,
    first: u32,
    /// A map of bits, or differences.
    is_map: bool,
    rest: &'a [u8],
}

/// Writes documents, which ascend; at least one.
pub(crate) fn encode(documents: &[u32]) -> Vec<u8> {
    let (Some(&first), Some(&last)) = (documents.first(), documents.last()) else {
        return Vec::new();
    };
    let map_len = ((last - first) / 8 + 1) as usize;
    let differences = documents.windows(2).map(|pair| pair[1] - pair[0] - 1);
    let len: usize = differences.clone().map(varint_len).sum();
    let mut out = Writer::new();
    let is_map = map_len < len;
    let count = documents.len() as u64;
    out.varint(count * 2 + u64::from(is_map));
    out.varint(u64::from(first));
    if is_map {
        let mut map = vec![0u8; map_len];
        for document in documents {
            let at = document - first;
            map[(at / 8) as usize] |= 1 << (at % 8);
        }
        out.raw(&map);
    } else {
        for difference in differences {
            out.varint(u64::from(difference));
        }
    }
    out.finish()
}

fn varint_len(value: u32) -> usize {
    (32 - value.leading_zeros()).div_ceil(7).max(1) as usize
}

impl<'a> Postings<'a> {
    /// Reads the form's beginning.
    ///
    /// # Errors
    /// No bytes that were written here.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let count = input.varint()?;
        let first = input.varint32()?;
        let read = Self {
            count: count / 2,
            first,
            is_map: count % 2 == 1,
            rest: input.rest(),
        };
        let possible = match read.is_map {
            true => read.rest.len() as u64 * 8,
            false => read.rest.len() as u64 + 1,
        };
        if first > DOCUMENTS_MAX || read.count == 0 || read.count > possible {
            return Err(DecodeError::OutOfRange);
        }
        Ok(read)
    }

    /// How many documents.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Calls `f` with each document, in order.
    ///
    /// # Errors
    /// No bytes that were written here.
    pub fn visit(&self, mut f: impl FnMut(u32)) -> Result<(), DecodeError> {
        if self.is_map {
            for (at, &byte) in (0..).step_by(8).zip(self.rest) {
                let mut bits = byte;
                while bits != 0 {
                    let bit = bits.trailing_zeros();
                    f(self
                        .first
                        .checked_add(at + bit)
                        .ok_or(DecodeError::OutOfRange)?);
                    bits &= bits - 1;
                }
            }
            return Ok(());
        }
        let mut input = Reader::new(self.rest);
        let mut last = self.first;
        f(last);
        while !input.is_empty() {
            let step = input.varint32()?;
            let next = last.checked_add(step).and_then(|next| next.checked_add(1));
            last = next
                .filter(|&next| next <= DOCUMENTS_MAX)
                .ok_or(DecodeError::OutOfRange)?;
            f(last);
        }
        Ok(())
    }

    /// Leaves those of some documents, which ascend, that are here.
    ///
    /// # Errors
    /// No bytes that were written here.
    pub fn retain(&self, documents: &mut Vec<u32>) -> Result<(), DecodeError> {
        if self.is_map {
            documents.retain(|&document| {
                let at = document.checked_sub(self.first);
                at.is_some_and(|at| {
                    let byte = self.rest.get((at / 8) as usize);
                    byte.is_some_and(|byte| byte & (1 << (at % 8)) != 0)
                })
            });
            return Ok(());
        }
        let (mut from, mut kept) = (0, 0);
        self.visit(|document| {
            while documents.get(from).is_some_and(|&other| other < document) {
                from += 1;
            }
            if documents.get(from) == Some(&document) {
                documents[kept] = document;
                kept += 1;
                from += 1;
            }
        })?;
        documents.truncate(kept);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn all(postings: &Postings<'_>) -> Vec<u32> {
        let mut all = Vec::new();
        postings
            .visit(|document| all.push(document))
            .expect("whole");
        all
    }

    #[test]
    fn postings_are_these_bytes() {
        assert_eq!(encode(&[7]), [2, 7]);
        assert_eq!(encode(&[7, 8, 300]), [6, 7, 0, 0xa3, 2]);
        assert_eq!(
            encode(&(8..40).collect::<Vec<_>>()),
            [65, 8, 255, 255, 255, 255]
        );
        for bytes in [&[][..], &[0, 1], &[4, 1], &[2], &[3, 1]] {
            assert!(Postings::read(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            documents in proptest::collection::btree_set(0u32..3000, 1..400),
            others in proptest::collection::btree_set(0u32..3000, 0..400),
            shift in 0u32..100_000,
        ) {
            let shifted: Vec<u32> = documents.iter().map(|d| d + shift).collect();
            let bytes = encode(&shifted);
            let postings = Postings::read(&bytes).expect("whole");
            prop_assert_eq!(postings.count(), shifted.len() as u64);
            prop_assert_eq!(&all(&postings), &shifted);
            let others: BTreeSet<u32> = others.into_iter().map(|d| d + shift).collect();
            let mut kept: Vec<u32> = others.iter().copied().collect();
            postings.retain(&mut kept).expect("whole");
            let both: Vec<u32> = shifted.into_iter().filter(|d| others.contains(d)).collect();
            prop_assert_eq!(kept, both);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            if let Ok(postings) = Postings::read(&bytes) {
                let mut documents = vec![0, 5, 70, 4_000];
                let _ = postings.retain(&mut documents);
                let mut count = 0u64;
                let _ = postings.visit(|_| count += 1);
                prop_assert!(count <= bytes.len() as u64 * 8);
            }
        }
    }
}
