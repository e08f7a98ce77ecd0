//! The head of an index.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | next segment | varint |
//! | segments | varint, how many follow |
//! | each: its number | varint |
//! | each: its first email | varint: difference to the end of the one before |
//! | each: how many numbers of emails it spans | varint |
//! | each: emails in it | varint |
//! | each: bytes of its blocks | varint |
//! | dropped | varint, how many follow |
//! | each: the number of a segment whose blocks may be there yet | varint |

use mailbox_model::EmailId;
use search_index::limits::DOCUMENTS_MAX;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// What an index consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) next_segment: u64,
    /// In the order of their emails.
    pub(crate) segments: Vec<Segment>,
    pub(crate) dropped: Vec<u64>,
}

/// A range of emails with its postings. A document is an email's number less the first's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) first: u64,
    /// Numbers of emails, given or not.
    pub(crate) span: u64,
    pub(crate) emails: u64,
    pub(crate) bytes: u64,
}

impl Head {
    /// Emails below this are in the index, if they are there at all.
    pub(crate) fn covered(&self) -> EmailId {
        let end = self
            .segments
            .last()
            .map_or(1, |last| last.first + last.span);
        EmailId(end)
    }

    pub(crate) fn emails(&self) -> u64 {
        self.segments.iter().map(|segment| segment.emails).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).varint(self.next_segment);
        out.varint(self.segments.len() as u64);
        let mut end = 0;
        for segment in &self.segments {
            out.varint(segment.number).varint(segment.first - end);
            out.varint(segment.span).varint(segment.emails);
            out.varint(segment.bytes);
            end = segment.first + segment.span;
        }
        out.varint(self.dropped.len() as u64);
        for segment in &self.dropped {
            out.varint(*segment);
        }
        out.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(record);
        match input.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let mut head = Self {
            next_segment: input.varint()?,
            ..Self::default()
        };
        let mut end = 0u64;
        for _ in 0..input.varint()? {
            let number = input.varint()?;
            let gap = input.varint()?;
            let first = end.checked_add(gap).ok_or(DecodeError::OutOfRange)?;
            let span = input.varint()?;
            if span == 0 || span > u64::from(DOCUMENTS_MAX) || number >= head.next_segment {
                return Err(DecodeError::OutOfRange);
            }
            end = first.checked_add(span).ok_or(DecodeError::OutOfRange)?;
            head.segments.push(Segment {
                number,
                first,
                span,
                emails: input.varint()?,
                bytes: input.varint()?,
            });
        }
        for _ in 0..input.varint()? {
            head.dropped.push(input.varint()?);
        }
        input.finish()?;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_these_bytes_and_reads_back() {
        let segment = |number, first, span| Segment {
            number,
            first,
            span,
            emails: 3,
            bytes: 300,
        };
        let head = Head {
            next_segment: 9,
            segments: vec![segment(4, 1, 10), segment(8, 20, 5)],
            dropped: vec![2],
        };
        let golden = [1, 9, 2, 4, 1, 10, 3, 0xac, 2, 8, 9, 5, 3, 0xac, 2, 1, 2];
        assert_eq!(head.encode(), golden);
        assert_eq!(Head::decode(&golden), Ok(head.clone()));
        assert_eq!(head.covered(), EmailId(25));
        assert_eq!(Head::default().covered(), EmailId(1));
        for len in 0..golden.len() {
            assert!(Head::decode(&golden[..len]).is_err());
        }
        for (at, byte) in [(0, 2), (3, 9), (5, 0)] {
            let mut damaged = golden;
            damaged[at] = byte;
            assert!(Head::decode(&damaged).is_err(), "{at}");
        }
    }
}
