//! Messages that are read in one go: the one that is asked for, and those that
//! commands behind it ask for (RFC 2449 §6.6), or that come next where a client
//! takes one behind the other. While such a client takes what was read, the next
//! are being read.

use crate::limits::{READ_AHEAD_BYTES, READ_AHEAD_MESSAGES};
use bytes::Bytes;
use mailbox_model::{EmailId, Entry, Mailbox, MailboxId, Uid};
use mailstore::{Account, EmailReader, EmailRecord, ShortBodies};
use pop3_proto::{Fetch, Session};
use runtime::Task;

/// What was read. What is not in it is to be opened by itself.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    now: Batch,
    coming: Option<Coming>,
    /// What was asked for last.
    last: Option<u32>,
}

/// Messages that were read together, in the order of the commands.
#[derive(Debug, Default)]
struct Batch {
    messages: Vec<(u32, EmailRecord)>,
    /// A body's place is its message's.
    bodies: ShortBodies,
}

/// Messages that are being read.
#[derive(Debug)]
struct Coming {
    uids: Vec<u32>,
    batch: Task<Batch>,
}

/// Messages that are worth reading together.
#[derive(Debug, Default)]
struct Wanted {
    messages: Vec<(u32, EmailId)>,
    bytes: u64,
}

impl Ahead {
    /// Nothing is kept in memory.
    pub(crate) fn is_empty(&self) -> bool {
        self.now.messages.is_empty() && self.coming.is_none()
    }

    /// Nothing is kept in memory any longer.
    pub(crate) fn forget(&mut self) {
        self.now = Batch::default();
        self.coming = None;
    }

    /// The record and the body of a message, if it was read.
    pub(crate) fn message(&self, uid: u32) -> Option<(&EmailRecord, &Bytes)> {
        let at = self.now.place(uid)?;
        Some((&self.now.messages[at].1, self.now.bodies.body(at)?))
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
        if let Some(at) = self.now.place(fetch.uid) {
            if at * 2 >= self.now.messages.len() && self.coming.is_none() {
                self.begin_next(account, inbox, last, fetch);
            }
            return;
        }
        if let Some(coming) = self
            .coming
            .take_if(|coming| coming.uids.contains(&fetch.uid))
        {
            // What it took goes before that is there.
            self.now = Batch::default();
            self.now = coming.batch.join().await.unwrap_or_default();
            if self.now.place(fetch.uid).is_some() {
                return;
            }
        }
        // What was read before goes first, so that no session has more than its share.
        self.forget();
        let view = account.view();
        let Some(inbox) = view.mailbox(inbox) else {
            return;
        };
        let wanted = Wanted::with(inbox, fetch, last, protocol);
        if !wanted.messages.is_empty() {
            self.now = account.reading(move |reader| wanted.read(reader)).await;
        }
    }

    /// Begins to read what lies behind what was read, for a client that takes one behind the other.
    fn begin_next(&mut self, account: &Account, inbox: MailboxId, last: Option<u32>, fetch: Fetch) {
        let view = account.view();
        let (Some(inbox), Some((end, _))) = (view.mailbox(inbox), self.now.messages.last()) else {
            return;
        };
        let Some((rank, _)) = inbox.find(Uid(*end)) else {
            return;
        };
        if !follows(inbox, fetch.uid, last) {
            return;
        }
        let wanted = Wanted::of(inbox.entries().iter().skip(rank + 1));
        if wanted.messages.is_empty() {
            return;
        }
        self.coming = Some(Coming {
            uids: wanted.messages.iter().map(|(uid, _)| *uid).collect(),
            batch: account.begin_reading("pop3: messages ahead", move |reader| wanted.read(reader)),
        });
    }
}

impl Batch {
    fn place(&self, uid: u32) -> Option<usize> {
        self.messages.iter().position(|(read, _)| *read == uid)
    }
}

/// A message was asked for behind the one before it.
fn follows(inbox: &Mailbox, uid: u32, last: Option<u32>) -> bool {
    let rank = inbox.find(Uid(uid)).map(|(rank, _)| rank);
    let before = rank.and_then(|rank| inbox.entries().get(rank.checked_sub(1)?));
    last.is_some() && before.map(|entry| entry.uid.0) == last
}

impl Wanted {
    /// What is asked for, and what will be.
    fn with(inbox: &Mailbox, fetch: Fetch, last: Option<u32>, protocol: &Session) -> Self {
        let Some((rank, entry)) = inbox.find(Uid(fetch.uid)) else {
            return Self::default();
        };
        let commanded = protocol.upcoming(READ_AHEAD_MESSAGES - 1);
        let commanded = commanded.filter_map(|message| Some(inbox.find(Uid(message.uid))?.1));
        // One behind the other.
        let next = match follows(inbox, fetch.uid, last) {
            true => READ_AHEAD_MESSAGES,
            false => 0,
        };
        let next = inbox.entries().iter().skip(rank + 1).take(next);
        Self::of(std::iter::once(entry).chain(commanded).chain(next))
    }

    /// As many of these as may be read together.
    fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut wanted = Self::default();
        for entry in entries {
            if wanted.messages.iter().any(|(uid, _)| *uid == entry.uid.0) {
                continue;
            }
            let more = wanted.bytes.saturating_add(entry.size());
            if more > READ_AHEAD_BYTES || wanted.messages.len() == READ_AHEAD_MESSAGES {
                break;
            }
            wanted.bytes = more;
            wanted.messages.push((entry.uid.0, entry.email));
        }
        wanted
    }

    fn read(self, reader: &EmailReader) -> Batch {
        let ids: Vec<_> = self.messages.iter().map(|(_, email)| *email).collect();
        let records = reader.email_records(&ids).into_iter();
        let uids = self.messages.into_iter().map(|(uid, _)| uid);
        let messages: Vec<_> = uids
            .zip(records)
            .filter_map(|(uid, record)| Some((uid, record.ok()?)))
            .collect();
        let blobs: Vec<_> = messages.iter().map(|(_, record)| record.blob).collect();
        let bodies = reader.short_bodies(&blobs, self.bytes);
        Batch { messages, bodies }
    }
}
