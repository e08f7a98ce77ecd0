//! SORT and UID SORT (RFC 5256; by display names: RFC 5957; RETURN: RFC 5267).
//!
//! What messages are sorted by stands in their entries and in pages of lists: neither
//! records nor messages are read where those are there.

use crate::commands::fetch::{Unreadable, readable};
use crate::commands::search::{Candidate, Found, Scores, Telling, find, keeps, tell};
use crate::context::{self, Results, SortedResults};
use crate::limits::RECORDS_PER_READ;
use crate::orders::Key;
use crate::reply::Executed;
use crate::search::Comparator;
use crate::session::Session;
use imap_proto::{SortCommand, SortCriterion, SortKey, Tag};
use mailbox_model::Entry;
use mailstore::{Account, Listing};
use mime::{AddressField, EnvelopeReader};
use std::cmp::Ordering;
use std::sync::Arc;

/// What a message is compared by under one criterion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Number(i64),
    Text(Box<str>),
}

/// A message with its values, one for each criterion.
pub(crate) type Sorted = (Vec<Value>, Candidate);

pub(crate) async fn run(session: &mut Session, tag: &Tag, command: SortCommand) -> Executed {
    let kept = keeps(command.returns.as_deref()).then(|| command.key.clone());
    if let (Some(_), Err(reply)) = (&kept, context::check_tag(session, tag)) {
        return Ok(reply);
    }
    let mut found = match find(session, tag, command.key).await? {
        Ok(found) => found,
        Err(reply) => return Ok(reply),
    };
    let criteria = Arc::new(command.criteria);
    let sorted = sort(session, &mut found, &criteria, kept.is_some()).await;
    let telling = Telling {
        word: "SORT",
        tag,
        uid: command.uid,
    };
    let reply = tell(session, &found, telling, command.returns.as_deref());
    if let Some(key) = kept {
        let results = Results::Sorted(SortedResults::new(criteria, sorted));
        context::keep(session, tag, command.uid, key, results);
    }
    Ok(reply)
}

/// Sorts what was found; gives the values too where they are to be kept.
async fn sort(
    session: &Session,
    found: &mut Found,
    criteria: &Arc<Vec<SortCriterion>>,
    kept: bool,
) -> Vec<Sorted> {
    let Some(selected) = &session.selected else {
        return Vec::new();
    };
    let account = Arc::clone(&selected.account);
    let mut messages = std::mem::take(&mut found.messages);
    let key = Key::sorted(selected, session.enabled.comparator, criteria).filter(|_| !kept);
    if let Some(key) = &key {
        match session.ports.orders.sort(key, messages) {
            Ok(sorted) => {
                found.messages = sorted;
                return Vec::new();
            }
            Err(unsorted) => messages = unsorted,
        }
    }
    // Of a few nobody would ask for the same again.
    let is_worth_it = messages.len() >= selected.entries().len() / 2;
    let (mut sorted, broken) =
        with_values(session, &account, (messages, &found.scores), criteria).await;
    found.broken |= broken;
    let criteria = Arc::clone(criteria);
    let work = move || {
        sorted.sort_by(|a, b| compare(&criteria, a, b));
        match kept {
            true => (
                sorted.iter().map(|(_, message)| message.clone()).collect(),
                sorted,
            ),
            false => (
                sorted.into_iter().map(|(_, message)| message).collect(),
                Vec::new(),
            ),
        }
    };
    let (messages, sorted): (Vec<_>, _) = session.ports.runtime.blocking(work).await;
    if let Some(key) = key.filter(|_| is_worth_it && !broken) {
        session.ports.orders.keep_sorted(key, &messages);
    }
    found.messages = messages;
    sorted
}

/// Messages with what they are compared by, and whether some cannot be read.
pub(crate) async fn with_values(
    session: &Session,
    account: &Account,
    (messages, scores): (Vec<Candidate>, &Scores),
    criteria: &[SortCriterion],
) -> (Vec<Sorted>, bool) {
    let mut broken = false;
    let comparator = session.enabled.comparator;
    let mut sorted: Vec<Sorted> = Vec::with_capacity(messages.len());
    let in_entry = |criterion: &SortCriterion| known(criterion.key, (0, 0)).is_some();
    // The best match first (RFC 6203 §6).
    let score = |entry: &Entry| -i64::from(scores.get(&entry.uid).copied().unwrap_or(100));
    if criteria.iter().all(in_entry) {
        let values = |entry: &Entry| {
            let known =
                |criterion: &SortCriterion| known(criterion.key, (entry.size(), score(entry)));
            criteria.iter().filter_map(known).collect()
        };
        sorted.extend(
            messages
                .into_iter()
                .map(|message| (values(&message.1), message)),
        );
    } else {
        for batch in messages.chunks(RECORDS_PER_READ) {
            let ids: Vec<_> = batch.iter().map(|(_, entry)| entry.email).collect();
            for (message, listing) in batch.iter().zip(account.listings(&ids).await) {
                match readable(listing) {
                    Ok(listing) => {
                        let of_entry = (message.1.size(), score(&message.1));
                        let values = values(criteria, of_entry, &listing, comparator);
                        sorted.push((values, message.clone()));
                    }
                    Err(Unreadable::Gone) => {}
                    Err(Unreadable::Damaged(why)) => {
                        broken = true;
                        tracing::error!(session = session.id, email = %message.1.email, why, "imap: SORT leaves a message out");
                    }
                }
            }
        }
    }
    (sorted, broken)
}

/// By the criteria, then as they stand in the mailbox.
pub(crate) fn compare(criteria: &[SortCriterion], a: &Sorted, b: &Sorted) -> Ordering {
    let values = criteria.iter().zip(a.0.iter().zip(&b.0));
    let mut orders = values.map(|(criterion, (a, b))| match criterion.reverse {
        false => a.cmp(b),
        true => b.cmp(a),
    });
    let order = orders.find(|order| *order != Ordering::Equal);
    // RFC 5256 §3: what is equal stays in the order of numbers, reversed or not.
    order.unwrap_or_else(|| a.1.1.uid.cmp(&b.1.1.uid))
}

/// What is known without a list: size and score.
fn known(key: SortKey, (size, score): (u64, i64)) -> Option<Value> {
    match key {
        SortKey::Size => Some(number(size)),
        SortKey::Relevancy => Some(Value::Number(score)),
        _ => None,
    }
}

fn number(number: u64) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn values(
    criteria: &[SortCriterion],
    of_entry: (u64, i64),
    listing: &Listing,
    comparator: Comparator,
) -> Vec<Value> {
    let envelope = EnvelopeReader::read(&listing.envelope);
    let text = |text: Option<String>| {
        let text = comparator.fold(&text.unwrap_or_default());
        Value::Text(text.into_boxed_str())
    };
    let mailbox = |field| text(envelope.map(|envelope| envelope.first_mailbox(field)));
    let display = |field| text(envelope.map(|envelope| envelope.first_display(field)));
    let one = |criterion: &SortCriterion| match criterion.key {
        SortKey::Size => number(of_entry.0),
        SortKey::Relevancy => Value::Number(of_entry.1),
        SortKey::Arrival => Value::Number(listing.received_at.unix_seconds),
        SortKey::Date => Value::Number(sent(envelope, listing)),
        SortKey::From => mailbox(AddressField::From),
        SortKey::To => mailbox(AddressField::To),
        SortKey::Cc => mailbox(AddressField::Cc),
        SortKey::DisplayFrom => display(AddressField::From),
        SortKey::DisplayTo => display(AddressField::To),
        SortKey::Subject => text(envelope.map(|envelope| {
            let (base, _) = mime::subject::base_subject(&envelope.subject());
            base
        })),
    };
    criteria.iter().map(one).collect()
}

/// RFC 5256 §2.2: the Date field, or the internal date where that is none.
pub(crate) fn sent(envelope: Option<EnvelopeReader<'_>>, listing: &Listing) -> i64 {
    let date = envelope.and_then(|envelope| envelope.date());
    date.map_or(listing.received_at.unix_seconds, |date| date.unix_seconds)
}
