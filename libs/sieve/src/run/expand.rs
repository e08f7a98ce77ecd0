//! Variables: their values, where they are put in, what `set` makes of a value (RFC 5229, RFC 6609 §3.4).

use super::{Name, RunError, State, Text};
use crate::limits::{MODIFY_WEIGHT, STRING_BYTES_MAX, VALUES_BYTES_MAX, VARIABLES_MAX};
use crate::script::Modifier;
use crate::text::Piece;
use std::borrow::Cow;

/// What looking for a variable costs, in octets that are looked at.
const PIECE_OCTETS: usize = 32;

/// What the strings of one test or command may take together.
pub(super) struct ValuesRoom(usize);

impl Default for ValuesRoom {
    fn default() -> Self {
        Self(VALUES_BYTES_MAX)
    }
}

impl ValuesRoom {
    pub(super) fn take(&mut self, octets: usize) -> Result<(), RunError> {
        let left = self.0.checked_sub(octets);
        self.0 = left.ok_or(RunError::StringTooLong)?;
        Ok(())
    }
}

impl State<'_> {
    /// The string with its variables put in; those that were never set are empty (RFC 5229 §3).
    pub(super) fn expand<'t>(&mut self, text: &'t Text) -> Result<Cow<'t, str>, RunError> {
        let pieces = match text {
            Text::Plain(text) => {
                self.burn(text.len())?;
                return Ok(Cow::Borrowed(text));
            }
            Text::Parts(pieces) => pieces,
        };
        let mut out = String::new();
        for piece in pieces {
            let value = match piece {
                Piece::Plain(text) => text,
                Piece::Match(number) => {
                    let matches = self
                        .frames
                        .last()
                        .and_then(|frame| frame.matches.get(*number));
                    matches.map_or("", String::as_str)
                }
                Piece::Variable(name) => self.variable(name),
            };
            if out.len() + value.len() > STRING_BYTES_MAX {
                return Err(RunError::StringTooLong);
            }
            out.push_str(value);
        }
        // A place for a variable is looked at even where nothing stands in it.
        self.burn(out.len() + pieces.len() * PIECE_OCTETS)?;
        Ok(Cow::Owned(out))
    }

    pub(super) fn expand_all(&mut self, texts: &[Text]) -> Result<Vec<String>, RunError> {
        let mut room = ValuesRoom::default();
        let mut out = Vec::new();
        for text in texts {
            let text = self.expand(text)?;
            room.take(text.len())?;
            out.push(text.into_owned());
        }
        Ok(out)
    }

    pub(super) fn expand_some(&mut self, text: Option<&Text>) -> Result<Option<String>, RunError> {
        text.map(|text| self.expand(text).map(Cow::into_owned))
            .transpose()
    }

    pub(super) fn variable(&self, name: &Name) -> &str {
        let Some(frame) = self.frames.last() else {
            return "";
        };
        let found = match name.global || frame.shared.contains(&name.name) {
            true => self.global.get(&name.name),
            false => frame.variables.get(&name.name),
        };
        found.map_or("", String::as_str)
    }

    pub(super) fn set_variable(&mut self, name: &Name, mut value: String) -> Result<(), RunError> {
        cut(&mut value, self.limits.variable_bytes);
        let variables: usize = self.frames.iter().map(|frame| frame.variables.len()).sum();
        let full = variables + self.global.len() >= VARIABLES_MAX;
        let global = name.global || self.frame().shared.contains(&name.name);
        let map = if global {
            &mut self.global
        } else {
            &mut self.frame().variables
        };
        if full && !map.contains_key(&name.name) {
            return Err(RunError::TooManyVariables);
        }
        map.insert(name.name.clone(), value);
        Ok(())
    }

    /// RFC 6609 §3.4.1: from here on the name is the same in all scripts of the run.
    pub(super) fn share(&mut self, name: &Name) {
        let frame = self.frame();
        frame.variables.remove(&name.name);
        if frame.shared.len() < VARIABLES_MAX {
            frame.shared.insert(name.name.clone());
        }
    }

    pub(super) fn modified(
        &mut self,
        mut value: String,
        modifiers: &[Modifier],
    ) -> Result<String, RunError> {
        let room = self.limits.variable_bytes;
        for modifier in modifiers {
            self.burn(value.len() * MODIFY_WEIGHT)?;
            value = modify(&value, *modifier, room);
            if value.len() > STRING_BYTES_MAX {
                return Err(RunError::StringTooLong);
            }
        }
        Ok(value)
    }
}

/// Cuts a string to so many octets, not through a character (RFC 5229 §6).
fn cut(value: &mut String, octets: usize) {
    if value.len() > octets {
        value.truncate(value.floor_char_boundary(octets));
    }
}

/// What does not fit is left out, and never half of an escape stays.
fn modify(value: &str, modifier: Modifier, room: usize) -> String {
    let first = |change: fn(char) -> String| {
        let mut chars = value.chars();
        let begin = chars.next().map(change).unwrap_or_default();
        begin + chars.as_str()
    };
    match modifier {
        Modifier::Lower => value.to_lowercase(),
        Modifier::Upper => value.to_uppercase(),
        Modifier::LowerFirst => first(|c| c.to_lowercase().collect()),
        Modifier::UpperFirst => first(|c| c.to_uppercase().collect()),
        Modifier::QuoteWildcard => quoted(value, room, |c, out| escaped(c, "*?\\", out)),
        Modifier::QuoteRegex => quoted(value, room, |c, out| escaped(c, "*+?.^$|()[]{}\\", out)),
        // RFC 5435 §6: all but RFC 3986's unreserved characters.
        Modifier::EncodeUrl => quoted(value, room, |c, out| {
            if c.is_ascii_alphanumeric() || "-._~".contains(c) {
                out.push(c);
                return;
            }
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }),
        Modifier::Length => value.chars().count().to_string(),
    }
}

fn escaped(c: char, special: &str, out: &mut String) {
    if special.contains(c) {
        out.push('\\');
    }
    out.push(c);
}

fn quoted(value: &str, room: usize, write: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(value.len().min(room));
    for c in value.chars() {
        let before = out.len();
        write(c, &mut out);
        if out.len() > room {
            out.truncate(before);
            break;
        }
    }
    out
}
