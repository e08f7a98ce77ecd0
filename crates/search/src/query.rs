//! Evaluates a search in steps of growing cost: the entry alone, then the
//! email's record, then the message itself (RFC 9051 §6.4.4, RFC 8621 §4.4.1).
//!
//! A test that cannot be decided yet is `None`; only messages that stay
//! undecided cost the next step. Substrings are compared by a [`Comparator`],
//! on decoded header fields and decoded text parts.
//!
//! Not here: the grammars of searches; the faces make [`Test`]s of them, with what
//! [`Texts`] gives for those that look for a text.

mod comparator;
mod content;
mod fuzzy;
mod look;

pub use comparator::Comparator;
pub use content::{Content, Looker};
use fuzzy::Fit;
pub use fuzzy::Fuzzy;
pub use look::{Candidate, Looked, batch, decide, look_inside};

use crate::candidates::{Candidates, Lookup, Within};
use imap_proto::sequence::contains;
use imap_proto::{Date, DateTime};
use mailbox_model::{EmailId, Entry, FlagId, SavedAt, UidSet};
use mailstore::{EmailRecord, InternalDate};
use memchr::memmem::Finder;
use mime::{CACHED_FIELDS, Field, HeaderReader, StoredDigest};
use std::collections::HashSet;
use std::sync::Arc;

/// A search that is ready: what is tested, and the texts that are looked for in messages.
#[derive(Debug)]
pub struct Query {
    test: Test,
    /// What BODY and TEXT look for, each once.
    needles: Vec<Needle>,
    /// What FUZZY looks for in bodies and texts.
    fuzzies: Vec<Fuzzy>,
    /// What an index is asked.
    pub lookups: Vec<Lookup>,
    /// What it said.
    pub candidates: Candidates,
    comparator: Comparator,
}

/// The texts that a search looks for, made ready beside its tests.
#[derive(Debug)]
pub struct Texts {
    needles: Vec<Needle>,
    fuzzies: Vec<Fuzzy>,
    lookups: Vec<Lookup>,
    comparator: Comparator,
}

/// A text that BODY or TEXT looks for.
#[derive(Debug)]
struct Needle {
    /// As it is compared.
    text: String,
    finder: Finder<'static>,
    /// BODY looks for it.
    in_body: bool,
}

impl Query {
    /// A test with the texts that were made ready for it.
    #[must_use]
    pub fn new(test: Test, texts: Texts) -> Self {
        Self {
            test,
            needles: texts.needles,
            fuzzies: texts.fuzzies,
            candidates: Candidates::nothing(texts.lookups.len()),
            lookups: texts.lookups,
            comparator: texts.comparator,
        }
    }

    /// From 1 to 100, how well a message that matches fits what FUZZY asks for (RFC 6203 §4).
    #[must_use]
    pub fn score(&self, facts: Facts<'_>) -> u32 {
        self.test.score(facts, self).unwrap_or(100).clamp(1, 100)
    }

    /// Emails that may match, in order, and those from a number on: all others do not, as the index
    /// says. None where it does not say that of most.
    #[must_use]
    pub fn narrowed(&self) -> Option<(Vec<EmailId>, EmailId)> {
        let emails = self.test.narrowed(&self.candidates)?;
        Some((emails, self.candidates.covered))
    }

    /// Bytes of the longest.
    fn needle_bytes_max(&self) -> usize {
        let lengths = self.needles.iter().map(|needle| needle.text.len());
        lengths.max().unwrap_or(0)
    }

    /// What the test says of a message, if so much decides.
    #[must_use]
    pub fn eval(&self, facts: Facts<'_>) -> Option<bool> {
        self.test.eval(facts, self)
    }
}

impl Texts {
    /// None yet; they are compared by `comparator`.
    #[must_use]
    pub fn new(comparator: Comparator) -> Self {
        Self {
            needles: Vec::new(),
            fuzzies: Vec::new(),
            lookups: Vec::new(),
            comparator,
        }
    }

    /// A text in the addresses of a field, as written or as the ENVELOPE has them.
    pub fn address(&mut self, name: &str, text: &str) -> Test {
        Test::Address {
            name: name.to_ascii_lowercase(),
            needle: self.comparator.fold(text),
            lookup: self.lookup(text, Within::Header),
        }
    }

    /// A text in a field; the empty one asks for the field alone.
    pub fn header(&mut self, name: &str, text: &str) -> Test {
        Test::Header {
            name: name.to_ascii_lowercase(),
            needle: self.comparator.fold(text),
            lookup: self.lookup(text, Within::Header),
        }
    }

    /// A text in the body. The empty one is in every message.
    pub fn body(&mut self, text: &str) -> Test {
        if text.is_empty() {
            return Test::Known(true);
        }
        Test::Body {
            needle: self.needle(text, true),
            lookup: self.lookup(text, Within::Body),
        }
    }

    /// A text anywhere. The empty one is in every message.
    pub fn text(&mut self, text: &str) -> Test {
        if text.is_empty() {
            return Test::Known(true);
        }
        Test::Text {
            needle: self.needle(text, false),
            lookup: self.lookup(text, Within::Text),
        }
    }

    /// Words in the body, or anywhere (RFC 6203). RFC 6203 §3: the active comparator need not
    /// be heeded.
    pub fn fuzzy_text(&mut self, text: &str, header: bool) -> Test {
        if text.is_empty() {
            return Test::Known(true);
        }
        self.fuzzies
            .push(Fuzzy::new(&Comparator::UnicodeCasemap.fold(text)));
        Test::FuzzyText {
            fuzzy: self.fuzzies.len() - 1,
            header,
        }
    }

    /// Words in a field.
    pub fn fuzzy_header(&mut self, name: &str, text: &str) -> Test {
        Test::FuzzyHeader {
            name: name.to_ascii_lowercase(),
            fuzzy: Fuzzy::new(&Comparator::UnicodeCasemap.fold(text)),
        }
    }

    /// The place of a text among the needles.
    fn needle(&mut self, text: &str, in_body: bool) -> usize {
        let text = self.comparator.fold(text);
        let needles = &mut self.needles;
        if let Some(at) = needles.iter().position(|needle| needle.text == text) {
            needles[at].in_body |= in_body;
            return at;
        }
        needles.push(Needle {
            finder: Finder::new(text.as_bytes()).into_owned(),
            text,
            in_body,
        });
        needles.len() - 1
    }

    /// The place of a text among what the index is asked. It folds by `i;unicode-casemap`: of what
    /// other comparators find it knows the place only where no letter can melt into another.
    fn lookup(&mut self, text: &str, within: Within) -> Option<usize> {
        if self.comparator != Comparator::UnicodeCasemap && !text.is_ascii() {
            return None;
        }
        let text = Comparator::UnicodeCasemap.fold(text);
        let lookup = Lookup { text, within };
        if let Some(at) = self.lookups.iter().position(|other| *other == lookup) {
            return Some(at);
        }
        self.lookups.push(lookup);
        Some(self.lookups.len() - 1)
    }
}

/// What a message is tested by, its sets, flags and texts made ready.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Test {
    Known(bool),
    And(Vec<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Number(Vec<(u32, u32)>),
    Uid(UidSet),
    Flag(FlagId, bool),
    Address {
        name: String,
        needle: String,
        lookup: Option<usize>,
    },
    Header {
        name: String,
        needle: String,
        /// The place among [`Query::lookups`].
        lookup: Option<usize>,
    },
    /// BODY
    Body {
        /// The place among [`Query::needles`].
        needle: usize,
        lookup: Option<usize>,
    },
    /// TEXT
    Text {
        needle: usize,
        lookup: Option<usize>,
    },
    /// FUZZY BODY and FUZZY TEXT: the place among [`Query::fuzzies`], and whether headers count.
    FuzzyText {
        fuzzy: usize,
        header: bool,
    },
    /// FUZZY of a field, of FROM and its like.
    FuzzyHeader {
        name: String,
        fuzzy: Fuzzy,
    },
    Received(Relation, Date),
    Sent(Relation, Date),
    Saved(Relation, Date),
    Larger(u64),
    Smaller(u64),
    ModSeq(u64),
    /// Received at this moment or earlier, in Unix seconds.
    Older(i64),
    /// Received at this moment or later.
    Younger(i64),
    Email(EmailId),
    /// One of these emails.
    Among(Arc<HashSet<EmailId>>),
    /// What the face alone knows.
    Asked(Asked),
    /// What the record says to this question is this.
    Record(fn(&EmailRecord, &StoredDigest<'_>) -> bool, bool),
}

/// A question that entries answer, each when it comes to it.
#[derive(Clone)]
pub struct Asked(Arc<dyn Fn(&Entry) -> bool + Send + Sync>);

impl Asked {
    /// Asks so.
    pub fn new(holds: impl Fn(&Entry) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }

    fn holds(&self, entry: &Entry) -> bool {
        (self.0)(entry)
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asked")
    }
}

/// How a day lies to the one given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Earlier.
    Before,
    /// The same.
    On,
    /// The same or later.
    Since,
}

/// What is known of a message so far.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its sequence number, where that counts.
    pub number: u32,
    /// Its entry.
    pub entry: &'a Entry,
    /// Its record with the digest in it.
    pub record: Option<(&'a EmailRecord, StoredDigest<'a>)>,
    /// What was found in the message itself.
    pub content: Option<&'a Content>,
}

impl Test {
    /// True or false as soon as the facts decide it.
    fn eval(&self, facts: Facts<'_>, query: &Query) -> Option<bool> {
        match self {
            Self::Known(known) => Some(*known),
            Self::And(tests) => {
                let mut all = Some(true);
                for test in tests {
                    match test.eval(facts, query) {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => all = None,
                    }
                }
                all
            }
            Self::Or(a, b) => match (a.eval(facts, query), b.eval(facts, query)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(test) => test.eval(facts, query).map(|found| !found),
            Self::Number(ranges) => Some(contains(ranges, facts.number)),
            Self::Uid(uids) => Some(uids.contains(facts.entry.uid)),
            Self::Flag(flag, set) => Some(facts.entry.has(*flag) == *set),
            Self::Larger(size) => Some(facts.entry.size() > *size),
            Self::Smaller(size) => Some(facts.entry.size() < *size),
            Self::ModSeq(modseq) => Some(facts.entry.modseq.0 >= *modseq),
            Self::Email(email) => Some(facts.entry.email == *email),
            Self::Among(emails) => Some(emails.contains(&facts.entry.email)),
            Self::Asked(asked) => Some(asked.holds(facts.entry)),
            Self::Record(asked, wanted) => {
                let (record, digest) = facts.record?;
                Some(asked(record, &digest) == *wanted)
            }
            // RFC 5032 §3: by the second, in no zone.
            Self::Older(moment) => {
                let (record, _) = facts.record?;
                Some(record.received_at.unix_seconds <= *moment)
            }
            Self::Younger(moment) => {
                let (record, _) = facts.record?;
                Some(record.received_at.unix_seconds >= *moment)
            }
            Self::Received(relation, day) => {
                let (record, _) = facts.record?;
                Some(relation.holds(internal_date(record.received_at).local_date(), *day))
            }
            Self::Saved(relation, day) => {
                let saved = match facts.entry.saved.get() {
                    SavedAt::Second(second) => save_date(second),
                    // RFC 8514 §4.3: where there is no save date the internal date counts.
                    SavedAt::Received | SavedAt::Unknown => {
                        internal_date(facts.record?.0.received_at)
                    }
                };
                Some(relation.holds(saved.local_date(), *day))
            }
            Self::Sent(relation, day) => {
                let (_, digest) = facts.record?;
                // Without a Date field there is no day to compare.
                Some(digest.sent_day().is_some_and(|days| {
                    let sent = Date {
                        days: i64::from(days),
                    };
                    relation.holds(sent, *day)
                }))
            }
            Self::Address { lookup, .. }
            | Self::Header { lookup, .. }
            | Self::Body { lookup, .. }
            | Self::Text { lookup, .. }
                if query.candidates.leaves_out(*lookup, facts.entry.email) =>
            {
                Some(false)
            }
            Self::Address { name, needle, .. } => header(facts, name, |field| {
                has_text(field, needle, query.comparator)
                    || has_address(field, needle, query.comparator)
            }),
            Self::Header { name, needle, .. } => header(facts, name, |field| {
                has_text(field, needle, query.comparator)
            }),
            Self::FuzzyText { .. } | Self::FuzzyHeader { .. } => {
                self.score(facts, query).map(|score| score > 0)
            }
            Self::Body { needle, .. } => facts.content.map(|content| content.body_has(*needle)),
            Self::Text { needle, .. } => facts.content.map(|content| content.text_has(*needle)),
        }
    }

    /// How well a message fits: 0 does not match, none has no score or is not known.
    fn score(&self, facts: Facts<'_>, query: &Query) -> Option<u32> {
        match self {
            Self::FuzzyText { fuzzy, header } => {
                let content = facts.content?;
                Some(content.score(query, *fuzzy, *header))
            }
            Self::FuzzyHeader { name, fuzzy } => {
                let mut fit = Fit::default();
                let found = header(facts, name, |field| {
                    let text = mime::encoded_word::decode(&field.unfolded());
                    fuzzy.look(&Comparator::UnicodeCasemap.fold(&text), &mut fit);
                    // All fields of that name count.
                    false
                });
                found.map(|_| fuzzy.score(&fit))
            }
            // On the average.
            Self::And(tests) => {
                let scores: Vec<u32> = tests.iter().filter_map(|t| t.score(facts, query)).collect();
                let count = u32::try_from(scores.len())
                    .ok()
                    .filter(|&count| count > 0)?;
                Some(scores.iter().sum::<u32>() / count)
            }
            Self::Or(a, b) => a.score(facts, query).max(b.score(facts, query)),
            _ => None,
        }
    }

    /// The emails below the index's end that may match, in order; none where it does not tell.
    fn narrowed(&self, candidates: &Candidates) -> Option<Vec<EmailId>> {
        match self {
            Self::Known(false) => Some(Vec::new()),
            Self::Address { lookup, .. }
            | Self::Header { lookup, .. }
            | Self::Body { lookup, .. }
            | Self::Text { lookup, .. } => candidates.found.get((*lookup)?)?.clone(),
            Self::And(tests) => {
                let all = tests.iter().filter_map(|test| test.narrowed(candidates));
                // The shortest is as good as what they have in common: each is looked at anyway.
                all.min_by_key(Vec::len)
            }
            Self::Or(one, other) => {
                let mut both = one.narrowed(candidates)?;
                both.extend(other.narrowed(candidates)?);
                both.sort_unstable();
                both.dedup();
                Some(both)
            }
            _ => None,
        }
    }
}

impl Relation {
    fn holds(self, day: Date, other: Date) -> bool {
        match self {
            Self::Before => day < other,
            Self::On => day == other,
            Self::Since => day >= other,
        }
    }
}

/// Does a field of that name satisfy the test?
fn header(facts: Facts<'_>, name: &str, mut test: impl FnMut(&Field<'_>) -> bool) -> Option<bool> {
    let (record, digest) = facts.record?;
    let mut any = |block: &[u8]| {
        HeaderReader::new(block)
            .filter(|field| field.is(name))
            .any(|field| test(&field))
    };
    if digest.fields_complete && CACHED_FIELDS.contains(&name) {
        if any(&record.prefix) {
            return Some(true);
        }
        // A cache that is damaged says nothing.
        if let Some(found) = in_cache(&digest, name, &mut any) {
            return Some(found);
        }
    }
    facts.content.map(|content| any(&content.header))
}

fn in_cache(
    digest: &StoredDigest<'_>,
    name: &str,
    any: &mut impl FnMut(&[u8]) -> bool,
) -> Option<bool> {
    for field in digest.fields().ok()? {
        let (of, raw) = field.ok()?;
        if of == name && any(raw) {
            return Some(true);
        }
    }
    Some(false)
}

/// Is the text in the field? An empty text asks for the field alone.
fn has_text(field: &Field<'_>, needle: &str, comparator: Comparator) -> bool {
    let text = || mime::encoded_word::decode(&field.unfolded());
    needle.is_empty() || comparator.fold(&text()).contains(needle)
}

/// Is the text in an address as the ENVELOPE has it, without comments and blanks?
/// RFC 9051 §6.4.4: FROM and its like look at "the envelope structure's field".
fn has_address(field: &Field<'_>, needle: &str, comparator: Comparator) -> bool {
    mime::mailboxes(&mime::parse_addresses(field.value)).any(|mailbox| {
        let (name, address) = (mailbox.name_text(), mailbox.address_text());
        comparator
            .fold(&format!("{name} <{address}>"))
            .contains(needle)
    })
}

/// The moment of a save date.
fn save_date(second: u32) -> DateTime {
    internal_date(InternalDate {
        unix_seconds: second.into(),
        zone_minutes: 0,
    })
}

fn internal_date(received_at: InternalDate) -> DateTime {
    DateTime {
        unix_s: received_at.unix_seconds,
        offset_min: received_at.zone_minutes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailbox_model::{Item, Keywords, ModSeq, Saved, Uid};

    #[test]
    fn what_is_not_known_yet_is_asked_for_only_where_it_decides() {
        let item = Item {
            uid: Uid(5),
            deleted: false,
            keywords: Keywords::none(),
            email: EmailId(1),
            size: 100,
        };
        let entry = Entry::from_item(&item, ModSeq(3), Saved::RECEIVED);
        let facts = Facts {
            number: 1,
            entry: &entry,
            record: None,
            content: None,
        };
        let query = Query::new(Test::Known(true), Texts::new(Comparator::default()));
        let eval = |test: Test| test.eval(facts, &query);
        let body = || Test::Body {
            needle: 0,
            lookup: None,
        };
        assert_eq!(eval(body()), None);
        assert_eq!(
            eval(Test::And(vec![body(), Test::Larger(100)])),
            Some(false)
        );
        assert_eq!(eval(Test::And(vec![body(), Test::Larger(99)])), None);
        assert_eq!(
            eval(Test::Or(Box::new(body()), Box::new(Test::Known(true)))),
            Some(true)
        );
        assert_eq!(eval(Test::Not(Box::new(body()))), None);
        assert_eq!(eval(Test::ModSeq(3)), Some(true));
        assert_eq!(eval(Test::Flag(FlagId::Seen, false)), Some(true));
    }
}
