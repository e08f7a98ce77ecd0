//! What a session tells its shell.

use bytes::Bytes;
use envelope::{
    BodyType, Domain, ForwardPath, Notify, OriginalRecipient, Priority, Ret, ReversePath,
    ValidSince,
};
use sasl::Question;

use super::wishes::{By, Hold};
use super::xclient::XClient;
use crate::data::DataFault;

/// Something that the client did. Those marked † wait for an answer:
/// [`Session::accept`](super::Session::accept) or
/// [`Session::reply`](super::Session::reply); nothing comes before it is given.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// † HELO, EHLO or LHLO. A transaction that was going on is over.
    Hello(Hello),
    /// † AUTH wants to know something:
    /// [`Session::answer_auth`](super::Session::answer_auth) with what there is,
    /// or [`Session::reply`](super::Session::reply) with a refusal.
    Auth(Question),
    /// AUTH has succeeded and 235 was written: now, and not before, the client
    /// is who the last answer said.
    LoggedIn,
    /// STARTTLS was answered 220: write the output, do the handshake, then call
    /// [`Session::tls_started`](super::Session::tls_started) or close.
    StartTls,
    /// † MAIL: a transaction begins when it is accepted.
    Mail(Mail),
    /// † RCPT.
    Rcpt(Rcpt),
    /// † DATA, or the first BDAT or BURL. When it is refused, no data follows.
    DataStart,
    /// † BURL: octets of the message are those that this URL names.
    /// [`Session::accept_url`](super::Session::accept_url) says how many they are, and
    /// [`Session::take_url`](super::Session::take_url) takes them; a refusal ends the message.
    Burl(String),
    /// A piece of the message, with CRLF lines, dots unstuffed.
    DataChunk(Bytes),
    /// † The message is complete. LMTP, and where PRDR was asked for: answer by
    /// [`Session::reply_each`](super::Session::reply_each).
    DataEnd {
        /// Octets of all chunks.
        size: u64,
    },
    /// The message is over and was refused by the session itself: throw away
    /// what there is of it. The transaction is over.
    DataAborted(DataFault),
    /// RSET: the transaction, if there was one, is over. (So it is after
    /// [`Event::Hello`], without this event.)
    Reset,
    /// † VRFY.
    Verify(Inquiry),
    /// † EXPN.
    Expand(Inquiry),
    /// † ETRN (RFC 1985).
    Etrn(Domain),
    /// † ATRN (RFC 2645): these domains, or all that the user may have. Behind a yes
    /// and the output the session is over, and the connection the client's.
    Atrn(Vec<Domain>),
    /// † XCLIENT, from where it is allowed. A yes begins the session anew, with the
    /// greeting: nothing that was said before counts.
    XClient(XClient),
    /// Write the output, then close.
    Close(CloseReason),
}

/// Who the client says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Which command.
    pub verb: HelloVerb,
    /// Its argument: printable ASCII, at most 255 octets.
    pub name: String,
    /// The argument as a domain or address literal, where it is one.
    pub domain: Option<Domain>,
}

/// How the client said hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelloVerb {
    /// Without extensions.
    Helo,
    /// With extensions.
    Ehlo,
    /// LMTP (RFC 2033 §4.1).
    Lhlo,
}

/// MAIL and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender.
    pub reverse_path: ReversePath,
    /// SIZE=, at most the session's limit.
    pub size: Option<u64>,
    /// BODY=.
    pub body: BodyType,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// RET=.
    pub ret: Option<Ret>,
    /// ENVID=, decoded.
    pub envid: Option<String>,
    /// PRDR: each recipient is to have its answer.
    pub prdr: bool,
    /// REQUIRETLS.
    pub require_tls: bool,
    /// HOLDFOR= or HOLDUNTIL=.
    pub hold: Option<Hold>,
    /// BY=.
    pub by: Option<By>,
    /// MT-PRIORITY=.
    pub priority: Option<Priority>,
}

/// RCPT and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// The recipient.
    pub path: ForwardPath,
    /// A source route stood before it and was ignored.
    pub had_route: bool,
    /// NOTIFY=.
    pub notify: Notify,
    /// ORCPT=.
    pub orcpt: Option<OriginalRecipient>,
    /// RRVS=.
    pub valid_since: Option<ValidSince>,
}

/// VRFY's or EXPN's argument and parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// What is asked about.
    pub argument: String,
    /// SMTPUTF8: the answer may have letters (RFC 6531 §3.7.4.2).
    pub smtputf8: bool,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// QUIT.
    Quit,
    /// The shell said so.
    Refused,
    /// Another protocol's bytes (HTTP, TLS, SSH …): no answer.
    OtherProtocol,
    /// Commands were sent behind STARTTLS in the clear (RFC 3207 §6, NO STARTTLS).
    PipelinedStartTls,
    /// Over a limit; 421 was written.
    TooManyErrors,
    /// Octets that cannot be told apart from commands any more.
    Desynchronised,
}
