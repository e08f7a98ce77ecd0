//! FETCH and UID FETCH (RFC 9051 §6.4.5; CHANGEDSINCE: RFC 7162 §3.1.4).

use crate::commands::{enable, qresync, store};
use crate::events;
use crate::fetch::{Message, Rendered, is_in_entry, is_in_list, opens_message, write_message};
use crate::limits::{OUTPUT_BYTES, READ_AHEAD_BYTES, RECORDS_PER_READ};
use crate::message_limit::keep_last;
use crate::reply::{Ended, Executed, Reply, SyncMode};
use crate::selected::Selected;
use crate::session::Session;
use imap_proto::response::{self, Code, Status};
use imap_proto::{FetchCommand, FetchItem, ResultRange};
use imbl::Vector;
use mailbox_model::{EmailId, Entry, Threads, Uid, UidSet, View};
use mailstore::{Account, EmailRecord, Listing, RecordError, Rights, ShortBodies, StoreError};
use mime::StoredDigest;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// What happened on the way.
#[derive(Debug, Default)]
struct Outcome {
    expunged: bool,
    broken: bool,
    unknown_encoding: bool,
    /// What is to become `\Seen`.
    read: Vec<Uid>,
}

pub(crate) async fn run(session: &mut Session, command: FetchCommand) -> Executed {
    // RFC 7162 §3.2.6
    if command.vanished && !session.enabled.qresync {
        return Ok(Reply::bad("enable QRESYNC first"));
    }
    let mut items = command.items;
    // RFC 9586 §3: UIDFETCH names it already.
    if command.uid && !session.enabled.uid_only && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    if command.changed_since.is_some() && !items.contains(&FetchItem::ModSeq) {
        items.push(FetchItem::ModSeq);
    }
    if items.contains(&FetchItem::ModSeq) {
        enable::condstore(session);
    }
    if command.vanished {
        let since = command.changed_since.unwrap_or(0);
        qresync::tell_vanished(session, &command.set, since).await?;
    }
    let Some(selected) = &session.selected else {
        return Ok(Reply::bad("select a mailbox first"));
    };
    let Ok(ranks) = selected.ranks(&command.set, command.uid) else {
        return Ok(Reply::bad("there is no message of that number"));
    };
    let ranks = match command.partial {
        Some(range) => match session.check_range(range) {
            Ok(()) => some_of(&ranks, range),
            Err(reply) => return Ok(reply),
        },
        None => ranks,
    };
    let (ranks, lowest) = limited(
        session.messages_max(),
        selected,
        ranks,
        command.changed_since,
    );
    let account = Arc::clone(&selected.account);
    let (mailbox, read_only) = (selected.id, selected.read_only);
    let reader = selected
        .readership
        .as_ref()
        .map(|readership| readership.reader);
    let may_set = selected.rights().has(Rights::SEEN);
    let view = account.view();
    let mut outcome = Outcome::default();
    let entries = selected.entries().clone();
    let since = command.changed_since;
    let mut batches = batches(&ranks).into_iter();
    let mut next = async || match batches.next() {
        Some(batch) => Some(load(&account, pick(&entries, &batch, since), &items).await),
        None => None,
    };
    let mut ahead = next().await;
    while let Some(batch) = ahead {
        // The next records are read while these are sent.
        let writing = write_batch(session, &account, &view, batch, &items, &mut outcome);
        let (written, read) = tokio::join!(writing, next());
        written?;
        ahead = read;
    }
    let sets_seen = items.iter().any(FetchItem::sets_seen);
    if sets_seen && !read_only && may_set && !outcome.read.is_empty() {
        // One change for the whole FETCH.
        let uids: UidSet = outcome.read.iter().copied().collect();
        // What another has read is his own, and no flag of the message's.
        let armed = match reader {
            None => events::arm(session, &account, mailbox).await,
            Some(_) => None,
        };
        match store::mark_seen(&account, mailbox, reader, &uids).await {
            Ok(modseq) => {
                if let Some(armed) = armed {
                    armed.flags_changed(session, &uids, modseq).await;
                }
            }
            Err(error) => {
                tracing::warn!(session = session.id, %error, "imap: \\Seen is not kept");
            }
        }
    }
    let mode = if command.uid {
        SyncMode::Everything
    } else {
        SyncMode::WithoutExpunge
    };
    let reply = session.limited(reply(&outcome), lowest);
    Ok(reply.with_sync(mode))
}

/// RFC 9738: the last messages that would be answered, and the first of them if that is not all.
fn limited(
    max: Option<u32>,
    selected: &Selected,
    mut ranks: Vec<Range<usize>>,
    changed_since: Option<u64>,
) -> (Vec<Range<usize>>, Option<Uid>) {
    let Some(max) = max else {
        return (ranks, None);
    };
    if let Some(since) = changed_since {
        let entries = selected.entries();
        let changed = |rank: &usize| entries.get(*rank).is_some_and(|e| e.modseq.0 > since);
        let changed = ranks.into_iter().flatten().filter(changed);
        ranks = changed.map(|rank| rank..rank + 1).collect();
    }
    let cut = keep_last(&mut ranks, max);
    let lowest = ranks.first().filter(|_| cut);
    let lowest = lowest.and_then(|range| selected.entries().get(range.start));
    let lowest = lowest.map(|entry| entry.uid);
    (ranks, lowest)
}

/// Tells items of messages that nobody asked for (MessageNew of NOTIFY). It sets no flag.
pub(crate) async fn tell(
    session: &mut Session,
    ranks: Range<usize>,
    items: &[FetchItem],
) -> Result<(), Ended> {
    let Some(selected) = &session.selected else {
        return Ok(());
    };
    let account = Arc::clone(&selected.account);
    let view = account.view();
    let entries = selected.entries().clone();
    let mut outcome = Outcome::default();
    for batch in batches(std::slice::from_ref(&ranks)) {
        let batch = load(&account, pick(&entries, &batch, None), items).await;
        write_batch(session, &account, &view, batch, items, &mut outcome).await?;
    }
    Ok(())
}

fn reply(outcome: &Outcome) -> Reply {
    if outcome.broken {
        return Reply::no(
            Code::SERVER_BUG,
            "some messages cannot be read; the others were sent",
        );
    }
    if outcome.unknown_encoding {
        return Reply::no(Code::UNKNOWN_CTE, "a part is in an unknown encoding");
    }
    if outcome.expunged {
        return Reply::ok("some messages are gone already").with_code(Code::EXPUNGE_ISSUED);
    }
    Reply::ok("fetched")
}

/// RFC 9394 §3.3: so many of what the set names, from one of its ends.
fn some_of(ranks: &[Range<usize>], range: ResultRange) -> Vec<Range<usize>> {
    let wanted = range.of(ranks.iter().map(Range::len).sum());
    let mut before = 0;
    let mut some = Vec::new();
    for ranks in ranks {
        let place = |at: usize| ranks.start + at.saturating_sub(before).min(ranks.len());
        let part = place(wanted.start)..place(wanted.end);
        if !part.is_empty() {
            some.push(part);
        }
        before += ranks.len();
    }
    some
}

/// Cuts ranges of ranks into pieces whose records are read together.
fn batches(ranks: &[Range<usize>]) -> Vec<Vec<Range<usize>>> {
    let mut batches = Vec::new();
    let mut batch: Vec<Range<usize>> = Vec::new();
    let mut room = RECORDS_PER_READ;
    for range in ranks {
        let mut rest = range.clone();
        while !rest.is_empty() {
            let end = rest.end.min(rest.start + room);
            room -= end - rest.start;
            batch.push(rest.start..end);
            rest.start = end;
            if room == 0 {
                batches.push(std::mem::take(&mut batch));
                room = RECORDS_PER_READ;
            }
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// The entries of a batch with their sequence numbers.
fn pick(
    entries: &Vector<Entry>,
    batch: &[Range<usize>],
    changed_since: Option<u64>,
) -> Vec<(u32, Entry)> {
    let since = changed_since.unwrap_or(0);
    batch
        .iter()
        .flat_map(|range| {
            let entries = entries.focus().narrow(range.clone());
            range.clone().zip(entries).collect::<Vec<_>>()
        })
        .filter(|(_, entry)| changed_since.is_none() || entry.modseq.0 > since)
        .map(|(rank, entry)| (u32::try_from(rank + 1).unwrap_or(u32::MAX), entry.clone()))
        .collect()
}

/// Messages, and what the store keeps of them if the entries are not enough.
struct Batch {
    entries: Vec<(u32, Entry)>,
    kept: Option<Vec<Result<Kept, RecordError>>>,
    /// Where the items ask for them.
    threads: Option<Threads>,
}

/// As much of what the store keeps of a message as the items need.
enum Kept {
    /// The entry is enough.
    Nothing,
    Listing(Listing),
    Record(EmailRecord),
}

async fn load(account: &Account, entries: Vec<(u32, Entry)>, items: &[FetchItem]) -> Batch {
    let threads = match items.contains(&FetchItem::ThreadId) {
        true => threads_of(account).await,
        false => None,
    };
    if items.iter().all(is_in_entry) {
        return Batch {
            entries,
            kept: None,
            threads,
        };
    }
    let ids: Vec<_> = entries.iter().map(|(_, entry)| entry.email).collect();
    let kept = if items.iter().all(is_in_list) {
        let listings = account.listings(&ids).await.into_iter();
        listings.map(|found| found.map(Kept::Listing)).collect()
    } else {
        let records = account.email_records(&ids).await.into_iter();
        records.map(|found| found.map(Kept::Record)).collect()
    };
    Batch {
        entries,
        kept: Some(kept),
        threads,
    }
}

/// Those of an account; none where they cannot be read.
async fn threads_of(account: &Account) -> Option<Threads> {
    let threads = account.threads().await;
    let told = |error: &StoreError| {
        let account = account.id();
        tracing::warn!(%account, %error, "imap: threads are told as NIL");
    };
    threads.inspect_err(told).ok()
}

/// A message that will be answered.
struct Ready {
    number: u32,
    entry: Entry,
    kept: Kept,
    thread: Option<EmailId>,
}

impl Ready {
    fn record(&self) -> Option<&EmailRecord> {
        match &self.kept {
            Kept::Record(record) => Some(record),
            Kept::Nothing | Kept::Listing(_) => None,
        }
    }

    fn listing(&self) -> Option<&Listing> {
        match &self.kept {
            Kept::Listing(listing) => Some(listing),
            Kept::Nothing | Kept::Record(_) => None,
        }
    }
}

async fn write_batch(
    session: &mut Session,
    account: &Arc<Account>,
    view: &View,
    batch: Batch,
    items: &[FetchItem],
    outcome: &mut Outcome,
) -> Result<(), Ended> {
    let ready = sorted_out(session, batch, outcome);
    let opens = items.iter().any(opens_message);
    let mut rest = ready.as_slice();
    let (mut now, mut bodies) = read_ahead(account, rest, opens).await;
    while !rest.is_empty() {
        let (window, later) = rest.split_at(now);
        // The next ones are read while these are sent.
        let writing = write_window(session, account, view, window, bodies, items, outcome);
        let (written, ahead) = tokio::join!(writing, read_ahead(account, later, opens));
        written?;
        (now, bodies) = ahead;
        rest = later;
    }
    Ok(())
}

/// What can be answered; a message without its record is told of or left out.
fn sorted_out(session: &mut Session, batch: Batch, outcome: &mut Outcome) -> Vec<Ready> {
    let mut ready = Vec::with_capacity(batch.entries.len());
    let mut kept = batch.kept.map(Vec::into_iter);
    for (number, entry) in batch.entries {
        let thread = batch
            .threads
            .as_ref()
            .map(|threads| threads.of(entry.email));
        let kept = match &mut kept {
            None => Ok(Kept::Nothing),
            Some(kept) => kept
                .next()
                .unwrap_or(Err(RecordError::Missing(entry.email))),
        };
        match readable(kept) {
            Ok(kept) => ready.push(Ready {
                number,
                entry,
                kept,
                thread,
            }),
            Err(Unreadable::Gone) => outcome.expunged = true,
            Err(Unreadable::Damaged(why)) => report(session, outcome, number, &entry, &why),
        }
    }
    ready
}

/// How many messages are answered next, and the bodies of those that are opened.
async fn read_ahead(account: &Account, ready: &[Ready], opens: bool) -> (usize, ShortBodies) {
    if !opens {
        return (ready.len(), ShortBodies::default());
    }
    let mut bytes = 0;
    let fits = |ready: &&Ready| {
        bytes += ready.entry.size();
        bytes <= READ_AHEAD_BYTES
    };
    // A long one is opened by itself, piece by piece.
    let blobs: Vec<_> = ready
        .iter()
        .take_while(fits)
        .filter_map(Ready::record)
        .map(|record| record.blob)
        .collect();
    if blobs.is_empty() {
        return (ready.len().min(1), ShortBodies::default());
    }
    let now = blobs.len();
    let bytes = ready.iter().take(now).map(|ready| ready.entry.size()).sum();
    (now, account.read_short_bodies(blobs, bytes).await)
}

async fn write_window<'a>(
    session: &mut Session,
    account: &Arc<Account>,
    view: &View,
    window: &'a [Ready],
    bodies: ShortBodies,
    items: &[FetchItem],
    outcome: &mut Outcome,
) -> Result<(), Ended> {
    let sets_seen = items.iter().any(FetchItem::sets_seen);
    for (at, ready) in window.iter().enumerate() {
        let digest = |record: &'a EmailRecord| {
            StoredDigest::read(&record.digest).map(|digest| (record, digest))
        };
        let record = match ready.record().map(digest).transpose() {
            Ok(record) => record,
            Err(error) => {
                report(
                    session,
                    outcome,
                    ready.number,
                    &ready.entry,
                    &error.to_string(),
                );
                continue;
            }
        };
        let message = Message {
            account,
            view,
            number: ready.number,
            entry: &ready.entry,
            record,
            listing: ready.listing(),
            thread: ready.thread,
            body: bodies.body(at).cloned(),
            header: OnceLock::new(),
        };
        match write_message(session, &message, items).await? {
            Rendered::Whole if sets_seen && !ready.entry.keywords.is_seen() => {
                outcome.read.push(ready.entry.uid);
            }
            Rendered::Whole => {}
            Rendered::UnknownEncoding => outcome.unknown_encoding = true,
            Rendered::Broken => {
                report(
                    session,
                    outcome,
                    ready.number,
                    &ready.entry,
                    "its body is damaged",
                );
            }
        }
        if session.out.len() >= OUTPUT_BYTES {
            session.flush().await?;
        }
    }
    Ok(())
}

/// One broken message never keeps the others from being served.
fn report(session: &mut Session, outcome: &mut Outcome, number: u32, entry: &Entry, why: &str) {
    outcome.broken = true;
    tracing::error!(session = session.id, email = %entry.email, why, "imap: a message is left out");
    let uid = entry.uid;
    let text = format!("message {number} (UID {uid}) cannot be read; the operator is told");
    let text = lang::imap::reply(&text, session.language);
    response::untagged_status(&mut session.out, Status::No, Some(&Code::SERVER_BUG), &text);
}

/// Why a message is left out.
pub(crate) enum Unreadable {
    /// Expunged by another session meanwhile.
    Gone,
    Damaged(String),
}

/// The record, or why the message is left out.
pub(crate) fn readable<T>(kept: Result<T, RecordError>) -> Result<T, Unreadable> {
    kept.map_err(|error| match error {
        RecordError::Missing(_) => Unreadable::Gone,
        other => Unreadable::Damaged(other.to_string()),
    })
}
