//! What the face tells about a message: the session and the envelope.

use envelope::{Address, Envelope, Recipient};
use policy::check::Evidence;
use policy::rules::Shape;
use policy::{Decision, Role, Session};

/// The session a message came in by.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What policy knows of it.
    pub session: Session,
    /// Its name in the log.
    pub session_id: String,
    /// The argument of HELO, EHLO or LHLO, as it was sent.
    pub helo: String,
    /// EHLO or LHLO, not HELO.
    pub extended: bool,
    /// Version and cipher of the TLS session, for people; `None` without TLS.
    pub tls: Option<String>,
    /// What the checks found about the client.
    pub evidence: Evidence,
}

impl Facts {
    /// The protocol for Received's `with` (RFC 3848, RFC 6531 §4.3).
    #[must_use]
    pub fn protocol(&self, smtputf8: bool) -> String {
        let base = match (self.session.role, self.extended, smtputf8) {
            (Role::Lmtp, _, true) => "UTF8LMTP",
            (Role::Lmtp, _, false) => "LMTP",
            (_, _, true) => "UTF8SMTP",
            (_, true, false) => "ESMTP",
            (_, false, false) => "SMTP",
        };
        let tls = if self.tls.is_some() { "S" } else { "" };
        let login = if self.session.identity.is_some() {
            "A"
        } else {
            ""
        };
        if base == "SMTP" {
            return base.to_owned();
        }
        format!("{base}{tls}{login}")
    }
}

impl Transaction {
    /// How many of the recipients the client has named; a rule added those behind them.
    #[must_use]
    pub(crate) fn named(&self) -> usize {
        let all = self.envelope.recipients.len();
        all.saturating_sub(self.shape.unseen)
    }

    /// Whether a rule sends it there, and not who sent it.
    pub(crate) fn is_by_rule(&self, place: usize, recipient: &Recipient, to: &Address) -> bool {
        recipient.address != *to || place >= self.named()
    }
}

/// A mail transaction at the start of its data.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Where it comes from.
    pub facts: Facts,
    /// From whom, for whom: the accepted recipients only.
    pub envelope: Envelope,
    /// What policy decided, one for each recipient of the envelope.
    pub decisions: Vec<Decision>,
    /// Each recipient has its own answer (LMTP, PRDR), instead of one for all.
    pub each: bool,
    /// It is taken, but waits for a person, for this reason.
    pub hold: Option<String>,
    /// What rules change on it; [`Shape::sender`] and [`Shape::bcc`] are in the envelope already.
    pub shape: Shape,
    /// What SIZE= said.
    pub size_hint: Option<u64>,
}
