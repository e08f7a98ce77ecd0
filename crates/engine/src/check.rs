//! What checks are called and how they tell what they found. Everybody above
//! uses these words: `fsck`, the simulation, the crash tests, the repair.
//!
//! A [`Checker`] is a promise with a name that never changes; `docs/internals/checks.md`
//! has them in one table. A [`Report`] is one broken promise. An [`Aside`] keeps
//! what a repair takes out of the store.
//!
//! What can be wrong with journal and index themselves is in [`crate::findings`].

use std::fmt;
use std::io;

/// A promise that is checked, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checker {
    /// What was acknowledged is there.
    AcknowledgedMailPresent,
    /// Nothing is there twice.
    NoDuplicate,
    /// UIDs and mod-sequences only grow.
    UidModseqGrow,
    /// A UIDVALIDITY is never given twice.
    UidValidityUnique,
    /// Counters and quota are the sums they stand for.
    CountersEqualSums,
    /// The body of each record is there.
    BlobPresent,
    /// No body outlives its owners for longer than the grace time.
    BlobOwned,
    /// No account reads what belongs to another.
    AccountIsolated,
    /// Every record can be read.
    RecordReadable,
    /// Every key is one that this program writes.
    KeyKnown,
    /// An account's head and checkpoint are its log, folded.
    StateIsLog,
    /// A body's bytes are those that its name says.
    BodyIsItsName,
    /// Every queued message has its records and its place in the schedule.
    QueueComplete,
    /// The directory's records agree with each other and with the mail.
    DirectoryAgrees,
    /// The index says what the journal says.
    IndexIsJournal,
    /// The journal can be read from its beginning to its end.
    JournalWhole,
    /// The index of texts can be read and has all its blocks.
    SearchIndexWhole,
}

impl Checker {
    /// All of them, in the order of the table in `docs/internals/checks.md`.
    pub const ALL: [Self; 17] = [
        Self::AcknowledgedMailPresent,
        Self::NoDuplicate,
        Self::UidModseqGrow,
        Self::UidValidityUnique,
        Self::CountersEqualSums,
        Self::BlobPresent,
        Self::BlobOwned,
        Self::AccountIsolated,
        Self::RecordReadable,
        Self::KeyKnown,
        Self::StateIsLog,
        Self::BodyIsItsName,
        Self::QueueComplete,
        Self::DirectoryAgrees,
        Self::IndexIsJournal,
        Self::JournalWhole,
        Self::SearchIndexWhole,
    ];

    /// The name, as scripts see it; never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedMailPresent => "acknowledged-mail-present",
            Self::NoDuplicate => "no-duplicate",
            Self::UidModseqGrow => "uid-modseq-grow",
            Self::UidValidityUnique => "uidvalidity-unique",
            Self::CountersEqualSums => "counters-equal-sums",
            Self::BlobPresent => "blob-present",
            Self::BlobOwned => "blob-owned",
            Self::AccountIsolated => "account-isolated",
            Self::RecordReadable => "record-readable",
            Self::KeyKnown => "key-known",
            Self::StateIsLog => "state-is-log",
            Self::BodyIsItsName => "body-is-its-name",
            Self::QueueComplete => "queue-complete",
            Self::DirectoryAgrees => "directory-agrees",
            Self::IndexIsJournal => "index-is-journal",
            Self::JournalWhole => "journal-whole",
            Self::SearchIndexWhole => "search-index-whole",
        }
    }
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something that was promised can't be given.
    Lost,
    /// Something is answered wrongly or can't be used until it is repaired.
    Wrong,
    /// It costs space and nothing else.
    Leftover,
}

impl Severity {
    /// The name, as scripts see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Wrong => "wrong",
            Self::Leftover => "leftover",
        }
    }
}

/// What `fsck --repair` does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repair {
    /// It is derived from something else and made again.
    Rebuild,
    /// The record is set aside, and what depends on it goes on without.
    SetAside,
    /// Nothing that a program can do.
    None,
}

impl Repair {
    /// The name, as scripts see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::SetAside => "set-aside",
            Self::None => "none",
        }
    }
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which promise.
    pub checker: Checker,
    /// How bad it is.
    pub severity: Severity,
    /// What a repair does about it.
    pub repair: Repair,
    /// The account that it is about.
    pub account: Option<u64>,
    /// The key that it is about.
    pub key: Option<Vec<u8>>,
    /// What is wrong: a sentence without an end.
    pub what: String,
    /// What that means for the people who use the system: a sentence without an end.
    pub means: &'static str,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

/// Something that a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The promise that holds again.
    pub checker: Checker,
    /// The account that it was about.
    pub account: Option<u64>,
    /// What was done: a sentence without an end.
    pub what: String,
}

/// A record that leaves the store.
#[derive(Debug, Clone, Copy)]
pub struct SetAside<'a> {
    /// The promise that it breaks.
    pub checker: Checker,
    /// The account that it belonged to.
    pub account: Option<u64>,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Why it was taken out: a sentence without an end.
    pub why: &'a str,
}

/// Where records go that a repair takes out of the store.
pub trait Aside: Send + Sync {
    /// Keeps a record. When this returns the record is on stable storage: only
    /// then may it be removed from the store.
    ///
    /// # Errors
    /// It could not be kept; the record must stay where it is.
    fn keep(&self, item: &SetAside<'_>) -> io::Result<()>;
}

/// A key as a person may copy it: printable bytes as they are.
#[must_use]
pub fn key_text(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_kebab_case_and_told_apart() {
        let names: BTreeSet<&str> = Checker::ALL.iter().map(|checker| checker.name()).collect();
        assert_eq!(names.len(), Checker::ALL.len());
        for name in names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        }
    }
}
