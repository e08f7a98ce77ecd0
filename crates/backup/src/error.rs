//! Why a backup or a restore can't go on.

use std::io;
use thiserror::Error;

/// A backup, a check or a restore failed.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The folder or bucket can't be used.
    #[error("the backup target cannot be used ({what}): {source}")]
    Target {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the backup can't be read or is not what was written.
    #[error("the backup's file {file} is damaged or unreadable: {why}")]
    Damaged {
        /// Its name in the target.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// There is no backup there.
    #[error(
        "there is no backup in {0}; name the folder or bucket that `posthouse backup --to` wrote"
    )]
    NotABackup(String),
    /// The target holds something else.
    #[error("{0} is not empty and holds no backup; name an empty or a new one")]
    NotEmpty(String),
    /// A later program wrote it.
    #[error(
        "the backup has format {0}, which this program does not know; use the version that wrote it or a newer one"
    )]
    NewerFormat(u32),
    /// It belongs to another system.
    #[error(
        "the backup in {0} belongs to another system; give each system a folder or prefix of its own"
    )]
    OtherStore(String),
    /// No run to read.
    #[error("the backup holds no finished run{0}")]
    NoRun(String),
    /// It is sealed and no passphrase was given.
    #[error("the backup is encrypted; give its passphrase with --passphrase-file")]
    NeedsPassphrase,
    /// It is not sealed but a passphrase was given.
    #[error(
        "the backup is not encrypted, and a passphrase was given; leave it out, or begin an encrypted backup in another place"
    )]
    NotEncrypted,
    /// The passphrase does not open it.
    #[error("the passphrase does not open this backup")]
    WrongPassphrase,
    /// A passphrase of nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The server ends or the caller gave up.
    #[error("interrupted; nothing of this run counts, and the next one uses what was finished")]
    Interrupted,
    /// A restore of everything found things missing or damaged.
    #[error(
        "{count} things of this backup cannot be restored, the first: {first}; nothing was restored. `posthouse backup verify` tells all; --skip-damaged restores the rest"
    )]
    Incomplete {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// The store to restore into has a shape that does not fit.
    #[error("the backup is of a store with {backup} shards, this one has {here}")]
    Shards {
        /// Of the backup.
        backup: u16,
        /// Here.
        here: u16,
    },
    /// An account that the backup does not hold.
    #[error("the backup of {run} holds no account {account}")]
    NoAccount {
        /// The run.
        run: String,
        /// The account.
        account: String,
    },
    /// A mailbox that the backup's account does not hold.
    #[error("the account has no mailbox {0:?} in this backup")]
    NoMailbox(String),
    /// Scratch space.
    #[error("no scratch file can be made or used: {0}")]
    Scratch(#[from] io::Error),
    /// The store can't be read.
    #[error(transparent)]
    Read(#[from] engine::ReadError),
    /// The store refused.
    #[error(transparent)]
    Submit(#[from] engine::SubmitError),
    /// A body can't be read or written.
    #[error(transparent)]
    Blob(#[from] blobs::BlobError),
    /// An account can't be read or changed.
    #[error(transparent)]
    Mail(#[from] mailstore::StoreError),
    /// The directory can't be read.
    #[error(transparent)]
    Directory(#[from] directory::DirectoryError),
}

impl BackupError {
    pub(crate) fn damaged(file: &str, why: impl std::fmt::Display) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            why: why.to_string(),
        }
    }

    pub(crate) fn target(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Target { what, source }
    }
}
