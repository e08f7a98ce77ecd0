//! Flags and keywords of RFC 9051 §2.3.2. What they are kept as is the store's
//! business; `\Recent` is read nowhere and never sent (RFC 9051 Appendix E).

use crate::chars::is_atom_char;
use crate::limits::KEYWORD_BYTES_MAX;

/// The flags that a client may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SystemFlag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
}

impl SystemFlag {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Flagged,
        Self::Deleted,
        Self::Seen,
        Self::Draft,
    ];

    /// Its name with the backslash.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Seen => "\\Seen",
            Self::Draft => "\\Draft",
        }
    }
}

/// A system flag or a keyword; a keyword is an atom, kept in the case given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Flag {
    /// One of the five.
    System(SystemFlag),
    /// A keyword: an atom of at most [`KEYWORD_BYTES_MAX`] bytes.
    Keyword(String),
}

impl Flag {
    /// ```abnf
    /// flag         = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword / flag-extension
    /// flag-keyword = "$MDNSent" / "$Forwarded" / "$Junk" / "$NotJunk" / "$Phishing" / atom
    /// ```
    /// A flag-extension of the client is refused: the server defines none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('\\') {
            return SystemFlag::ALL
                .into_iter()
                .find(|flag| flag.as_str().eq_ignore_ascii_case(text))
                .map(Self::System);
        }
        let valid =
            !text.is_empty() && text.len() <= KEYWORD_BYTES_MAX && text.bytes().all(is_atom_char);
        valid.then(|| Self::Keyword(text.to_owned()))
    }

    /// Its name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::System(flag) => flag.as_str(),
            Self::Keyword(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_in_any_case_and_recent_cannot_be_set() {
        assert_eq!(Flag::parse("\\sEEN"), Some(Flag::System(SystemFlag::Seen)));
        assert_eq!(Flag::parse("$Junk"), Some(Flag::Keyword("$Junk".into())));
        for bad in ["\\Recent", "\\*", "", "a b", "a]", "ü"] {
            assert_eq!(Flag::parse(bad), None, "{bad}");
        }
    }
}
