//! Local parts: RFC 5321 §4.1.2 `Local-part`, RFC 6531 §3.3 letters.
//!
//! The content is kept exactly as sent, without its quoting: `"ab"@x` and `ab@x`
//! are one address (RFC 5321 §4.1.2). [`LocalPart::to_key`] is for look-ups only.
//! Not here: what a `+` or a `%` in it means.

use core::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use thiserror::Error;

use crate::limits::LOCAL_PART_BYTES_MAX;

/// Why a text is not a local part.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum LocalPartError {
    /// Nothing before the `@`, or only quotes.
    #[error("the local part is empty")]
    Empty,
    /// Over 64 octets.
    #[error("the local part is longer than 64 octets")]
    TooLong,
    /// A character that needs quoting, or that is never allowed.
    #[error("the local part has a character that is not allowed")]
    Character,
    /// A dot at an end, or two together.
    #[error("the local part has a dot at its start or end, or two together")]
    Dot,
    /// A quoted string that does not end, or goes on behind its end.
    #[error("the quoted local part is not well formed")]
    Quoting,
}

/// What stands before the `@`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Parses the wire form: a dot-string or a quoted string.
    ///
    /// # Errors
    /// Neither of them, or too long.
    pub fn parse(text: &str) -> Result<Self, LocalPartError> {
        let content = if text.starts_with('"') {
            unquote(text)?
        } else {
            check_dot_string(text)?;
            text.to_owned()
        };
        Self::from_content(&content)
    }

    /// Takes the content without quoting, whatever it is.
    ///
    /// # Errors
    /// Empty, too long, or with a character that no quoting allows.
    pub fn from_content(content: &str) -> Result<Self, LocalPartError> {
        if content.is_empty() {
            return Err(LocalPartError::Empty);
        }
        if content.len() > LOCAL_PART_BYTES_MAX {
            return Err(LocalPartError::TooLong);
        }
        if content.chars().any(is_forbidden) {
            return Err(LocalPartError::Character);
        }
        Ok(Self(content.into()))
    }

    /// The content, without quoting.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when every character is ASCII.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// Lower case, NFC: for look-ups. Letters outside ASCII never become ASCII.
    #[must_use]
    pub fn to_key(&self) -> String {
        fold(&self.0)
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if check_dot_string(&self.0).is_ok() {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            fmt::Write::write_char(f, c)?;
        }
        f.write_str("\"")
    }
}

/// Lower case letter by letter, then NFC.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower: String = text.chars().flat_map(char::to_lowercase).collect();
    ComposingNormalizerBorrowed::new_nfc()
        .normalize(&lower)
        .into_owned()
}

/// True for a letter outside ASCII whose lower case or normal form is ASCII:
/// the Kelvin sign, `İ`, `;` the Greek question mark.
pub(crate) fn folds_into_ascii(c: char) -> bool {
    if c.is_ascii() {
        return false;
    }
    if c.to_lowercase().any(|lower| lower.is_ascii()) {
        return true;
    }
    let mut buffer = [0; 4];
    ComposingNormalizerBorrowed::new_nfc()
        .normalize(c.encode_utf8(&mut buffer))
        .is_ascii()
}

/// Controls, separators that a terminal or a log takes for line ends, and
/// direction overrides: no quoting makes them harmless.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffd}')
        || folds_into_ascii(c)
}

fn check_dot_string(text: &str) -> Result<(), LocalPartError> {
    if text.is_empty() {
        return Err(LocalPartError::Empty);
    }
    if text.split('.').any(str::is_empty) {
        return Err(LocalPartError::Dot);
    }
    if text.chars().all(|c| c == '.' || is_atext(c)) {
        Ok(())
    } else {
        Err(LocalPartError::Character)
    }
}

/// RFC 5322 §3.2.3 `atext`, RFC 6531 §3.3.
fn is_atext(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_'
        | '`' | '{' | '|' | '}' | '~' => true,
        _ => !c.is_ascii() && !c.is_control() && !c.is_whitespace(),
    }
}

/// RFC 5321 §4.1.2 `Quoted-string`.
fn unquote(text: &str) -> Result<String, LocalPartError> {
    let mut content = String::with_capacity(text.len());
    let mut chars = text.strip_prefix('"').unwrap_or(text).chars();
    loop {
        match chars.next() {
            Some('"') => break,
            Some('\\') => content.push(chars.next().ok_or(LocalPartError::Quoting)?),
            Some(c) => content.push(c),
            None => return Err(LocalPartError::Quoting),
        }
    }
    if chars.next().is_some() {
        return Err(LocalPartError::Quoting);
    }
    Ok(content)
}
