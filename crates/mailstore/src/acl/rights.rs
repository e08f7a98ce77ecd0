//! Rights and their letters (RFC 4314 §2.1).

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u16);

/// In the order in which they are shown; a right's bit is its place.
const LETTERS: &[u8; 11] = b"lrswipkxtea";

impl Rights {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// `l`: the mailbox is seen in lists and may be subscribed.
    pub const LOOKUP: Self = Self(1);
    /// `r`: it may be opened and read.
    pub const READ: Self = Self(1 << 1);
    /// `s`: `\Seen` is kept.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: flags and keywords other than `\Seen` and `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: messages may be put in.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: mail may be sent to it.
    pub const POST: Self = Self(1 << 5);
    /// `k`: mailboxes may be made below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: it may be deleted or renamed.
    pub const DELETE_MAILBOX: Self = Self(1 << 7);
    /// `t`: `\Deleted` may be set and cleared.
    pub const DELETE: Self = Self(1 << 8);
    /// `e`: what is `\Deleted` may be expunged.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: rights may be given and taken.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// All there are: the owner's.
    pub const ALL: Self = Self((1 << 11) - 1);

    /// Its stored form.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_bits(bits: u16) -> Option<Self> {
        (bits <= Self::ALL.0).then_some(Self(bits))
    }

    /// Reads letters. RFC 4314 §2.1.1: `c` stands for `kx`, `d` for `te`, as RFC 2086's clients mean them.
    /// None where a letter is no right.
    #[must_use]
    pub fn parse(letters: &[u8]) -> Option<Self> {
        let mut rights = Self::NONE;
        for letter in letters {
            rights = rights
                | match letter {
                    b'c' => Self::CREATE | Self::DELETE_MAILBOX,
                    b'd' => Self::DELETE | Self::EXPUNGE,
                    _ => {
                        let bit = LETTERS.iter().position(|known| known == letter)?;
                        Self(1 << bit)
                    }
                };
        }
        Some(rights)
    }

    /// True if every one of `others` is there.
    #[must_use]
    pub fn has(self, others: Self) -> bool {
        self & others == others
    }

    /// True if any of `others` is there.
    #[must_use]
    pub fn has_any(self, others: Self) -> bool {
        !(self & others).is_empty()
    }

    /// These and others.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Rights {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The letters. RFC 4314 §2.1.1: `c` and `d` are shown where any of what they stand for is.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in LETTERS.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                write!(f, "{}", char::from(*letter))?;
            }
        }
        if self.has_any(Self::CREATE | Self::DELETE_MAILBOX) {
            f.write_str("c")?;
        }
        if self.has_any(Self::DELETE | Self::EXPUNGE) {
            f.write_str("d")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_shown() {
        assert_eq!(Rights::parse(b"lr"), Some(Rights::LOOKUP | Rights::READ));
        assert_eq!(Rights::parse(b"cd"), Rights::parse(b"kxte"));
        assert_eq!(Rights::parse(b"lz"), None);
        assert_eq!(Rights::parse(b"L"), None);
        assert_eq!(Rights::parse(b"lrswipkxtea"), Some(Rights::ALL));
        assert_eq!(Rights::ALL.to_string(), "lrswipkxteacd");
        assert_eq!(Rights::INSERT.to_string(), "i");
        assert_eq!(Rights::EXPUNGE.to_string(), "ed");
        assert_eq!(Rights::from_bits(1 << 11), None);
    }
}
