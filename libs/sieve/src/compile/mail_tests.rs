//! Tests on the message: header, address, envelope, exists, size, body, date.

use super::Compiler;
use super::args::{self, Args};
use crate::extension::Extension as E;
use crate::script::{
    AddressPart, BodyTest, BodyTransform, DateTest, HeaderTest, MimeField, MimeOption,
};
use crate::script::{TestKind, ZoneChoice};
use crate::syntax::{ArgValue, Node};

/// The extensions of which one is required for a test; none for what is no test of these.
pub(super) fn needs(name: &str) -> Option<&'static [E]> {
    Some(match name {
        "header" | "address" | "exists" | "size" => &[],
        "envelope" => &[E::Envelope],
        "body" => &[E::Body],
        "date" | "currentdate" => &[E::Date],
        _ => return None,
    })
}

/// Header fields that hold addresses and nothing else (RFC 5228 §5.1).
const ADDRESS_FIELDS: &[&str] = &[
    "from",
    "to",
    "cc",
    "bcc",
    "sender",
    "reply-to",
    "resent-from",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "resent-sender",
    "resent-reply-to",
    "return-path",
    "delivered-to",
    "envelope-to",
    "x-original-to",
    "x-envelope-to",
    "x-envelope-from",
    "envelope-from",
    "errors-to",
    "return-receipt-to",
    "disposition-notification-to",
    "mail-reply-to",
    "mail-followup-to",
    "for-approval",
    "for-comment",
    "for-handling",
    "original-recipient",
    "x-delivered-to",
];

impl Compiler<'_> {
    pub(super) fn mail_test(&mut self, node: &Node) -> Option<TestKind> {
        let mut args = self.args(node, "test");
        let args = &mut args;
        match node.name.as_str() {
            "header" => self
                .header_test(args, true)
                .map(|test| TestKind::Header(Box::new(test))),
            "address" => {
                let part = self.address_part(args)?;
                let test = self.header_test(args, false)?;
                for name in test.names.iter().filter_map(|name| name.constant()) {
                    if !ADDRESS_FIELDS.contains(&name.to_ascii_lowercase().as_str()) {
                        let what = format!(
                            "\"{}\" is no header field with addresses",
                            name.escape_debug()
                        );
                        self.complain(node.at, what);
                        return None;
                    }
                }
                Some(TestKind::Address(Box::new(test), part))
            }
            "envelope" => {
                let part = self.address_part(args)?;
                let matcher = self.matcher(args)?;
                let [parts, keys] = args.rest(self)?;
                let parts_at = parts.at;
                let parts = self.texts(&parts)?;
                for name in parts.iter().filter_map(|name| name.constant()) {
                    // RFC 5228 §5.4: an unknown part is an error.
                    if !matches!(name.to_ascii_lowercase().as_str(), "from" | "to" | "auth") {
                        let what = format!("\"{}\" is no part of an envelope", name.escape_debug());
                        self.complain(parts_at, what);
                        return None;
                    }
                }
                let of = self.keys(matcher, &keys)?;
                Some(TestKind::Envelope { parts, part, of })
            }
            "exists" => {
                let mime = self.mime_option(args, false)?;
                let [names] = args.rest(self)?;
                let names = self.texts(&names)?;
                Some(TestKind::Exists { names, mime })
            }
            "size" => self.size_test(args),
            "body" => self.body_test(args),
            _ => self.date_test(node, args),
        }
    }

    fn header_test(&mut self, args: &mut Args<'_>, fields: bool) -> Option<HeaderTest> {
        let matcher = self.matcher(args)?;
        let (index, last) = match self.has(E::Index) {
            true => self.index_tags(args)?,
            false => (None, false),
        };
        let mime = self.mime_option(args, fields)?;
        let [names, keys] = args.rest(self)?;
        let names = self.texts(&names)?;
        let of = self.keys(matcher, &keys)?;
        Some(HeaderTest {
            names,
            index,
            last,
            mime,
            of,
        })
    }

    fn address_part(&mut self, args: &mut Args<'_>) -> Option<AddressPart> {
        let subaddress = self.has(E::Subaddress);
        let all = [
            ("all", AddressPart::All, true),
            ("localpart", AddressPart::Local, true),
            ("domain", AddressPart::Domain, true),
            ("user", AddressPart::User, subaddress),
            ("detail", AddressPart::Detail, subaddress),
        ];
        let mut found = None;
        for (name, part, known) in all {
            if known && let Some(at) = args.flag(self, name)? {
                if found.is_some() {
                    self.complain(
                        at,
                        format!("\":{name}\" excludes another part of the address"),
                    );
                    return None;
                }
                found = Some(part);
            }
        }
        Some(found.unwrap_or_default())
    }

    /// `:mime`, `:anychild`, and for `header` which part of the field (RFC 5703 §4).
    fn mime_option(&mut self, args: &mut Args<'_>, fields: bool) -> Option<Option<MimeOption>> {
        if !self.has(E::Mime) {
            return Some(None);
        }
        let mime = args.flag(self, "mime")?;
        let any_child = args.flag(self, "anychild")?;
        let mut what: Option<MimeField> = None;
        if fields {
            for (name, field) in [
                ("type", MimeField::Type),
                ("subtype", MimeField::Subtype),
                ("contenttype", MimeField::ContentType),
            ] {
                if let Some(at) = args.flag(self, name)?
                    && what.replace(field).is_some()
                {
                    self.complain(
                        at,
                        format!("\":{name}\" excludes another part of the field"),
                    );
                    return None;
                }
            }
            if let Some((at, arg)) = args.value(self, "param")? {
                let names = self.texts(&arg)?;
                if what.replace(MimeField::Parameters(names)).is_some() {
                    self.complain(at, "\":param\" excludes another part of the field");
                    return None;
                }
            }
        }
        if mime.is_none() {
            if any_child.is_some() || what.is_some() {
                self.complain(args.at(), "these tags stand with \":mime\"");
                return None;
            }
            return Some(None);
        }
        Some(Some(MimeOption {
            any_child: any_child.is_some(),
            what: what.unwrap_or(MimeField::Whole),
        }))
    }

    fn size_test(&mut self, args: &mut Args<'_>) -> Option<TestKind> {
        let over = args.flag(self, "over")?;
        let under = args.flag(self, "under")?;
        if over.is_some() == under.is_some() {
            self.complain(args.at(), "the size test has \":over\" or \":under\"");
            return None;
        }
        let [limit] = args.rest(self)?;
        let limit = args::number(self, &limit)?;
        let over = over.is_some();
        Some(TestKind::Size { over, limit })
    }

    fn body_test(&mut self, args: &mut Args<'_>) -> Option<TestKind> {
        let matcher = self.matcher(args)?;
        let raw = args.flag(self, "raw")?;
        let text = args.flag(self, "text")?;
        let content = args.value(self, "content")?;
        let chosen = usize::from(raw.is_some())
            + usize::from(text.is_some())
            + usize::from(content.is_some());
        if chosen > 1 {
            self.complain(
                args.at(),
                "\":raw\", \":content\" and \":text\" exclude each other",
            );
            return None;
        }
        let transform = match content {
            Some((_, arg)) => BodyTransform::Content(self.texts(&arg)?),
            None if raw.is_some() => BodyTransform::Raw,
            None => BodyTransform::Text,
        };
        let [keys] = args.rest(self)?;
        let of = self.keys(matcher, &keys)?;
        Some(TestKind::Body(Box::new(BodyTest { transform, of })))
    }

    fn date_test(&mut self, node: &Node, args: &mut Args<'_>) -> Option<TestKind> {
        let of_field = node.name == "date";
        let matcher = self.matcher(args)?;
        let (index, last) = match of_field && self.has(E::Index) {
            true => self.index_tags(args)?,
            false => (None, false),
        };
        let zone = args.value(self, "zone")?;
        let original = match of_field {
            true => args.flag(self, "originalzone")?,
            false => None,
        };
        let zone = match (zone, original) {
            (Some((at, _)), Some(_)) => {
                self.complain(at, "\":zone\" and \":originalzone\" exclude each other");
                return None;
            }
            (Some((at, arg)), None) => {
                let text = match &arg.value {
                    ArgValue::Text(text) => text.as_str(),
                    _ => "",
                };
                let Some(minutes) = zone_minutes(text) else {
                    self.complain(at, "a zone is written as \"+hhmm\" or \"-hhmm\"");
                    return None;
                };
                ZoneChoice::Minutes(minutes)
            }
            (None, Some(_)) => ZoneChoice::Original,
            (None, None) => ZoneChoice::Local,
        };
        let mut rest = args.between(self, if of_field { (3, 3) } else { (2, 2) })?;
        let keys = rest.pop()?;
        let part = self.text(&rest.pop()?)?;
        let field = match rest.pop() {
            Some(arg) => Some(self.text(&arg)?),
            None => None,
        };
        let of = self.keys(matcher, &keys)?;
        Some(TestKind::Date(Box::new(DateTest {
            field,
            index,
            last,
            zone,
            part,
            of,
        })))
    }
}

/// `+hhmm` as minutes east of UTC.
fn zone_minutes(text: &str) -> Option<i16> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i16 = digits.parse().ok()?;
    let (hours, minutes) = (number / 100, number % 100);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}
