//! Flags and keywords.
//!
//! - `\Seen \Answered \Flagged \Draft` and keywords are the email's: every copy
//!   shows the same. `\Deleted` is the copy's.
//! - Keywords are numbers into an account-wide table that only grows. They are
//!   compared without regard to (ASCII) case and keep the case first given.
//!
//! RFC 9051 §2.3.2.

use crate::ids::KeywordId;
use crate::limits::KEYWORD_BYTES_MAX;
use crate::weight;
use std::fmt;
use std::sync::Arc;

/// A flag as a client names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// `\Seen`
    Seen,
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Draft`
    Draft,
    /// `\Deleted`
    Deleted,
    /// Any other: `$Forwarded`, `NonJunk`, …
    Keyword(Arc<str>),
}

impl Flag {
    /// Reads a flag of STORE or APPEND; none for `\Recent`, unknown system
    /// flags and keywords that are no atom or are too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('\\') {
            return [
                Self::Seen,
                Self::Answered,
                Self::Flagged,
                Self::Draft,
                Self::Deleted,
            ]
            .into_iter()
            .find(|flag| flag.as_str().eq_ignore_ascii_case(text));
        }
        // RFC 9051 §9 `atom`: no specials, no space, no control character.
        let atom = text
            .bytes()
            .all(|b| b > 0x20 && b < 0x7f && !b"(){%*\"\\]".contains(&b));
        (atom && !text.is_empty() && text.len() <= KEYWORD_BYTES_MAX)
            .then(|| Self::Keyword(text.into()))
    }

    /// The flag as it is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Seen => "\\Seen",
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Draft => "\\Draft",
            Self::Deleted => "\\Deleted",
            Self::Keyword(name) => name,
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A flag as a log entry names it: keywords by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlagId {
    /// `\Seen`
    Seen,
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Draft`
    Draft,
    /// `\Deleted`
    Deleted,
    /// A keyword of the account's table.
    Keyword(KeywordId),
}

/// An email's keywords, system flags among them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Keywords {
    others: Option<Arc<Vec<KeywordId>>>,
    system: u8,
}

impl Keywords {
    pub(crate) const SYSTEM_MASK: u8 = 0b1111;

    /// No keyword at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    pub(crate) fn from_parts(system: u8, others: Vec<KeywordId>) -> Self {
        let others = (!others.is_empty()).then(|| Arc::new(others));
        Self {
            others,
            system: system & Self::SYSTEM_MASK,
        }
    }

    pub(crate) fn system(&self) -> u8 {
        self.system
    }

    /// True if `\Seen` is set.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.system & bit(FlagId::Seen) != 0
    }

    /// True if the flag is set; never for `\Deleted`, which is not the email's.
    #[must_use]
    pub fn has(&self, flag: FlagId) -> bool {
        match flag {
            FlagId::Keyword(id) => self.others().binary_search(&id).is_ok(),
            system => self.system & bit(system) != 0,
        }
    }

    /// The keywords that are no system flag, sorted.
    #[must_use]
    pub fn others(&self) -> &[KeywordId] {
        self.others.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Every flag that is set.
    pub fn iter(&self) -> impl Iterator<Item = FlagId> + '_ {
        [
            FlagId::Seen,
            FlagId::Answered,
            FlagId::Flagged,
            FlagId::Draft,
        ]
        .into_iter()
        .filter(|&flag| self.has(flag))
        .chain(self.others().iter().map(|&id| FlagId::Keyword(id)))
    }

    /// Sets or clears; true if that changed something.
    pub(crate) fn edit(&mut self, flag: FlagId, set: bool) -> bool {
        if self.has(flag) == set {
            return false;
        }
        match flag {
            FlagId::Keyword(id) => {
                let list = Arc::make_mut(self.others.get_or_insert_default());
                match list.binary_search(&id) {
                    Ok(at) => drop(list.remove(at)),
                    Err(at) => list.insert(at, id),
                }
                if list.is_empty() {
                    self.others = None;
                }
            }
            system => self.system ^= bit(system),
        }
        true
    }
}

fn bit(flag: FlagId) -> u8 {
    match flag {
        FlagId::Seen => 1,
        FlagId::Answered => 2,
        FlagId::Flagged => 4,
        FlagId::Draft => 8,
        FlagId::Deleted | FlagId::Keyword(_) => 0,
    }
}

/// The account's keywords by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeywordTable {
    names: imbl::Vector<Arc<str>>,
    by_lower: imbl::OrdMap<Arc<str>, KeywordId>,
    /// Of all names together.
    bytes: u64,
}

impl KeywordTable {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True before the first.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A keyword's name, in the case first given.
    #[must_use]
    pub fn name(&self, id: KeywordId) -> Option<&Arc<str>> {
        self.names.get(id.0 as usize)
    }

    /// A keyword's number; the case does not matter.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<KeywordId> {
        self.by_lower
            .get(name.to_ascii_lowercase().as_str())
            .copied()
    }

    /// All names in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }

    /// Memory that it takes, about.
    pub(crate) fn weight_bytes(&self) -> u64 {
        let len = self.names.len();
        // Each name is there twice: as given and in lower case.
        let names = 2 * (len as u64 * weight::ARC + self.bytes);
        names + weight::vector::<Arc<str>>(len) + weight::map::<Arc<str>, KeywordId>(len)
    }

    /// Adds a name; none if it is there already or the table is full.
    pub(crate) fn add(&mut self, name: &Arc<str>) -> Option<KeywordId> {
        if self.id(name).is_some() {
            return None;
        }
        let id = KeywordId(u32::try_from(self.names.len()).ok()?);
        self.bytes += name.len() as u64;
        self.names.push_back(Arc::clone(name));
        self.by_lower.insert(name.to_ascii_lowercase().into(), id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flags_a_client_may_set_are_read() {
        assert_eq!(Flag::parse("\\seen"), Some(Flag::Seen));
        assert_eq!(Flag::parse("\\Recent"), None);
        assert_eq!(Flag::parse("\\Other"), None);
        assert_eq!(
            Flag::parse("$MDNSent"),
            Some(Flag::Keyword("$MDNSent".into()))
        );
        for bad in ["", "a b", "a(", "a\"", "a\r", "é", &"k".repeat(256)] {
            assert_eq!(Flag::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_keyword_keeps_the_case_first_given() {
        let mut table = KeywordTable::default();
        assert_eq!(table.add(&"$Junk".into()), Some(KeywordId(0)));
        assert_eq!(table.add(&"$JUNK".into()), None);
        assert_eq!(table.id("$junk"), Some(KeywordId(0)));
        assert_eq!(table.name(KeywordId(0)).map(|n| &**n), Some("$Junk"));
    }

    #[test]
    fn keywords_are_a_set() {
        let mut words = Keywords::none();
        assert!(words.edit(FlagId::Keyword(KeywordId(900)), true));
        assert!(!words.edit(FlagId::Keyword(KeywordId(900)), true));
        assert!(words.edit(FlagId::Seen, true));
        assert_eq!(words.iter().count(), 2);
        assert!(words.edit(FlagId::Keyword(KeywordId(900)), false));
        assert!(words.edit(FlagId::Seen, false));
        assert_eq!(words, Keywords::none());
    }
}
