//! The header as it streams in: fields dropped, counted, added.
//!
//! The machine takes the message in any pieces and gives its header back line by
//! line; behind the blank line everything passes untouched. It holds one line at
//! most, and of a longer one only its beginning. Lines end with CRLF.
//!
//! RFC 5321 §4.4 (Return-Path, Received), RFC 9228 (Delivered-To), RFC 6409 §8
//! (Date, Message-ID), RFC 5322 §3.6.3 (Bcc).

use crate::authors::Authors;
use crate::limits::{BCC_BYTES_MAX, DELIVERED_TO_MAX, HEADER_BYTES_MAX, HEADER_LINE_BYTES_MAX};
use memchr::memchr;

/// Fields that a submission gets when it has none of its own, each with CRLF.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    pub(crate) date: String,
    pub(crate) message_id: String,
    /// None where it is not known who writes.
    pub(crate) from: Option<String>,
}

#[derive(Debug)]
pub(crate) struct HeaderFilter {
    /// Set on submission.
    missing: Option<Missing>,
    /// Names of fields that rules take out, in lower case.
    unwanted: Vec<String>,
    line: Vec<u8>,
    /// The rest of a line that is too long to be held.
    in_long_line: bool,
    in_header: bool,
    keeps_field: bool,
    in_delivered_to: bool,
    has_field: bool,
    bytes: u64,
    has_date: bool,
    has_message_id: bool,
    received: usize,
    tls_not_needed: bool,
    delivered_to: Vec<String>,
    authors: Authors,
    in_bcc: bool,
    bcc: Vec<u8>,
}

impl HeaderFilter {
    /// `missing` says that this is a submission, and what is added to it.
    pub(crate) fn new(missing: Option<Missing>) -> Self {
        Self {
            missing,
            unwanted: Vec::new(),
            line: Vec::new(),
            in_long_line: false,
            in_header: true,
            keeps_field: true,
            in_delivered_to: false,
            has_field: false,
            bytes: 0,
            has_date: false,
            has_message_id: false,
            received: 0,
            tls_not_needed: false,
            delivered_to: Vec::new(),
            authors: Authors::default(),
            in_bcc: false,
            bcc: Vec::new(),
        }
    }

    /// Takes these fields out too, named in lower case.
    pub(crate) fn without(mut self, names: &[String]) -> Self {
        self.unwanted = names.to_vec();
        self
    }

    /// Takes a piece; what is kept of the header goes to `out`, what belongs to
    /// the body is returned.
    pub(crate) fn push<'a>(&mut self, mut piece: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        while self.in_header && !piece.is_empty() {
            let end = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
            let (part, rest) = piece.split_at(end);
            piece = rest;
            self.bytes += part.len() as u64;
            let ends = part.ends_with(b"\n");
            if self.in_long_line {
                if self.keeps_field {
                    out.extend_from_slice(part);
                }
                self.authors.cut();
                self.in_long_line = !ends;
                continue;
            }
            self.line.extend_from_slice(part);
            if ends || self.line.len() >= HEADER_LINE_BYTES_MAX {
                self.in_long_line = !ends;
                self.take_line(out);
            }
        }
        piece
    }

    /// The message is over: gives what was held, and what a header without an end lacks.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.in_header {
            return;
        }
        if !self.line.is_empty() {
            self.take_line(out);
        }
        if self.in_header {
            self.add_missing(out);
            self.in_header = false;
        }
    }

    /// True once the header has more bytes than a header may have.
    pub(crate) fn is_too_large(&self) -> bool {
        self.bytes > HEADER_BYTES_MAX
    }

    /// The sender would rather have it go in the clear than not at all.
    pub(crate) fn is_tls_not_needed(&self) -> bool {
        self.tls_not_needed
    }

    /// Who says to have written it; nobody but for a submission.
    pub(crate) fn authors(&self) -> &Authors {
        &self.authors
    }

    /// The Bcc fields that a submission had, as far as they are kept.
    pub(crate) fn bcc(&self) -> &[u8] {
        &self.bcc
    }

    /// It came with a Message-ID.
    pub(crate) fn has_message_id(&self) -> bool {
        self.has_message_id
    }

    /// Received fields so far.
    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// True if the message says that it was delivered to this address, given as
    /// its folded form.
    pub(crate) fn was_delivered_to(&self, key: &str) -> bool {
        self.delivered_to.iter().any(|seen| seen == key)
    }

    fn take_line(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        if line == b"\r\n" || line == b"\n" {
            self.add_missing(out);
            out.extend_from_slice(&line);
            self.in_header = false;
            return;
        }
        let continues = matches!(line.first(), Some(b' ' | b'\t')) && self.has_field;
        if continues {
            self.authors.go_on(&line);
            if self.in_delivered_to
                && let Some(last) = self.delivered_to.last_mut()
                && last.is_empty()
            {
                *last = address_key(&line);
            }
        } else {
            self.begin_field(&line);
        }
        if self.keeps_field {
            out.extend_from_slice(&line);
        }
        if self.in_bcc && line.ends_with(b"\n") && self.bcc.len() + line.len() <= BCC_BYTES_MAX {
            self.bcc.extend_from_slice(&line);
        }
        // The buffer is used again for the next line.
        self.line = line;
        self.line.clear();
    }

    fn begin_field(&mut self, line: &[u8]) {
        self.has_field = true;
        self.in_delivered_to = false;
        self.in_bcc = false;
        self.keeps_field = true;
        let Some(colon) = memchr(b':', line) else {
            self.authors.begin(b"", b"");
            return;
        };
        let name = line[..colon].trim_ascii_end();
        if self.missing.is_some() {
            self.authors.begin(name, &line[colon + 1..]);
        }
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        if is(b"Received") {
            self.received += 1;
        } else if is(b"Return-Path") || mime::is_own_field(name) {
            self.keeps_field = false;
        } else if is(b"Delivered-To") && self.delivered_to.len() < DELIVERED_TO_MAX {
            self.in_delivered_to = true;
            self.delivered_to.push(address_key(&line[colon + 1..]));
        } else if is(b"Date") {
            self.has_date = true;
        } else if is(b"Message-ID") {
            self.has_message_id = true;
        } else if is(b"TLS-Required") {
            // RFC 8689 §5: "No" is all that it can say.
            let value = line[colon + 1..].trim_ascii();
            self.tls_not_needed |= value.eq_ignore_ascii_case(b"No");
        } else if is(b"Bcc") && self.missing.is_some() {
            self.keeps_field = false;
            self.in_bcc = true;
        }
        if self.unwanted.iter().any(|unwanted| is(unwanted.as_bytes())) {
            self.keeps_field = false;
        }
    }

    fn add_missing(&mut self, out: &mut Vec<u8>) {
        let Some(missing) = self.missing.take() else {
            return;
        };
        if let Some(from) = missing.from.filter(|_| !self.authors.has_from()) {
            out.extend_from_slice(from.as_bytes());
        }
        if !self.has_date {
            out.extend_from_slice(missing.date.as_bytes());
        }
        if !self.has_message_id {
            out.extend_from_slice(missing.message_id.as_bytes());
        }
    }
}

/// An address as Delivered-To has it, folded; empty when it is none.
fn address_key(value: &[u8]) -> String {
    let text = core::str::from_utf8(value).unwrap_or_default().trim();
    envelope::Address::parse(text).map_or_else(|_| String::new(), |address| address.to_key())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn missing() -> Option<Missing> {
        Some(Missing {
            date: "Date: now\r\n".into(),
            message_id: "Message-ID: <x@y>\r\n".into(),
            from: Some("From: <me@y>\r\n".into()),
        })
    }

    fn run(message: &[u8], piece: usize, submission: bool) -> (Vec<u8>, HeaderFilter) {
        let mut filter = HeaderFilter::new(missing().filter(|_| submission));
        let mut out = Vec::new();
        for part in message.chunks(piece.max(1)) {
            let body = filter.push(part, &mut out);
            out.extend_from_slice(body);
        }
        filter.finish(&mut out);
        (out, filter)
    }

    fn text(message: &str, submission: bool) -> String {
        let (out, _) = run(message.as_bytes(), 7, submission);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn return_path_goes_with_its_folds_and_nothing_else_does() {
        let message = "Return-Path: <a@b>\r\nX: y\r\nreturn-path :\r\n <c@d>\r\n\t(x)\r\nBcc: z\r\n\r\nReturn-Path: body\r\n";
        assert_eq!(
            text(message, false),
            "X: y\r\nBcc: z\r\n\r\nReturn-Path: body\r\n"
        );
    }

    #[test]
    fn a_submission_loses_bcc_and_gets_what_it_lacks() {
        assert_eq!(
            text("From: a\r\nBcc: b,\r\n c\r\n\r\nbody\r\n", true),
            "From: a\r\nDate: now\r\nMessage-ID: <x@y>\r\n\r\nbody\r\n"
        );
        let whole = "Date: then\r\nmessage-id: <1@2>\r\nfrom:\r\n a@b\r\n\r\n";
        assert_eq!(text(whole, true), whole);
        assert_eq!(
            text("From: a\r\n", true),
            "From: a\r\nDate: now\r\nMessage-ID: <x@y>\r\n"
        );
        assert_eq!(
            text("\r\nbody\r\n", true),
            "From: <me@y>\r\nDate: now\r\nMessage-ID: <x@y>\r\n\r\nbody\r\n"
        );
    }

    #[test]
    fn hops_and_former_deliveries_are_seen() {
        let message = b"Received: 1\r\nRECEIVED: 2\r\n x: Received: 3\r\nDelivered-To: Bob@Demo.test\r\ndelivered-to:\r\n carol@demo.test\r\n\r\nReceived: 4\r\n";
        let (_, filter) = run(message, 5, false);
        assert_eq!(filter.received(), 2);
        assert!(filter.was_delivered_to("bob@demo.test"));
        assert!(filter.was_delivered_to("carol@demo.test"));
        assert!(!filter.was_delivered_to("dave@demo.test"));
    }

    #[test]
    fn a_line_without_end_is_not_held() {
        let mut message = b"X: ".to_vec();
        message.extend(std::iter::repeat_n(b'a', 3 * HEADER_LINE_BYTES_MAX));
        message.extend(b"\r\nReturn-Path: ");
        message.extend(std::iter::repeat_n(b'b', 3 * HEADER_LINE_BYTES_MAX));
        message.extend(b"\r\nY: z\r\n\r\n");
        let mut filter = HeaderFilter::new(None);
        let mut out = Vec::new();
        for part in message.chunks(999) {
            let _ = filter.push(part, &mut out);
            assert!(filter.line.len() < HEADER_LINE_BYTES_MAX + 999);
        }
        assert!(out.starts_with(b"X: aaa") && out.ends_with(b"\r\nY: z\r\n\r\n"));
        assert!(!out.contains(&b'b'));
    }

    #[test]
    fn a_header_without_end_is_told() {
        let line = b"X: y\r\n".repeat(1 << 16);
        let mut filter = HeaderFilter::new(None);
        let mut out = Vec::new();
        for _ in 0..=(HEADER_BYTES_MAX as usize / line.len()) {
            assert!(filter.push(&line, &mut out).is_empty());
            out.clear();
        }
        assert!(filter.is_too_large());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            lines in proptest::collection::vec("(Return-Path|Bcc|Date|Received|X|)(:| )[a-z ]{0,9}\r\n|[ \t][a-z]{0,5}\r\n|\r\n|[a-z]{0,4}", 0..12),
            piece in 1usize..20, submission: bool) {
            let message = lines.concat().into_bytes();
            let whole = run(&message, message.len(), submission).0;
            prop_assert_eq!(run(&message, piece, submission).0, whole);
        }

        #[test]
        fn without_the_named_fields_nothing_changes(message in "([A-DX]{1,3}: [a-z]{0,9}\r\n){0,5}(\r\n[a-z\r\n]{0,30})?", piece in 1usize..20) {
            prop_assert_eq!(run(message.as_bytes(), piece, false).0, message.as_bytes());
        }
    }
}
