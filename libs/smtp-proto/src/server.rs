//! The server's side: [`Session`], its [`Config`] and its [`Event`]s.

mod answer;
mod command;
mod event;
mod receiving;
mod session;
#[cfg(test)]
mod tests;
mod wishes;
mod xclient;

pub use event::{CloseReason, Event, Hello, HelloVerb, Inquiry, Mail, Rcpt};
pub use session::Session;
pub use wishes::{By, Hold, WishOffers};
pub use xclient::XClient;

use crate::limits::{MESSAGE_BYTES_MAX, RECIPIENTS_MAX};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Mail from other servers (RFC 5321).
    Mx,
    /// Mail from our users (RFC 6409).
    Submission,
    /// Local delivery (RFC 2033).
    Lmtp,
}

/// When AUTH is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthOffer {
    /// Never; the command is not implemented then.
    Never,
    /// Behind TLS only.
    OverTls,
    /// In the clear too: loopback.
    Always,
}

/// What does not change from session to session of one listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the listener is for.
    pub role: Role,
    /// The name in the greeting, in ASCII.
    pub host_name: String,
    /// Octets of one message.
    pub size_max: u64,
    /// Accepted recipients of one transaction.
    pub recipients_max: usize,
    /// STARTTLS is offered while the connection is plain.
    pub starttls: bool,
    /// When AUTH is offered.
    pub auth: AuthOffer,
    /// MAIL is refused before AUTH.
    pub auth_required: bool,
    /// DSN is offered; its parameters are understood in any case.
    pub dsn: bool,
    /// BINARYMIME is offered; what is binary becomes base64 as it comes in.
    pub binary_mime: bool,
    /// REQUIRETLS is offered over TLS.
    pub require_tls: bool,
    /// PRDR is offered: an answer for each recipient, where it is asked for.
    pub prdr: bool,
    /// ETRN is done; it is offered where [`Session::allow_etrn`] says so.
    pub etrn: bool,
    /// It is a port for on-demand mail relay (RFC 2645): ATRN is done, mail is not taken.
    pub atrn: bool,
    /// BURL is offered to who has logged in (RFC 4468): messages, or parts of them, come
    /// from the mailboxes of this very server.
    pub burl: bool,
    /// What may be wished for a message's way.
    pub wishes: WishOffers,
}

impl Config {
    /// Defaults for a role; TLS and AUTH have to be added.
    #[must_use]
    pub fn new(role: Role, host_name: &str) -> Self {
        Self {
            role,
            host_name: host_name.to_owned(),
            size_max: MESSAGE_BYTES_MAX,
            recipients_max: RECIPIENTS_MAX,
            starttls: false,
            auth: AuthOffer::Never,
            auth_required: role == Role::Submission,
            dsn: false,
            binary_mime: false,
            require_tls: false,
            prdr: false,
            etrn: false,
            atrn: false,
            burl: false,
            wishes: WishOffers::default(),
        }
    }
}
