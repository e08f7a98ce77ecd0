//! What can be wrong with a store, in words an operator understands.

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
