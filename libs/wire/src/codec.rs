//! The codec of stored records: unsigned varints, length-prefixed bytes, nothing else.
//!
//! Every stored record begins with one version byte that its owner writes and
//! checks. A [`Reader`] never panics on stored bytes: what does not decode is
//! an error, because a broken record must not stop the rest of the store.

use thiserror::Error;

/// A stored record did not decode.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The record ends before the field does.
    #[error("the record ends in the middle of a field")]
    Truncated,
    /// A number needs more bits than its field has, or has more bytes than it needs.
    #[error("a number in the record is out of range")]
    OutOfRange,
    /// The record's version byte is unknown to this program.
    #[error("the record has version {0}, which this program does not know")]
    Version(u8),
    /// A tag or enumeration has a value that is not defined.
    #[error("the record holds an undefined tag {0}")]
    Tag(u8),
    /// A text field is not UTF-8.
    #[error("a text in the record is not UTF-8")]
    Utf8,
    /// Bytes remain after the last field.
    #[error("the record has bytes after its last field")]
    Trailing,
}

/// Appends fields to a record.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One byte: a version, a tag, a small set of bits.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    /// A number as LEB128: seven bits a byte, low bits first.
    pub fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.out.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
        self
    }

    /// A number of eight bytes, high byte first, so that keys sort by it.
    pub fn u64_be(&mut self, value: u64) -> &mut Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Bytes behind their length as a varint.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.varint(bytes.len() as u64);
        self.raw(bytes)
    }

    /// A text behind its length in bytes.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// The finished record.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Takes fields from a record, in the order they were written.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the record's first byte.
    #[must_use]
    #[inline]
    pub fn new(record: &'a [u8]) -> Self {
        Self { rest: record }
    }

    /// True when every byte was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not taken yet.
    #[must_use]
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end of the record.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    /// Takes a LEB128 number in its one form: what a [`Writer`] never writes (zeros
    /// that say nothing) is damage, and equal records are equal bytes.
    ///
    /// # Errors
    /// Truncated, longer than 64 bits, or longer than it needs to be.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            let idle = byte == 0 && shift > 0;
            if idle || (shift == 63 && bits > 1) {
                return Err(DecodeError::OutOfRange);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::OutOfRange)
    }

    /// Takes a LEB128 number that must fit 32 bits.
    ///
    /// # Errors
    /// As [`Reader::varint`], and out of range above `u32::MAX`.
    #[inline]
    pub fn varint32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.varint()?).map_err(|_| DecodeError::OutOfRange)
    }

    /// Takes eight bytes, high byte first.
    ///
    /// # Errors
    /// Truncated.
    #[inline]
    pub fn u64_be(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.raw(8)?;
        bytes
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| DecodeError::Truncated)
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// Truncated.
    #[inline]
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes length-prefixed bytes.
    ///
    /// # Errors
    /// Truncated.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.varint()?).map_err(|_| DecodeError::OutOfRange)?;
        self.raw(len)
    }

    /// Takes a length-prefixed text.
    ///
    /// # Errors
    /// Truncated, or not UTF-8.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Utf8)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if something is.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(numbers: Vec<u64>, text: String) {
            let mut writer = Writer::new();
            writer.u8(7).text(&text);
            for &n in &numbers { writer.varint(n).u64_be(n); }
            let record = writer.finish();
            let mut reader = Reader::new(&record);
            prop_assert_eq!(reader.u8(), Ok(7));
            prop_assert_eq!(reader.text(), Ok(text.as_str()));
            for &n in &numbers {
                prop_assert_eq!(reader.varint(), Ok(n));
                prop_assert_eq!(reader.u64_be(), Ok(n));
            }
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn stored_garbage_never_panics(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.text().is_ok() && !reader.is_empty() {}
            let _ = Reader::new(&bytes).varint();
        }

        #[test]
        fn a_number_has_one_form(bytes in proptest::collection::vec(prop_oneof![Just(0), Just(0x80), Just(0x81), any::<u8>()], 0..11)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(number) = reader.varint() {
                let mut writer = Writer::new();
                writer.varint(number);
                prop_assert_eq!(writer.finish(), &bytes[..bytes.len() - reader.rest().len()]);
            }
        }
    }

    // Found by the fuzzer `wire_record`.
    #[test]
    fn a_varint_with_zeros_that_say_nothing_is_refused() {
        for long in [&[0x80, 0][..], &[0xe1, 0x98, 0], &[0x80, 0x80, 0x80, 0]] {
            assert_eq!(Reader::new(long).varint(), Err(DecodeError::OutOfRange));
        }
        assert_eq!(Reader::new(&[0]).varint(), Ok(0));
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        assert_eq!(
            Reader::new(&[0xff; 10]).varint(),
            Err(DecodeError::OutOfRange)
        );
    }
}
