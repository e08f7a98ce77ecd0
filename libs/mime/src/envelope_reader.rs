//! An ENVELOPE in wire form, read again for what messages are sorted and threaded by
//! (RFC 5256, RFC 5957), so that nothing but lists has to be read for that.

use crate::date::{DateTime, parse_date};
use crate::encoded_word;
use crate::structure_at::Values;
use crate::subject::base_subject;

/// What an ENVELOPE says.
#[derive(Debug, Clone, Copy)]
pub struct EnvelopeReader<'a> {
    date: &'a [u8],
    subject: &'a [u8],
    from: &'a [u8],
    to: &'a [u8],
    cc: &'a [u8],
    in_reply_to: &'a [u8],
    message_id: &'a [u8],
}

/// A field with addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressField {
    /// From
    From,
    /// To
    To,
    /// Cc
    Cc,
}

impl<'a> EnvelopeReader<'a> {
    /// Finds the fields; `None` for what is no ENVELOPE.
    #[must_use]
    pub fn read(wire: &'a [u8]) -> Option<Self> {
        let mut values = Values::of(wire)?;
        let mut next = || values.next();
        let (date, subject, from) = (next()?, next()?, next()?);
        let (_sender, _reply_to, to) = (next()?, next()?, next()?);
        let (cc, _bcc) = (next()?, next()?);
        Some(Self {
            date,
            subject,
            from,
            to,
            cc,
            in_reply_to: next()?,
            message_id: next()?,
        })
    }

    /// The Date field, if it is a date.
    #[must_use]
    pub fn date(&self) -> Option<DateTime> {
        parse_date(&text(self.date)?)
    }

    /// The subject, decoded; empty if there is none.
    #[must_use]
    pub fn subject(&self) -> String {
        encoded_word::decode(&text(self.subject).unwrap_or_default())
    }

    /// The subject's base, and whether something that tells of a reply or of forwarding was cut
    /// off (RFC 5256 §2.1).
    #[must_use]
    pub fn base_subject(&self) -> (String, bool) {
        base_subject(&self.subject())
    }

    /// In-Reply-To as it stands; empty if there is none.
    #[must_use]
    pub fn in_reply_to(&self) -> Vec<u8> {
        text(self.in_reply_to).unwrap_or_default()
    }

    /// Message-ID as it stands; empty if there is none.
    #[must_use]
    pub fn message_id(&self) -> Vec<u8> {
        text(self.message_id).unwrap_or_default()
    }

    fn addresses(&self, field: AddressField) -> &'a [u8] {
        match field {
            AddressField::From => self.from,
            AddressField::To => self.to,
            AddressField::Cc => self.cc,
        }
    }

    /// RFC 5256 §3: the mailbox of the first address; empty if there is none.
    #[must_use]
    pub fn first_mailbox(&self, field: AddressField) -> String {
        let first = first_address(self.addresses(field));
        first.map_or(String::new(), |[_, mailbox, _]| lossy(&mailbox))
    }

    /// RFC 5957 §3: the display name of the first address, decoded, or `mailbox@host`.
    #[must_use]
    pub fn first_display(&self, field: AddressField) -> String {
        let Some([name, mailbox, host]) = first_address(self.addresses(field)) else {
            return String::new();
        };
        let name = encoded_word::decode(&name);
        if !name.is_empty() {
            return name;
        }
        match host.is_empty() {
            true => lossy(&mailbox),
            false => format!("{}@{}", lossy(&mailbox), lossy(&host)),
        }
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// Name, mailbox and host of the first address of a list.
fn first_address(list: &[u8]) -> Option<[Vec<u8>; 3]> {
    let first = Values::of(list)?.next()?;
    let mut values = Values::of(first)?;
    let name = text(values.next()?).unwrap_or_default();
    let _route = values.next()?;
    let mailbox = text(values.next()?).unwrap_or_default();
    let host = text(values.next()?).unwrap_or_default();
    Some([name, mailbox, host])
}

/// A quoted string's text; none for NIL.
fn text(value: &[u8]) -> Option<Vec<u8>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'\\' => *bytes.next()?,
            plain => plain,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_written_is_read() {
        let digest = crate::digest(
            "Date: Wed, 17 Jul 1996 02:23:25 -0700\r\nSubject: =?utf-8?B?5L2g5aW9?= \"x\\y\"\r\n\
             From: \"A \\\"B\\\" C\" <a.b@c.test>, d@e.test\r\nTo: group: x@y.test;\r\nCc: just@here.test\r\n\
             In-Reply-To: <1@x>\r\nMessage-ID: <2@x>\r\n\r\n"
                .as_bytes(),
        );
        let read = EnvelopeReader::read(&digest.envelope).expect("an envelope");
        assert_eq!(read.date(), parse_date(b"Wed, 17 Jul 1996 02:23:25 -0700"));
        assert_eq!(read.subject(), "你好 \"x\\y\"");
        assert_eq!(read.first_mailbox(AddressField::From), "a.b");
        assert_eq!(read.first_display(AddressField::From), "A \"B\" C");
        // RFC 5256 §3: a group's name is a mailbox without a host.
        assert_eq!(read.first_mailbox(AddressField::To), "group");
        assert_eq!(read.first_display(AddressField::Cc), "just@here.test");
        assert_eq!(read.in_reply_to(), b"<1@x>");
        assert_eq!(read.message_id(), b"<2@x>");
        let empty = crate::digest(b"\r\n");
        let empty = EnvelopeReader::read(&empty.envelope).expect("an envelope");
        assert_eq!(empty.date(), None);
        assert_eq!(empty.subject(), "");
        assert_eq!(empty.first_display(AddressField::Cc), "");
    }

    proptest! {
        #[test]
        fn garbage_is_none_or_read(wire: Vec<u8>) {
            if let Some(read) = EnvelopeReader::read(&wire) {
                let _ = (read.subject(), read.first_display(AddressField::To), read.date());
            }
        }
    }
}
