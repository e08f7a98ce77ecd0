//! Values of header fields and addresses (RFC 5228 §5.1, §5.4 and §5.7, RFC 5260 §6, RFC 5703 §4).

use super::{Run, RunError};
use crate::limits::PARTS_MAX;
use crate::message::Fields;
use crate::script::{AddressPart, HeaderTest, MimeField, MimeOption};
use core::ops::Range;
use mime::parameters::Structured;
use std::borrow::Cow;

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
fn address_part(
    part: AddressPart,
    local: &str,
    domain: &str,
    whole: &str,
    separators: &str,
) -> Option<String> {
    let any = |c: char| separators.contains(c);
    Some(match part {
        AddressPart::All => whole.to_owned(),
        AddressPart::Local => local.to_owned(),
        AddressPart::Domain => domain.to_owned(),
        // RFC 5233 §4: without a separator the user is all of it, and there is no detail.
        AddressPart::User => local
            .split_once(any)
            .map_or(local, |(user, _)| user)
            .to_owned(),
        AddressPart::Detail => local.split_once(any)?.1.to_owned(),
    })
}

impl Run<'_, '_> {
    /// Raw values of the fields that a test names, in the order of its names.
    fn raw_values(
        &mut self,
        name: &str,
        index: Option<u64>,
        last: bool,
    ) -> Result<Vec<Vec<u8>>, RunError> {
        let values: Vec<Vec<u8>> = self.state.fields.named(name).map(<[u8]>::to_vec).collect();
        self.state.burn(values.iter().map(Vec::len).sum())?;
        Ok(pick(values, index, last))
    }

    pub(super) fn header_test(&mut self, test: &HeaderTest) -> Result<bool, RunError> {
        let names = self.state.expand_all(&test.names)?;
        let mut values: Vec<Cow<'_, str>> = Vec::new();
        for name in &names {
            let raw = match &test.mime {
                None => self.raw_values(name, test.index, test.last)?,
                Some(option) => pick(self.part_values(option, name)?, test.index, test.last),
            };
            for raw in raw {
                match test.mime.as_ref().map(|option| &option.what) {
                    None | Some(MimeField::Whole) => values.push(decoded(&raw).into()),
                    Some(field) => values.extend(
                        self.structured(field, name, &raw)?
                            .into_iter()
                            .map(Cow::Owned),
                    ),
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
        let mut values: Vec<Cow<'_, str>> = Vec::new();
        for name in &names {
            let raw = match &test.mime {
                None => self.raw_values(name, test.index, test.last)?,
                Some(option) => pick(self.part_values(option, name)?, test.index, test.last),
            };
            for raw in raw {
                let items = mime::parse_addresses(&raw);
                for mailbox in mime::mailboxes(&items) {
                    let local = String::from_utf8_lossy(&mailbox.local);
                    let domain = String::from_utf8_lossy(&mailbox.domain);
                    if domain.is_empty() {
                        // What is no address is compared as it stands, and has no parts.
                        if part == AddressPart::All && !local.is_empty() {
                            values.push(local.into_owned().into());
                        }
                        continue;
                    }
                    let whole = format!("{local}@{domain}");
                    values.extend(
                        address_part(part, &local, &domain, &whole, &separators).map(Cow::Owned),
                    );
                }
            }
        }
        self.keys(&test.of, &values, true)
    }

    pub(super) fn envelope_values(
        &mut self,
        name: &str,
        part: AddressPart,
    ) -> Result<Vec<String>, RunError> {
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
        Ok(address_part(part, local, domain, address, &separators)
            .into_iter()
            .collect())
    }

    pub(super) fn exists_test(
        &mut self,
        names: &[String],
        mime: Option<&MimeOption>,
    ) -> Result<bool, RunError> {
        for name in names {
            let here = match mime {
                None => self.state.fields.has(name),
                Some(option) => !self.part_values(option, name)?.is_empty(),
            };
            if !here {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Raw values of a field of the part that the loop is at, or of the whole message; with `:anychild` of all parts
    /// in it too.
    fn part_values(&mut self, option: &MimeOption, name: &str) -> Result<Vec<Vec<u8>>, RunError> {
        let at = self.state.loops.last().map_or(0, |one| one.part);
        let parts: Vec<u32> = match option.any_child {
            false => vec![at],
            true => core::iter::once(at)
                .chain(self.parts_in(at)?)
                .take(PARTS_MAX)
                .collect(),
        };
        let mut values = Vec::new();
        for part in parts {
            if part == 0 {
                values.extend(self.state.fields.named(name).map(<[u8]>::to_vec));
                continue;
            }
            let Some(range) = self.part_header(part)? else {
                continue;
            };
            let octets = self.state.message().octets(range)?.into_owned();
            self.state.burn(octets.len())?;
            values.extend(Fields::read(&octets).named(name).map(<[u8]>::to_vec));
        }
        Ok(values)
    }

    fn part_header(&self, part: u32) -> Result<Option<Range<u64>>, RunError> {
        let parts = self.state.message().parts()?;
        Ok(parts.part(part).map(|part| part.header.clone()))
    }

    /// What `:type`, `:subtype`, `:contenttype` and `:param` mean of a field (RFC 5703 §4.2).
    fn structured(
        &mut self,
        field: &MimeField,
        name: &str,
        raw: &[u8],
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
                let names = self.state.expand_all(names)?;
                names
                    .iter()
                    .filter_map(|name| read.parameter_text(name))
                    .collect()
            }
        })
    }
}
