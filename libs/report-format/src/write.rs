//! Puts a report together as a multipart/report (RFC 6522).

use lang::Lang;
use lang::dsn;
use mime::{HeaderReader, encoded_word, find_field, format_date, transfer};

use crate::clean::{field, one_ascii_line, one_line};
use crate::delivery_status;
use crate::limits::{
    LINE_BYTES_MAX, RETURNED_HEADER_BYTES_MAX, RETURNED_MESSAGE_BYTES_MAX, WORD_CHARS_MAX,
};
use crate::report::{Original, Report, WrittenReport};
use crate::words;

/// Writes the report. It is to be sent with a null reverse-path, so that no
/// report is ever sent about it (RFC 3461 §6.1).
#[must_use]
pub fn write_report(report: &Report<'_>) -> WrittenReport {
    let whole = match report.original {
        Original::Message(message) if may_go_back_whole(message) => Some(message),
        _ => None,
    };
    let to = report.to.to_ascii();
    let smtputf8 = to.is_none();
    let eight_bit = smtputf8 || whole.is_some_and(|message| !message.is_ascii());
    let encoding = if eight_bit { "8bit" } else { "7bit" };
    let to = to.unwrap_or_else(|| report.to.to_string());

    let mut out = String::new();
    write_header(report, &to, encoding, &mut out);
    let open = format!("--{}\r\n", one_ascii_line(report.boundary, 70));
    out.push_str("This is a report in MIME format.\r\n\r\n");
    out.push_str(&open);
    out.push_str(
        "Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\
         Content-Description: Notification\r\n\r\n",
    );
    let words = words::words(report, whole.is_some());
    out.push_str(&transfer::quoted_printable(words.as_bytes()));
    out.push_str("\r\n");
    out.push_str(&open);
    out.push_str(
        "Content-Type: message/delivery-status\r\nContent-Description: Delivery report\r\n\r\n",
    );
    out.push_str(&delivery_status::write(report));
    out.push_str("\r\n");
    out.push_str(&open);
    let mut bytes = out.into_bytes();
    write_original(report, whole, encoding, &mut bytes);
    bytes.extend_from_slice(
        format!("\r\n--{}--\r\n", one_ascii_line(report.boundary, 70)).as_bytes(),
    );
    WrittenReport {
        bytes,
        eight_bit,
        smtputf8,
    }
}

fn write_header(report: &Report<'_>, to: &str, encoding: &str, out: &mut String) {
    let host = one_ascii_line(report.reporting_mta, WORD_CHARS_MAX);
    let both = |text: lang::Text| {
        format!(
            "{} {}",
            text.lang(Lang::En),
            encoded_word::encode(text.lang(Lang::ZhHans))
        )
    };
    field("Date", &format_date(report.date), out);
    field(
        "From",
        &format!("{} <MAILER-DAEMON@{host}>", both(dsn::SENDER_NAME)),
        out,
    );
    field("To", &format!("<{}>", one_line(to, WORD_CHARS_MAX)), out);
    field(
        "Subject",
        &both(dsn::subject(words::news(report.recipients))),
        out,
    );
    field(
        "Message-ID",
        &format!("<{}>", one_ascii_line(report.message_id, WORD_CHARS_MAX)),
        out,
    );
    if let Some(id) = original_id(report) {
        field("In-Reply-To", &id, out);
        field("References", &id, out);
    }
    // RFC 3834 §5: no responder answers it.
    out.push_str("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    out.push_str("Content-Type: multipart/report; report-type=delivery-status;\r\n");
    out.push_str(&format!(
        " boundary=\"{}\"\r\n",
        one_ascii_line(report.boundary, 70)
    ));
    out.push_str(&format!("Content-Transfer-Encoding: {encoding}\r\n\r\n"));
}

/// The original's Message-ID, if it is one word in angle brackets.
fn original_id(report: &Report<'_>) -> Option<String> {
    let (Original::Header(block) | Original::Message(block)) = report.original;
    let value = find_field(block, "Message-ID")?.unfolded();
    let id = core::str::from_utf8(&value).ok()?;
    let word = id.len() <= WORD_CHARS_MAX && id.bytes().all(|b| b.is_ascii_graphic());
    (word && id.starts_with('<') && id.ends_with('>')).then(|| id.to_owned())
}

fn write_original(report: &Report<'_>, whole: Option<&[u8]>, encoding: &str, out: &mut Vec<u8>) {
    if let Some(message) = whole {
        out.extend_from_slice(
            b"Content-Type: message/rfc822\r\nContent-Description: Your message\r\n",
        );
        out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n\r\n").as_bytes());
        out.extend_from_slice(message);
        return;
    }
    let (Original::Header(block) | Original::Message(block)) = report.original;
    let header = bounded_header(block);
    out.extend_from_slice(
        b"Content-Type: text/rfc822-headers\r\nContent-Description: Header of your message\r\n",
    );
    if is_plain(&header) {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&header);
    } else {
        // RFC 6522 §4: headers that are not legal 7-bit text may be encoded so.
        out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        out.extend_from_slice(transfer::quoted_printable(&header).as_bytes());
    }
}

/// The header's fields as far as they fit, without its blank line.
fn bounded_header(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in HeaderReader::new(block) {
        if out.len() + field.raw.len() > RETURNED_HEADER_BYTES_MAX {
            break;
        }
        out.extend_from_slice(&mime::normalise_line_ends(field.raw));
        if !field.raw.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

fn may_go_back_whole(message: &[u8]) -> bool {
    message.len() <= RETURNED_MESSAGE_BYTES_MAX && has_legal_lines(message)
}

fn is_plain(text: &[u8]) -> bool {
    text.is_ascii() && has_legal_lines(text)
}

/// Are all line ends CRLF and all lines short, without NUL?
fn has_legal_lines(text: &[u8]) -> bool {
    text.split_inclusive(|&b| b == b'\n').all(|line| {
        let content = line.strip_suffix(b"\r\n").unwrap_or(line);
        content.len() <= LINE_BYTES_MAX && !content.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))
    })
}
