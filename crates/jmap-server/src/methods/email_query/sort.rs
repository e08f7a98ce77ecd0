//! How results are sorted. RFC 8621 §4.4.2
//!
//! Dates and subjects come from pages of sort keys, as SORT's do; what is equal stands in
//! the order of the emails' numbers, the way that the first comparator goes.

use super::filter::count_in_threads;
use crate::Jmap;
use crate::email::keywords::flag_id;
use crate::look::Look;
use crate::session::EMAIL_SORTS;
use ::search::{Candidate, Comparator as Collation};
use jmap_proto::{Comparator, MethodError};
use mailbox_model::{EmailId, FlagId};
use mailstore::{EmailReader, Listing, SortKeys};
use mime::{AddressField, EnvelopeReader};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// # Errors
/// A comparator that is not known.
pub(crate) fn check(sort: &[Comparator]) -> Result<(), MethodError> {
    for by in sort {
        if !EMAIL_SORTS.contains(&by.property.as_str()) {
            return Err(MethodError::UnsupportedSort(by.property.clone()));
        }
        let needs_keyword = by.property.ends_with("Keyword");
        let keyword = by.more.get("keyword");
        if needs_keyword && keyword.is_none_or(|keyword| !keyword.is_string()) {
            return Err(MethodError::InvalidArguments(
                "the comparator needs a keyword".into(),
            ));
        }
        let known = by
            .more
            .keys()
            .all(|name| needs_keyword && name == "keyword");
        let collation = by.collation.as_deref().unwrap_or("i;unicode-casemap");
        if !known || Collation::meant_by(collation).is_empty() || collation.contains('*') {
            return Err(MethodError::UnsupportedSort(by.property.clone()));
        }
    }
    Ok(())
}

/// A value that emails are compared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Text(Box<[u8]>),
}

/// Where values come from.
enum By {
    Size,
    Keyword(Option<FlagId>),
    /// Of a thread's first email.
    Thread(HashMap<EmailId, bool>),
    Received,
    Sent,
    Subject,
    Address(AddressField, Collation),
}

impl By {
    fn of(look: &Look, by: &Comparator) -> Self {
        let keyword = by.more.get("keyword").and_then(|keyword| keyword.as_str());
        let keyword = keyword.unwrap_or_default();
        let of_threads = |holds: fn(u32, u32) -> bool| {
            let counts = count_in_threads(look, keyword).into_iter();
            Self::Thread(
                counts
                    .map(|(first, (all, having))| (first, holds(all, having)))
                    .collect(),
            )
        };
        let collation = by.collation.as_deref().unwrap_or("default");
        let collation = Collation::meant_by(collation)
            .first()
            .copied()
            .unwrap_or_default();
        match by.property.as_str() {
            "size" => Self::Size,
            "hasKeyword" => Self::Keyword(flag_id(look.view(), keyword)),
            "allInThreadHaveKeyword" => of_threads(|all, having| all == having),
            "someInThreadHaveKeyword" => of_threads(|_, having| having > 0),
            "sentAt" => Self::Sent,
            "subject" => Self::Subject,
            "from" => Self::Address(AddressField::From, collation),
            "to" => Self::Address(AddressField::To, collation),
            _ => Self::Received,
        }
    }

    fn needs_sort_keys(&self) -> bool {
        matches!(self, Self::Received | Self::Sent | Self::Subject)
    }
}

/// The emails in their order.
pub(crate) async fn sorted(
    jmap: &Jmap,
    look: &Look,
    mut found: Vec<Candidate>,
    sort: &[Comparator],
) -> Result<Vec<EmailId>, MethodError> {
    // Pages are read in order.
    found.sort_unstable_by_key(|(_, entry)| entry.email);
    found.dedup_by_key(|(_, entry)| entry.email);
    let mut ways: Vec<bool> = sort.iter().map(|by| by.ascending).collect();
    let mut by: Vec<By> = sort.iter().map(|by| By::of(look, by)).collect();
    if by.is_empty() {
        // The newest first, as the server likes.
        (by, ways) = (vec![By::Received], vec![false]);
    }
    let mut keys: Vec<Vec<Key>> = vec![Vec::with_capacity(by.len()); found.len()];
    let by = Arc::new(by);
    let threads: Vec<EmailId> = found
        .iter()
        .map(|(_, entry)| look.thread_of(entry.email))
        .collect();
    let work = move |emails: &EmailReader| {
        for one in by.iter() {
            fill(emails, one, &found, &threads, &mut keys);
        }
        let emails = found.into_iter().map(|(_, entry)| entry.email);
        let mut keyed: Vec<(Vec<Key>, EmailId)> = keys.into_iter().zip(emails).collect();
        keyed.sort_unstable_by(|(a, a_email), (b, b_email)| {
            let mut pairs = a.iter().zip(b).zip(&ways);
            let differing = pairs.find_map(|((a, b), ascending)| match (a.cmp(b), ascending) {
                (Ordering::Equal, _) => None,
                (order, true) => Some(order),
                (order, false) => Some(order.reverse()),
            });
            differing.unwrap_or_else(|| match ways.first() {
                Some(false) => b_email.cmp(a_email),
                _ => a_email.cmp(b_email),
            })
        });
        keyed.into_iter().map(|(_, email)| email).collect()
    };
    let _ = jmap;
    Ok(look.room.account.reading(work).await)
}

/// Appends each email's value.
fn fill(
    emails: &EmailReader,
    by: &By,
    found: &[Candidate],
    threads: &[EmailId],
    keys: &mut [Vec<Key>],
) {
    let number = |number: u64| Key::Number(i64::try_from(number).unwrap_or(i64::MAX));
    match by {
        By::Size => {
            for ((_, entry), keys) in found.iter().zip(keys) {
                keys.push(number(entry.size()));
            }
        }
        By::Keyword(id) => {
            for ((_, entry), keys) in found.iter().zip(keys) {
                keys.push(number(id.is_some_and(|id| entry.has(id)).into()));
            }
        }
        By::Thread(holds) => {
            for (first, keys) in threads.iter().zip(keys) {
                keys.push(number(holds.get(first).copied().unwrap_or_default().into()));
            }
        }
        By::Address(field, collation) => {
            let ids: Vec<EmailId> = found.iter().map(|(_, entry)| entry.email).collect();
            let none = || Key::Text(Box::default());
            keys.iter_mut().for_each(|keys| keys.push(none()));
            emails.visit_listed::<Listing>(&ids, |at, listing| {
                let Ok(listing) = listing else {
                    return;
                };
                let Some(envelope) = EnvelopeReader::read(&listing.envelope) else {
                    return;
                };
                let name = collation.fold(&envelope.first_display(*field));
                if let Some(key) = keys[at].last_mut() {
                    *key = Key::Text(name.into_bytes().into());
                }
            });
        }
        by => {
            debug_assert!(by.needs_sort_keys());
            let ids: Vec<EmailId> = found.iter().map(|(_, entry)| entry.email).collect();
            let none = match by {
                By::Subject => Key::Text(Box::default()),
                _ => Key::Number(0),
            };
            keys.iter_mut().for_each(|keys| keys.push(none.clone()));
            emails.visit_listed::<SortKeys<'_>>(&ids, |at, listed| {
                let (Ok(listed), Some(key)) = (listed, keys[at].last_mut()) else {
                    return;
                };
                *key = match by {
                    By::Sent => Key::Number(listed.sent_s),
                    By::Subject => Key::Text(listed.subject.into()),
                    _ => Key::Number(listed.received_s),
                };
            });
        }
    }
}
