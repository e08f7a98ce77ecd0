//! The head of an account: its counters, written with every change and
//! conditional on the one before, so that no two writers build on the same state.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 3; 1, which ends before the floor, and 2, which ends behind it, are read too |
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
//! | the highest mark of the quota that its owner was told of | byte: 0 none, 1 and 2 as [`QuotaMark`] |

use crate::limits::{QUOTA_FILLING_PERCENT, QUOTA_NEARLY_FULL_PERCENT};
use mailbox_model::{EmailId, MailboxId, ModSeq, UidValidity, Usage, View};
use std::fmt;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 3;
const VERSION_2: u8 = 2;
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
        self.exceeded_by(usage).is_none()
    }

    /// The limit that `usage` is over.
    #[must_use]
    pub fn exceeded_by(&self, usage: Usage) -> Option<QuotaUnit> {
        if self.bytes.is_some_and(|limit| usage.bytes > limit) {
            Some(QuotaUnit::Bytes)
        } else if self.emails.is_some_and(|limit| usage.emails > limit) {
            Some(QuotaUnit::Messages)
        } else {
            None
        }
    }

    /// The highest mark that `usage` reaches.
    #[must_use]
    pub fn mark(&self, usage: Usage) -> QuotaMark {
        let reaches = |percent: u64| {
            let share = |used: u64, limit: Option<u64>| {
                let part =
                    |limit| u128::from(used) * 100 >= u128::from(limit) * u128::from(percent);
                limit.is_some_and(part)
            };
            share(usage.bytes, self.bytes) || share(usage.emails, self.emails)
        };
        if reaches(QUOTA_NEARLY_FULL_PERCENT) {
            QuotaMark::NearlyFull
        } else if reaches(QUOTA_FILLING_PERCENT) {
            QuotaMark::Filling
        } else {
            QuotaMark::None
        }
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaUnit {
    /// Octets of emails.
    Bytes,
    /// Emails.
    Messages,
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaOwner {
    /// The account's own.
    Account,
    /// The one that it shares with the others of its domain.
    Domain,
}

/// The limit that a delivery would go over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OverQuota {
    /// Whose it is.
    pub owner: QuotaOwner,
    /// What it counts.
    pub unit: QuotaUnit,
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.owner {
            QuotaOwner::Account => "the account would be over its quota",
            QuotaOwner::Domain => "the accounts of the domain together would be over its quota",
        })?;
        f.write_str(match self.unit {
            QuotaUnit::Bytes => " of bytes",
            QuotaUnit::Messages => " of messages",
        })
    }
}

/// How full an account or a domain is, in steps that people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum QuotaMark {
    /// Less than the others.
    #[default]
    None,
    /// [`QUOTA_FILLING_PERCENT`] or more.
    Filling,
    /// [`QUOTA_NEARLY_FULL_PERCENT`] or more.
    NearlyFull,
}

impl QuotaMark {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Filling => 1,
            Self::NearlyFull => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Self, DecodeError> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Filling),
            2 => Ok(Self::NearlyFull),
            other => Err(DecodeError::Tag(other)),
        }
    }
}

/// What a head says that the log does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Terms {
    pub(crate) limits: QuotaLimits,
    pub(crate) floor: Floor,
    /// The highest mark that the account's owner was told of.
    pub(crate) told: QuotaMark,
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
    pub(crate) terms: Terms,
}

impl Head {
    /// The head that goes with a view.
    pub(crate) fn of(view: &View, terms: Terms) -> Self {
        Self {
            modseq: view.modseq(),
            next_email: view.next_email(),
            next_mailbox: view.next_mailbox(),
            next_uid_validity: view.next_uid_validity(),
            usage: view.usage(),
            terms,
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
        let Terms {
            limits,
            floor,
            told,
        } = self.terms;
        for limit in [limits.bytes, limits.emails] {
            out.varint(limit.map_or(0, |limit| limit.saturating_add(1)));
        }
        out.varint(floor.modseq.0).varint(floor.at_ms);
        out.u8(told.code());
        out.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(record);
        let version = input.u8()?;
        if !matches!(version, VERSION_1 | VERSION_2 | VERSION) {
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
            terms: Terms::default(),
        };
        head.terms.limits = QuotaLimits {
            bytes: input.varint()?.checked_sub(1),
            emails: input.varint()?.checked_sub(1),
        };
        if version != VERSION_1 {
            head.terms.floor = Floor {
                modseq: ModSeq(input.varint()?),
                at_ms: input.varint()?,
            };
        }
        if version == VERSION {
            head.terms.told = QuotaMark::from_code(input.u8()?)?;
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
            terms: Terms {
                limits: QuotaLimits {
                    bytes: Some(1000),
                    emails: None,
                },
                floor: Floor {
                    modseq: ModSeq(200),
                    at_ms: 9,
                },
                told: QuotaMark::Filling,
            },
        };
        let golden = [
            3, 0xac, 2, 6, 7, 0xe8, 7, 0x80, 1, 5, 0xe9, 7, 0, 0xc8, 1, 9, 1,
        ];
        assert_eq!(head.encode(), golden);
        assert_eq!(Head::decode(&golden), Ok(head));
        assert_eq!(Head::decode(&[4]), Err(DecodeError::Version(4)));
        for end in 0..golden.len() {
            assert!(Head::decode(&golden[..end]).is_err());
        }
        let with = |terms| Ok(Head { terms, ..head });
        let of_version_2 = [
            2, 0xac, 2, 6, 7, 0xe8, 7, 0x80, 1, 5, 0xe9, 7, 0, 0xc8, 1, 9,
        ];
        let terms = Terms {
            told: QuotaMark::None,
            ..head.terms
        };
        assert_eq!(Head::decode(&of_version_2), with(terms));
        let of_version_1 = [1, 0xac, 2, 6, 7, 0xe8, 7, 0x80, 1, 5, 0xe9, 7, 0];
        let terms = Terms {
            floor: Floor::default(),
            ..terms
        };
        assert_eq!(Head::decode(&of_version_1), with(terms));
    }

    #[test]
    fn marks_are_reached_by_bytes_or_by_emails() {
        let limits = QuotaLimits {
            bytes: Some(1000),
            emails: Some(10),
        };
        let mark = |bytes, emails| limits.mark(Usage { bytes, emails });
        assert_eq!(mark(799, 7), QuotaMark::None);
        assert_eq!(mark(800, 0), QuotaMark::Filling);
        assert_eq!(mark(0, 8), QuotaMark::Filling);
        assert_eq!(mark(949, 9), QuotaMark::Filling);
        assert_eq!(mark(950, 0), QuotaMark::NearlyFull);
        assert_eq!(mark(0, 10), QuotaMark::NearlyFull);
        assert_eq!(mark(u64::MAX, u64::MAX), QuotaMark::NearlyFull);
        let none = QuotaLimits::default();
        let all = Usage {
            bytes: u64::MAX,
            emails: u64::MAX,
        };
        assert_eq!(none.mark(all), QuotaMark::None);
    }
}
