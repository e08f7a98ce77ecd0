//! The threads of an account, by the emails that are shown.
//!
//! They are asked for only by what tells or counts threads: whoever wants nothing of them neither waits until all emails
//! have joined, nor fails where their records are damaged.

use crate::look::Look;
use crate::methods::store_failed;
use jmap_proto::MethodError;
use mailbox_model::{EmailId, FlagId, Mailbox, Role, Threads};
use std::collections::{HashMap, HashSet};

/// A look, with its threads.
#[derive(Debug, Clone)]
pub(crate) struct ShownThreads {
    look: Look,
    /// Of all emails of the look, but of those that a lane has staged.
    threads: Threads,
}

impl Look {
    /// # Errors
    /// They cannot be read: no email is said to be alone then.
    pub(crate) async fn threads(&self) -> Result<ShownThreads, MethodError> {
        // Behind the look, so that none of its emails is missing.
        let threads = self.room.account.threads().await;
        Ok(ShownThreads {
            look: self.clone(),
            threads: threads.map_err(|error| store_failed(&error))?,
        })
    }
}

impl ShownThreads {
    /// The first email of the thread that an email is in.
    pub(crate) fn of(&self, email: EmailId) -> EmailId {
        self.threads.of(email)
    }

    /// The emails of a thread that are shown, in order of their ids.
    pub(crate) fn emails(&self, first: EmailId) -> Vec<EmailId> {
        let emails = self.all_of(first);
        emails.filter(|email| self.look.is_shown(*email)).collect()
    }

    /// The emails that are shown of all threads that one of these is in. Each thread is looked through once.
    pub(crate) fn around(&self, emails: impl Iterator<Item = EmailId>) -> HashSet<EmailId> {
        let threads: HashSet<EmailId> = emails.map(|email| self.of(email)).collect();
        let emails = threads.into_iter().flat_map(|first| self.emails(first));
        emails.collect()
    }

    fn all_of(&self, first: EmailId) -> impl Iterator<Item = EmailId> + '_ {
        let emails = self.threads.emails(first);
        #[cfg(test)]
        let emails = emails.inspect(|_| self.look.note_step());
        emails
    }
}

/// Where a thread has an email that is unread.
#[derive(Debug, Clone, Copy, Default)]
struct Unread {
    in_trash: bool,
    elsewhere: bool,
}

/// How many threads mailboxes have. A thread is looked through once, however many mailboxes it has emails in.
#[derive(Debug)]
pub(crate) struct ThreadCounts {
    threads: ShownThreads,
    known: HashMap<EmailId, Unread>,
}

impl ThreadCounts {
    pub(crate) fn new(threads: ShownThreads) -> Self {
        Self {
            threads,
            known: HashMap::new(),
        }
    }

    /// How many threads have an email in a mailbox, and how many of them one anywhere that is unread. Threads
    /// in the trash are others than outside of it (RFC 8621 §2).
    pub(crate) fn of(&mut self, mailbox: &Mailbox) -> (u64, u64) {
        let in_trash = is_trash(mailbox);
        let shown = mailbox.entries().iter().filter(|entry| !entry.deleted);
        let threads: HashSet<EmailId> = shown.map(|entry| self.threads.of(entry.email)).collect();
        let mut unread = 0;
        for first in &threads {
            let found = self.known.entry(*first);
            let found = *found.or_insert_with(|| unread_of(&self.threads, *first));
            unread += u64::from(match in_trash {
                true => found.in_trash,
                false => found.elsewhere,
            });
        }
        (threads.len() as u64, unread)
    }
}

fn is_trash(mailbox: &Mailbox) -> bool {
    mailbox.role() == Some(Role::Trash)
}

fn unread_of(threads: &ShownThreads, first: EmailId) -> Unread {
    let look = &threads.look;
    let mut unread = Unread::default();
    for email in threads.all_of(first) {
        let mut known = (false, false);
        for (mailbox, entry) in look.copies(email) {
            let (known, unread) = match is_trash(mailbox) {
                true => (&mut known.0, &mut unread.in_trash),
                false => (&mut known.1, &mut unread.elsewhere),
            };
            // The first copy that is shown stands for the others.
            if !std::mem::replace(known, true) {
                let read = look.is_seen(entry) || entry.has(FlagId::Draft);
                *unread |= !read;
            }
        }
        if unread.in_trash && unread.elsewhere {
            break;
        }
    }
    unread
}
