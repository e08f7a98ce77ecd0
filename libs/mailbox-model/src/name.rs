//! Mailbox names: a path of components with "/" between them.
//!
//! `INBOX` is the same in any case, as a whole name and as the first component
//! (RFC 9051 §5.1); all else is compared byte for byte. No modified UTF-7
//! here: names are UTF-8, the protocol faces translate.

use crate::limits::{MAILBOX_DEPTH_MAX, MAILBOX_NAME_BYTES_MAX};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The hierarchy delimiter.
pub const DELIMITER: char = '/';

const INBOX: &str = "INBOX";

/// A valid full mailbox name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(Arc<str>);

/// A text that can't name a mailbox.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// Nothing, or nothing between two delimiters.
    #[error("the mailbox name has an empty part")]
    EmptyPart,
    /// Longer than [`MAILBOX_NAME_BYTES_MAX`].
    #[error("the mailbox name is longer than {MAILBOX_NAME_BYTES_MAX} bytes")]
    TooLong,
    /// Deeper than [`MAILBOX_DEPTH_MAX`].
    #[error("the mailbox name has more than {MAILBOX_DEPTH_MAX} levels")]
    TooDeep,
    /// A control character.
    #[error("the mailbox name holds a control character")]
    Control,
}

impl MailboxName {
    /// The inbox's name.
    #[must_use]
    pub fn inbox() -> Self {
        Self(INBOX.into())
    }

    /// Checks and normalises a name. One trailing delimiter is dropped: it only
    /// says that children will follow (RFC 9051 §6.3.4).
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix(DELIMITER).unwrap_or(text);
        if text.len() > MAILBOX_NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        if text.split(DELIMITER).any(str::is_empty) {
            return Err(NameError::EmptyPart);
        }
        if text.split(DELIMITER).count() > MAILBOX_DEPTH_MAX {
            return Err(NameError::TooDeep);
        }
        let first = text.split(DELIMITER).next().unwrap_or_default();
        if first.eq_ignore_ascii_case(INBOX) {
            return Ok(Self(format!("{INBOX}{}", &text[INBOX.len()..]).into()));
        }
        Ok(Self(text.into()))
    }

    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for the inbox itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        &*self.0 == INBOX
    }

    /// The name one level up.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once(DELIMITER).map(|(up, _)| Self(up.into()))
    }

    /// The parents, outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        self.0
            .match_indices(DELIMITER)
            .map(|(at, _)| Self(self.0[..at].into()))
    }

    /// The last component.
    #[must_use]
    pub fn leaf(&self) -> &str {
        self.0.rsplit(DELIMITER).next().unwrap_or_default()
    }

    /// True if this name lies below `other`.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0
            .strip_prefix(other.as_str())
            .is_some_and(|rest| rest.starts_with(DELIMITER))
    }

    /// This name with the ancestor (or whole) `from` replaced by `to`.
    ///
    /// # Errors
    /// The new name is too long or too deep.
    pub(crate) fn moved(&self, from: &Self, to: &Self) -> Result<Self, NameError> {
        let rest = self.0.strip_prefix(from.as_str()).unwrap_or_default();
        Self::parse(&format!("{to}{rest}"))
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Borrow<str> for MailboxName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MailboxName {
        MailboxName::parse(text).expect("valid")
    }

    #[test]
    fn inbox_is_the_same_in_any_case_and_as_a_parent() {
        assert!(name("inBox").is_inbox());
        assert_eq!(name("inbox/a").as_str(), "INBOX/a");
        assert_eq!(name("inboxes").as_str(), "inboxes");
    }

    #[test]
    fn broken_names_are_refused() {
        assert_eq!(MailboxName::parse(""), Err(NameError::EmptyPart));
        assert_eq!(MailboxName::parse("/a"), Err(NameError::EmptyPart));
        assert_eq!(MailboxName::parse("a//b"), Err(NameError::EmptyPart));
        assert_eq!(MailboxName::parse("a\rb"), Err(NameError::Control));
        assert_eq!(
            MailboxName::parse(&"a/".repeat(60)),
            Err(NameError::TooDeep)
        );
        assert_eq!(
            MailboxName::parse(&"a".repeat(1001)),
            Err(NameError::TooLong)
        );
        assert_eq!(name("a/").as_str(), "a");
    }

    #[test]
    fn the_hierarchy_is_read_from_the_name() {
        let deep = name("a/b/c");
        let up: Vec<_> = deep.ancestors().map(|n| n.to_string()).collect();
        assert_eq!(up, ["a", "a/b"]);
        assert!(deep.is_below(&name("a")) && !name("ab").is_below(&name("a")));
        assert_eq!(deep.moved(&name("a"), &name("x/y")), Ok(name("x/y/b/c")));
        assert_eq!(deep.leaf(), "c");
    }
}
