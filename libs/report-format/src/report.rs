//! What a report is made from. The caller decides all of it: who is told, what
//! of, when it is and which random names are used.

use envelope::{
    Address, BodyType, EnhancedStatus, Envelope, Notify, OriginalRecipient, Recipient, ReversePath,
};
use mime::DateTime;

/// A delivery report before it is a message.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// Host name of the system that reports; also the domain of the From address.
    pub reporting_mta: &'a str,
    /// Who is told: the original sender.
    pub to: &'a Address,
    /// When the report is written.
    pub date: DateTime,
    /// The report's own id, without angle brackets.
    pub message_id: &'a str,
    /// A boundary that no content can hold: random letters and digits.
    pub boundary: &'a str,
    /// ENVID of the original message, decoded.
    pub envelope_id: Option<&'a str>,
    /// When the original message came in.
    pub arrived: DateTime,
    /// The id that an operator finds the message by.
    pub queue_id: Option<&'a str>,
    /// What became of whom; at least one.
    pub recipients: &'a [RecipientReport],
    /// What of the message goes back.
    pub original: Original<'a>,
}

/// What of the original message goes back with a report.
#[derive(Debug, Clone, Copy)]
pub enum Original<'a> {
    /// Its header (RET=HDRS, and the default).
    Header(&'a [u8]),
    /// All of it (RET=FULL), if it is not too large.
    Message(&'a [u8]),
}

/// RFC 3464 §2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Not delivered, nothing more is tried.
    Failed,
    /// Not delivered yet.
    Delayed,
    /// Delivered to the mailbox.
    Delivered,
    /// Given to a system that sends no reports.
    Relayed,
    /// Delivered to an alias with several members.
    Expanded,
}

impl Action {
    /// The field's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    /// Reads the field's word, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Failed,
            Self::Delayed,
            Self::Delivered,
            Self::Relayed,
            Self::Expanded,
        ]
        .into_iter()
        .find(|action| action.as_str().eq_ignore_ascii_case(word))
    }
}

/// What became of one recipient.
#[derive(Debug, Clone)]
pub struct RecipientReport {
    /// The recipient as it was tried.
    pub address: Address,
    /// ORCPT as the sender gave it.
    pub orcpt: Option<OriginalRecipient>,
    /// What became of it.
    pub action: Action,
    /// Why.
    pub status: EnhancedStatus,
    /// Host name of the server that decided, if it was another one.
    pub remote_mta: Option<String>,
    /// That server's reply, code and all, in one line or several; or, without a
    /// code in front, our own words about why there was none.
    pub diagnostic: Option<String>,
    /// When it was last tried.
    pub last_attempt: Option<DateTime>,
    /// Until when it is tried, if it is delayed.
    pub retry_until: Option<DateTime>,
}

/// A report as a message, with CRLF line ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenReport {
    /// The message, to be sent with a null reverse-path.
    pub bytes: Vec<u8>,
    /// It holds bytes above 127 and wants 8BITMIME.
    pub eight_bit: bool,
    /// Its own header does, and wants SMTPUTF8.
    pub smtputf8: bool,
}

impl WrittenReport {
    /// The envelope that it is sent with: from nobody, and nobody is told of it
    /// (RFC 3461 §6.1).
    #[must_use]
    pub fn envelope(&self, to: &Address) -> Envelope {
        let mut envelope = Envelope::new(ReversePath::Null);
        let mut recipient = Recipient::new(to.clone());
        recipient.notify = Notify::Never;
        envelope.recipients.push(recipient);
        envelope.smtputf8 = self.smtputf8;
        if self.eight_bit {
            envelope.body = BodyType::EightBitMime;
        }
        envelope
    }
}
