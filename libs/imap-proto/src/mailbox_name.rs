//! A mailbox's name: UTF-8, levels separated by `/`, INBOX in any case is INBOX
//! (RFC 9051 §5.1). Whether such a mailbox exists is the store's business.
//!
//! Invariants of [`MailboxName`]: no empty level, no control characters or
//! line separators, no level over [`MAILBOX_LEVEL_BYTES_MAX`] bytes, no more
//! than [`MAILBOX_DEPTH_MAX`] levels, first level `INBOX` in capitals.

use crate::limits::{MAILBOX_DEPTH_MAX, MAILBOX_LEVEL_BYTES_MAX};
use crate::{mutf7, response};
use std::fmt;
use thiserror::Error;

/// The separator of levels.
pub const SEPARATOR: char = '/';

/// How names travel: modified UTF-7 until the client enables IMAP4rev2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameForm {
    /// RFC 3501 §5.1.3.
    #[default]
    ModifiedUtf7,
    /// RFC 9051 §5.1.
    Utf8,
}

/// Why a name cannot name a mailbox.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// Not in the form that the session speaks.
    #[error("the mailbox name is neither modified UTF-7 nor UTF-8")]
    Encoding,
    /// Nothing, or nothing between two separators.
    #[error("a level of the mailbox name is empty")]
    EmptyLevel,
    /// A control character or line separator.
    #[error("the mailbox name holds a control character")]
    Control,
    /// One level is too long.
    #[error("a level of the mailbox name is longer than 255 bytes")]
    TooLong,
    /// Too many levels.
    #[error("the mailbox name has more than 50 levels")]
    TooDeep,
    /// A `%` or `*` in a name that would be made.
    #[error("a new mailbox name may not hold % or *")]
    Wildcard,
}

/// A valid name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(String);

impl MailboxName {
    /// The inbox.
    #[must_use]
    pub fn inbox() -> Self {
        Self("INBOX".to_owned())
    }

    /// Checks and normalises a name in UTF-8. One separator at the end is
    /// dropped: it only says that children will follow (RFC 9051 §6.3.4).
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let name = name.strip_suffix(SEPARATOR).unwrap_or(name);
        // RFC 5198 §2: no control characters, no U+2028 and U+2029.
        if name
            .chars()
            .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        {
            return Err(NameError::Control);
        }
        for (depth, level) in name.split(SEPARATOR).enumerate() {
            if level.is_empty() {
                return Err(NameError::EmptyLevel);
            }
            if level.len() > MAILBOX_LEVEL_BYTES_MAX {
                return Err(NameError::TooLong);
            }
            if depth >= MAILBOX_DEPTH_MAX {
                return Err(NameError::TooDeep);
            }
        }
        Ok(Self(normalise_inbox(name)))
    }

    /// Reads a name as the client wrote it.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn from_wire(bytes: &[u8], form: NameForm) -> Result<Self, NameError> {
        Self::parse(&decode_wire(bytes, form)?)
    }

    /// True when CREATE or RENAME may make it.
    ///
    /// # Errors
    /// [`NameError::Wildcard`].
    pub fn check_new(&self) -> Result<(), NameError> {
        if self.0.contains(['%', '*']) {
            return Err(NameError::Wildcard);
        }
        Ok(())
    }

    /// The name in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for the inbox itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// The names above this one, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let name = self.0.as_str();
        name.rmatch_indices(SEPARATOR).map(|(at, _)| &name[..at])
    }

    /// True when `self` lies below `other`.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0
            .strip_prefix(other.as_str())
            .is_some_and(|rest| rest.starts_with(SEPARATOR))
    }

    /// Writes the name for the client.
    pub fn write(&self, out: &mut Vec<u8>, form: NameForm) {
        write_name(out, &self.0, form);
    }
}

/// Writes any stored name for the client, in the form it speaks.
pub fn write_name(out: &mut Vec<u8>, name: &str, form: NameForm) {
    match form {
        NameForm::ModifiedUtf7 => response::write_string(out, mutf7::encode(name).as_bytes()),
        NameForm::Utf8 => response::write_utf8_string(out, name),
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Decodes a name or pattern without checking its levels. Names in UTF-8 are
/// read in either form: clients send them without ENABLE too.
pub(crate) fn decode_wire(bytes: &[u8], form: NameForm) -> Result<String, NameError> {
    if form == NameForm::ModifiedUtf7 && bytes.is_ascii() {
        return mutf7::decode(bytes).map_err(|_| NameError::Encoding);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NameError::Encoding)?;
    Ok(text.to_owned())
}

/// Capitals for a first level of `inbox` in any case.
pub(crate) fn normalise_inbox(name: &str) -> String {
    let (first, rest) = name.split_at(name.find(SEPARATOR).unwrap_or(name.len()));
    if first.eq_ignore_ascii_case("INBOX") {
        format!("INBOX{rest}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inbox_is_one_mailbox_in_any_case_and_a_trailing_separator_is_dropped() {
        for (wire, name) in [
            ("inBOX", "INBOX"),
            ("Inbox/Sub/", "INBOX/Sub"),
            ("a/", "a"),
            ("inboxes", "inboxes"),
        ] {
            assert_eq!(
                MailboxName::parse(wire).map(|n| n.to_string()),
                Ok(name.into())
            );
        }
    }

    #[test]
    fn names_that_would_confuse_someone_are_refused() {
        let long = "x".repeat(256);
        let deep = "a/".repeat(50) + "a";
        for (name, error) in [
            ("", NameError::EmptyLevel),
            ("a//b", NameError::EmptyLevel),
            ("/a", NameError::EmptyLevel),
            ("a\tb", NameError::Control),
            ("a\u{2028}b", NameError::Control),
            (&long, NameError::TooLong),
            (&deep, NameError::TooDeep),
        ] {
            assert_eq!(MailboxName::parse(name), Err(error), "{name}");
        }
        assert_eq!(
            MailboxName::from_wire(b"a&b", NameForm::ModifiedUtf7),
            Err(NameError::Encoding)
        );
        assert_eq!(
            MailboxName::from_wire(b"\xff", NameForm::Utf8),
            Err(NameError::Encoding)
        );
    }

    #[test]
    fn ancestors_and_descendants() {
        let name = MailboxName::parse("a/b/c").expect("valid");
        assert_eq!(name.ancestors().collect::<Vec<_>>(), ["a/b", "a"]);
        assert!(name.is_below(&MailboxName::parse("a").expect("valid")));
        assert!(
            !MailboxName::parse("ab")
                .expect("valid")
                .is_below(&MailboxName::parse("a").expect("valid"))
        );
    }

    proptest! {
        #[test]
        fn a_written_name_is_read_again(name: String) {
            if let Ok(name) = MailboxName::parse(&name) {
                let wire = mutf7::encode(name.as_str());
                prop_assert_eq!(MailboxName::from_wire(wire.as_bytes(), NameForm::ModifiedUtf7), Ok(name.clone()));
                prop_assert_eq!(MailboxName::from_wire(name.as_str().as_bytes(), NameForm::Utf8), Ok(name));
            }
        }
    }
}
