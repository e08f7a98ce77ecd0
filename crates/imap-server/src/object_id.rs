//! Ids of mailboxes and emails as clients see them (RFC 8474): a letter and the
//! number that the account gives once.
//!
//! All copies of an email in different mailboxes are one email. A copy into a
//! mailbox that holds the email already is another email, with an id of its own.

use mailbox_model::{EmailId, MailboxId};

/// MAILBOXID
pub(crate) fn of_mailbox(id: MailboxId) -> String {
    format!("M{}", id.0)
}

/// EMAILID
pub(crate) fn of_email(id: EmailId) -> String {
    format!("E{}", id.0)
}

/// The email of an EMAILID.
pub(crate) fn email_of(id: &str) -> Option<EmailId> {
    let email = EmailId(id.strip_prefix('E')?.parse().ok()?);
    (of_email(email) == id).then_some(email)
}
