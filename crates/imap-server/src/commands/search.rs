//! SEARCH and UID SEARCH (RFC 9051 §6.4.4; ESEARCH: RFC 4731; SEARCHRES: RFC 5182;
//! MODSEQ: RFC 7162 §3.1.5).

use crate::commands::enable;
use crate::commands::fetch::{Unreadable, readable};
use crate::limits::RECORDS_PER_READ;
use crate::reply::{Executed, Reply, SyncMode};
use crate::search::{Content, Facts, Test, compile};
use crate::session::Session;
use imap_proto::response::{self, Code};
use imap_proto::sequence::write_numbers;
use imap_proto::{ReturnItem, SearchCommand, SearchKey, Tag};
use imbl::Vector;
use mailbox_model::{Entry, UidSet};
use mailstore::{Account, EmailRecord};
use mime::{PartIndex, StoredDigest};
use std::error::Error;
use std::sync::Arc;
use wire::codec::DecodeError;

/// A message that matches, or may.
type Candidate = (u32, Entry);

pub(crate) async fn run(session: &mut Session, tag: &Tag, command: SearchCommand) -> Executed {
    let asks_modseq = command
        .key
        .any(&mut |key| matches!(key, SearchKey::ModSeq(_)));
    if asks_modseq {
        enable::condstore(session);
    }
    let with_body = command
        .key
        .any(&mut |key| matches!(key, SearchKey::Body(_) | SearchKey::Text(_)));
    let (Some(selected), Some(login)) = (&session.selected, &session.login) else {
        return Ok(Reply::bad("select a mailbox first"));
    };
    let account = Arc::clone(&login.account);
    let test = Arc::new(compile(
        command.key,
        selected,
        &account.view(),
        session.ports.runtime.now(),
    ));
    let entries = selected.entries().clone();
    let (mut found, undecided) = scan(session, entries, Arc::clone(&test)).await;
    let mut broken = false;
    for batch in undecided.chunks(RECORDS_PER_READ) {
        let ids: Vec<_> = batch.iter().map(|(_, entry)| entry.email).collect();
        let records = account.email_records(&ids).await;
        for (candidate, record) in batch.iter().zip(records) {
            let matched = match readable(record) {
                Ok(record) => {
                    look_inside(session, &account, &test, candidate, record, with_body).await
                }
                Err(Unreadable::Gone) => Some(false),
                Err(Unreadable::Damaged(why)) => {
                    tracing::error!(session = session.id, email = %candidate.1.email, why, "imap: SEARCH leaves a message out");
                    None
                }
            };
            broken |= matched.is_none();
            if matched == Some(true) {
                found.push(candidate.clone());
            }
        }
    }
    found.sort_unstable_by_key(|(number, _)| *number);
    let mode = if command.uid {
        SyncMode::Everything
    } else {
        SyncMode::WithoutExpunge
    };
    let returns = command.returns.or_else(|| {
        // RFC 9051 §6.4.4: IMAP4rev2 answers with ESEARCH always.
        session.enabled.rev2.then(|| vec![ReturnItem::All])
    });
    match returns {
        None => write_search(&mut session.out, &found, command.uid, asks_modseq),
        Some(returns) => {
            if returns.contains(&ReturnItem::Save) {
                save(session, &found, &returns);
            }
            write_esearch(
                &mut session.out,
                tag,
                &found,
                command.uid,
                asks_modseq,
                &returns,
            );
        }
    }
    let reply = if broken {
        Reply::ok("searched; some messages cannot be read").with_code(Code::SERVER_BUG)
    } else {
        Reply::ok("searched")
    };
    Ok(reply.with_sync(mode))
}

/// Decides what entries alone decide. Gives the matches and the undecided.
async fn scan(
    session: &Session,
    entries: Vector<Entry>,
    test: Arc<Test>,
) -> (Vec<Candidate>, Vec<Candidate>) {
    /// More than this is not done on an async worker.
    const INLINE: usize = 10_000;
    let large = entries.len() > INLINE;
    let work = move || {
        let (mut found, mut undecided) = (Vec::new(), Vec::new());
        for (rank, entry) in entries.iter().enumerate() {
            let number = u32::try_from(rank + 1).unwrap_or(u32::MAX);
            let facts = Facts {
                number,
                entry,
                record: None,
                content: None,
            };
            match test.eval(facts) {
                Some(true) => found.push((number, entry.clone())),
                Some(false) => {}
                None => undecided.push((number, entry.clone())),
            }
        }
        (found, undecided)
    };
    if large {
        session.ports.runtime.blocking(work).await
    } else {
        work()
    }
}

/// Decides by the record, and by the message where that is not enough. None
/// when the message cannot be read.
async fn look_inside(
    session: &Session,
    account: &Account,
    test: &Arc<Test>,
    candidate: &Candidate,
    record: EmailRecord,
    with_body: bool,
) -> Option<bool> {
    let (number, entry) = candidate;
    let left_out = |error: &dyn Error| {
        tracing::error!(session = session.id, email = %entry.email, %error, "imap: SEARCH leaves a message out");
    };
    let looked = (|| {
        let digest = StoredDigest::read(&record.digest)?;
        let facts = Facts {
            number: *number,
            entry,
            record: Some((&record, digest)),
            content: None,
        };
        if let Some(decided) = test.eval(facts) {
            return Ok(Look::Decided(decided));
        }
        let parts = with_body.then(|| digest.parts()).transpose()?;
        Ok::<_, DecodeError>(Look::Read(digest.header_len, parts))
    })();
    let (header_len, parts) = match looked {
        Ok(Look::Decided(decided)) => return Some(decided),
        Ok(Look::Read(header_len, parts)) => (header_len, parts),
        Err(error) => {
            left_out(&error);
            return None;
        }
    };
    let content = match Content::read(account, &record, header_len, parts.as_ref()).await {
        Ok(content) => content,
        Err(error) => {
            left_out(&error);
            return None;
        }
    };
    // Looking through megabytes of text is not done on an async worker.
    let (test, number, entry) = (Arc::clone(test), *number, entry.clone());
    let work = move || {
        let digest = StoredDigest::read(&record.digest).ok()?;
        let facts = Facts {
            number,
            entry: &entry,
            record: Some((&record, digest)),
            content: Some(&content),
        };
        Some(test.eval(facts).unwrap_or(false))
    };
    session.ports.runtime.blocking(work).await
}

/// What a record tells.
enum Look {
    Decided(bool),
    /// The message must be read: the length of its header, and the parts of its body.
    Read(u64, Option<PartIndex>),
}

fn numbers(found: &[Candidate], uid: bool) -> impl Iterator<Item = u32> + Clone + '_ {
    found
        .iter()
        .map(move |(number, entry)| if uid { entry.uid.0 } else { *number })
}

/// `* SEARCH 2 84 882`
fn write_search(out: &mut Vec<u8>, found: &[Candidate], uid: bool, with_modseq: bool) {
    out.extend_from_slice(b"* SEARCH");
    for number in numbers(found, uid) {
        out.push(b' ');
        response::write_number(out, u64::from(number));
    }
    let highest = found.iter().map(|(_, entry)| entry.modseq.0).max();
    if let (Some(highest), true) = (highest, with_modseq) {
        out.extend_from_slice(b" (MODSEQ ");
        response::write_number(out, highest);
        out.push(b')');
    }
    out.extend_from_slice(b"\r\n");
}

/// `* ESEARCH (TAG "a") UID MIN 2 MAX 9 ALL 2,5:9 COUNT 6`
fn write_esearch(
    out: &mut Vec<u8>,
    tag: &Tag,
    found: &[Candidate],
    uid: bool,
    with_modseq: bool,
    returns: &[ReturnItem],
) {
    // RFC 5182 §2.1: with SAVE alone nothing is told.
    if returns.iter().all(|item| *item == ReturnItem::Save) {
        return;
    }
    out.extend_from_slice(b"* ESEARCH (TAG ");
    response::write_string(out, tag.as_str().as_bytes());
    out.push(b')');
    if uid {
        out.extend_from_slice(b" UID");
    }
    let ends = (numbers(found, uid).next(), numbers(found, uid).last());
    for item in [
        ReturnItem::Min,
        ReturnItem::Max,
        ReturnItem::All,
        ReturnItem::Count,
    ] {
        if !returns.contains(&item) {
            continue;
        }
        match (item, ends) {
            (ReturnItem::Min, (Some(min), _)) => write_pair(out, " MIN ", u64::from(min)),
            (ReturnItem::Max, (_, Some(max))) => write_pair(out, " MAX ", u64::from(max)),
            (ReturnItem::All, (Some(_), _)) => {
                out.extend_from_slice(b" ALL ");
                write_numbers(out, numbers(found, uid));
            }
            (ReturnItem::Count, _) => write_pair(out, " COUNT ", found.len() as u64),
            _ => {}
        }
    }
    let told = chosen(found, returns);
    if let (Some(highest), true) = (told.iter().map(|(_, e)| e.modseq.0).max(), with_modseq) {
        write_pair(out, " MODSEQ ", highest);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_pair(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    response::write_number(out, number);
}

/// The messages that the answer is about: RFC 4731 §3.2 for MODSEQ and RFC 5182
/// §2.1 for SAVE agree that MIN and MAX alone mean those messages only.
fn chosen<'a>(found: &'a [Candidate], returns: &[ReturnItem]) -> Vec<&'a Candidate> {
    let ends = returns
        .iter()
        .any(|item| matches!(item, ReturnItem::Min | ReturnItem::Max));
    let whole = returns
        .iter()
        .any(|item| matches!(item, ReturnItem::All | ReturnItem::Count));
    if whole || !ends {
        return found.iter().collect();
    }
    let mut chosen = Vec::new();
    if returns.contains(&ReturnItem::Min) {
        chosen.extend(found.first());
    }
    if returns.contains(&ReturnItem::Max) && (found.len() > 1 || chosen.is_empty()) {
        chosen.extend(found.last());
    }
    chosen
}

fn save(session: &mut Session, found: &[Candidate], returns: &[ReturnItem]) {
    let uids: UidSet = chosen(found, returns)
        .into_iter()
        .map(|(_, entry)| entry.uid)
        .collect();
    if let Some(selected) = &mut session.selected {
        selected.saved = uids;
    }
}
