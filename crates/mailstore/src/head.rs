//! The head of an account: its counters, written with every change and
//! conditional on the one before, so that no two writers build on the same state.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 2; 1, which ends before the floor, is read too |
//! | modseq of the last change | varint |
//! | next email id | varint |
//! | next mailbox id | varint |
//! | next UIDVALIDITY | varint |
//! | bytes used, each email once | varint |
//! | emails used | varint |
//! | bytes allowed + 1, or 0 for no limit | varint |
//! | emails allowed + 1, or 0 for no limit | varint |
//! | the log's floor: the last change that is no longer in it, or 0 | varint |
//! | when that change was, Unix ms | varint |

use mailbox_model::{EmailId, MailboxId, ModSeq, UidValidity, Usage, View};
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 2;
const VERSION_1: u8 = 1;

/// What an account may use; none is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaLimits {
    /// Octets of emails.
    pub bytes: Option<u64>,
    /// Emails.
    pub emails: Option<u64>,
}

impl QuotaLimits {
    /// True if `usage` is within the limits.
    #[must_use]
    pub fn allow(&self, usage: Usage) -> bool {
        self.bytes.is_none_or(|limit| usage.bytes <= limit)
            && self.emails.is_none_or(|limit| usage.emails <= limit)
    }
}

/// Where the log begins: the changes up to this one are only in the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    /// The last change that is no longer in the log; 0 while all are.
    pub modseq: ModSeq,
    /// When it was, in Unix milliseconds.
    pub at_ms: u64,
}

/// The head's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) modseq: ModSeq,
    pub(crate) next_email: EmailId,
    pub(crate) next_mailbox: MailboxId,
    pub(crate) next_uid_validity: UidValidity,
    pub(crate) usage: Usage,
    pub(crate) limits: QuotaLimits,
    pub(crate) floor: Floor,
}

impl Head {
    /// The head that goes with a view.
    pub(crate) fn of(view: &View, limits: QuotaLimits, floor: Floor) -> Self {
        Self {
            modseq: view.modseq(),
            next_email: view.next_email(),
            next_mailbox: view.next_mailbox(),
            next_uid_validity: view.next_uid_validity(),
            usage: view.usage(),
            limits,
            floor,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION)
            .varint(self.modseq.0)
            .varint(self.next_email.0);
        out.varint(u64::from(self.next_mailbox.0));
        out.varint(u64::from(self.next_uid_validity.0));
        out.varint(self.usage.bytes).varint(self.usage.emails);
        for limit in [self.limits.bytes, self.limits.emails] {
            out.varint(limit.map_or(0, |limit| limit.saturating_add(1)));
        }
        out.varint(self.floor.modseq.0).varint(self.floor.at_ms);
        out.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(record);
        let version = input.u8()?;
        if !matches!(version, VERSION_1 | VERSION) {
            return Err(DecodeError::Version(version));
        }
        let mut head = Self {
            modseq: ModSeq(input.varint()?),
            next_email: EmailId(input.varint()?),
            next_mailbox: MailboxId(input.varint32()?),
            next_uid_validity: UidValidity(input.varint32()?),
            usage: Usage {
                bytes: input.varint()?,
                emails: input.varint()?,
            },
            limits: QuotaLimits {
                bytes: input.varint()?.checked_sub(1),
                emails: input.varint()?.checked_sub(1),
            },
            floor: Floor::default(),
        };
        if version != VERSION_1 {
            head.floor = Floor {
                modseq: ModSeq(input.varint()?),
                at_ms: input.varint()?,
            };
        }
        input.finish()?;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_these_bytes_and_reads_back() {
        let head = Head {
            modseq: ModSeq(300),
            next_email: EmailId(6),
            next_mailbox: MailboxId(7),
            next_uid_validity: UidValidity(1000),
            usage: Usage {
                bytes: 128,
                emails: 5,
            },
            limits: QuotaLimits {
                bytes: Some(1000),
                emails: None,
            },
            floor: Floor {
                modseq: ModSeq(200),
                at_ms: 9,
            },
        };
        let golden = [
            2, 0xac, 2, 6, 7, 0xe8, 7, 0x80, 1, 5, 0xe9, 7, 0, 0xc8, 1, 9,
        ];
        assert_eq!(head.encode(), golden);
        assert_eq!(Head::decode(&golden), Ok(head));
        assert_eq!(Head::decode(&[3]), Err(DecodeError::Version(3)));
        assert!(Head::decode(&golden[..golden.len() - 1]).is_err());
        let of_version_1 = [1, 0xac, 2, 6, 7, 0xe8, 7, 0x80, 1, 5, 0xe9, 7, 0];
        let before = Head {
            floor: Floor::default(),
            ..head
        };
        assert_eq!(Head::decode(&of_version_1), Ok(before));
    }
}
