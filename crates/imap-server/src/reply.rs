//! The tagged end of a command, and what the client is told of the store's errors.

use imap_proto::response::{Code, Status};
use mailbox_model::stage::StageError;
use mailstore::StoreError;
use std::borrow::Cow;

/// Which changes may be told before the tagged response; each tells more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SyncMode {
    /// None: the command ends the mailbox's selection, or never had one.
    Nothing,
    /// All but EXPUNGE (RFC 9051 §7.5.1: FETCH, STORE and SEARCH by number).
    WithoutExpunge,
    /// All.
    Everything,
}

/// A tagged response in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: Status,
    pub(crate) code: Option<Code>,
    pub(crate) text: Cow<'static, str>,
    pub(crate) sync: SyncMode,
    /// The command has said its end itself.
    pub(crate) sent: bool,
}

/// The session is over; what was to be said has been said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// How commands end.
pub(crate) type Executed = Result<Reply, Ended>;

impl Reply {
    fn new(status: Status, code: Option<Code>, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            sync: SyncMode::Everything,
            sent: false,
        }
    }

    pub(crate) fn already_sent() -> Self {
        Self {
            sent: true,
            sync: SyncMode::Nothing,
            ..Self::ok("")
        }
    }

    pub(crate) fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Ok, None, text)
    }

    pub(crate) fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::No, Some(code), text)
    }

    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Bad, None, text)
    }

    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn with_sync(mut self, sync: SyncMode) -> Self {
        self.sync = sync;
        self
    }
}

/// What a failed operation is answered with. Our own trouble is logged here, once.
pub(crate) fn store_failed(error: &StoreError) -> Reply {
    match error {
        StoreError::Stage(error) => stage_failed(error),
        StoreError::OverQuota(over) => Reply::no(Code::OVER_QUOTA, over.to_string()),
        StoreError::NoAccount(_) => Reply::no(Code::UNAVAILABLE, "the account is gone"),
        StoreError::Submit(engine::SubmitError::Full) => {
            Reply::no(Code::UNAVAILABLE, "the server has no room at the moment")
        }
        StoreError::Contended => Reply::no(Code::IN_USE, "the account is busy, try again"),
        other => {
            tracing::error!(error = %other, "imap: the store failed");
            Reply::no(Code::UNAVAILABLE, "that is not possible at the moment")
        }
    }
}

fn stage_failed(error: &StageError) -> Reply {
    let code = match error {
        StageError::NoMailbox | StageError::NoEmail(_) => Code::NON_EXISTENT,
        StageError::NameTaken => Code::ALREADY_EXISTS,
        StageError::HasChildren => Code::HAS_CHILDREN,
        StageError::RoleTaken => Code::USE_ATTR,
        StageError::Name(_) | StageError::Inbox | StageError::BelowItself => Code::CANNOT,
        StageError::NumbersUsedUp
        | StageError::Keywords
        | StageError::Renewed
        | StageError::TooMany
        | StageError::Mailboxes
        | StageError::Subscriptions => Code::LIMIT,
    };
    Reply::no(code, error.to_string())
}
