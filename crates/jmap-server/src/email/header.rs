//! Header fields in the forms of RFC 8621 §4.1.2.

use crate::limits::HEADER_VALUE_BYTES_MAX;
use icu_normalizer::ComposingNormalizerBorrowed;
use jmap_proto::{HeaderForm, HeaderProperty, date};
use mime::{
    AddressItem, Field, HeaderReader, Mailbox, encoded_word, mailboxes, message_ids,
    parse_addresses, parse_date,
};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// A header's fields by their names: those that are asked for, found in one go.
pub(crate) struct Fields<'a>(HashMap<Vec<u8>, Vec<Field<'a>>>);

impl<'a> Fields<'a> {
    /// Those of these names, which are in small letters.
    pub(crate) fn of(header: &'a [u8], names: &BTreeSet<String>) -> Self {
        let mut fields: HashMap<Vec<u8>, Vec<Field<'a>>> = HashMap::new();
        if names.is_empty() {
            return Self(fields);
        }
        for field in HeaderReader::new(header) {
            let name = field.name.to_ascii_lowercase();
            if std::str::from_utf8(&name).is_ok_and(|name| names.contains(name)) {
                fields.entry(name).or_default().push(field);
            }
        }
        Self(fields)
    }

    /// A property that is made from them.
    pub(crate) fn property(&self, property: &HeaderProperty) -> Value {
        let name = property.field.to_ascii_lowercase();
        let fields = self.0.get(name.as_bytes()).map_or(&[][..], Vec::as_slice);
        if property.all {
            return fields
                .iter()
                .map(|field| form(field, property.form))
                .collect();
        }
        // RFC 8621 §4.1.3: of several fields the last.
        let last = fields.last();
        last.map_or(Value::Null, |field| form(field, property.form))
    }
}

/// All fields, raw and in order.
pub(crate) fn all(header: &[u8]) -> Value {
    let fields = HeaderReader::new(header).filter(|field| !field.name.is_empty());
    fields
        .map(|field| json!({"name": String::from_utf8_lossy(field.name), "value": raw(&field)}))
        .collect()
}

fn raw(field: &Field<'_>) -> String {
    // RFC 8621 §4.1.2.1: no NUL, and what is no UTF-8 is replaced.
    String::from_utf8_lossy(cut(field.value)).replace('\0', "")
}

fn cut(value: &[u8]) -> &[u8] {
    &value[..value.len().min(HEADER_VALUE_BYTES_MAX)]
}

/// RFC 8621 §4.1.2.2
fn text_of(octets: &[u8]) -> String {
    let text = encoded_word::decode(octets);
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    nfc.normalize(&text).into_owned()
}

fn form(field: &Field<'_>, form: HeaderForm) -> Value {
    match form {
        HeaderForm::Raw => raw(field).into(),
        HeaderForm::Text => text_of(&mime::unfold(cut(field.value))).into(),
        HeaderForm::Addresses => {
            let items = parse_addresses(cut(field.value));
            mailboxes(&items).map(address).collect()
        }
        HeaderForm::GroupedAddresses => grouped(&parse_addresses(cut(field.value))),
        HeaderForm::MessageIds => match message_ids(&mime::unfold(cut(field.value))) {
            ids if ids.is_empty() => Value::Null,
            ids => ids.into(),
        },
        HeaderForm::Date => parse_date(cut(field.value)).map_or(Value::Null, |moment| {
            date::write(moment.unix_seconds, moment.zone_minutes).into()
        }),
        HeaderForm::Urls => urls(&String::from_utf8_lossy(&mime::unfold(cut(field.value)))),
    }
}

fn address(mailbox: &Mailbox) -> Value {
    let name = text_of(&mailbox.name);
    let name = Some(name.trim()).filter(|name| !name.is_empty());
    let email = match mailbox.domain.is_empty() {
        true => String::from_utf8_lossy(&mailbox.local).into_owned(),
        false => mailbox.address_text(),
    };
    json!({ "name": name, "email": email })
}

/// RFC 8621 §4.1.2.4: what stands in no group is a group without a name.
fn grouped(items: &[AddressItem]) -> Value {
    let mut groups: Vec<(Option<String>, Vec<Value>)> = Vec::new();
    let mut inside = false;
    for item in items {
        match item {
            AddressItem::GroupStart(name) => {
                groups.push((Some(text_of(name)), Vec::new()));
                inside = true;
            }
            AddressItem::GroupEnd => inside = false,
            AddressItem::Mailbox(mailbox) => {
                let goes_on = inside || groups.last().is_some_and(|(name, _)| name.is_none());
                if !goes_on {
                    groups.push((None, Vec::new()));
                }
                if let Some((_, addresses)) = groups.last_mut() {
                    addresses.push(address(mailbox));
                }
            }
        }
    }
    let shown = groups.into_iter();
    shown
        .map(|(name, addresses)| json!({ "name": name, "addresses": addresses }))
        .collect()
}

/// RFC 2369 §2: URLs in angle brackets; comments between them do not count.
fn urls(value: &str) -> Value {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((_, behind)) = rest.split_once('<') {
        let Some((url, behind)) = behind.split_once('>') else {
            break;
        };
        let url: String = url.split_whitespace().collect();
        if !url.is_empty() {
            found.push(url);
        }
        rest = behind;
    }
    match found.is_empty() {
        true => Value::Null,
        false => found.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = "Subject: =?utf-8?q?caf=C3=A9?=\r\n  twice\r\n\
        To: =?utf-8?b?5L2g?= <a@b.test>, c@d.test, Team: e@f.test, \"G, H\" <g@h.test>;, i@j.test\r\n\
        List-Post: NO <mailto:x@y.test> (comment), <https://y.test/\r\n p>\r\n\
        Date: Thu, 30 Oct 2014 14:12:00 +0800\r\n\
        References: <a@b>\r\n <c@d>\r\nX-A: 1\r\nX-A: e\u{301}\r\nX-Empty:\r\n\r\n"
        .as_bytes();

    fn of(name: &str) -> Value {
        let property = HeaderProperty::parse(name).expect("a property");
        let names = BTreeSet::from([property.field.to_ascii_lowercase()]);
        Fields::of(HEADER, &names).property(&property)
    }

    #[test]
    fn a_field_is_given_in_the_form_asked_for() {
        assert_eq!(of("header:Subject:asText"), "café  twice");
        assert_eq!(of("header:subject"), " =?utf-8?q?caf=C3=A9?=\r\n  twice");
        assert_eq!(of("header:X-A:asText"), "é");
        assert_eq!(of("header:X-A:asRaw:all"), json!([" 1", " e\u{301}"]));
        assert_eq!(of("header:X-B"), Value::Null);
        assert_eq!(of("header:X-B:all"), json!([]));
        assert_eq!(of("header:References:asMessageIds"), json!(["a@b", "c@d"]));
        assert_eq!(of("header:X-A:asMessageIds"), Value::Null);
        assert_eq!(of("header:Date:asDate"), "2014-10-30T14:12:00+08:00");
        assert_eq!(of("header:X-Empty:asDate"), Value::Null);
        assert_eq!(of("header:X-Empty:asAddresses"), json!([]));
        assert_eq!(
            of("header:List-Post:asURLs"),
            json!(["mailto:x@y.test", "https://y.test/p"])
        );
        let (you, other) = (
            json!({"name": "你", "email": "a@b.test"}),
            json!({"name": null, "email": "c@d.test"}),
        );
        let team = [
            json!({"name": null, "email": "e@f.test"}),
            json!({"name": "G, H", "email": "g@h.test"}),
        ];
        let last = json!({"name": null, "email": "i@j.test"});
        assert_eq!(
            of("header:To:asAddresses"),
            json!([you, other, team[0], team[1], last])
        );
        assert_eq!(
            of("header:To:asGroupedAddresses"),
            json!([
                {"name": null, "addresses": [you, other]},
                {"name": "Team", "addresses": team},
                {"name": null, "addresses": [last]},
            ])
        );
        assert_eq!(
            all(b"A: 1\r\nno field\r\nb:2\r\n\r\n"),
            json!([
                {"name": "A", "value": " 1"},
                {"name": "b", "value": "2"},
            ])
        );
    }
}
