//! LIST and UIDL of a whole maildrop, written piece by piece: a million lines
//! take no more memory than a few.

use crate::limits::OUTPUT_BYTES;
use crate::maildrop::Maildrop;
use std::io::Write as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sizes,
    UniqueIds,
}

/// A listing under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    kind: Kind,
    next: u64,
}

impl Listing {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, next: 1 }
    }

    /// Writes until the output is full; true when the listing is complete.
    pub(crate) fn write(&mut self, maildrop: &Maildrop, out: &mut Vec<u8>) -> bool {
        while out.len() < OUTPUT_BYTES {
            if self.next > maildrop.len() as u64 {
                out.extend_from_slice(b".\r\n");
                return true;
            }
            let number = self.next;
            self.next += 1;
            let Some(message) = maildrop.message(number) else {
                continue;
            };
            // Writing to a vector cannot fail.
            let _ = match self.kind {
                Kind::Sizes => write!(out, "{number} {}\r\n", message.size),
                Kind::UniqueIds => {
                    write!(out, "{number} {}\r\n", maildrop.unique_id(message))
                }
            };
        }
        false
    }
}
