//! How results are sorted. RFC 8621 §4.4.2
//!
//! Dates and subjects come from pages of sort keys, as SORT's do; what is equal stands in
//! the order of the emails' numbers, the way that the first comparator goes.

use super::threads::{Counts, Threads};
use crate::email::keywords::flag_id;
use crate::limits::{SORTED_NAME_BYTES_MAX, SORTED_VALUES_MAX};
use crate::look::Look;
use crate::session::EMAIL_SORTS;
use ::search::{Candidate, Comparator as Collation};
use jmap_proto::{Comparator, MethodError};
use mailbox_model::{EmailId, FlagId};
use mailstore::{EmailReader, Listing, SortKeys};
use mime::{AddressField, EnvelopeReader};
use std::cmp::Ordering;
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
    /// None where nobody ever set the keyword.
    Thread(Option<Arc<Counts>>, fn(u32, u32) -> bool),
    Received,
    Sent,
    Subject,
    Address(AddressField, Collation),
}

impl By {
    fn of(look: &Look, by: &Comparator, threads: &mut Threads) -> Result<Self, MethodError> {
        let keyword = by.more.get("keyword").and_then(|keyword| keyword.as_str());
        let keyword = keyword.unwrap_or_default();
        let mut of_threads = |holds| {
            let flag = flag_id(look.view(), keyword);
            let counts = flag.map(|flag| threads.counts(flag)).transpose()?;
            Ok(Self::Thread(counts, holds))
        };
        let collation = by.collation.as_deref().unwrap_or("default");
        let collation = Collation::meant_by(collation)
            .first()
            .copied()
            .unwrap_or_default();
        Ok(match by.property.as_str() {
            "size" => Self::Size,
            "hasKeyword" => Self::Keyword(flag_id(look.view(), keyword)),
            "allInThreadHaveKeyword" => return of_threads(|all, having| all == having),
            "someInThreadHaveKeyword" => return of_threads(|_, having| having > 0),
            "sentAt" => Self::Sent,
            "subject" => Self::Subject,
            "from" => Self::Address(AddressField::From, collation),
            "to" => Self::Address(AddressField::To, collation),
            _ => Self::Received,
        })
    }

    fn needs_sort_keys(&self) -> bool {
        matches!(self, Self::Received | Self::Sent | Self::Subject)
    }
}

/// What is sorted by, made ready.
pub(super) struct Sort {
    by: Vec<By>,
    ascending: Vec<bool>,
}

impl Sort {
    pub(super) fn of(
        look: &Look,
        sort: &[Comparator],
        threads: &mut Threads,
    ) -> Result<Self, MethodError> {
        let mut asked: Vec<&Comparator> = Vec::new();
        for by in sort {
            // What is equal is so the second time too.
            let same = |other: &&Comparator| {
                let of = |by: &Comparator| (by.property.clone(), by.collation.clone());
                of(other) == of(by) && other.more == by.more
            };
            if !asked.iter().any(same) {
                asked.push(by);
            }
        }
        if asked.is_empty() {
            // The newest first, as the server likes.
            return Ok(Self {
                by: vec![By::Received],
                ascending: vec![false],
            });
        }
        let ascending = asked.iter().map(|by| by.ascending).collect();
        let by = asked.into_iter().map(|by| By::of(look, by, threads));
        Ok(Self {
            by: by.collect::<Result<_, _>>()?,
            ascending,
        })
    }

    /// # Errors
    /// That many emails are not sorted by so much.
    pub(super) fn check_size(&self, emails: usize) -> Result<(), MethodError> {
        if self.by.len() > 1 && self.by.len().saturating_mul(emails) > SORTED_VALUES_MAX {
            let text = "it is too long for so many emails";
            return Err(MethodError::UnsupportedSort(text.into()));
        }
        Ok(())
    }

    /// The emails in their order. Runs on the blocking pool.
    pub(super) fn sorted(self, emails: &EmailReader, mut found: Vec<Candidate>) -> Vec<EmailId> {
        // Pages are read in order.
        found.sort_unstable_by_key(|(_, entry)| entry.email);
        found.dedup_by_key(|(_, entry)| entry.email);
        let mut keys: Vec<Vec<Key>> = Vec::new();
        keys.resize_with(found.len(), || Vec::with_capacity(self.by.len()));
        for one in &self.by {
            fill(emails, one, &found, &mut keys);
        }
        let ids = found.into_iter().map(|(_, entry)| entry.email);
        let mut keyed: Vec<(Vec<Key>, EmailId)> = keys.into_iter().zip(ids).collect();
        keyed.sort_unstable_by(|(a, a_email), (b, b_email)| {
            let mut pairs = a.iter().zip(b).zip(&self.ascending);
            let differing = pairs.find_map(|((a, b), ascending)| match (a.cmp(b), ascending) {
                (Ordering::Equal, _) => None,
                (order, true) => Some(order),
                (order, false) => Some(order.reverse()),
            });
            differing.unwrap_or_else(|| match self.ascending.first() {
                Some(false) => b_email.cmp(a_email),
                _ => a_email.cmp(b_email),
            })
        });
        keyed.into_iter().map(|(_, email)| email).collect()
    }
}

/// Appends each email's value.
fn fill(emails: &EmailReader, by: &By, found: &[Candidate], keys: &mut [Vec<Key>]) {
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
        By::Thread(counts, holds) => {
            for ((_, entry), keys) in found.iter().zip(keys) {
                let counts = counts.as_ref().map(|counts| counts.of(entry.email));
                let holds = counts.is_some_and(|(all, having)| holds(all, having));
                keys.push(number(holds.into()));
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
                let mut name = collation.fold(&envelope.first_display(*field));
                name.truncate(name.floor_char_boundary(SORTED_NAME_BYTES_MAX));
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
