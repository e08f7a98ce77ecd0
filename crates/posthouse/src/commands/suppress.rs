//! `posthouse suppress`.

use std::path::Path;
use std::process::ExitCode;

use mime::{mailboxes, parse_addresses};
use report_format::{Feedback, read_feedback};
use serde_json::json;

use super::Context;
use crate::acts::{Named, SuppressAdd, SuppressComplaint, SuppressList, request};
use crate::cli::Suppress;
use crate::limits::COMPLAINT_BYTES_MAX;
use crate::output;

/// `EX_DATAERR` of sysexits.h: who has sent this as a report is told that it is none.
const NO_REPORT: u8 = 65;

pub(super) fn run(context: &Context<'_>, command: Suppress) -> anyhow::Result<ExitCode> {
    context.act(match command {
        Suppress::Add {
            address,
            until,
            reason,
        } => request(
            "suppress.add",
            &SuppressAdd {
                address,
                until,
                reason,
            },
        ),
        Suppress::List { after } => request("suppress.list", &SuppressList { after }),
        Suppress::Show { address } => request("suppress.show", &Named { name: address }),
        Suppress::Lift { address } => request("suppress.lift", &Named { name: address }),
        Suppress::Report { file } => return report(context, &file),
    }?)
}

/// The message is a stranger's: it is read here, and the server hears what it says.
fn report(context: &Context<'_>, file: &Path) -> anyhow::Result<ExitCode> {
    let name = file.display();
    let message = super::read_file(file, COMPLAINT_BYTES_MAX)?;
    let Some(feedback) = read_feedback(&message) else {
        output::status(&format!("{name} is no message with a feedback report"));
        return Ok(ExitCode::from(NO_REPORT));
    };
    let addresses = if feedback.feedback_type.is_complaint() {
        complainers(&feedback)
    } else {
        Vec::new()
    };
    let by = feedback.user_agent.as_deref().unwrap_or("nobody it names");
    let reason = format!("a complaint, reported by {by}");
    if addresses.is_empty() {
        output::result(&json!([]), context.json);
        return Ok(ExitCode::SUCCESS);
    }
    context.act(request(
        "suppress.complaint",
        &SuppressComplaint { addresses, reason },
    )?)
}

/// Who did not want the message. RFC 5965 §3.2: the report may say to whom it went; where it does
/// not, the message may, if it names one and nobody else.
fn complainers(feedback: &Feedback) -> Vec<String> {
    if !feedback.recipients.is_empty() {
        return feedback.recipients.clone();
    }
    let fields = mime::HeaderReader::new(&feedback.original_header);
    let mut named = Vec::new();
    for field in fields.filter(|field| field.is("To") || field.is("Cc")) {
        let items = parse_addresses(&field.unfolded());
        named.extend(mailboxes(&items).map(|mailbox| mailbox.address_text()));
    }
    if named.len() == 1 { named } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(fields: &str, original: &str) -> Vec<String> {
        let message = format!(
            "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
             --b\r\n\r\nSpam.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n\
             Feedback-Type: abuse\r\nVersion: 1\r\n{fields}\r\n--b\r\n\
             Content-Type: text/rfc822-headers\r\n\r\n{original}\r\n--b--\r\n"
        );
        complainers(&read_feedback(message.as_bytes()).expect("a report"))
    }

    #[test]
    fn who_complains_is_named_by_the_report_or_alone_in_the_message() {
        let to = "To: Bea <bea@far.test>\r\n";
        assert_eq!(
            who("Original-Rcpt-To: <cid@far.test>\r\n", to),
            ["cid@far.test"]
        );
        assert_eq!(who("", to), ["bea@far.test"]);
        let none: [&str; 0] = [];
        assert_eq!(who("", "To: bea@far.test, cid@far.test\r\n"), none);
        assert_eq!(who("", "Subject: x\r\n"), none);
    }
}
