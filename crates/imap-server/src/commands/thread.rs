//! THREAD and UID THREAD (RFC 5256). What a thread is, is `imap_proto::thread`'s.
//!
//! By subject it needs no more than lists; by references also the References field,
//! which records hold: messages are opened only where theirs does not.

use crate::commands::fetch::{Unreadable, readable};
use crate::commands::search::{Candidate, Found, end, find};
use crate::commands::sort::sent;
use crate::limits::{HEADER_BYTES_MAX, RECORDS_PER_READ};
use crate::orders::Key;
use crate::reply::Executed;
use crate::search::Comparator;
use crate::session::Session;
use imap_proto::thread::{Threaded, by_references, by_subject};
use imap_proto::{Tag, ThreadAlgorithm, ThreadCommand};
use mailstore::{Account, EmailRecord, Listing};
use mime::{EnvelopeReader, HeaderReader, StoredDigest, message_ids};
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
    let key = Key::threaded(selected, session.enabled.comparator, algorithm, command.uid);
    let orders = session.ports.orders.clone();
    if orders.write_threads(&key, &found.messages, &mut session.out) {
        return Ok(end(found.broken, command.uid));
    }
    let is_worth_it = found.messages.len() >= selected.entries().len() / 2;
    let asked = found.messages.clone();
    let messages = match algorithm {
        ThreadAlgorithm::OrderedSubject => subjects(session, &account, &mut found).await,
        ThreadAlgorithm::References => references(session, &account, &mut found).await,
    };
    let numbers = |(number, entry): &Candidate| match command.uid {
        true => entry.uid.0,
        false => *number,
    };
    let messages: Vec<Threaded> = messages
        .into_iter()
        .map(|(candidate, threaded)| Threaded {
            number: numbers(&candidate),
            ..threaded
        })
        .collect();
    let work = move || {
        let threads = match algorithm {
            ThreadAlgorithm::OrderedSubject => by_subject(&messages),
            ThreadAlgorithm::References => by_references(&messages),
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

async fn subjects(
    session: &Session,
    account: &Account,
    found: &mut Found,
) -> Vec<(Candidate, Threaded)> {
    let mut threaded = Vec::with_capacity(found.messages.len());
    for batch in std::mem::take(&mut found.messages).chunks(RECORDS_PER_READ) {
        let ids: Vec<_> = batch.iter().map(|(_, entry)| entry.email).collect();
        for (message, listing) in batch.iter().zip(account.listings(&ids).await) {
            match readable(listing) {
                Ok(listing) => {
                    let one = of_listing(&listing, session.enabled.comparator);
                    threaded.push((message.clone(), one));
                }
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Damaged(why)) => left_out(session, found, message, &why),
            }
        }
    }
    threaded
}

fn left_out(session: &Session, found: &mut Found, (_, entry): &Candidate, why: &str) {
    found.broken = true;
    tracing::error!(session = session.id, email = %entry.email, why, "imap: THREAD leaves a message out");
}

/// All but the references.
fn of_listing(listing: &Listing, comparator: Comparator) -> Threaded {
    let envelope = EnvelopeReader::read(&listing.envelope);
    let subject = envelope.map(|envelope| envelope.subject());
    let (base, is_reply) = mime::subject::base_subject(&subject.unwrap_or_default());
    Threaded {
        number: 0,
        date: sent(envelope, listing),
        subject: comparator.fold(&base),
        is_reply,
        id: String::new(),
        references: Vec::new(),
    }
}

async fn references(
    session: &Session,
    account: &Account,
    found: &mut Found,
) -> Vec<(Candidate, Threaded)> {
    let mut threaded = Vec::with_capacity(found.messages.len());
    for batch in std::mem::take(&mut found.messages).chunks(RECORDS_PER_READ) {
        let ids: Vec<_> = batch.iter().map(|(_, entry)| entry.email).collect();
        for (message, record) in batch.iter().zip(account.email_records(&ids).await) {
            let record = match readable(record) {
                Ok(record) => record,
                Err(Unreadable::Gone) => continue,
                Err(Unreadable::Damaged(why)) => {
                    left_out(session, found, message, &why);
                    continue;
                }
            };
            match of_record(account, &record, session.enabled.comparator).await {
                Ok(one) => threaded.push((message.clone(), one)),
                Err(why) => left_out(session, found, message, &why),
            }
        }
    }
    threaded
}

async fn of_record(
    account: &Account,
    record: &EmailRecord,
    comparator: Comparator,
) -> Result<Threaded, String> {
    let digest = StoredDigest::read(&record.digest).map_err(|error| error.to_string())?;
    let listing = Listing {
        received_at: record.received_at,
        envelope: record.digest.slice_ref(digest.envelope),
    };
    let mut threaded = of_listing(&listing, comparator);
    let Some(envelope) = EnvelopeReader::read(&listing.envelope) else {
        return Ok(threaded);
    };
    let mut own = message_ids(&envelope.message_id());
    threaded.id = own.drain(..own.len().min(1)).next().unwrap_or_default();
    let mut field = cached_references(&digest);
    if field.is_none() && !digest.fields_complete {
        let header_len = digest.header_len + record.prefix.len() as u64;
        let range = 0..header_len.min(HEADER_BYTES_MAX);
        let header = account.read_message(record, range).await;
        field = in_header(&header.map_err(|error| error.to_string())?);
    }
    threaded.references = message_ids(&field.unwrap_or_default());
    if threaded.references.is_empty() {
        // RFC 5256 §3: the first valid id of In-Reply-To, where there are no References.
        let mut ids = message_ids(&envelope.in_reply_to());
        ids.truncate(1);
        threaded.references = ids;
    }
    Ok(threaded)
}

fn cached_references(digest: &StoredDigest<'_>) -> Option<Vec<u8>> {
    let mut fields = digest.fields().ok()?.filter_map(Result::ok);
    let (_, raw) = fields.find(|(name, _)| *name == "references")?;
    in_header(raw)
}

fn in_header(header: &[u8]) -> Option<Vec<u8>> {
    let mut fields = HeaderReader::new(header);
    let field = fields.find(|field| field.is("references"))?;
    Some(field.unfolded().to_vec())
}
