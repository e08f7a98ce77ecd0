//! What SORT and THREAD can ask for (RFC 5256, RFC 5957).

use crate::search::{ReturnItem, SearchKey};

/// SORT and UID SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortCommand {
    /// Answer with UIDs.
    pub uid: bool,
    /// RETURN options (RFC 5267 §3): ESEARCH; `None` asks for the untagged SORT.
    pub returns: Option<Vec<ReturnItem>>,
    /// At least one; the first counts most.
    pub criteria: Vec<SortCriterion>,
    /// Which messages.
    pub key: SearchKey,
}

/// `sort-criterion = ["REVERSE" SP] sort-key`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortCriterion {
    /// The largest first.
    pub reverse: bool,
    /// By what.
    pub key: SortKey,
}

/// What messages are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// ARRIVAL: the internal date.
    Arrival,
    /// CC: the first address's mailbox.
    Cc,
    /// DATE: the Date field.
    Date,
    /// DISPLAYFROM (RFC 5957): the first address's name.
    DisplayFrom,
    /// DISPLAYTO (RFC 5957)
    DisplayTo,
    /// FROM
    From,
    /// RELEVANCY (RFC 6203 §6): the best match first, only with a key that is FUZZY.
    Relevancy,
    /// SIZE
    Size,
    /// SUBJECT: the base subject.
    Subject,
    /// TO
    To,
}

impl SortKey {
    pub(crate) const ALL: [(&str, Self); 10] = [
        ("ARRIVAL", Self::Arrival),
        ("CC", Self::Cc),
        ("DATE", Self::Date),
        ("DISPLAYFROM", Self::DisplayFrom),
        ("DISPLAYTO", Self::DisplayTo),
        ("FROM", Self::From),
        ("RELEVANCY", Self::Relevancy),
        ("SIZE", Self::Size),
        ("SUBJECT", Self::Subject),
        ("TO", Self::To),
    ];
}

/// THREAD and UID THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadCommand {
    /// Answer with UIDs.
    pub uid: bool,
    /// How.
    pub algorithm: ThreadAlgorithm,
    /// Which messages.
    pub key: SearchKey,
}

/// How threads are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// ORDEREDSUBJECT
    OrderedSubject,
    /// REFERENCES
    References,
    /// REFS
    Refs,
}
