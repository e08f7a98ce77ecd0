//! What SEARCH can ask for (RFC 9051 §6.4.4). Evaluating a key is the server's business.

use crate::date::Date;
use crate::flag::Flag;
use crate::mailbox_name::MailboxName;
use crate::sequence::SequenceSet;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

/// SEARCH and UID SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchCommand {
    /// Answer with UIDs.
    pub uid: bool,
    /// CHARSET was given.
    pub charset: bool,
    /// RETURN options; `None` asks for the untagged SEARCH of RFC 3501. An
    /// empty list was turned into ALL (RFC 9051 §6.4.4).
    pub returns: Option<Vec<ReturnItem>>,
    /// All keys of the command, joined by [`SearchKey::And`] when there are several.
    pub key: SearchKey,
}

/// ESEARCH, the command (RFC 7377): always answered in UIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiSearchCommand {
    /// Where to search; empty is the selected mailbox.
    pub sources: Vec<SearchSource>,
    /// RETURN options; ALL if there are none.
    pub returns: Vec<ReturnItem>,
    /// All keys of the command.
    pub key: SearchKey,
}

/// `filter-mailboxes` of RFC 5465, without what RFC 7377 §2.2 leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchSource {
    /// SELECTED
    Selected,
    /// INBOXES: where mail is delivered to.
    Inboxes,
    /// PERSONAL: all of the user's own.
    Personal,
    /// SUBSCRIBED
    Subscribed,
    /// SUBTREE and SUBTREE-ONE
    Subtree {
        /// The tops, which belong to it.
        names: Vec<MailboxName>,
        /// SUBTREE-ONE: and no more than what is right below them.
        one_level: bool,
    },
    /// MAILBOXES
    Mailboxes(Vec<MailboxName>),
}

/// RETURN options of RFC 4731 and 5182.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnItem {
    /// MIN
    Min,
    /// MAX
    Max,
    /// ALL
    All,
    /// COUNT
    Count,
    /// SAVE
    Save,
    /// UPDATE (RFC 5267 §4.3): changes of the result are told.
    Update,
    /// CONTEXT (RFC 5267 §4.2): a hint, which changes nothing here.
    Context,
    /// RELEVANCY (RFC 6203 §4), only with a key that is FUZZY
    Relevancy,
    /// PARTIAL (RFC 9394 §3.1), never with ALL
    Partial(ResultRange),
}

/// `partial-range`: some of the results, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultRange {
    /// Counted from the end: `-1` is the last.
    pub from_end: bool,
    /// The smaller one.
    pub first: NonZeroU32,
    /// The larger one.
    pub last: NonZeroU32,
}

impl ResultRange {
    /// The range among so many results.
    #[must_use]
    pub fn of(self, count: usize) -> Range<usize> {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let first = (place(self.first.get()) - 1).min(count);
        let behind = place(self.last.get()).min(count);
        match self.from_end {
            false => first..behind.max(first),
            true => count - behind..(count - first).max(count - behind),
        }
    }
}

impl fmt::Display for ResultRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.first, self.last)
    }
}

/// A search key. Texts are UTF-8, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// ALL
    All,
    /// Several keys, all of which must match. At least one.
    And(Vec<SearchKey>),
    /// OR
    Or(Box<SearchKey>, Box<SearchKey>),
    /// NOT
    Not(Box<SearchKey>),
    /// FUZZY (RFC 6203): texts are looked for as a person would, in all keys below.
    Fuzzy(Box<SearchKey>),
    /// A set of sequence numbers.
    Sequence(SequenceSet),
    /// UID
    Uid(SequenceSet),
    /// ANSWERED, KEYWORD … (true), UNANSWERED, UNKEYWORD … (false)
    Flag(Flag, bool),
    /// RECENT and NEW (RFC 3501): no message is.
    Nothing,
    /// BCC, CC, FROM, TO: the field's name and the text, which is looked for in
    /// the addresses of the ENVELOPE as well as in the field.
    Address(String, String),
    /// SUBJECT, HEADER: the field's name and the text.
    Header(String, String),
    /// BODY
    Body(String),
    /// TEXT
    Text(String),
    /// BEFORE: internal date earlier than this day.
    Before(Date),
    /// ON
    On(Date),
    /// SINCE: on this day or later.
    Since(Date),
    /// SENTBEFORE, by the Date field.
    SentBefore(Date),
    /// SENTON
    SentOn(Date),
    /// SENTSINCE
    SentSince(Date),
    /// SAVEDBEFORE (RFC 8514 §4.3): came into the mailbox earlier than this day.
    SavedBefore(Date),
    /// SAVEDON
    SavedOn(Date),
    /// SAVEDSINCE
    SavedSince(Date),
    /// SAVEDATESUPPORTED
    SaveDateSupported,
    /// LARGER
    Larger(u64),
    /// SMALLER
    Smaller(u64),
    /// OLDER (RFC 5032): internal date at least so many seconds ago.
    Older(u32),
    /// YOUNGER: internal date at most so many seconds ago.
    Younger(u32),
    /// EMAILID (RFC 8474 §6)
    EmailId(String),
    /// THREADID
    ThreadId(String),
    /// FILTER (RFC 5466): the name of a stored search, in lower case.
    Filter(String),
    /// MODSEQ (RFC 7162 §3.1.5); entry names carry no meaning here.
    ModSeq(u64),
}

impl SearchKey {
    /// Reads the value of a stored search: `search-criteria` of RFC 5466.
    #[must_use]
    pub fn parse(criteria: &[u8]) -> Option<Self> {
        crate::parse::stored_criteria(criteria)
    }

    /// The key with every stored search in it replaced by what `find` has for its name.
    ///
    /// # Errors
    /// The first name that `find` has nothing for.
    pub fn resolve(self, find: &impl Fn(&str) -> Option<Self>) -> Result<Self, String> {
        Ok(match self {
            Self::Filter(name) => find(&name).ok_or(name)?,
            Self::And(keys) => {
                let keys = keys.into_iter().map(|key| key.resolve(find));
                Self::And(keys.collect::<Result<_, _>>()?)
            }
            Self::Or(a, b) => Self::Or(Box::new(a.resolve(find)?), Box::new(b.resolve(find)?)),
            Self::Not(key) => Self::Not(Box::new(key.resolve(find)?)),
            Self::Fuzzy(key) => Self::Fuzzy(Box::new(key.resolve(find)?)),
            other => other,
        })
    }

    /// FUZZY is in it somewhere: there are scores.
    #[must_use]
    pub fn is_scored(&self) -> bool {
        self.any(&mut |key| matches!(key, Self::Fuzzy(_) | Self::Filter(_)))
    }

    /// How many texts it looks for.
    #[must_use]
    pub fn texts(&self) -> usize {
        let mut count = 0;
        self.any(&mut |key| {
            count += usize::from(matches!(
                key,
                Self::Address(..) | Self::Header(..) | Self::Body(_) | Self::Text(_)
            ));
            false
        });
        count
    }

    /// True when the key or one below it satisfies `test`.
    pub fn any(&self, test: &mut impl FnMut(&Self) -> bool) -> bool {
        test(self)
            || match self {
                Self::And(keys) => keys.iter().any(|key| key.any(test)),
                Self::Or(a, b) => a.any(test) || b.any(test),
                Self::Not(key) | Self::Fuzzy(key) => key.any(test),
                _ => false,
            }
    }
}
