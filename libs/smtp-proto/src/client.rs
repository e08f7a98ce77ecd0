//! The client's side: [`Client`], its [`ClientConfig`], its [`Transaction`]s.

mod capabilities;
mod lines;
mod machine;
mod offered_limits;
mod reply;
#[cfg(test)]
mod tests;

pub use capabilities::Capabilities;
pub use machine::Client;
pub use offered_limits::OfferedLimits;
pub use reply::{ReplyError, ReplyParser};

use envelope::{DeliverBy, Priority, Recipient, Reply, Ret, ReversePath};
use sasl::Credentials;
use thiserror::Error;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033: a reply for each recipient.
    Lmtp,
}

/// Whether the connection is to be encrypted by STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartTls {
    /// Not even if offered (or TLS is there from the start).
    Never,
    /// If offered; in the clear if not, or if the server then refuses.
    IfOffered,
    /// Or else it fails.
    Required,
}

/// What a connection is to be like.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The argument of EHLO: our name, in ASCII.
    pub hello: String,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Use of STARTTLS.
    pub starttls: StartTls,
    /// Whom to log in as.
    pub credentials: Option<Credentials>,
    /// The password may go out without TLS: loopback.
    pub auth_in_clear: bool,
}

impl ClientConfig {
    /// A connection to another server: STARTTLS if offered, no login.
    #[must_use]
    pub fn new(hello: &str) -> Self {
        Self {
            hello: hello.to_owned(),
            protocol: Protocol::Smtp,
            starttls: StartTls::IfOffered,
            credentials: None,
            auth_in_clear: false,
        }
    }
}

/// One message for some recipients.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO; at least one.
    pub recipients: Vec<Recipient>,
    /// Octets of content, for SIZE=.
    pub size: Option<u64>,
    /// The content has octets over 127: BODY=8BITMIME where offered.
    pub eight_bit: bool,
    /// It needs SMTPUTF8: an address or a header field is not ASCII.
    pub smtputf8: bool,
    /// RET=, where DSN is offered.
    pub ret: Option<Ret>,
    /// ENVID=, where DSN is offered.
    pub envid: Option<String>,
    /// What is passed on of the sender's wishes for its way.
    pub wishes: OnwardWishes,
    /// BDAT instead of DATA, where that and PIPELINING are offered.
    pub chunking: bool,
}

/// The sender's wishes as the next server hears them. Whether it may have the
/// message at all without knowing them is for the shell to decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnwardWishes {
    /// REQUIRETLS; said wherever it is offered.
    pub require_tls: bool,
    /// BY=, where DELIVERBY is offered: seconds from now, and the rest of it.
    pub deliver_by: Option<(i64, DeliverBy)>,
    /// MT-PRIORITY=, where that is offered.
    pub priority: Option<Priority>,
    /// HOLDFOR=, in seconds, where FUTURERELEASE is offered.
    pub hold_seconds: Option<u64>,
}

/// Which answer it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The greeting.
    Greeting,
    /// EHLO, HELO, LHLO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// RSET.
    Reset,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the data, or a chunk.
    Final,
    /// QUIT.
    Quit,
}

impl Stage {
    /// In the words of the operator: `the greeting`, `MAIL`, …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Greeting => "the greeting",
            Self::Hello => "the hello",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Reset => "RSET",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Final => "the end of data",
            Self::Quit => "QUIT",
        }
    }
}

/// What was said about a recipient, last of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The server's reply.
    pub reply: Reply,
    /// What it was an answer to.
    pub stage: Stage,
}

/// What the shell is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// Do the handshake, then [`Client::tls_started`].
    StartTls,
    /// [`Client::begin`] a transaction or [`Client::quit`].
    Ready,
    /// [`Client::push_data`] the first octets of the message, [`START_BYTES_MAX`] at most,
    /// then [`Client::finish_data`] if that is all of it, or else [`Client::hold_data`]. If it
    /// cannot be read, drop the connection.
    ///
    /// [`START_BYTES_MAX`]: crate::limits::START_BYTES_MAX
    SendStart,
    /// [`Client::push_data`] the whole message, or what follows behind its start, then [`Client::finish_data`]. If
    /// it cannot be read to its end, drop the connection.
    SendData,
    /// The transaction is over; a verdict for each recipient, in their order.
    Finished(Vec<Verdict>),
    /// QUIT was answered: close.
    Closed,
    /// The connection is of no use any more: close it.
    Failed(Failure),
}

/// Why a connection is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The server said no outside a transaction.
    #[error("{} was answered: {}", .0.stage.name(), .0.reply.to_line())]
    Refused(Verdict),
    /// STARTTLS is required and is not offered.
    #[error("the server does not offer STARTTLS, which is required here")]
    NoStartTls,
    /// We have a password, but no mechanism (or no TLS) to use it.
    #[error("the server offers no AUTH that can be used for the configured login")]
    NoAuth,
    /// Octets behind STARTTLS's reply, in the clear: somebody's in the middle.
    #[error("there was unencrypted input behind the reply to STARTTLS")]
    Injection,
    /// A reply to nothing.
    #[error("the server answered without being asked: {}", .0.to_line())]
    Unasked(Reply),
    /// What is no reply.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

/// Why this server cannot take a message, whatever the recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unsupported {
    /// SMTPUTF8 is needed.
    #[error("the message needs SMTPUTF8, which the server does not offer")]
    SmtpUtf8,
    /// Over SIZE.
    #[error("the message is bigger than the server's limit of {0} octets")]
    Size(u64),
}
