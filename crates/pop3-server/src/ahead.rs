//! Messages that are read in one go: the one that is asked for, and those that
//! commands behind it ask for (RFC 2449 §6.6), or that come next where a client
//! takes one behind the other.

use crate::limits::{READ_AHEAD_BYTES, READ_AHEAD_MESSAGES};
use bytes::Bytes;
use mailbox_model::{EmailId, Mailbox, MailboxId, Uid};
use mailstore::{Account, EmailRecord, ShortBodies};
use pop3_proto::{Fetch, Session};

/// What was read. What is not in it is to be opened by itself.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// In the order of the commands; a body's place is its message's.
    messages: Vec<(u32, EmailRecord)>,
    bodies: ShortBodies,
    /// What was asked for last.
    last: Option<u32>,
}

impl Ahead {
    /// Nothing is kept in memory.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Nothing is kept in memory any longer.
    pub(crate) fn forget(&mut self) {
        if !self.is_empty() {
            self.messages = Vec::new();
            self.bodies = ShortBodies::default();
        }
    }

    /// The record and the body of a message, if it was read.
    pub(crate) fn message(&self, uid: u32) -> Option<(&EmailRecord, &Bytes)> {
        let at = self.messages.iter().position(|(read, _)| *read == uid)?;
        Some((&self.messages[at].1, self.bodies.body(at)?))
    }

    /// Sees to it that what is asked for is read, if it is short, and with it what will be.
    pub(crate) async fn fetch(
        &mut self,
        account: &Account,
        inbox: MailboxId,
        fetch: Fetch,
        protocol: &Session,
    ) {
        let last = self.last.replace(fetch.uid);
        if self.message(fetch.uid).is_some() {
            return;
        }
        // What was read before goes first, so that no session has more than its share.
        self.forget();
        let view = account.view();
        let Some(inbox) = view.mailbox(inbox) else {
            return;
        };
        let (wanted, bytes) = wanted(inbox, fetch, last, protocol);
        if wanted.is_empty() {
            return;
        }
        let read = account.reading(move |reader| {
            let ids: Vec<_> = wanted.iter().map(|(_, email)| *email).collect();
            let records = reader.email_records(&ids).into_iter();
            let uids = wanted.into_iter().map(|(uid, _)| uid);
            let messages: Vec<_> = uids
                .zip(records)
                .filter_map(|(uid, record)| Some((uid, record.ok()?)))
                .collect();
            let blobs: Vec<_> = messages.iter().map(|(_, record)| record.blob).collect();
            let bodies = reader.short_bodies(&blobs, bytes);
            (messages, bodies)
        });
        (self.messages, self.bodies) = read.await;
    }
}

/// The messages that are worth reading together, and their octets.
fn wanted(
    inbox: &Mailbox,
    fetch: Fetch,
    last: Option<u32>,
    protocol: &Session,
) -> (Vec<(u32, EmailId)>, u64) {
    let Some((rank, entry)) = inbox.find(Uid(fetch.uid)) else {
        return Default::default();
    };
    let commanded = protocol.upcoming(READ_AHEAD_MESSAGES - 1);
    let commanded = commanded.filter_map(|message| Some(inbox.find(Uid(message.uid))?.1));
    // One behind the other.
    let before = rank.checked_sub(1).and_then(|at| inbox.entries().get(at));
    let follows = last.is_some() && before.map(|entry| entry.uid.0) == last;
    let next = inbox.entries().iter().skip(rank + 1);
    let next = next.take(if follows { READ_AHEAD_MESSAGES } else { 0 });
    let mut wanted: Vec<(u32, EmailId)> = Vec::new();
    let mut bytes: u64 = 0;
    for entry in std::iter::once(entry).chain(commanded).chain(next) {
        if wanted.iter().any(|(uid, _)| *uid == entry.uid.0) {
            continue;
        }
        let more = bytes.saturating_add(entry.size());
        if more > READ_AHEAD_BYTES || wanted.len() == READ_AHEAD_MESSAGES {
            break;
        }
        bytes = more;
        wanted.push((entry.uid.0, entry.email));
    }
    (wanted, bytes)
}
