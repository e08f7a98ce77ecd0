//! SORT and UID SORT (RFC 5256; by display names: RFC 5957; RETURN: RFC 5267).
//!
//! What messages are sorted by stands in their entries and in pages of lists: neither
//! records nor messages are read where those are there. Each message's values become
//! one key, bytes that stand in the order of the values.

use crate::commands::fetch::{Unreadable, readable};
use crate::commands::search::{Candidate, Found, Scores, Telling, find, keeps, tell};
use crate::context::{self, Results, SortedResults};
use crate::limits::KEYS_PER_READ;
use crate::orders::Key;
use crate::reply::Executed;
use crate::search::Comparator;
use crate::session::Session;
use imap_proto::{SortCommand, SortCriterion, SortKey, Tag};
use mailstore::{Account, EmailReader, Listing, SortKeys};
use mime::{AddressField, EnvelopeReader};
use std::cmp::Ordering;
use std::sync::Arc;

/// A message with its key.
pub(crate) type Sorted = (Box<[u8]>, Candidate);

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

/// Sorts what was found; gives the keys too where they are to be kept.
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
    let (keyed, broken) = with_keys(session, &account, (messages, &found.scores), criteria).await;
    found.broken |= broken;
    if kept {
        let sorted = keyed.sorted();
        found.messages = sorted.iter().map(|(_, message)| message.clone()).collect();
        return sorted;
    }
    found.messages = keyed.in_order();
    if let Some(key) = key.filter(|_| is_worth_it && !broken) {
        session.ports.orders.keep_sorted(key, &found.messages);
    }
    Vec::new()
}

/// Messages in their order with their keys, and whether some cannot be read.
pub(crate) async fn with_keys(
    session: &Session,
    account: &Account,
    (mut messages, scores): (Vec<Candidate>, &Scores),
    criteria: &Arc<Vec<SortCriterion>>,
) -> (Keyed, bool) {
    let mut keyed = Keyed::default();
    let mut broken = false;
    let asked = Arc::new(Asked {
        criteria: Arc::clone(criteria),
        comparator: session.enabled.comparator,
        scores: scores.clone(),
    });
    while !messages.is_empty() {
        let rest = messages.split_off(messages.len().min(KEYS_PER_READ));
        let some = std::mem::replace(&mut messages, rest);
        let asked = Arc::clone(&asked);
        let is_last = messages.is_empty();
        let work = move |reader: &EmailReader| {
            let damaged = asked.read(reader, some, &mut keyed);
            if is_last {
                keyed.sort();
            }
            (keyed, damaged)
        };
        let (read, damaged) = account.reading(work).await;
        keyed = read;
        broken |= !damaged.is_empty();
        for ((_, entry), why) in damaged {
            tracing::error!(session = session.id, email = %entry.email, why, "imap: SORT leaves a message out");
        }
    }
    (keyed, broken)
}

/// By their keys, then as they stand in the mailbox.
pub(crate) fn compare(a: &Sorted, b: &Sorted) -> Ordering {
    // RFC 5256 §3: what is equal stays in the order of numbers, reversed or not.
    (&a.0, a.1.1.uid).cmp(&(&b.0, b.1.1.uid))
}

/// Messages and their keys.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    /// Those without a place are left out.
    messages: Vec<Candidate>,
    /// All keys, one behind the other.
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a message's key lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// How the key begins: nearly always enough.
    start: u64,
    from: usize,
    to: usize,
    message: usize,
}

impl Keyed {
    fn push(&mut self, message: usize, write: impl FnOnce(&Candidate, &mut Vec<u8>)) {
        let from = self.bytes.len();
        write(&self.messages[message], &mut self.bytes);
        let mut start = [0; 8];
        let key = &self.bytes[from..];
        let len = key.len().min(start.len());
        start[..len].copy_from_slice(&key[..len]);
        self.places.push(Place {
            start: u64::from_be_bytes(start),
            from,
            to: self.bytes.len(),
            message,
        });
    }

    fn sort(&mut self) {
        let (bytes, messages) = (&self.bytes, &self.messages);
        let rest = |place: &Place| (&bytes[place.from..place.to], messages[place.message].1.uid);
        self.places
            .sort_unstable_by(|a, b| (a.start.cmp(&b.start)).then_with(|| rest(a).cmp(&rest(b))));
    }

    fn in_order(&self) -> Vec<Candidate> {
        let places = self.places.iter();
        places
            .map(|place| self.messages[place.message].clone())
            .collect()
    }

    /// Each message with its key.
    pub(crate) fn sorted(&self) -> Vec<Sorted> {
        let one = |place: &Place| {
            let key = &self.bytes[place.from..place.to];
            (key.into(), self.messages[place.message].clone())
        };
        self.places.iter().map(one).collect()
    }
}

/// What messages are sorted by.
struct Asked {
    criteria: Arc<Vec<SortCriterion>>,
    comparator: Comparator,
    scores: Scores,
}

/// What is needed of each message besides its entry.
enum Source {
    Nothing,
    SortKeys,
    Listings,
}

impl Asked {
    fn source(&self) -> Source {
        let mut source = Source::Nothing;
        for criterion in self.criteria.iter() {
            match criterion.key {
                SortKey::Size | SortKey::Relevancy => {}
                SortKey::Arrival | SortKey::Date => source = Source::SortKeys,
                SortKey::Subject if self.comparator == Comparator::UnicodeCasemap => {
                    source = Source::SortKeys;
                }
                _ => return Source::Listings,
            }
        }
        source
    }

    /// Gives keys to messages; tells which cannot be read.
    fn read(
        &self,
        reader: &EmailReader,
        mut messages: Vec<Candidate>,
        keyed: &mut Keyed,
    ) -> Vec<(Candidate, String)> {
        let emails: Vec<_> = messages.iter().map(|(_, entry)| entry.email).collect();
        let first = keyed.messages.len();
        keyed.messages.append(&mut messages);
        keyed.places.reserve(emails.len());
        let mut damaged = Vec::new();
        let mut one = |at: usize, known: Result<Known<'_>, Unreadable>| match known {
            Ok(known) => keyed.push(first + at, |message, out| {
                self.write(message, &known, out);
            }),
            Err(Unreadable::Gone) => {}
            Err(Unreadable::Damaged(why)) => {
                damaged.push((keyed.messages[first + at].clone(), why));
            }
        };
        match self.source() {
            Source::Nothing => (0..emails.len()).for_each(|at| one(at, Ok(Known::Nothing))),
            Source::Listings => reader.visit_listed::<Listing>(&emails, |at, listing| {
                one(at, readable(listing).map(Known::Listing));
            }),
            Source::SortKeys => reader.visit_listed::<SortKeys<'_>>(&emails, |at, keys| {
                one(at, readable(keys).map(Known::SortKeys));
            }),
        }
        damaged
    }

    /// The best match first (RFC 6203 §6).
    fn score(&self, (_, entry): &Candidate) -> i64 {
        -i64::from(self.scores.get(&entry.uid).copied().unwrap_or(100))
    }

    /// Writes a key; it is no other's beginning.
    fn write(&self, message: &Candidate, known: &Known<'_>, out: &mut Vec<u8>) {
        let envelope = known.envelope();
        let envelope = envelope.as_ref();
        let mailbox = |field, out: &mut Vec<u8>| {
            let mailbox = envelope.map(|envelope| envelope.first_mailbox(field));
            self.write_folded(&mailbox.unwrap_or_default(), out);
        };
        let display = |field, out: &mut Vec<u8>| {
            let name = envelope.map(|envelope| envelope.first_display(field));
            self.write_folded(&name.unwrap_or_default(), out);
        };
        for criterion in self.criteria.iter() {
            let from = out.len();
            match criterion.key {
                SortKey::Size => {
                    write_number(i64::try_from(message.1.size()).unwrap_or(i64::MAX), out);
                }
                SortKey::Relevancy => write_number(self.score(message), out),
                SortKey::Arrival => write_number(known.received_s(), out),
                SortKey::Date => write_number(known.sent_s(envelope), out),
                SortKey::From => mailbox(AddressField::From, out),
                SortKey::To => mailbox(AddressField::To, out),
                SortKey::Cc => mailbox(AddressField::Cc, out),
                SortKey::DisplayFrom => display(AddressField::From, out),
                SortKey::DisplayTo => display(AddressField::To, out),
                SortKey::Subject => match known {
                    Known::SortKeys(keys) => write_text(keys.subject, out),
                    _ => {
                        let base = envelope.map(EnvelopeReader::base_subject);
                        let (base, _) = base.unwrap_or_default();
                        self.write_folded(&base, out);
                    }
                },
            }
            if criterion.reverse {
                out[from..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
    }

    fn write_folded(&self, text: &str, out: &mut Vec<u8>) {
        write_text(self.comparator.fold(text).as_bytes(), out);
    }
}

/// What was read of a message.
enum Known<'a> {
    Nothing,
    SortKeys(SortKeys<'a>),
    Listing(Listing),
}

impl Known<'_> {
    fn received_s(&self) -> i64 {
        match self {
            Self::Nothing => 0,
            Self::SortKeys(keys) => keys.received_s,
            Self::Listing(listing) => listing.received_at.unix_seconds,
        }
    }

    /// RFC 5256 §2.2
    fn sent_s(&self, envelope: Option<&EnvelopeReader<'_>>) -> i64 {
        if let Self::SortKeys(keys) = self {
            return keys.sent_s;
        }
        let date = envelope.and_then(|envelope| envelope.date());
        date.map_or(self.received_s(), |date| date.unix_seconds)
    }

    fn envelope(&self) -> Option<EnvelopeReader<'_>> {
        match self {
            Self::Listing(listing) => EnvelopeReader::read(&listing.envelope),
            Self::Nothing | Self::SortKeys(_) => None,
        }
    }
}

/// Negative ones come first.
fn write_number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(number as u64 ^ 1 << 63).to_be_bytes());
}

/// What another begins with comes before it.
fn write_text(text: &[u8], out: &mut Vec<u8>) {
    for (at, piece) in text.split(|byte| *byte == 0).enumerate() {
        if at > 0 {
            out.extend_from_slice(&[0, 1]);
        }
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_stand_in_the_order_of_what_they_are_of(
            a in (any::<i64>(), "[\0ab]{0,3}"),
            b in (any::<i64>(), "[\0ab]{0,3}"),
        ) {
            let number = |one: &(i64, String)| { let mut key = Vec::new(); write_number(one.0, &mut key); key };
            let text = |one: &(i64, String)| { let mut key = Vec::new(); write_text(one.1.as_bytes(), &mut key); key };
            let reversed = |one| text(one).iter().map(|byte| !byte).collect::<Vec<_>>();
            prop_assert_eq!(number(&a).cmp(&number(&b)), a.0.cmp(&b.0));
            prop_assert_eq!(text(&a).cmp(&text(&b)), a.1.cmp(&b.1));
            prop_assert_eq!(reversed(&a).cmp(&reversed(&b)), b.1.cmp(&a.1));
            // Of several values the first that differs decides.
            let both = |one| [text(one), number(one)].concat();
            prop_assert_eq!(both(&a).cmp(&both(&b)), (&a.1, a.0).cmp(&(&b.1, b.0)));
        }
    }
}
