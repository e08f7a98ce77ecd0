//! The part that machines read: message/delivery-status (RFC 3464), with
//! RFC 6533's 7-bit form for addresses beyond ASCII.

use std::fmt::Write as _;

use envelope::{Address, EnhancedStatus, OriginalRecipient};
use mime::{DateTime, HeaderReader, PartKind, format_date, parse_date};

use crate::clean::{field, is_smtp_reply, one_ascii_line};
use crate::limits::{DIAGNOSTIC_CHARS_MAX, RECIPIENTS_READ_MAX, WORD_CHARS_MAX};
use crate::report::{Action, RecipientReport, Report};

/// Writes the body of the part.
pub(crate) fn write(report: &Report<'_>) -> String {
    let mut out = String::new();
    let word = |text: &str| one_ascii_line(text, WORD_CHARS_MAX);
    if let Some(id) = report.envelope_id {
        field("Original-Envelope-Id", &word(id), &mut out);
    }
    field(
        "Reporting-MTA",
        &format!("dns; {}", word(report.reporting_mta)),
        &mut out,
    );
    field("Arrival-Date", &format_date(report.arrived), &mut out);
    for recipient in report.recipients {
        out.push_str("\r\n");
        write_recipient(recipient, &mut out);
    }
    out
}

fn write_recipient(recipient: &RecipientReport, out: &mut String) {
    if let Some(orcpt) = &recipient.orcpt {
        field("Original-Recipient", &original_recipient(orcpt), out);
    }
    field("Final-Recipient", &typed_address(&recipient.address), out);
    field("Action", recipient.action.as_str(), out);
    field("Status", &recipient.status.to_string(), out);
    if let Some(host) = &recipient.remote_mta {
        field(
            "Remote-MTA",
            &format!("dns; {}", one_ascii_line(host, WORD_CHARS_MAX)),
            out,
        );
    }
    if let Some(reply) = &recipient.diagnostic {
        // RFC 3464 §2.3.6: "smtp" is for replies of servers only.
        let kind = if is_smtp_reply(reply) {
            "smtp"
        } else {
            "x-posthouse"
        };
        let reply = one_ascii_line(reply, DIAGNOSTIC_CHARS_MAX);
        field("Diagnostic-Code", &format!("{kind}; {reply}"), out);
    }
    if let Some(date) = recipient.last_attempt {
        field("Last-Attempt-Date", &format_date(date), out);
    }
    if let Some(date) = recipient.retry_until {
        field("Will-Retry-Until", &format_date(date), out);
    }
}

fn typed_address(address: &Address) -> String {
    // A domain alone can be written in ASCII; a local part cannot.
    match address.to_ascii() {
        Some(ascii) => format!("rfc822; {}", one_ascii_line(&ascii, WORD_CHARS_MAX)),
        None => format!("utf-8; {}", unitext(&address.to_string())),
    }
}

fn original_recipient(orcpt: &OriginalRecipient) -> String {
    let kind = one_ascii_line(&orcpt.address_type, WORD_CHARS_MAX);
    if orcpt.address_type == "utf-8" {
        // `\x{…}` may be in it already: the sender may have written it so.
        return format!("{kind}; {}", unitext(&read_unitext(&orcpt.address)));
    }
    format!("{kind}; {}", one_ascii_line(&orcpt.address, WORD_CHARS_MAX))
}

/// RFC 6533 §3: utf-8-addr-xtext, printable ASCII for any address.
fn unitext(address: &str) -> String {
    let mut out = String::new();
    for c in address
        .chars()
        .filter(|c| !c.is_control())
        .take(WORD_CHARS_MAX)
    {
        if matches!(c, '\\' | '+' | '=') || !c.is_ascii_graphic() {
            let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Undoes `\x{…}`; what is no escape stays.
fn read_unitext(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\x{") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // Six digits at most: looking further would be as many walks as escapes.
        let end = rest[3..].bytes().take(7).position(|byte| byte == b'}');
        let decoded = end.and_then(|end| {
            let (digits, after) = (&rest[3..3 + end], &rest[3 + end + 1..]);
            let code = u32::from_str_radix(digits, 16).ok()?;
            Some((char::from_u32(code).filter(|c| !c.is_control())?, after))
        });
        match decoded {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push_str("\\x{");
                rest = &rest[3..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// What a report that came in says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryStatus {
    /// Original-Envelope-Id.
    pub envelope_id: Option<String>,
    /// Reporting-MTA without its type.
    pub reporting_mta: Option<String>,
    /// Arrival-Date.
    pub arrived: Option<DateTime>,
    /// One for each recipient that says what became of it.
    pub recipients: Vec<RecipientStatus>,
}

/// What a report that came in says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientStatus {
    /// Original-Recipient without its type.
    pub original_recipient: Option<String>,
    /// Final-Recipient without its type.
    pub final_recipient: Option<String>,
    /// Action.
    pub action: Action,
    /// Status.
    pub status: Option<EnhancedStatus>,
    /// Remote-MTA without its type.
    pub remote_mta: Option<String>,
    /// Diagnostic-Code without its type.
    pub diagnostic: Option<String>,
    /// Last-Attempt-Date.
    pub last_attempt: Option<DateTime>,
    /// Will-Retry-Until.
    pub retry_until: Option<DateTime>,
}

/// Reads the body of a message/delivery-status part, its transfer encoding
/// undone. Nothing in it is to be trusted.
#[must_use]
pub fn parse_delivery_status(body: &[u8]) -> DeliveryStatus {
    let mut status = DeliveryStatus::default();
    let mut rest = body;
    let mut first = true;
    while !rest.is_empty() && status.recipients.len() < RECIPIENTS_READ_MAX {
        let mut reader = HeaderReader::new(rest);
        let group: Vec<_> = reader.by_ref().collect();
        rest = skip_blank_line(reader.rest());
        if group.is_empty() {
            continue;
        }
        let text = |name: &str| {
            let field = group.iter().find(|field| field.is(name))?;
            Some(mime::encoded_word::decode(&field.unfolded()))
        };
        let date = |name: &str| parse_date(text(name)?.as_bytes());
        if std::mem::take(&mut first) {
            status.envelope_id = text("Original-Envelope-Id");
            status.reporting_mta = text("Reporting-MTA").as_deref().map(untyped);
            status.arrived = date("Arrival-Date");
        }
        // Some systems write all in one group.
        let Some(action) = text("Action")
            .as_deref()
            .and_then(first_word)
            .and_then(Action::parse)
        else {
            continue;
        };
        let status_word = text("Status");
        status.recipients.push(RecipientStatus {
            original_recipient: text("Original-Recipient").as_deref().map(untyped),
            final_recipient: text("Final-Recipient").as_deref().map(untyped),
            action,
            status: status_word
                .as_deref()
                .and_then(first_word)
                .and_then(EnhancedStatus::parse),
            remote_mta: text("Remote-MTA").as_deref().map(untyped),
            diagnostic: text("Diagnostic-Code").as_deref().map(untyped),
            last_attempt: date("Last-Attempt-Date"),
            retry_until: date("Will-Retry-Until"),
        });
    }
    status
}

/// Reads the delivery status out of a whole message, if it has one.
#[must_use]
pub fn read_report(message: &[u8]) -> Option<DeliveryStatus> {
    let digest = mime::digest(message);
    let part = digest.parts.parts().iter().find(|part| {
        part.kind == PartKind::Leaf
            && matches!(
                part.media_type.as_str(),
                "message/delivery-status" | "message/global-delivery-status"
            )
    })?;
    let start = usize::try_from(part.body.start).ok()?;
    let end = usize::try_from(part.body.end).ok()?;
    let body = mime::transfer::decode(part.encoding, message.get(start..end)?);
    Some(parse_delivery_status(&body))
}

fn skip_blank_line(rest: &[u8]) -> &[u8] {
    rest.strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))
        .unwrap_or(rest)
}

fn first_word(text: &str) -> Option<&str> {
    text.split([' ', '\t', '(']).find(|word| !word.is_empty())
}

/// `rfc822; a@b` is `a@b`; for the type utf-8 its escapes are undone.
fn untyped(text: &str) -> String {
    match text.split_once(';') {
        Some((kind, value)) if kind.trim().eq_ignore_ascii_case("utf-8") => {
            read_unitext(value.trim())
        }
        Some((_, value)) => value.trim().to_owned(),
        None => text.trim().to_owned(),
    }
}
