//! The ENVELOPE of a message in IMAP's wire form (RFC 9051 §7.5.2).
//!
//! Not here: SMTP envelopes (the crate `envelope`).

use crate::address::{AddressItem, parse_addresses};
use crate::header::HeaderReader;
use crate::imap_text::{nstring, string};

/// The fields that an ENVELOPE is made from.
#[derive(Default)]
struct Fields {
    date: Option<Vec<u8>>,
    subject: Option<Vec<u8>>,
    in_reply_to: Option<Vec<u8>>,
    message_id: Option<Vec<u8>>,
    from: Vec<AddressItem>,
    sender: Vec<AddressItem>,
    reply_to: Vec<AddressItem>,
    to: Vec<AddressItem>,
    cc: Vec<AddressItem>,
    bcc: Vec<AddressItem>,
}

/// Writes the ENVELOPE of the message that begins with `block`.
pub(crate) fn envelope(block: &[u8]) -> Vec<u8> {
    let fields = Fields::read(block);
    let mut out = Vec::with_capacity(256);
    out.push(b'(');
    nstring(fields.date.as_deref(), &mut out);
    out.push(b' ');
    nstring(fields.subject.as_deref(), &mut out);
    // RFC 9051 §7.5.2: a missing or empty Sender or Reply-To is the same as From.
    let or_from = |items| {
        if <[AddressItem]>::is_empty(items) {
            &fields.from
        } else {
            items
        }
    };
    for list in [
        &fields.from,
        or_from(&fields.sender),
        or_from(&fields.reply_to),
        &fields.to,
        &fields.cc,
        &fields.bcc,
    ] {
        out.push(b' ');
        address_list(list, &mut out);
    }
    out.push(b' ');
    nstring(fields.in_reply_to.as_deref(), &mut out);
    out.push(b' ');
    nstring(fields.message_id.as_deref(), &mut out);
    out.push(b')');
    out
}

impl Fields {
    fn read(block: &[u8]) -> Self {
        let mut fields = Self::default();
        for field in HeaderReader::new(block) {
            // The first one counts; recipients of repeated fields are all named.
            let text = |slot: &mut Option<Vec<u8>>| {
                if slot.is_none() {
                    *slot = Some(field.unfolded());
                }
            };
            let first = |slot: &mut Vec<AddressItem>| {
                if slot.is_empty() {
                    *slot = parse_addresses(field.value);
                }
            };
            match field.name.to_ascii_lowercase().as_slice() {
                b"date" => text(&mut fields.date),
                b"subject" => text(&mut fields.subject),
                b"in-reply-to" => text(&mut fields.in_reply_to),
                b"message-id" => text(&mut fields.message_id),
                b"from" => first(&mut fields.from),
                b"sender" => first(&mut fields.sender),
                b"reply-to" => first(&mut fields.reply_to),
                b"to" => fields.to.extend(parse_addresses(field.value)),
                b"cc" => fields.cc.extend(parse_addresses(field.value)),
                b"bcc" => fields.bcc.extend(parse_addresses(field.value)),
                _ => {}
            }
        }
        fields
    }
}

fn address_list(items: &[AddressItem], out: &mut Vec<u8>) {
    if items.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    let some = |text: &[u8]| (!text.is_empty()).then(|| text.to_vec());
    out.push(b'(');
    for item in items {
        out.push(b'(');
        match item {
            AddressItem::Mailbox(mailbox) => {
                nstring(some(&mailbox.name).as_deref(), out);
                out.push(b' ');
                nstring(some(&mailbox.route).as_deref(), out);
                out.push(b' ');
                // NIL in either place would make it a group (RFC 9051 §7.5.2).
                string(&mailbox.local, out);
                out.push(b' ');
                string(&mailbox.domain, out);
            }
            AddressItem::GroupStart(name) => {
                out.extend_from_slice(b"NIL NIL ");
                string(name, out);
                out.extend_from_slice(b" NIL");
            }
            AddressItem::GroupEnd => out.extend_from_slice(b"NIL NIL NIL NIL"),
        }
        out.push(b')');
    }
    out.push(b')');
}
