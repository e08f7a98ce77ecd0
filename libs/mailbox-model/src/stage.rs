//! Works out changes: from a view and a request to the [`Draft`] that names
//! only what really changes, and what the client is told.
//!
//! Nothing here changes a view; a draft becomes true by [`crate::apply`].

mod bring_back;
mod disaster;
mod emails;
mod flags;
mod mailboxes;
mod restore;

pub use bring_back::{BackStep, Mode, steps_back};
pub use disaster::stage_raise;
pub use emails::{
    Arrival, DeliverStaged, ExpungeStaged, Expunging, TransferStaged, stage_copy, stage_deliver,
    stage_expunge, stage_move,
};
pub use flags::{FlagAction, FlagsRequest, FlagsStaged, Untouched, stage_flags, stage_touch};
pub use mailboxes::{
    DeleteStaged, stage_create, stage_delete, stage_rename, stage_subscribe, stage_uid_validity,
    stage_unsubscribe,
};
pub use restore::{RestoreStaged, Wanted, stage_exact_flags, stage_rename_each, stage_restore};

use crate::flags::{Flag, FlagId, Keywords};
use crate::ids::{EmailId, KeywordId, MailboxId, Uid};
use crate::limits::{
    EMAILS_PER_CHANGE_MAX, KEYWORD_BYTES_MAX, KEYWORDS_PER_CHANGE_MAX, MAILBOXES_MAX,
    ORPHAN_SUBSCRIPTIONS_MAX, RENEWED_PER_CHANGE_MAX,
};
use crate::mailbox::Mailbox;
use crate::name::NameError;
use crate::uidset::UidSet;
use crate::view::View;
use std::sync::Arc;
use thiserror::Error;

/// Why a request can't become a change.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum StageError {
    /// The mailbox is not there (any more).
    #[error("there is no such mailbox")]
    NoMailbox,
    /// The name is taken.
    #[error("a mailbox of this name exists already")]
    NameTaken,
    /// Another mailbox has the special use.
    #[error("another mailbox has this use already")]
    RoleTaken,
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The inbox can't be deleted or made.
    #[error("the inbox always exists")]
    Inbox,
    /// Only a name with mailboxes below it, which are not deleted with it.
    #[error("the name has mailboxes below it")]
    HasChildren,
    /// A mailbox can't go below itself.
    #[error("a mailbox can't be moved below itself")]
    BelowItself,
    /// UIDs, ids or UIDVALIDITYs are used up.
    #[error("the mailbox has no numbers left")]
    NumbersUsedUp,
    /// A keyword is too long, or there are too many in one request.
    #[error(
        "a keyword is longer than {KEYWORD_BYTES_MAX} bytes or there are over {KEYWORDS_PER_CHANGE_MAX}"
    )]
    Keywords,
    /// One COPY or MOVE would make too many emails anew.
    #[error(
        "over {RENEWED_PER_CHANGE_MAX} of these messages are in the target already: copy fewer at a time"
    )]
    Renewed,
    /// Too many emails for one change.
    #[error("one change may bring back {EMAILS_PER_CHANGE_MAX} emails")]
    TooMany,
    /// An email that the account never had.
    #[error("the account never had email {0}")]
    NoEmail(EmailId),
    /// More mailboxes than an account may have.
    #[error("an account may have {MAILBOXES_MAX} mailboxes")]
    Mailboxes,
    /// More subscriptions to names without a mailbox than are kept.
    #[error("there are over {ORPHAN_SUBSCRIPTIONS_MAX} subscriptions to names without a mailbox")]
    Subscriptions,
}

fn find(view: &View, id: MailboxId) -> Result<&Arc<Mailbox>, StageError> {
    view.mailbox(id).ok_or(StageError::NoMailbox)
}

/// Numbers flags, with the keywords that the account does not know yet.
struct Numbering<'a> {
    view: &'a View,
    new_keywords: Vec<Arc<str>>,
}

impl<'a> Numbering<'a> {
    fn new(view: &'a View) -> Self {
        Self {
            view,
            new_keywords: Vec::new(),
        }
    }

    fn number(&mut self, flag: &Flag) -> Result<FlagId, StageError> {
        if let Some(id) = self.view.flag_id(flag) {
            return Ok(id);
        }
        let name = flag.as_str();
        if name.is_empty() || name.len() > KEYWORD_BYTES_MAX {
            return Err(StageError::Keywords);
        }
        let known = self
            .new_keywords
            .iter()
            .position(|k| k.eq_ignore_ascii_case(name));
        let at = known.unwrap_or_else(|| {
            self.new_keywords.push(name.into());
            self.new_keywords.len() - 1
        });
        u32::try_from(self.view.keywords().len() + at)
            .map(|id| FlagId::Keyword(KeywordId(id)))
            .map_err(|_| StageError::NumbersUsedUp)
    }

    /// The keywords and `\Deleted` among flags.
    fn keywords(&mut self, flags: &[Flag]) -> Result<(Keywords, bool), StageError> {
        if flags.len() > KEYWORDS_PER_CHANGE_MAX {
            return Err(StageError::Keywords);
        }
        let mut keywords = Keywords::none();
        let mut deleted = false;
        for flag in flags {
            match self.number(flag)? {
                FlagId::Deleted => deleted = true,
                id => {
                    keywords.edit(id, true);
                }
            }
        }
        Ok((keywords, deleted))
    }
}

/// Collects entries of rising rank into ranges that reach over UIDs which no
/// longer exist.
#[derive(Default)]
struct Runs {
    uids: UidSet,
    next_rank: Option<usize>,
}

impl Runs {
    fn push(&mut self, rank: usize, uid: Uid) {
        if self.next_rank == Some(rank) {
            self.uids.extend_last(uid);
        } else {
            self.uids.push(uid);
        }
        self.next_rank = Some(rank + 1);
    }
}
