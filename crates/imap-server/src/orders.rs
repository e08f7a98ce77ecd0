//! Orders and threads of mailboxes as they were told last, so that whoever asks
//! again, in whatever session, has no message looked at.
//!
//! What messages are sorted and threaded by never changes: a remembered order holds
//! for any of its messages, threads for exactly theirs. Emails are known by their
//! numbers, which are never given again.

use crate::commands::search::Candidate;
use crate::limits::{ORDERS_BYTES_MAX, ORDERS_MAX};
use crate::search::Comparator;
use crate::selected::Selected;
use imap_proto::{SortCriterion, SortKey, ThreadAlgorithm};
use mailbox_model::{EmailId, MailboxId, Uid};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// One for all sessions; a clone has the same orders.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// The last used in front.
    kept: Arc<Mutex<VecDeque<Arc<Order>>>>,
}

/// What is remembered of which mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    account: envelope::AccountId,
    mailbox: MailboxId,
    comparator: Comparator,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Sorted(Vec<SortCriterion>),
    /// Told by UIDs or by numbers.
    Threaded(ThreadAlgorithm, bool),
}

#[derive(Debug)]
struct Order {
    key: Key,
    /// By ascending UIDs.
    messages: Vec<Known>,
    /// Of a sorted one: where each of the messages stands.
    places: Vec<u32>,
    /// Of threads: what was told.
    told: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Known {
    number: u32,
    uid: Uid,
    email: EmailId,
}

impl Key {
    /// None where it is not of the messages alone.
    pub(crate) fn sorted(
        selected: &Selected,
        comparator: Comparator,
        criteria: &[SortCriterion],
    ) -> Option<Self> {
        let lasting = |criterion: &SortCriterion| criterion.key != SortKey::Relevancy;
        criteria
            .iter()
            .all(lasting)
            .then(|| Self::new(selected, comparator, What::Sorted(criteria.to_vec())))
    }

    pub(crate) fn threaded(
        selected: &Selected,
        comparator: Comparator,
        algorithm: ThreadAlgorithm,
        uid: bool,
    ) -> Self {
        Self::new(selected, comparator, What::Threaded(algorithm, uid))
    }

    fn new(selected: &Selected, comparator: Comparator, what: What) -> Self {
        Self {
            account: selected.account.id(),
            mailbox: selected.id,
            comparator,
            what,
        }
    }
}

impl Orders {
    /// Puts messages, which ascend, into an order that is remembered; gives them back if none is.
    pub(crate) fn sort(
        &self,
        key: &Key,
        messages: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, Vec<Candidate>> {
        let Some(order) = self.find(key) else {
            return Err(messages);
        };
        let mut places = Vec::with_capacity(messages.len());
        let mut known = order.messages.iter().enumerate();
        for (_, entry) in &messages {
            let found = known.find(|(_, known)| known.uid >= entry.uid);
            match found {
                Some((at, known)) if known.email == entry.email && known.uid == entry.uid => {
                    places.push(order.places[at]);
                }
                _ => return Err(messages),
            }
        }
        let mut sorted: Vec<Option<Candidate>> = vec![None; order.messages.len()];
        for (message, place) in messages.into_iter().zip(places) {
            sorted[place as usize] = Some(message);
        }
        Ok(sorted.into_iter().flatten().collect())
    }

    /// Remembers the order of messages.
    pub(crate) fn keep_sorted(&self, key: Key, sorted: &[Candidate]) {
        let mut messages: Vec<_> = (0u32..).zip(sorted).collect();
        messages.sort_unstable_by_key(|(_, (_, entry))| entry.uid);
        let places = messages.iter().map(|(place, _)| *place).collect();
        let messages = messages.into_iter().map(|(_, message)| known(message));
        self.keep(Order {
            key,
            messages: messages.collect(),
            places,
            told: Vec::new(),
        });
    }

    /// Writes the threads of messages, if they are remembered.
    pub(crate) fn write_threads(
        &self,
        key: &Key,
        messages: &[Candidate],
        out: &mut Vec<u8>,
    ) -> bool {
        let order = self.find(key);
        let Some(order) = order.filter(|order| {
            order.messages.len() == messages.len()
                && order
                    .messages
                    .iter()
                    .zip(messages)
                    .all(|(one, other)| *one == known(other))
        }) else {
            return false;
        };
        out.extend_from_slice(&order.told);
        true
    }

    /// Remembers the threads of messages.
    pub(crate) fn keep_threads(&self, key: Key, messages: &[Candidate], told: &[u8]) {
        self.keep(Order {
            key,
            messages: messages.iter().map(known).collect(),
            places: Vec::new(),
            told: told.to_vec(),
        });
    }

    fn find(&self, key: &Key) -> Option<Arc<Order>> {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|order| order.key == *key)?;
        let order = kept.remove(at)?;
        kept.push_front(Arc::clone(&order));
        Some(order)
    }

    fn keep(&self, order: Order) {
        if order.bytes() > ORDERS_BYTES_MAX / 2 {
            return;
        }
        let mut kept = self.kept.lock();
        kept.retain(|other| other.key != order.key);
        kept.push_front(Arc::new(order));
        let mut bytes = 0;
        kept.truncate(ORDERS_MAX);
        kept.retain(|order| {
            bytes += order.bytes();
            bytes <= ORDERS_BYTES_MAX
        });
    }
}

impl Order {
    fn bytes(&self) -> usize {
        size_of_val(&*self.messages) + size_of_val(&*self.places) + self.told.len()
    }
}

fn known((number, entry): &Candidate) -> Known {
    Known {
        number: *number,
        uid: entry.uid,
        email: entry.email,
    }
}
