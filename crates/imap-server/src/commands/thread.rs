//! THREAD and UID THREAD (RFC 5256). What a thread is, is `imap_proto::thread`'s.
//!
//! It needs no more than pages of lists: a message is opened only where not even its
//! record holds the References field.

use crate::commands::fetch::{Unreadable, readable};
use crate::commands::search::{Candidate, end, find};
use crate::limits::{KEYS_PER_READ, RECORDS_PER_READ};
use crate::orders::Key;
use crate::reply::Executed;
use crate::search::Comparator;
use crate::session::Session;
use imap_proto::thread::{IdKey, Threaded, by_references, by_refs, by_subject};
use imap_proto::{Tag, ThreadAlgorithm, ThreadCommand};
use mailbox_model::EmailId;
use mailstore::{EmailReader, Listing, SortKeys};
use mime::EnvelopeReader;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

pub(crate) async fn run(session: &mut Session, tag: &Tag, command: ThreadCommand) -> Executed {
    let mut found = match find(session, tag, command.key).await? {
        Ok(found) => found,
        Err(reply) => return Ok(reply),
    };
    let Some(selected) = &session.selected else {
        return Ok(end(found.broken, command.uid));
    };
    let account = Arc::clone(&selected.account);
    let algorithm = command.algorithm;
    let comparator = session.enabled.comparator;
    let key = Key::threaded(selected, comparator, algorithm, command.uid);
    let orders = session.ports.orders.clone();
    if orders.write_threads(&key, &found.messages, &mut session.out) {
        return Ok(end(found.broken, command.uid));
    }
    let is_worth_it = found.messages.len() >= selected.entries().len() / 2;
    let asked = Arc::new(std::mem::take(&mut found.messages));
    let mut gathered = Gathered::default();
    for from in (0..asked.len()).step_by(KEYS_PER_READ) {
        let asked = Arc::clone(&asked);
        let work = move |reader: &EmailReader| {
            let some = &asked[from..asked.len().min(from + KEYS_PER_READ)];
            let damaged = gathered.read(reader, some, (command.uid, comparator));
            (gathered, damaged)
        };
        let (read, damaged) = account.reading(work).await;
        gathered = read;
        found.broken |= !damaged.is_empty();
        for (email, why) in damaged {
            tracing::error!(session = session.id, %email, why, "imap: THREAD leaves a message out");
        }
    }
    let work = move || {
        let messages = gathered.messages();
        let threads = match algorithm {
            ThreadAlgorithm::OrderedSubject => by_subject(&messages),
            ThreadAlgorithm::References => by_references(&messages),
            ThreadAlgorithm::Refs => by_refs(&messages),
        };
        let mut out = Vec::new();
        threads.write(&mut out);
        out
    };
    let out = session.ports.runtime.blocking(work).await;
    if is_worth_it && !found.broken {
        orders.keep_threads(key, &asked, &out);
    }
    session.out.extend_from_slice(&out);
    Ok(end(found.broken, command.uid))
}

/// What messages are threaded by.
#[derive(Debug, Default)]
struct Gathered {
    messages: Vec<Message>,
    subjects: Vec<u8>,
    ids: Vec<IdKey>,
}

#[derive(Debug)]
struct Message {
    number: u32,
    sent_s: i64,
    received_s: i64,
    /// Among the subjects.
    subject: Range<usize>,
    is_reply: bool,
    id: Option<IdKey>,
    /// Among the ids.
    references: Range<usize>,
}

impl Gathered {
    /// Reads messages, told by UIDs or by numbers; says which are left out.
    fn read(
        &mut self,
        reader: &EmailReader,
        messages: &[Candidate],
        (uid, comparator): (bool, Comparator),
    ) -> Vec<(EmailId, String)> {
        let emails: Vec<_> = messages.iter().map(|(_, entry)| entry.email).collect();
        let mut damaged = Vec::new();
        let before = self.messages.len();
        self.messages.reserve(messages.len());
        self.subjects.reserve(messages.len() * 32);
        self.ids.reserve(messages.len() * 2);
        reader.visit_listed::<SortKeys<'_>>(&emails, |at, keys| match readable(keys) {
            Ok(keys) => {
                let (number, entry) = &messages[at];
                let opened = match keys.refers_to_more {
                    true => reader.references(entry.email).map(Some),
                    false => Ok(None),
                };
                match opened {
                    Ok(opened) => {
                        let references = opened.as_deref().unwrap_or(keys.references());
                        self.push(if uid { entry.uid.0 } else { *number }, &keys, references);
                    }
                    Err(error) => damaged.push((emails[at], error.to_string())),
                }
            }
            Err(Unreadable::Gone) => {}
            Err(Unreadable::Damaged(why)) => damaged.push((emails[at], why)),
        });
        let read = &mut self.messages[before..];
        read.sort_unstable_by_key(|message| message.number);
        if comparator != Comparator::UnicodeCasemap {
            self.fold_anew(reader, messages, before, (uid, comparator), &mut damaged);
        }
        damaged
    }

    /// Gives messages from this place on the subjects that another comparator makes; the keys
    /// are the usual one's. Those that cannot be read are left out.
    fn fold_anew(
        &mut self,
        reader: &EmailReader,
        messages: &[Candidate],
        before: usize,
        (uid, comparator): (bool, Comparator),
        damaged: &mut Vec<(EmailId, String)>,
    ) {
        let read = &mut self.messages[before..];
        let mut lost = HashSet::new();
        for some in messages.chunks(RECORDS_PER_READ) {
            let emails: Vec<_> = some.iter().map(|(_, entry)| entry.email).collect();
            reader.visit_listed::<Listing>(&emails, |at, listing| {
                let number = if uid { some[at].1.uid.0 } else { some[at].0 };
                let found = read.binary_search_by_key(&number, |message| message.number);
                let Ok(place) = found else { return };
                match readable(listing) {
                    Ok(listing) => {
                        let envelope = EnvelopeReader::read(&listing.envelope);
                        let base = envelope.map(|envelope| envelope.base_subject());
                        let (base, _) = base.unwrap_or_default();
                        let from = self.subjects.len();
                        self.subjects
                            .extend_from_slice(comparator.fold(&base).as_bytes());
                        read[place].subject = from..self.subjects.len();
                    }
                    Err(error) => {
                        lost.insert(number);
                        if let Unreadable::Damaged(why) = error {
                            damaged.push((emails[at], why));
                        }
                    }
                }
            });
        }
        if !lost.is_empty() {
            self.messages
                .retain(|message| !lost.contains(&message.number));
        }
    }

    fn push(&mut self, number: u32, keys: &SortKeys<'_>, references: &[IdKey]) {
        let (subjects, ids) = (self.subjects.len(), self.ids.len());
        self.subjects.extend_from_slice(keys.subject);
        self.ids.extend_from_slice(references);
        self.messages.push(Message {
            number,
            sent_s: keys.sent_s,
            received_s: keys.received_s,
            subject: subjects..self.subjects.len(),
            is_reply: keys.is_reply,
            id: keys.id(),
            references: ids..self.ids.len(),
        });
    }

    fn messages(&self) -> Vec<Threaded<'_>> {
        let threaded = |message: &Message| Threaded {
            number: message.number,
            date: message.sent_s,
            arrival: message.received_s,
            subject: &self.subjects[message.subject.clone()],
            is_reply: message.is_reply,
            id: message.id,
            references: &self.ids[message.references.clone()],
        };
        self.messages.iter().map(threaded).collect()
    }
}
