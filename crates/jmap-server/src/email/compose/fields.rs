//! Header fields made of properties. RFC 8621 §4.1.2, §4.6
//!
//! Invariant: whatever a client says, a field is one field: no line end that is not a fold.

use super::super::properties::field;
use crate::limits::MADE_ADDRESSES_MAX;
use jmap_proto::{HeaderForm, HeaderProperty, SetError, date};
use mime::{DateTime, encoded_word, format_date};
use serde_json::Value;

/// The header of a message or a part.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    text: String,
    /// In small letters.
    names: Vec<String>,
}

/// Whose header it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Top,
    Part,
}

impl Fields {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// A field that both would write.
    pub(crate) fn shared_with<'a>(&'a self, other: &Self) -> Option<&'a str> {
        let mut names = self.names.iter().map(String::as_str);
        names.find(|name| other.has(name))
    }

    /// Adds a field of the server's own making.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.names.push(name.to_ascii_lowercase());
        self.text.push_str(name);
        self.text.push_str(": ");
        self.text.push_str(value);
        self.text.push_str("\r\n");
    }

    /// Adds a property of the client's.
    ///
    /// # Errors
    /// It is no header field, may not be given, or its value is none.
    pub(crate) fn add(&mut self, property: &str, value: &Value, at: At) -> Result<(), SetError> {
        let wrong = |text: &str| SetError::invalid_properties([property], text);
        let header = match at {
            At::Top => field(property),
            At::Part => HeaderProperty::parse(property),
        };
        let header = header.ok_or_else(|| wrong("it cannot be set"))?;
        let name = header.field.to_ascii_lowercase();
        // RFC 8621 §4.6: these are made of the parts.
        let made = (at == At::Top && name.starts_with("content-"))
            || ["content-transfer-encoding", "content-type", "mime-version"].contains(&&*name);
        if made {
            return Err(wrong("it is made of the parts"));
        }
        if self.has(&name) {
            return Err(wrong("the field is given twice"));
        }
        let good = |b: u8| b.is_ascii_graphic() && b != b':';
        if !header.field.bytes().all(good) || header.field.len() > 100 {
            return Err(wrong("a field has another name"));
        }
        let values = match (&value, header.all) {
            (Value::Array(values), true) => values.iter().collect(),
            (_, true) => return Err(wrong("it is a list")),
            (value, false) => vec![*value],
        };
        for value in values {
            let text =
                form(value, header.form).ok_or_else(|| wrong("its value has another form"))?;
            if header.form == HeaderForm::Raw {
                self.names.push(name.clone());
                self.text.push_str(&format!("{}:{text}\r\n", header.field));
            } else {
                self.push(&header.field, &text);
            }
        }
        Ok(())
    }

    /// The fields, without the blank line.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// A value in its form, folded; none if it is not of that form.
fn form(value: &Value, form: HeaderForm) -> Option<String> {
    match form {
        HeaderForm::Raw => value
            .as_str()
            .filter(|raw| is_one_field(raw))
            .map(str::to_owned),
        HeaderForm::Text => text(value.as_str()?),
        HeaderForm::Addresses => addresses(value),
        HeaderForm::GroupedAddresses => groups(value),
        HeaderForm::MessageIds => {
            let ids = value.as_array()?.iter().map(|id| {
                let id = id.as_str()?;
                let good = |c: char| !c.is_control() && !c.is_whitespace() && !"<>".contains(c);
                (!id.is_empty() && id.chars().all(good)).then(|| format!("<{id}>"))
            });
            let ids = ids.collect::<Option<Vec<_>>>()?;
            Some(ids.join("\r\n "))
        }
        HeaderForm::Date => {
            let (unix_seconds, zone_minutes) = date::parse(value.as_str()?)?;
            Some(format_date(DateTime {
                unix_seconds,
                zone_minutes,
            }))
        }
        HeaderForm::Urls => {
            let urls = value.as_array()?.iter().map(|url| {
                let url = url.as_str()?;
                let good = |b: u8| b.is_ascii_graphic() && !b"<>".contains(&b);
                (!url.is_empty() && url.bytes().all(good)).then(|| format!("<{url}>"))
            });
            let urls = urls.collect::<Option<Vec<_>>>()?;
            Some(urls.join(",\r\n "))
        }
    }
}

/// Every line end is a fold, and no line is empty.
fn is_one_field(raw: &str) -> bool {
    if raw.contains('\0') || raw.len() > 1 << 20 {
        return false;
    }
    let mut rest = raw;
    while let Some((line, behind)) = rest.split_once('\n') {
        let folded = line.ends_with('\r') && behind.starts_with([' ', '\t']);
        if !folded || line.trim_end_matches('\r').len() + 1 != line.len() {
            return false;
        }
        rest = behind;
    }
    !rest.contains('\r') && raw.lines().all(|line| line.len() <= 998)
}

/// Text of one line; long lines and other scripts as encoded-words.
fn text(text: &str) -> Option<String> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let words = text.split(' ').all(|word| word.len() <= 200);
    let plain = text.is_ascii() && words && !text.contains("=?") && text.trim() == text;
    Some(match plain {
        true => fold(text),
        false => encoded_word::encode(text).replace(' ', "\r\n "),
    })
}

/// Breaks a line at blanks, at about 76 octets.
fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut column = 0;
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            // A line of blanks alone is none.
            if column + word.len() > 74 && !word.is_empty() && column > 0 {
                out.push_str("\r\n");
                column = 0;
            }
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

fn addresses(value: &Value) -> Option<String> {
    let list = value
        .as_array()
        .filter(|list| list.len() <= MADE_ADDRESSES_MAX)?;
    let list = list.iter().map(address).collect::<Option<Vec<_>>>()?;
    Some(list.join(",\r\n "))
}

fn groups(value: &Value) -> Option<String> {
    let list = value
        .as_array()
        .filter(|list| list.len() <= MADE_ADDRESSES_MAX)?;
    let groups = list.iter().map(|group| {
        let inside = addresses(&group["addresses"])?;
        match &group["name"] {
            Value::Null => Some(inside),
            Value::String(name) => Some(format!("{}: {inside};", phrase(name)?)),
            _ => None,
        }
    });
    Some(groups.collect::<Option<Vec<_>>>()?.join(",\r\n "))
}

/// `"Name" <local@domain>`
fn address(value: &Value) -> Option<String> {
    let email = value["email"].as_str()?;
    let good = |c: char| !c.is_control() && !"<>,;".contains(c);
    let quoted = email.starts_with('"');
    let fits = !email.is_empty()
        && email.len() <= 900
        && email.chars().all(good)
        && (quoted || !email.contains(char::is_whitespace));
    if !fits {
        return None;
    }
    match &value["name"] {
        Value::Null => Some(format!("<{email}>")),
        Value::String(name) if name.is_empty() => Some(format!("<{email}>")),
        Value::String(name) => Some(format!("{} <{email}>", phrase(name)?)),
        _ => None,
    }
}

/// A display name: quoted, or as encoded-words.
pub(crate) fn phrase(name: &str) -> Option<String> {
    if name.chars().any(char::is_control) || name.len() > 2000 {
        return None;
    }
    let plain = name.is_ascii() && name.len() <= 70 && !name.contains("=?");
    Some(match plain {
        true => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
        false => encoded_word::encode(name).replace(' ', "\r\n "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn made(property: &str, value: &Value) -> Result<String, SetError> {
        let mut fields = Fields::default();
        fields.add(property, value, At::Top)?;
        Ok(fields.finish())
    }

    #[test]
    fn properties_become_fields() {
        for (property, value, field) in [
            ("subject", json!("Hello"), "Subject: Hello\r\n"),
            (
                "subject",
                json!("你好"),
                "Subject: =?utf-8?B?5L2g5aW9?=\r\n",
            ),
            (
                "to",
                json!([{"name": "A \"B\"", "email": "a@b.test"}, {"email": "c@d.test"}]),
                "To: \"A \\\"B\\\"\" <a@b.test>,\r\n <c@d.test>\r\n",
            ),
            ("inReplyTo", json!(["a@b"]), "In-Reply-To: <a@b>\r\n"),
            (
                "sentAt",
                json!("2014-10-30T14:12:00+08:00"),
                "Date: Thu, 30 Oct 2014 14:12:00 +0800\r\n",
            ),
            (
                "header:X-A:asURLs",
                json!(["https://a.test/"]),
                "X-A: <https://a.test/>\r\n",
            ),
            (
                "header:X-A",
                json!(" raw\r\n folded"),
                "X-A: raw\r\n folded\r\n",
            ),
            (
                "header:X-A:asText:all",
                json!(["1", "2"]),
                "X-A: 1\r\nX-A: 2\r\n",
            ),
            (
                "header:To:asGroupedAddresses",
                json!([{"name": "T", "addresses": [{"email": "a@b.test"}]}]),
                "To: \"T\": <a@b.test>;\r\n",
            ),
        ] {
            assert_eq!(made(property, &value).expect("made"), field, "{property}");
        }
    }

    /// THREATS 10: no value brings another field along.
    #[test]
    fn no_value_is_two_fields() {
        for (property, value) in [
            ("subject", json!("a\r\nBcc: x@y.test")),
            ("subject", json!(1)),
            ("to", json!([{"name": "a\r\nBcc: b", "email": "a@b.test"}])),
            ("to", json!([{"email": "a@b.test>\r\nBcc: <c"}])),
            ("to", json!([{"email": "a b@c.test"}])),
            ("to", json!("a@b.test")),
            ("messageId", json!(["a>\r\nX: <b"])),
            ("header:X-A", json!("a\r\nb: c")),
            ("header:X-A", json!("a\nb")),
            ("header:X-A", json!("a\rb")),
            ("header:X-A", json!("a\r\n\r\n b")),
            ("header:X-A:asURLs", json!(["a>\r\nb"])),
            ("header:Content-Type", json!("text/html")),
            ("header:MIME-Version", json!("2.0")),
            ("header:X A", json!("a")),
            ("headers", json!([])),
            ("id", json!("E1")),
            ("unknown", json!("x")),
        ] {
            assert!(made(property, &value).is_err(), "{property} {value}");
        }
        let mut fields = Fields::default();
        fields.add("subject", &json!("a"), At::Top).expect("once");
        assert!(
            fields
                .add("header:Subject:asRaw", &json!(" b"), At::Top)
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_one_field(text in "[a:\r\n \t\0<>\"\\\\=?é你]{0,40}") {
            for property in ["subject", "header:X-A", "header:X-A:asText"] {
                if let Ok(field) = made(property, &json!(text)) {
                    prop_assert_eq!(mime::HeaderReader::new(field.as_bytes()).count(), 1, "{:?}", field);
                    prop_assert!(!field.contains("\r\n\r\n"));
                }
            }
            for value in [json!([{"name": text, "email": "a@b.test"}]), json!([{"email": text}])] {
                if let Ok(field) = made("to", &value) {
                    prop_assert_eq!(mime::HeaderReader::new(field.as_bytes()).count(), 1, "{:?}", field);
                }
            }
        }
    }
}
