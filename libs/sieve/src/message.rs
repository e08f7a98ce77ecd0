//! The message that a script looks at: what the caller gives, and its header as the script has changed it.

use crate::limits::FIELDS_MAX;
use crate::world::WorldError;
use core::ops::Range;
use mime::{HeaderReader, PartIndex};
use std::borrow::Cow;
use std::cell::OnceCell;

/// A message, as the caller has it. Only its header is at hand for certain.
pub trait Message {
    /// The whole header, with its blank line if there is one.
    fn header(&self) -> &[u8];

    /// Octets of header and body together.
    fn size(&self) -> u64;

    /// The parts; what they say of where they are is for [`Message::octets`].
    ///
    /// # Errors
    /// They can't be had.
    fn parts(&self) -> Result<&PartIndex, WorldError>;

    /// Octets of the message as [`Message::parts`] counts them: fewer where the message ends before.
    ///
    /// # Errors
    /// They can't be had.
    fn octets(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, WorldError>;
}

/// A message that is in memory whole.
#[derive(Debug)]
pub struct WholeMessage<'a> {
    octets: Cow<'a, [u8]>,
    header: usize,
    parts: OnceCell<PartIndex>,
}

impl<'a> WholeMessage<'a> {
    /// The message of these octets.
    #[must_use]
    pub fn new(octets: impl Into<Cow<'a, [u8]>>) -> Self {
        let octets = octets.into();
        let mut reader = HeaderReader::new(&octets);
        reader.by_ref().for_each(drop);
        let rest = reader.rest();
        let blank =
            usize::from(rest.starts_with(b"\n")) + 2 * usize::from(rest.starts_with(b"\r\n"));
        let header = octets.len() - rest.len() + blank;
        let parts = OnceCell::new();
        Self {
            octets,
            header,
            parts,
        }
    }
}

impl Message for WholeMessage<'_> {
    fn header(&self) -> &[u8] {
        &self.octets[..self.header]
    }

    fn size(&self) -> u64 {
        self.octets.len() as u64
    }

    fn parts(&self) -> Result<&PartIndex, WorldError> {
        Ok(self.parts.get_or_init(|| mime::digest(&self.octets).parts))
    }

    fn octets(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, WorldError> {
        let place = |at: u64| {
            usize::try_from(at)
                .unwrap_or(usize::MAX)
                .min(self.octets.len())
        };
        let (from, to) = (place(range.start), place(range.end));
        Ok(Cow::Borrowed(&self.octets[from.min(to)..to]))
    }
}

/// A header's fields in their order; those that a script adds stand behind the others' octets.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    octets: Vec<u8>,
    order: Vec<Place>,
    pub(crate) edits: usize,
}

#[derive(Debug, Clone)]
struct Place {
    whole: Range<usize>,
    name: usize,
    value: Range<usize>,
}

impl Fields {
    pub(crate) fn read(header: &[u8]) -> Self {
        let mut fields = Self::default();
        fields.octets.extend_from_slice(header);
        let mut at = 0;
        for field in HeaderReader::new(header).take(FIELDS_MAX) {
            let end = at + field.raw.len();
            let value = match field.name.is_empty() {
                true => at,
                false => at + memchr::memchr(b':', field.raw).map_or(0, |colon| colon + 1),
            };
            fields.order.push(Place {
                whole: at..end,
                name: field.name.len(),
                value: value..value + field.value.len(),
            });
            at = end;
        }
        fields
    }

    fn is(&self, place: &Place, name: &str) -> bool {
        let from = place.whole.start;
        self.octets[from..from + place.name].eq_ignore_ascii_case(name.as_bytes())
    }

    /// The values of a field, raw, in their order.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let here = self
            .order
            .iter()
            .filter(move |place| !name.is_empty() && self.is(place, name));
        here.map(|place| &self.octets[place.value.clone()])
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// RFC 5293 §4: at the beginning, or at the end.
    pub(crate) fn add(&mut self, name: &str, value: &str, last: bool) {
        let from = self.octets.len();
        self.octets.extend_from_slice(name.as_bytes());
        self.octets.extend_from_slice(b": ");
        let value_from = self.octets.len();
        self.octets.extend_from_slice(value.as_bytes());
        let value_to = self.octets.len();
        self.octets.extend_from_slice(b"\r\n");
        let place = Place {
            whole: from..self.octets.len(),
            name: name.len(),
            value: value_from..value_to,
        };
        let at = if last { self.order.len() } else { 0 };
        self.order.insert(at, place);
        self.edits += 1;
    }

    /// Removes those of that name whose number among them is given, from 0.
    pub(crate) fn remove(&mut self, name: &str, numbers: &[usize]) {
        let mut number = 0;
        let octets = &self.octets;
        self.order.retain(|place| {
            let from = place.whole.start;
            if !octets[from..from + place.name].eq_ignore_ascii_case(name.as_bytes()) {
                return true;
            }
            number += 1;
            !numbers.contains(&(number - 1))
        });
        self.edits += numbers.len();
    }

    /// The header as it is now, with its blank line.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.octets.len() + 2);
        for place in &self.order {
            let field = &self.octets[place.whole.clone()];
            out.extend_from_slice(field);
            if !field.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// RFC 5322 §3.6.8: printable ASCII without a colon.
pub(crate) fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 127
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// The address of one mailbox, which may have a display name: RFC 5228 §2.4.2.3.
pub(crate) fn mailbox_address(text: &str) -> Option<envelope::Address> {
    if !text.contains('<') {
        // White space may stand around the "@", and nowhere else.
        let (local, domain) = text.rsplit_once('@')?;
        return envelope::Address::parse(&format!("{}@{}", local.trim(), domain.trim())).ok();
    }
    let items = mime::parse_addresses(text.as_bytes());
    let mut found = mime::mailboxes(&items);
    match (found.next(), found.next()) {
        (Some(one), None) if items.len() == 1 && text.trim_end().ends_with('>') => {
            envelope::Address::parse(&one.address_text()).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added_and_removed_and_the_rest_stays_as_it_is() {
        let header = b"From: a@b\r\nSubject: x\r\n y\r\nno field\r\nsubject : z\n\r\n";
        let mut fields = Fields::read(header);
        let values: Vec<_> = fields.named("SUBJECT").collect();
        assert_eq!(values, [&b" x\r\n y"[..], b" z"]);
        fields.add("X-A", "1", false);
        fields.add("X-B", "2", true);
        fields.remove("subject", &[0]);
        let now = fields.write();
        let expected = "X-A: 1\r\nFrom: a@b\r\nno field\r\nsubject : z\nX-B: 2\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&now), expected);
        assert!(fields.has("x-a") && !fields.has("") && !fields.has("no field"));
    }

    #[test]
    fn a_whole_message_knows_its_header_and_parts() {
        let message = WholeMessage::new(&b"A: b\r\n\r\nbody\r\n"[..]);
        assert_eq!(message.header(), b"A: b\r\n\r\n");
        let body = message.parts().expect("parts").root().body.clone();
        assert_eq!(message.octets(body).expect("octets").as_ref(), b"body\r\n");
        assert_eq!(message.octets(90..99).expect("octets").as_ref(), b"");
        assert_eq!(WholeMessage::new(&b""[..]).header(), b"");
    }
}
