//! The message that a script looks at: what the caller gives, and its header as the script has changed it.

use crate::limits::FIELDS_MAX;
use crate::world::WorldError;
use core::ops::Range;
use mime::{HeaderReader, PartIndex};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};

/// A message, as the caller has it. Only its header is at hand for certain.
pub trait Message {
    /// The whole header, with its blank line if there is one.
    fn header(&self) -> &[u8];

    /// Is that all of it? What is not there whole is never written anew: a script that would change it fails.
    fn has_whole_header(&self) -> bool {
        true
    }

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

/// A header's fields, found by their names. Each has a number that stays its own; those that a script adds stand behind
/// the others' octets.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    octets: Vec<u8>,
    /// By number.
    places: Vec<Place>,
    /// How many came with the message.
    given: usize,
    /// Numbers of those that were added before the others, the last of them first.
    before: VecDeque<usize>,
    /// And behind.
    behind: Vec<usize>,
    /// By name in lower case: numbers in the order of the header.
    named: HashMap<Box<[u8]>, VecDeque<usize>>,
    pub(crate) edits: usize,
    /// All of the header is here.
    pub(crate) whole: bool,
}

#[derive(Debug, Clone)]
struct Place {
    whole: Range<usize>,
    value: Range<usize>,
    gone: bool,
}

impl Fields {
    pub(crate) fn read(message: &dyn Message) -> Self {
        let header = message.header();
        let mut fields = Self::default();
        fields.octets.extend_from_slice(header);
        let mut at = 0;
        let mut reader = HeaderReader::new(header);
        for field in reader.by_ref().take(FIELDS_MAX) {
            let end = at + field.raw.len();
            let value = match field.name.is_empty() {
                true => at,
                false => at + memchr::memchr(b':', field.raw).map_or(0, |colon| colon + 1),
            };
            fields.places.push(Place {
                whole: at..end,
                value: value..value + field.value.len(),
                gone: false,
            });
            if !field.name.is_empty() {
                let name = field.name.to_ascii_lowercase().into_boxed_slice();
                let number = fields.places.len() - 1;
                fields.named.entry(name).or_default().push_back(number);
            }
            at = end;
        }
        fields.given = fields.places.len();
        let ended = matches!(reader.rest(), b"" | b"\n" | b"\r\n");
        fields.whole = ended && message.has_whole_header();
        fields
    }

    /// The numbers of the fields of a name, in their order.
    pub(crate) fn named(&self, name: &str) -> &VecDeque<usize> {
        static NONE: VecDeque<usize> = VecDeque::new();
        let name = name.to_ascii_lowercase();
        self.named.get(name.as_bytes()).unwrap_or(&NONE)
    }

    /// A field's value, raw.
    pub(crate) fn value(&self, number: usize) -> &[u8] {
        self.places
            .get(number)
            .map_or(&[], |place| &self.octets[place.value.clone()])
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
        self.places.push(Place {
            whole: from..self.octets.len(),
            value: value_from..value_to,
            gone: false,
        });
        let number = self.places.len() - 1;
        let name = name.to_ascii_lowercase().into_bytes().into_boxed_slice();
        let of_name = self.named.entry(name).or_default();
        if last {
            self.behind.push(number);
            of_name.push_back(number);
        } else {
            self.before.push_front(number);
            of_name.push_front(number);
        }
        self.edits += 1;
    }

    /// Removes these of that name.
    pub(crate) fn remove(&mut self, name: &str, numbers: &[usize]) {
        for number in numbers {
            if let Some(place) = self.places.get_mut(*number) {
                place.gone = true;
            }
        }
        let places = &self.places;
        if let Some(of_name) = self.named.get_mut(name.to_ascii_lowercase().as_bytes()) {
            of_name.retain(|number| !places[*number].gone);
        }
        self.edits += numbers.len();
    }

    /// All that are there, in their order, with a line end each.
    fn in_order(&self) -> impl Iterator<Item = (&[u8], &'static [u8])> {
        let given = 0..self.given;
        let numbers = self.before.iter().copied().chain(given);
        let numbers = numbers.chain(self.behind.iter().copied());
        let places = numbers.map(|number| &self.places[number]);
        places.filter(|place| !place.gone).map(|place| {
            let field = &self.octets[place.whole.clone()];
            let ended = field.ends_with(b"\n");
            (field, if ended { &b""[..] } else { b"\r\n" })
        })
    }

    /// Octets of the header as it is now, with its blank line.
    pub(crate) fn written_len(&self) -> usize {
        let fields = self.in_order();
        fields
            .map(|(field, end)| field.len() + end.len())
            .sum::<usize>()
            + 2
    }

    /// The header as it is now, with its blank line.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.octets.len() + 2);
        for (field, end) in self.in_order() {
            out.extend_from_slice(field);
            out.extend_from_slice(end);
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// What reading them has taken, in octets that are looked at.
    pub(crate) fn work(&self) -> usize {
        2 * self.octets.len() + 64 * self.places.len()
    }
}

/// Fields that say where a message has been, which scripts see and don't delete: loops are found by them.
///
/// RFC 5293 §6: "implementations MUST NOT permit attempts to delete "Received" and "Auto-Submitted" header fields"; a
/// redirect that has come back is known by RFC 9228's field.
const TRACE_FIELDS: [&str; 3] = ["received", "auto-submitted", "delivered-to"];

/// May no script delete it?
pub(crate) fn is_kept_field(name: &str) -> bool {
    mime::is_own_field(name.as_bytes())
        || TRACE_FIELDS
            .iter()
            .any(|kept| name.eq_ignore_ascii_case(kept))
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
        let mut fields = Fields::read(&WholeMessage::new(&header[..]));
        let values = |fields: &Fields, name: &str| -> Vec<String> {
            let numbers = fields.named(name).iter();
            let value = |number| String::from_utf8_lossy(fields.value(number)).into_owned();
            numbers.map(|number| value(*number)).collect()
        };
        assert_eq!(values(&fields, "SUBJECT"), [" x\r\n y", " z"]);
        assert_eq!(fields.written_len(), header.len());
        fields.add("X-A", "1", false);
        fields.add("X-A", "0", false);
        fields.add("X-B", "2", true);
        fields.add("x-a", "3", true);
        let second = fields.named("x-b")[0];
        fields.remove("x-B", &[second]);
        fields.remove("subject", &[1]);
        let now = fields.write();
        let expected = "X-A: 0\r\nX-A: 1\r\nFrom: a@b\r\nno field\r\nsubject : z\nx-a: 3\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&now), expected);
        assert_eq!(fields.written_len(), expected.len());
        assert_eq!(values(&fields, "X-a"), ["0", "1", "3"]);
        assert_eq!(values(&fields, "subject"), [" z"]);
        assert!(fields.named("").is_empty() && fields.named("no field").is_empty());
        assert!(fields.named("x-b").is_empty() && fields.whole);
    }

    #[test]
    fn fields_of_our_own_are_told_by_their_names() {
        assert!(is_kept_field("DELIVERED-to") && is_kept_field("x-posthouse-refused"));
        assert!(!is_kept_field("X-Posthous") && !is_kept_field("X-Posthousé-a"));
    }

    #[test]
    fn what_is_not_all_of_a_header_is_known() {
        let fields = |octets: &[u8]| Fields::read(&WholeMessage::new(octets));
        assert!(fields(b"a: b\r\n").whole);
        assert!(fields("a: b\r\n".repeat(FIELDS_MAX).as_bytes()).whole);
        assert!(!fields("a: b\r\n".repeat(FIELDS_MAX + 1).as_bytes()).whole);
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
