//! What a run has read of the message and keeps for the next test: values of fields, addresses, texts of parts.
//!
//! Reading takes fuel by octets, once; taking what is kept takes a step.
//!
//! Invariant: what is kept is bounded: by the header's octets, [`ADDRESSES_KEPT_MAX`] and [`TEXTS_KEPT_BYTES_MAX`].

use super::header::{decoded, picked};
use super::{RunError, State};
use crate::limits::{
    ADDRESSES_KEPT_MAX, BODY_BYTES_MAX, DECODE_WEIGHT, READ_WEIGHT, TEXTS_KEPT_BYTES_MAX,
};
use core::ops::Range;
use mime::Part;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Known {
    /// By a field's number.
    values: HashMap<usize, Arc<str>>,
    addresses: HashMap<usize, Arc<[Mailbox]>>,
    addresses_kept: usize,
    texts: HashMap<Shape, Arc<str>>,
    texts_kept: usize,
}

/// An address of a field.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// `local@domain`, or what stands there where it is no address.
    whole: Box<str>,
    /// Where the local part ends, if it is one.
    local: Option<usize>,
}

impl Mailbox {
    pub(super) fn whole(&self) -> &str {
        &self.whole
    }

    pub(super) fn parts(&self) -> Option<(&str, &str)> {
        let at = self.local?;
        Some((self.whole.get(..at)?, self.whole.get(at + 1..)?))
    }
}

/// As which text octets of the message are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    /// All of the body, as it is.
    Raw,
    /// A part, decoded.
    Decoded(u32),
    /// A part as a person would read it: of HTML its text.
    Readable(u32),
}

/// The addresses of a field's value.
pub(super) fn mailboxes(value: &[u8]) -> Vec<Mailbox> {
    let items = mime::parse_addresses(value);
    let read = |mailbox: &mime::Mailbox| {
        let local = String::from_utf8_lossy(&mailbox.local);
        let domain = String::from_utf8_lossy(&mailbox.domain);
        let at = local.len();
        match domain.is_empty() {
            true => Mailbox {
                whole: local.into(),
                local: None,
            },
            false => Mailbox {
                whole: format!("{local}@{domain}").into(),
                local: Some(at),
            },
        }
    };
    mime::mailboxes(&items).map(read).collect()
}

impl State<'_> {
    /// Numbers of the fields of a name; one at most where an index says so (RFC 5260 §6).
    pub(super) fn numbers(
        &mut self,
        name: &str,
        index: Option<u64>,
        last: bool,
    ) -> Result<Vec<usize>, RunError> {
        let count = self.fields.named(name).len();
        self.burn(name.len() + if index.is_none() { 8 * count } else { 0 })?;
        let all = self.fields.named(name);
        Ok(match index {
            Some(index) => {
                let at = picked(count, index, last);
                at.and_then(|at| all.get(at).copied()).into_iter().collect()
            }
            None => all.iter().copied().collect(),
        })
    }

    /// A field's value as tests see it: unfolded, encoded words decoded.
    pub(super) fn value(&mut self, number: usize) -> Result<Arc<str>, RunError> {
        self.burn(0)?;
        if let Some(known) = self.known.values.get(&number) {
            return Ok(Arc::clone(known));
        }
        self.burn(self.fields.value(number).len() * READ_WEIGHT)?;
        let value: Arc<str> = decoded(self.fields.value(number)).into();
        self.known.values.insert(number, Arc::clone(&value));
        Ok(value)
    }

    /// The addresses of a field.
    pub(super) fn addresses(&mut self, number: usize) -> Result<Arc<[Mailbox]>, RunError> {
        self.burn(0)?;
        if let Some(known) = self.known.addresses.get(&number) {
            return Ok(Arc::clone(known));
        }
        self.burn(self.fields.value(number).len() * READ_WEIGHT)?;
        let read: Arc<[Mailbox]> = mailboxes(self.fields.value(number)).into();
        if self.known.addresses_kept + read.len() <= ADDRESSES_KEPT_MAX {
            self.known.addresses_kept += read.len();
            self.known.addresses.insert(number, Arc::clone(&read));
        }
        Ok(read)
    }

    /// Octets of the message, [`BODY_BYTES_MAX`] at most; paid before they are read.
    pub(super) fn octets(&mut self, range: Range<u64>) -> Result<Vec<u8>, RunError> {
        let end = range.end.min(range.start.saturating_add(BODY_BYTES_MAX));
        let len = end.saturating_sub(range.start);
        self.burn(usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(self.message().octets(range.start..end)?.into_owned())
    }

    /// A text of the message's body.
    pub(super) fn text(&mut self, shape: Shape) -> Result<Arc<str>, RunError> {
        self.burn(0)?;
        if let Some(known) = self.known.texts.get(&shape) {
            return Ok(Arc::clone(known));
        }
        let text: Arc<str> = match shape {
            Shape::Raw => {
                let body = self.message().parts()?.root().body.clone();
                let octets = self.octets(body)?;
                cut(String::from_utf8_lossy(&octets).into_owned()).into()
            }
            Shape::Decoded(number) => self.decoded(number)?.into(),
            Shape::Readable(number) => {
                let markup = self.decoded(number)?;
                self.burn(markup.len() * DECODE_WEIGHT)?;
                mime::text::html_to_text(&markup).into()
            }
        };
        if self.known.texts_kept + text.len() <= TEXTS_KEPT_BYTES_MAX {
            self.known.texts_kept += text.len();
            self.known.texts.insert(shape, Arc::clone(&text));
        }
        Ok(text)
    }

    /// A leaf's text: decoded, in UTF-8.
    fn decoded(&mut self, number: u32) -> Result<String, RunError> {
        let held = self.held.clone();
        let Some(part) = held.message().parts()?.part(number) else {
            return Ok(String::new());
        };
        let octets = self.octets(part.body.clone())?;
        self.burn(octets.len() * DECODE_WEIGHT)?;
        Ok(cut(as_text(part, octets)))
    }
}

fn as_text(part: &Part, octets: Vec<u8>) -> String {
    let octets = match part.encoding.is_identity() {
        true => octets,
        false => mime::transfer::decode(part.encoding, &octets),
    };
    match part.media_type.starts_with("text/") || part.charset.is_some() {
        true => mime::charset::decode(part.charset.as_deref(), &octets),
        // RFC 5173 §5.2: without a charset the octets are taken as they are.
        false => String::from_utf8_lossy(&octets).into_owned(),
    }
}

/// Letters may have three times the octets that they were made of.
fn cut(mut text: String) -> String {
    let room = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
    text.truncate(text.floor_char_boundary(room));
    text
}
