//! Why the store can't do what was asked.

use crate::head::OverQuota;
use engine::{ReadError, SubmitError};
use envelope::AccountId;
use mailbox_model::stage::StageError;
use mailbox_model::{ApplyError, EmailId};
use thiserror::Error;
use wire::codec::DecodeError;

/// An operation on an account failed; nothing of it was done.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no such account.
    #[error("account {0} is not in the store")]
    NoAccount(AccountId),
    /// What was asked for can't be: the client's fault, permanent.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The account, or all of its domain together, would hold more than they may.
    #[error("{0}")]
    OverQuota(OverQuota),
    /// The email is not there, or its record can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The engine refused the commit.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The engine could not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The body could not be read or staged.
    #[error(transparent)]
    Blob(#[from] blobs::BlobError),
    /// The account's own records are damaged beyond what its log can mend.
    #[error("account {account} is damaged: {what}")]
    Damaged {
        /// Which.
        account: AccountId,
        /// What was found.
        what: String,
    },
    /// A change does not fit the account: our own mistake or a damaged log.
    #[error("a change does not fit the account: {0}")]
    Apply(#[from] ApplyError),
    /// The per-recipient prefix is too long.
    #[error("the message's prefix has {0} bytes, too many")]
    PrefixTooLong(usize),
    /// Other commits won each time.
    #[error("the account is being changed by others all the time")]
    Contended,
}

impl StoreError {
    /// True if trying again later can help; unknown means yes, so that mail
    /// waits and does not bounce.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !matches!(
            self,
            Self::NoAccount(_) | Self::Stage(_) | Self::PrefixTooLong(_)
        )
    }
}

/// One email's record can't be given; the others can.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RecordError {
    /// It is not there: expunged meanwhile, or lost.
    #[error("email {0} has no record")]
    Missing(EmailId),
    /// It does not decode.
    #[error("the record of email {0} is damaged: {1}")]
    Damaged(EmailId, DecodeError),
    /// The engine could not read it.
    #[error("the record of email {0} could not be read: {1}")]
    Unreadable(EmailId, String),
}
