//! What a run came to: actions, why it failed, what it did line by line.

use crate::complaint::Position;
use std::sync::Arc;

/// The message as it was when an action was met (RFC 5293 §4: each stores and sends what is there then).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Version {
    /// As it came.
    #[default]
    Original,
    /// With this header, blank line and all, before its body.
    Header(Arc<[u8]>),
    /// This message in its place.
    Whole(Arc<[u8]>),
}

impl Version {
    /// Is it the same, as it was made? No octets are looked at.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Original, Self::Original) => true,
            (Self::Header(a), Self::Header(b)) | (Self::Whole(a), Self::Whole(b)) => {
                Arc::ptr_eq(a, b)
            }
            _ => false,
        }
    }
}

/// Where to file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filing {
    /// The mailbox, as the script names it.
    pub mailbox: String,
    /// Make it if it is not there (RFC 5490 §3.2).
    pub create: bool,
    /// File into the mailbox of this special use rather, if there is one (RFC 8579 §5).
    pub special_use: Option<String>,
    /// Flags to store.
    pub flags: Vec<String>,
}

/// What a script asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// File where it would go without a script.
    Keep {
        /// Flags to store.
        flags: Vec<String>,
        /// No command says so, but none says otherwise.
        implicit: bool,
    },
    /// File into a mailbox.
    FileInto(Filing),
    /// Send on.
    Redirect {
        /// To this address, which is valid; or to all of a list (RFC 6134 §2.3).
        to: String,
        /// Is `to` a list's name?
        list: bool,
    },
    /// Drop.
    Discard,
    /// Refuse (RFC 5429).
    Reject {
        /// With this text.
        reason: String,
        /// As `ereject`: by the protocol rather than by a message.
        extended: bool,
    },
    /// Answer, if it is due (RFC 5230).
    Vacation(Box<VacationAction>),
    /// Notify (RFC 5435).
    Notify(Box<NotifyAction>),
}

/// An automatic answer. Whether it is sent is the caller's decision (RFC 5230 §4.2 to §4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VacationAction {
    /// The time within which nobody is answered twice, if the script says.
    pub seconds: Option<u64>,
    /// The answer's subject, if the script says.
    pub subject: Option<String>,
    /// Its From, if the script says.
    pub from: Option<String>,
    /// Addresses that are the user's too.
    pub addresses: Vec<String>,
    /// Is the reason a MIME entity?
    pub mime: bool,
    /// What tells this answer from others.
    pub handle: Option<String>,
    /// The text.
    pub reason: String,
    /// Where a copy is filed (RFC 8580).
    pub fcc: Option<Filing>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyAction {
    /// How: a URI.
    pub method: String,
    /// From whom, if the script says.
    pub from: Option<String>,
    /// 1 high, 2 normal, 3 low.
    pub importance: u8,
    /// Options of the method.
    pub options: Vec<String>,
    /// The text, if the script says.
    pub message: Option<String>,
    /// Where a copy is filed (RFC 8580).
    pub fcc: Option<Filing>,
}

/// An action and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    /// What.
    pub action: Action,
    /// Of which message.
    pub version: Version,
    /// By which script.
    pub script: Arc<str>,
    /// Where; none for the implicit keep.
    pub at: Option<Position>,
}

/// Why a run ended before its script did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The work of a run is bounded.
    #[error("it takes more work than a script may")]
    OutOfFuel,
    /// So are its actions.
    #[error("total number of actions exceeds policy limit ({0})")]
    TooManyActions(usize),
    /// And those that send to others.
    #[error("number of redirect actions exceeds policy limit ({0})")]
    TooManyRedirects(usize),
    /// And those that notify.
    #[error("number of notify actions exceeds policy limit ({0})")]
    TooManyNotifications(usize),
    /// Blocks, tests and included scripts within each other.
    #[error("blocks and scripts are nested too deeply")]
    TooDeep,
    /// A string grew too long.
    #[error("a string grows too long")]
    StringTooLong,
    /// Variables are bounded.
    #[error("there are too many variables")]
    TooManyVariables,
    /// RFC 5429 §2.1, RFC 5230 §4.7.
    #[error("\"{0}\" and \"{1}\" exclude each other")]
    Conflict(&'static str, &'static str),
    /// A redirect, and the like, to what is none.
    #[error("\"{0}\" is no mail address")]
    BadAddress(String),
    /// What is no name of a field.
    #[error("field name \"{0}\" is invalid")]
    BadFieldName(String),
    /// A field that a header can't have.
    #[error("this can't be a header field: {0}")]
    BadField(String),
    /// A header that is not at hand whole is not written anew.
    #[error("the header is too large to be changed")]
    HeaderTooLarge,
    /// Headers that are written anew are bounded.
    #[error("the headers that are made of this message are too large together")]
    TooManyVersions,
    /// A mailbox name that is none.
    #[error("invalid folder name \"{0}\"")]
    BadMailbox(String),
    /// A method of notification that is none.
    #[error("\"{0}\" is no method of notification")]
    BadMethod(String),
    /// An included script that is not there.
    #[error("there is no script \"{0}\" to include")]
    NoScript(String),
    /// A script that includes itself.
    #[error("the script \"{0}\" would include itself")]
    Circular(String),
    /// Scripts are included a bounded number of times.
    #[error("too many scripts are included")]
    TooManyIncludes,
    /// RFC 6785 §3.11 and §4.6.
    #[error("\"{0}\" has no meaning where nothing is delivered")]
    NotAtDelivery(&'static str),
    /// The script's own `error` (RFC 5463 §5).
    #[error("the script says: {0}")]
    Said(String),
    /// What was asked of the caller could not be answered.
    #[error(transparent)]
    World(#[from] crate::world::WorldError),
}

/// An error and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("script \"{script}\", line {}: {why}", at.line)]
pub struct Failure {
    /// In which script.
    pub script: Arc<str>,
    /// Where in it.
    pub at: Position,
    /// Why.
    pub why: RunError,
}

/// A line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceLine {
    /// Of which script.
    pub script: Arc<str>,
    /// Which line of it.
    pub line: u32,
    /// What it did.
    pub what: String,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What to do, in this order. After a failure the implicit keep alone.
    pub actions: Vec<Performed>,
    /// The flags at the end (RFC 5232's internal variable).
    pub flags: Vec<String>,
    /// Why it ended early.
    pub failure: Option<Failure>,
    /// What each line did, if it was asked for.
    pub trace: Vec<TraceLine>,
    /// How much of [`crate::Limits::fuel`] was used.
    pub fuel_used: u64,
}

impl Outcome {
    /// Is the message kept where it is or would go?
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.actions
            .iter()
            .any(|performed| matches!(performed.action, Action::Keep { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_without_their_octets() {
        let version = || Version::Header(b"A: b\r\n\r\n"[..].into());
        let one = version();
        assert!(one.is(&one.clone()) && Version::Original.is(&Version::Original));
        assert!(!one.is(&version()) && !one.is(&Version::Original));
    }
}
