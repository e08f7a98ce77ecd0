//! What a session tells its shell.

use sasl::Question;

/// Something that the client did. Those marked † wait for an answer; nothing
/// comes before it is given.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// STLS was answered: write the output, do the handshake, then call
    /// [`Session::tls_started`](super::Session::tls_started) or close.
    StartTls,
    /// † A login wants to know something:
    /// [`Session::answer_login`](super::Session::answer_login) or
    /// [`Session::refuse_login`](super::Session::refuse_login).
    Login(Question),
    /// † The login has succeeded: the client is who the last answer said. Open
    /// the maildrop: [`Session::accept_login`](super::Session::accept_login) or
    /// [`Session::refuse_login`](super::Session::refuse_login).
    Open,
    /// † RETR or TOP: [`Session::message_begins`](super::Session::message_begins),
    /// the message through a [`Stuffer`](super::Stuffer), then
    /// [`Session::message_ended`](super::Session::message_ended); or all of it by
    /// [`Session::message_whole`](super::Session::message_whole); or
    /// [`Session::message_refused`](super::Session::message_refused).
    Fetch(Fetch),
    /// † QUIT after a login: delete these UIDs, then
    /// [`Session::updated`](super::Session::updated). May be none.
    Update(Vec<u32>),
    /// Write the output, then close.
    Close(CloseReason),
}

/// A message that the client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// Its UID.
    pub uid: u32,
    /// Its size in octets.
    pub size: u64,
    /// The header and this many lines of the body; `None` for all of it.
    pub lines: Option<u64>,
}

/// Why a login is refused (RFC 2449 §8.1, RFC 3206 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefusal {
    /// `[AUTH]`: the credentials.
    Credentials,
    /// `[IN-USE]`: another POP3 session has the maildrop.
    InUse,
    /// `[SYS/TEMP]`: our own trouble, or too many attempts.
    Temporary,
    /// `[SYS/PERM]`: needs a person.
    Permanent,
}

impl LoginRefusal {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Credentials => "[AUTH]",
            Self::InUse => "[IN-USE]",
            Self::Temporary => "[SYS/TEMP]",
            Self::Permanent => "[SYS/PERM]",
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// QUIT.
    Quit,
    /// Another protocol's bytes (HTTP, TLS, SSH): no answer.
    OtherProtocol,
    /// Commands were sent behind STLS in the clear.
    PipelinedStartTls,
    /// Too many commands that make no sense, or failed logins.
    TooManyErrors,
    /// A line without end.
    LineTooLong,
}
