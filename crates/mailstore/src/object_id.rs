//! Ids of mailboxes, emails and threads as clients see them (RFC 8474, RFC 8620 §1.2): a letter and the
//! number that the account gives once; in another's account that account's in front of it, because
//! its numbers are the user's own as well.
//!
//! All copies of an email in different mailboxes are one email. A copy into a
//! mailbox that holds the email already is another email, with an id of its own.

use envelope::AccountId;
use mailbox_model::{EmailId, MailboxId};

fn of(owner: Option<AccountId>, letter: char, number: u64) -> String {
    match owner {
        Some(owner) => format!("A{}-{letter}{number}", owner.0),
        None => format!("{letter}{number}"),
    }
}

/// MAILBOXID, of a mailbox of another if an owner is given.
#[must_use]
pub fn of_mailbox(id: MailboxId, owner: Option<AccountId>) -> String {
    of(owner, 'M', u64::from(id.0))
}

/// EMAILID, of an email of another if an owner is given.
#[must_use]
pub fn of_email(id: EmailId, owner: Option<AccountId>) -> String {
    of(owner, 'E', id.0)
}

/// The email of an EMAILID.
#[must_use]
pub fn email_of(id: &str, owner: Option<AccountId>) -> Option<EmailId> {
    let (_, number) = id.rsplit_once('E')?;
    let email = EmailId(number.parse().ok()?);
    (of_email(email, owner) == id).then_some(email)
}

/// The mailbox of a MAILBOXID.
#[must_use]
pub fn mailbox_of(id: &str, owner: Option<AccountId>) -> Option<MailboxId> {
    let (_, number) = id.rsplit_once('M')?;
    let mailbox = MailboxId(number.parse().ok()?);
    (of_mailbox(mailbox, owner) == id).then_some(mailbox)
}

/// THREADID, by the thread's first email.
#[must_use]
pub fn of_thread(first: EmailId, owner: Option<AccountId>) -> String {
    of(owner, 'T', first.0)
}

/// The first email of a THREADID's thread.
#[must_use]
pub fn thread_of(id: &str, owner: Option<AccountId>) -> Option<EmailId> {
    let (_, number) = id.rsplit_once('T')?;
    let first = EmailId(number.parse().ok()?);
    (of_thread(first, owner) == id).then_some(first)
}

/// An account's id in JMAP.
#[must_use]
pub fn of_account(account: AccountId) -> String {
    format!("A{}", account.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anothers_ids_are_others() {
        let email = EmailId(7);
        let (own, other) = (None, Some(AccountId(3)));
        assert_eq!(of_email(email, own), "E7");
        assert_eq!(of_email(email, other), "A3-E7");
        assert_eq!(of_mailbox(MailboxId(2), other), "A3-M2");
        assert_eq!(email_of("A3-E7", other), Some(email));
        for (id, owner) in [
            ("A3-E7", own),
            ("E7", other),
            ("A4-E7", other),
            ("E07", own),
        ] {
            assert_eq!(email_of(id, owner), None, "{id}");
        }
    }
}
