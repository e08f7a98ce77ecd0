//! What can be wrong with a store, in words an operator understands.

use crate::check::{Checker, Repair, Report, Severity};
use crate::limits::FINDINGS_MAX;
use std::fmt;
use wire::codec::DecodeError;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Neither copy of a segment's header is whole: nothing in it can be read.
    SegmentHeader {
        /// The segment.
        segment: u32,
    },
    /// A part of a segment is damaged; what comes after it was read.
    Unreadable {
        /// The segment.
        segment: u32,
        /// Where the damage begins.
        from: u64,
        /// Where the next good group begins.
        to: u64,
    },
    /// Groups between two others are not there.
    MissingGroups {
        /// The segment of the group after the gap.
        segment: u32,
        /// The group that should have come.
        expected: u64,
        /// The group that came.
        found: u64,
    },
    /// A commit's frame is whole but does not decode.
    Commit {
        /// The segment.
        segment: u32,
        /// Where the frame begins.
        at: u64,
        /// The commit.
        commit: u64,
        /// What is wrong with it.
        why: DecodeError,
    },
    /// The index could not be used; it was set aside and made again.
    IndexRebuilt {
        /// What was wrong with it.
        why: String,
    },
    /// The index knows commits that the journal has lost.
    IndexAhead {
        /// The last commit in the index.
        index: u64,
        /// The last commit in the journal.
        journal: u64,
    },
    /// The index lacks a key that the journal has.
    IndexLacks {
        /// The key.
        key: Vec<u8>,
        /// The commit that wrote it.
        commit: u64,
    },
    /// The index has a key that the journal has not, or has deleted.
    IndexHas {
        /// The key.
        key: Vec<u8>,
        /// The commit that the index names.
        commit: u64,
    },
    /// Index and journal name different commits for a key.
    IndexDiffers {
        /// The key.
        key: Vec<u8>,
        /// The commit that the index names.
        index: u64,
        /// The last commit in the journal that wrote the key.
        journal: u64,
    },
    /// A part of the index cannot be read.
    IndexUnreadable {
        /// What the library says.
        why: String,
    },
    /// A key that belongs to no space.
    StrangeKey {
        /// The key.
        key: Vec<u8>,
    },
    /// There are more findings than are told.
    More {
        /// How many.
        count: u64,
    },
}

/// Findings up to a bound.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    told: Vec<Finding>,
    more: u64,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        if self.told.len() < FINDINGS_MAX {
            self.told.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn extend(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            self.push(finding);
        }
    }

    /// Those that are told; the last one says how many are not.
    pub(crate) fn told(mut self) -> Vec<Finding> {
        if self.more > 0 {
            self.told.push(Finding::More { count: self.more });
        }
        self.told
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SegmentHeader { segment } => {
                write!(
                    f,
                    "journal segment {segment}: the header is damaged, nothing in it can be read"
                )
            }
            Self::Unreadable { segment, from, to } => {
                write!(
                    f,
                    "journal segment {segment}: damaged from byte {from} to {to}; the rest is good"
                )
            }
            Self::MissingGroups {
                segment,
                expected,
                found,
            } => {
                write!(
                    f,
                    "journal segment {segment}: begins with group {found}, but {expected} is missing"
                )
            }
            Self::Commit {
                segment,
                at,
                commit,
                why,
            } => {
                write!(
                    f,
                    "journal segment {segment} at byte {at}: commit {commit} does not decode: {why}"
                )
            }
            Self::IndexRebuilt { why } => {
                write!(
                    f,
                    "the index was set aside and made again from the journal: {why}"
                )
            }
            Self::IndexAhead { index, journal } => {
                write!(
                    f,
                    "the journal ends at commit {journal}, but the index knows commit {index}"
                )
            }
            Self::IndexLacks { key, commit } => {
                write!(f, "the index lacks the key {} of commit {commit}", Key(key))
            }
            Self::IndexHas { key, commit } => {
                write!(
                    f,
                    "the index has the key {} of commit {commit}, which the journal has not",
                    Key(key)
                )
            }
            Self::IndexDiffers {
                key,
                index,
                journal,
            } => {
                write!(
                    f,
                    "the key {} is of commit {index} in the index and of {journal} in the journal",
                    Key(key)
                )
            }
            Self::IndexUnreadable { why } => {
                write!(
                    f,
                    "the index cannot be read: {why}; the next start makes it again"
                )
            }
            Self::StrangeKey { key } => write!(f, "the key {} belongs to no space", Key(key)),
            Self::More { count } => write!(
                f,
                "there are {count} findings more of the journal or the index"
            ),
        }
    }
}

impl Finding {
    /// The finding as everybody tells it.
    #[must_use]
    pub fn report(&self) -> Report {
        use Severity::{Leftover, Lost, Wrong};
        let (checker, severity, repair, means) = match self {
            Self::SegmentHeader { .. }
            | Self::Unreadable { .. }
            | Self::MissingGroups { .. }
            | Self::Commit { .. } => (
                Checker::JournalWhole,
                Lost,
                Repair::None,
                "mail or changes that were written there may be lost, unless the index still has them; the disk should be looked at",
            ),
            Self::IndexRebuilt { .. } => (
                Checker::IndexIsJournal,
                Leftover,
                Repair::None,
                "nothing is lost; look at the disk if it happens again",
            ),
            Self::IndexAhead { .. } => (
                Checker::JournalWhole,
                Wrong,
                Repair::Rebuild,
                "the journal's end is lost: what only the index knows would go with it",
            ),
            Self::More { .. } => (
                Checker::IndexIsJournal,
                Wrong,
                Repair::Rebuild,
                "not every finding is listed",
            ),
            Self::IndexLacks { .. } | Self::IndexDiffers { .. } => (
                Checker::IndexIsJournal,
                Wrong,
                Repair::Rebuild,
                "something that is stored is not shown, or an older state of it",
            ),
            Self::IndexHas { .. } => (
                Checker::IndexIsJournal,
                Wrong,
                Repair::Rebuild,
                "something is shown that the journal does not hold: it would go with the index",
            ),
            Self::IndexUnreadable { .. } => (
                Checker::IndexIsJournal,
                Wrong,
                Repair::Rebuild,
                "some things can't be read until the index is made again; nothing is lost",
            ),
            Self::StrangeKey { .. } => (
                Checker::KeyKnown,
                Leftover,
                Repair::None,
                "nothing that this program knows of; was the store used by a newer one?",
            ),
        };
        Report {
            checker,
            severity,
            repair,
            account: None,
            key: match self {
                Self::IndexLacks { key, .. }
                | Self::IndexHas { key, .. }
                | Self::IndexDiffers { key, .. }
                | Self::StrangeKey { key } => Some(key.clone()),
                _ => None,
            },
            what: self.to_string(),
            means,
        }
    }
}

/// A key as an operator may copy it: printable bytes as they are.
struct Key<'a>(&'a [u8]);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}
