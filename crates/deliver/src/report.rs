//! What became of a message's recipients.

use std::net::SocketAddr;
use std::time::Duration;

use envelope::Reply;

/// One attempt's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One for each recipient of the envelope, in their order.
    pub outcomes: Vec<Outcome>,
    /// One for each recipient too: the server that took it offers DSN, has been
    /// told what the sender wants to hear, and tells it (RFC 3461 §5.2.1).
    pub reported_there: Vec<bool>,
    /// The host that was spoken to last.
    pub host: Option<String>,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The last connection was encrypted.
    pub tls: bool,
    /// A handshake failed on the way, so that the mail went in the clear; worth
    /// remembering for a day.
    pub tls_failed: bool,
    /// Nothing was said of the message: there was no place for a connection, or the
    /// server had enough of those that are there. It may go as soon as there is one.
    pub no_room: bool,
    /// Who was spoken to wants no other attempt with this message before so long.
    pub retry_after: Option<Duration>,
}

impl Report {
    /// The same for all recipients, and nobody was spoken to.
    #[must_use]
    pub fn all(outcome: Outcome, recipients: usize) -> Self {
        Self {
            outcomes: vec![outcome; recipients],
            reported_there: vec![false; recipients],
            host: None,
            address: None,
            tls: false,
            tls_failed: false,
            no_room: false,
            retry_after: None,
        }
    }
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server took it.
    Delivered(Reply),
    /// Try again later.
    Temporary(Reason),
    /// Give up.
    Permanent(Reason),
}

/// Why it was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What the server said, or a reply in our own words.
    pub reply: Reply,
    /// The server said it, at the host named here.
    pub said_by: Option<String>,
}

impl Outcome {
    /// A temporary failure in our own words.
    #[must_use]
    pub fn temporary(status: (u8, u16, u16), text: &str) -> Self {
        Self::Temporary(Reason {
            reply: Reply::enhanced(451, status, text),
            said_by: None,
        })
    }

    /// A permanent failure in our own words; 556 for 5.1.10 (RFC 7504, RFC 7505).
    #[must_use]
    pub fn permanent(code: u16, status: (u8, u16, u16), text: &str) -> Self {
        Self::Permanent(Reason {
            reply: Reply::enhanced(code, status, text),
            said_by: None,
        })
    }

    /// What a server's reply means for a recipient. `5yz 4.x.x` contradicts
    /// itself and counts as temporary, as does everything unknown.
    #[must_use]
    pub fn of_reply(reply: Reply, host: &str) -> Self {
        let class = reply.enhanced.map(|status| status.class);
        if reply.is_positive() {
            return Self::Delivered(reply);
        }
        let permanent = reply.is_permanent() && class != Some(4);
        let reason = Reason {
            reply,
            said_by: Some(host.to_owned()),
        };
        if permanent {
            Self::Permanent(reason)
        } else {
            Self::Temporary(reason)
        }
    }

    /// The reply behind it.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Delivered(reply) => reply,
            Self::Temporary(reason) | Self::Permanent(reason) => &reason.reply,
        }
    }

    /// True when the server took it.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered(_))
    }
}
