//! Queue ids: unique without asking anybody, in order of time, short to say.
//!
//! 64 bits: 42 of milliseconds since 1970 (until the year 2109), 22 of chance.
//! One process never gives the same id twice (`queue` counts on from the last);
//! two nodes that draw the same number within one millisecond meet at the
//! record's key, whose commit demands that it is absent.
//!
//! As text: 13 digits of base 32 in Crockford's alphabet, lower case, so that
//! texts sort like ids and no letter is mistaken for a digit when read aloud.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

const RANDOM_BITS: u32 = 22;
const DIGITS: usize = 13;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The name of a queued message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

impl QueueId {
    /// An id of this moment; only the low 22 bits of `random` count.
    #[must_use]
    pub const fn from_parts(unix_ms: u64, random: u64) -> Self {
        Self(unix_ms << RANDOM_BITS | random & ((1 << RANDOM_BITS) - 1))
    }

    /// The id behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The moment it was made, in milliseconds since 1970.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        self.0 >> RANDOM_BITS
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(DIGITS);
        for digit in (0..DIGITS).rev() {
            let value = (self.0 >> (digit * 5)) as usize & 31;
            text.push(char::from(ALPHABET[value]));
        }
        f.pad(&text)
    }
}

/// Not a queue id.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("a queue id has 13 letters and digits, such as 06enk1v800001")]
pub struct ParseIdError;

impl FromStr for QueueId {
    type Err = ParseIdError;

    /// Any case; `i` and `l` are read as 1, `o` as 0.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.len() != DIGITS {
            return Err(ParseIdError);
        }
        let mut value = 0u64;
        for byte in text.bytes() {
            let digit = match byte.to_ascii_lowercase() {
                b'i' | b'l' => 1,
                b'o' => 0,
                other => ALPHABET
                    .iter()
                    .position(|&d| d == other)
                    .ok_or(ParseIdError)? as u64,
            };
            if value >> 59 != 0 {
                return Err(ParseIdError);
            }
            value = value << 5 | digit;
        }
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_is_parsed(id: u64) {
            let id = QueueId(id);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        }

        #[test]
        fn texts_sort_like_ids(a: u64, b: u64) {
            prop_assert_eq!(a.cmp(&b), QueueId(a).to_string().cmp(&QueueId(b).to_string()));
        }

        #[test]
        fn garbage_is_refused_without_a_panic(text in ".{0,20}") {
            if let Ok(id) = text.parse::<QueueId>() {
                prop_assert_eq!(id.to_string().len(), text.len());
            }
        }
    }

    #[test]
    fn the_moment_is_kept() {
        let id = QueueId::from_parts(1_767_225_600_000, u64::MAX);
        assert_eq!(id.unix_ms(), 1_767_225_600_000);
        assert!(QueueId::from_parts(1_767_225_600_001, 0) > id);
        assert_eq!(
            "zzzzzzzzzzzzz".parse::<QueueId>(),
            Err(ParseIdError),
            "more than 64 bits"
        );
    }
}
