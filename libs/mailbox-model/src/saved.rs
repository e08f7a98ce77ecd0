//! When a copy came into its mailbox (RFC 8514 §2), in four bytes.
//!
//! Mail that is delivered is saved when it is received: its internal date says it, and
//! nothing need be kept. Everything else has the second of the change that brought it:
//! COPY, MOVE, APPEND with a date, what is brought back. What came before there were save
//! dates has none.
//!
//! In a record it is a varint: 0 for none, else the difference to the one before as
//! zigzag, plus one.

use crate::codec::{unzigzag, zigzag};
use wire::codec::{DecodeError, Reader, Writer};

/// When a copy came into its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Saved(u32);

/// What a [`Saved`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedAt {
    /// Nobody knows.
    Unknown,
    /// When it was received: at its internal date.
    Received,
    /// In this Unix second.
    Second(u32),
}

impl Saved {
    /// Nobody knows.
    pub const UNKNOWN: Self = Self(0);
    /// At the email's internal date.
    pub const RECEIVED: Self = Self(1);
    /// The first second that can be told from the two.
    const FIRST: u32 = 2;

    /// By a change of this moment.
    #[must_use]
    pub fn at_ms(unix_ms: u64) -> Self {
        let seconds = u32::try_from(unix_ms / 1000).unwrap_or(u32::MAX);
        Self(seconds.max(Self::FIRST))
    }

    /// What it says.
    #[must_use]
    pub fn get(self) -> SavedAt {
        match self {
            Self::UNKNOWN => SavedAt::Unknown,
            Self::RECEIVED => SavedAt::Received,
            Self(second) => SavedAt::Second(second),
        }
    }

    /// Writes one that is not [`Saved::RECEIVED`].
    pub(crate) fn write(self, out: &mut Writer, before: &mut u32) {
        if self == Self::UNKNOWN {
            out.varint(0);
            return;
        }
        let difference = i64::from(self.0) - i64::from(*before);
        out.varint(zigzag(difference) + 1);
        *before = self.0;
    }

    /// Reads what [`Saved::write`] wrote.
    pub(crate) fn read(input: &mut Reader<'_>, before: &mut u32) -> Result<Self, DecodeError> {
        let Some(difference) = input.varint()?.checked_sub(1) else {
            return Ok(Self::UNKNOWN);
        };
        let second = i64::from(*before).checked_add(unzigzag(difference));
        let second = second.and_then(|second| u32::try_from(second).ok());
        let second = second.filter(|second| *second >= Self::FIRST);
        *before = second.ok_or(DecodeError::OutOfRange)?;
        Ok(Self(*before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_these_bytes_and_read_back() {
        let all = [
            Saved::at_ms(1_000_500),
            Saved::at_ms(1_000_999),
            Saved::UNKNOWN,
            Saved::at_ms(998_000),
            Saved::at_ms(u64::MAX),
            Saved::at_ms(0),
        ];
        let mut out = Writer::new();
        let mut before = 0;
        for saved in all {
            saved.write(&mut out, &mut before);
        }
        let bytes = out.finish();
        assert_eq!(bytes[..5], [0xd1, 0x0f, 1, 0, 4]);
        let mut input = Reader::new(&bytes);
        let mut before = 0;
        for saved in all {
            assert_eq!(Saved::read(&mut input, &mut before), Ok(saved));
        }
        assert_eq!(input.finish(), Ok(()));
        // What stands for something else, below zero, and too large.
        for wrong in [[3, 0, 0], [2, 0, 0], [0xff, 0xff, 0xff]] {
            let mut bytes = wrong.to_vec();
            if wrong[0] == 0xff {
                bytes.extend([0xff, 0xff, 0xff, 0x01]);
            }
            let read = Saved::read(&mut Reader::new(&bytes), &mut 0);
            assert_eq!(read, Err(DecodeError::OutOfRange), "{wrong:?}");
        }
    }

    #[test]
    fn moments_that_a_number_cannot_be_are_the_nearest() {
        assert_eq!(Saved::at_ms(0).get(), SavedAt::Second(2));
        assert_eq!(Saved::at_ms(u64::MAX).get(), SavedAt::Second(u32::MAX));
        assert_eq!(Saved::RECEIVED.get(), SavedAt::Received);
        assert_eq!(Saved::UNKNOWN.get(), SavedAt::Unknown);
    }
}
