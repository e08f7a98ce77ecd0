//! Values of header fields and addresses (RFC 5228 §5.1, §5.4 and §5.7, RFC 5260 §6, RFC 5703 §4).

use super::expand::ValuesRoom;
use super::known::{Mailbox, mailboxes};
use super::{Run, RunError};
use crate::limits::{FIELDS_MAX, READ_WEIGHT};
use crate::script::{AddressPart, HeaderTest, MimeField, MimeOption};
use mime::HeaderReader;
use mime::parameters::Structured;
use std::sync::Arc;

/// A field's value as tests see it: unfolded, without white space at its ends, encoded words decoded.
pub(super) fn decoded(value: &[u8]) -> String {
    mime::encoded_word::decode(&mime::unfold(value))
}

/// Which of `count` things an index means; they and it count from 1 (RFC 5260 §6).
pub(super) fn picked(count: usize, index: u64, last: bool) -> Option<usize> {
    let index = usize::try_from(index).ok()?.checked_sub(1)?;
    let at = if last {
        count.checked_sub(1)?.checked_sub(index)?
    } else {
        index
    };
    (at < count).then_some(at)
}

fn pick<T>(mut all: Vec<T>, index: Option<u64>, last: bool) -> Vec<T> {
    match index {
        None => all,
        Some(index) => match picked(all.len(), index, last) {
            Some(at) => vec![all.swap_remove(at)],
            None => Vec::new(),
        },
    }
}

/// The part of an address that is asked for; none where it has none.
fn address_part<'m>(
    part: AddressPart,
    (local, domain): (&'m str, &'m str),
    whole: &'m str,
    separators: &str,
) -> Option<&'m str> {
    let any = |c: char| separators.contains(c);
    Some(match part {
        AddressPart::All => whole,
        AddressPart::Local => local,
        AddressPart::Domain => domain,
        // RFC 5233 §4: without a separator the user is all of it, and there is no detail.
        AddressPart::User => local.split_once(any).map_or(local, |(user, _)| user),
        AddressPart::Detail => local.split_once(any)?.1,
    })
}

/// What addresses take, looked at or kept.
fn octets_of(all: &[Mailbox]) -> usize {
    all.iter().map(|one| one.whole().len() + 64).sum()
}

/// The part that is asked for of each address that has it.
fn parts_of<'m>(
    all: &'m [Mailbox],
    part: AddressPart,
    separators: &str,
) -> impl Iterator<Item = &'m str> {
    let of = move |mailbox: &'m Mailbox| match mailbox.parts() {
        Some(parts) => address_part(part, parts, mailbox.whole(), separators),
        // What is no address is compared as it stands, and has no parts.
        None if part == AddressPart::All && !mailbox.whole().is_empty() => Some(mailbox.whole()),
        None => None,
    };
    all.iter().filter_map(of)
}

impl Run<'_, '_> {
    pub(super) fn header_test(&mut self, test: &HeaderTest) -> Result<bool, RunError> {
        let names = self.state.expand_all(&test.names)?;
        let mut room = ValuesRoom::default();
        let mut values: Vec<Arc<str>> = Vec::new();
        for name in &names {
            let Some(option) = &test.mime else {
                for number in self.state.numbers(name, test.index, test.last)? {
                    values.push(self.state.value(number)?);
                }
                continue;
            };
            for raw in pick(
                self.part_values(option, name, &mut room)?,
                test.index,
                test.last,
            ) {
                self.state.burn(raw.len() * READ_WEIGHT)?;
                match &option.what {
                    MimeField::Whole => values.push(decoded(&raw).into()),
                    field => {
                        let found = self.structured(field, name, &raw, &mut room)?;
                        values.extend(found.into_iter().map(Arc::from));
                    }
                }
            }
        }
        self.keys(&test.of, &values, true)
    }

    pub(super) fn address_test(
        &mut self,
        test: &HeaderTest,
        part: AddressPart,
    ) -> Result<bool, RunError> {
        let names = self.state.expand_all(&test.names)?;
        let separators = self.world.separators();
        let mut room = ValuesRoom::default();
        let mut found: Vec<Arc<[Mailbox]>> = Vec::new();
        for name in &names {
            let Some(option) = &test.mime else {
                for number in self.state.numbers(name, test.index, test.last)? {
                    let all = self.state.addresses(number)?;
                    // Each is looked through for its parts.
                    let octets = octets_of(&all);
                    self.state.burn(octets)?;
                    // What is kept anyway is not there twice.
                    if Arc::strong_count(&all) == 1 {
                        room.take(octets)?;
                    }
                    found.push(all);
                }
                continue;
            };
            for raw in pick(
                self.part_values(option, name, &mut room)?,
                test.index,
                test.last,
            ) {
                self.state.burn(raw.len() * READ_WEIGHT)?;
                let all: Arc<[Mailbox]> = mailboxes(&raw).into();
                room.take(octets_of(&all))?;
                found.push(all);
            }
        }
        let values = found
            .iter()
            .flat_map(|all| parts_of(all, part, &separators));
        let values: Vec<&str> = values.collect();
        self.keys(&test.of, &values, true)
    }

    pub(super) fn envelope_values(
        &mut self,
        name: &str,
        part: AddressPart,
    ) -> Result<Vec<String>, RunError> {
        self.state.burn(0)?;
        let separators = self.world.separators();
        // RFC 6785 §4.6: "envelope tests MUST NOT be permitted … and their use MUST generate a runtime error."
        let envelope = self
            .state
            .envelope
            .as_deref()
            .ok_or(RunError::NotAtDelivery("envelope"))?;
        let address = match name.to_ascii_lowercase().as_str() {
            "from" => Some(envelope.from.as_str()),
            "to" => Some(envelope.to.as_str()),
            "auth" => envelope.auth.as_deref(),
            _ => None,
        };
        let Some(address) = address else {
            return Ok(Vec::new());
        };
        // RFC 5228 §5.4: the null reverse path is the empty string, whatever part is asked for.
        if address.is_empty() {
            return Ok(vec![String::new()]);
        }
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let found = address_part(part, (local, domain), address, &separators);
        Ok(found.map(str::to_owned).into_iter().collect())
    }

    pub(super) fn exists_test(
        &mut self,
        names: &[String],
        mime: Option<&MimeOption>,
    ) -> Result<bool, RunError> {
        for name in names {
            self.state.burn(name.len())?;
            let here = match mime {
                None => !self.state.fields.named(name).is_empty(),
                Some(option) => {
                    let room = &mut ValuesRoom::default();
                    !self.part_values(option, name, room)?.is_empty()
                }
            };
            if !here {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Raw values of a field of the part that the loop is at, or of the whole message; with `:anychild` of all parts
    /// in it too.
    fn part_values(
        &mut self,
        option: &MimeOption,
        name: &str,
        room: &mut ValuesRoom,
    ) -> Result<Vec<Vec<u8>>, RunError> {
        let at = self.state.loops.last().map_or(0, |one| one.part);
        let mut parts = vec![at];
        if option.any_child {
            parts.extend(self.parts_in(at)?);
        }
        let held = self.state.held.clone();
        let index = held.message().parts()?;
        let mut values = Vec::new();
        for part in parts {
            if part == 0 {
                for number in self.state.numbers(name, None, false)? {
                    self.state.burn(self.state.fields.value(number).len())?;
                    room.take(self.state.fields.value(number).len())?;
                    values.push(self.state.fields.value(number).to_vec());
                }
                continue;
            }
            let Some(part) = index.part(part) else {
                continue;
            };
            let octets = self.state.octets(part.header.clone())?;
            for field in HeaderReader::new(&octets).take(FIELDS_MAX) {
                self.state.burn(0)?;
                if field.is(name) {
                    self.state.burn(field.value.len())?;
                    room.take(field.value.len())?;
                    values.push(field.value.to_vec());
                }
            }
        }
        Ok(values)
    }

    /// What `:type`, `:subtype`, `:contenttype` and `:param` mean of a field (RFC 5703 §4.2).
    fn structured(
        &mut self,
        field: &MimeField,
        name: &str,
        raw: &[u8],
        room: &mut ValuesRoom,
    ) -> Result<Vec<String>, RunError> {
        let read = Structured::parse(&mime::unfold(raw));
        let value = String::from_utf8_lossy(&read.value).trim().to_owned();
        let is_type = name.eq_ignore_ascii_case("content-type");
        let (main, sub) = match value.split_once('/') {
            Some((main, sub)) if is_type => (main.to_owned(), sub.to_owned()),
            _ => (value.clone(), String::new()),
        };
        Ok(match field {
            MimeField::Whole | MimeField::ContentType => vec![value],
            MimeField::Type => vec![main],
            MimeField::Subtype => vec![sub],
            MimeField::Parameters(names) => {
                let mut found = Vec::new();
                for name in self.state.expand_all(names)? {
                    // All parameters are looked through.
                    self.state.burn(raw.len())?;
                    if let Some(text) = read.parameter_text(&name) {
                        room.take(text.len())?;
                        found.push(text);
                    }
                }
                found
            }
        })
    }
}
