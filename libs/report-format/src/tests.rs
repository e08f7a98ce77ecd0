//! A report is read back by our own reader; foreign text breaks nothing.

use envelope::{Address, EnhancedStatus, OriginalRecipient};
use mime::{DateTime, PartKind};
use proptest::prelude::*;

use crate::{
    Action, Original, RecipientReport, Report, parse_delivery_status, read_report, write_report,
};

const NOW: DateTime = DateTime {
    unix_seconds: 1_171_494_123,
    zone_minutes: 120,
};
const HEADER: &[u8] =
    b"From: alice@example.org\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\n";

fn address(text: &str) -> Address {
    Address::parse(text).expect("a valid address")
}

fn failed(to: &str, status: (u8, u16, u16), reply: &str) -> RecipientReport {
    RecipientReport {
        address: address(to),
        orcpt: None,
        action: Action::Failed,
        status: EnhancedStatus::new(status.0, status.1, status.2),
        remote_mta: Some("mx.example.net".to_owned()),
        diagnostic: Some(reply.to_owned()),
        last_attempt: Some(NOW),
        retry_until: None,
    }
}

fn report<'a>(
    to: &'a Address,
    recipients: &'a [RecipientReport],
    original: Original<'a>,
) -> Report<'a> {
    Report {
        reporting_mta: "mail.example.org",
        to,
        date: NOW,
        message_id: "r1@mail.example.org",
        boundary: "b0undary",
        envelope_id: Some("env-1"),
        arrived: NOW,
        queue_id: Some("Q1"),
        recipients,
        original,
    }
}

/// Part 1 (what a person reads), decoded.
fn words(message: &[u8]) -> String {
    let digest = mime::digest(message);
    let part = mime::part_at(&digest.parts, &[1]).expect("a first part");
    let body = &message[part.body.start as usize..part.body.end as usize];
    mime::text::text_for_search(part, body).expect("a text")
}

#[test]
fn a_failure_is_written_and_read_back() {
    let to = address("alice@example.org");
    let mut recipient = failed("bob@example.net", (5, 1, 1), "550 5.1.1 no such user");
    recipient.orcpt = OriginalRecipient::parse("rfc822;bobby@example.net");
    let recipients = [recipient];
    let written = write_report(&report(&to, &recipients, Original::Header(HEADER)));
    assert!(written.bytes.is_ascii() && !written.eight_bit && !written.smtputf8);
    let digest = mime::digest(&written.bytes);
    let types: Vec<_> = digest
        .parts
        .parts()
        .iter()
        .map(|part| part.media_type.as_str())
        .collect();
    assert_eq!(
        types,
        [
            "multipart/report",
            "text/plain",
            "message/delivery-status",
            "text/rfc822-headers"
        ]
    );
    assert_eq!(
        digest.subject,
        "Your message was not delivered 您的邮件未能送达"
    );
    let status = read_report(&written.bytes).expect("a delivery status");
    assert_eq!(status.reporting_mta.as_deref(), Some("mail.example.org"));
    assert_eq!(status.envelope_id.as_deref(), Some("env-1"));
    assert_eq!(status.arrived, Some(NOW));
    let told = &status.recipients[0];
    assert_eq!(
        told.original_recipient.as_deref(),
        Some("bobby@example.net")
    );
    assert_eq!(told.final_recipient.as_deref(), Some("bob@example.net"));
    assert_eq!(
        (told.action, told.status),
        (Action::Failed, Some(EnhancedStatus::new(5, 1, 1)))
    );
    assert_eq!(told.remote_mta.as_deref(), Some("mx.example.net"));
    assert_eq!(told.diagnostic.as_deref(), Some("550 5.1.1 no such user"));
    assert_eq!(told.last_attempt, Some(NOW));
    let words = words(&written.bytes);
    for piece in [
        "<bob@example.net>",
        "There is no mailbox",
        "该收件地址不存在",
        "550 5.1.1 no such user (mx.example.net)",
        "Q1",
    ] {
        assert!(words.contains(piece), "{piece}: {words}");
    }
}

#[test]
fn the_golden_report() {
    let to = address("alice@example.org");
    let mut recipient = failed("bob@example.net", (4, 4, 1), "connection timed out");
    recipient.action = Action::Delayed;
    recipient.retry_until = Some(DateTime {
        unix_seconds: NOW.unix_seconds + 432_000,
        ..NOW
    });
    let recipients = [recipient];
    let written = write_report(&report(&to, &recipients, Original::Header(HEADER)));
    let golden = include_str!("golden_report.eml").replace('\n', "\r\n");
    assert_eq!(String::from_utf8(written.bytes).expect("ASCII"), golden);
}

#[test]
fn addresses_beyond_ascii_take_the_form_of_rfc_6533() {
    let to = address("王五@例子.中国");
    let mut recipient = failed("a+b@例子.中国", (5, 6, 7), "550 用户");
    recipient.orcpt = OriginalRecipient::parse("utf-8;\\x{738B}@x.org");
    let recipients = [
        recipient,
        failed(
            "王\\五@例子.中国".replace('\\', "").as_str(),
            (5, 1, 1),
            "no",
        ),
    ];
    let written = write_report(&report(
        &to,
        &recipients,
        Original::Header("Subject: 你好\r\n\r\n".as_bytes()),
    ));
    assert!(written.eight_bit && written.smtputf8);
    let text = String::from_utf8(written.bytes.clone()).expect("UTF-8");
    assert!(text.contains("To: <王五@例子.中国>\r\n"));
    assert!(text.contains("Original-Recipient: utf-8; \\x{738B}@x.org\r\n"));
    assert!(text.contains("Final-Recipient: rfc822; a+b@xn--fsqu00a.xn--fiqs8s\r\n"));
    assert!(text.contains(
        "Final-Recipient: utf-8; \\x{738B}\\x{4E94}@\\x{4F8B}\\x{5B50}.\\x{4E2D}\\x{56FD}\r\n"
    ));
    assert!(text.contains("Diagnostic-Code: smtp; 550 ??\r\n"));
    let status = read_report(&written.bytes).expect("a delivery status");
    assert_eq!(
        status.recipients[1].final_recipient.as_deref(),
        Some("王五@例子.中国")
    );
    assert_eq!(
        status.recipients[0].original_recipient.as_deref(),
        Some("王@x.org")
    );
    // The header's raw letters are encoded, not sent bare.
    assert!(text.contains("Subject: =E4=BD=A0=E5=A5=BD\r\n"));
}

#[test]
fn the_whole_message_goes_back_when_it_may() {
    let to = address("alice@example.org");
    let recipients = [failed("bob@example.net", (5, 2, 2), "full")];
    let kinds = |message: &[u8]| {
        let written = write_report(&report(&to, &recipients, Original::Message(message)));
        let digest = mime::digest(&written.bytes);
        let last = mime::part_at(&digest.parts, &[3])
            .expect("three parts")
            .clone();
        (last.kind, last.media_type, written.eight_bit)
    };
    let short = [HEADER, b"body\r\n"].concat();
    assert_eq!(
        kinds(&short),
        (PartKind::Message, "message/rfc822".to_owned(), false)
    );
    let letters = [HEADER, "正文\r\n".as_bytes()].concat();
    assert_eq!(
        kinds(&letters),
        (PartKind::Message, "message/rfc822".to_owned(), true)
    );
    let large = [HEADER, &b"0123456789\r\n".repeat(100_000)].concat();
    assert_eq!(
        kinds(&large),
        (PartKind::Leaf, "text/rfc822-headers".to_owned(), false)
    );
    let long_line = [HEADER, &[b'a'; 2_000]].concat();
    assert_eq!(kinds(&long_line).0, PartKind::Leaf);
}

#[test]
fn threat_11_a_huge_header_and_many_recipients_stay_bounded() {
    let to = address("alice@example.org");
    let header = b"X-Field: 0123456789\r\n".repeat(100_000);
    let recipients = vec![failed("bob@example.net", (5, 7, 1), &"no ".repeat(100_000)); 100];
    let written = write_report(&report(&to, &recipients, Original::Header(&header)));
    assert!(written.bytes.len() < 300_000, "{}", written.bytes.len());
    assert_eq!(
        read_report(&written.bytes).map(|status| status.recipients.len()),
        Some(100)
    );
    assert!(words(&written.bytes).contains("More recipients"));
}

#[test]
fn reports_of_others_are_read() {
    let body = b"Reporting-MTA: dns;x.example\n\n\nFinal-Recipient: RFC822;a@b\nAction: Failed (bad)\nStatus: 5.0.0 (unknown)\n\nFinal-Recipient: rfc822; c@d\nAction: odd\n\nAction: delayed\n";
    let status = parse_delivery_status(body);
    assert_eq!(status.recipients.len(), 2);
    assert_eq!(status.recipients[0].final_recipient.as_deref(), Some("a@b"));
    assert_eq!(
        status.recipients[0].status,
        Some(EnhancedStatus::new(5, 0, 0))
    );
    assert_eq!(status.recipients[1].action, Action::Delayed);
    assert_eq!(
        read_report(b"Subject: no report\r\n\r\nAction: failed\r\n"),
        None
    );
}

#[test]
fn a_million_escapes_without_end_are_one_walk() {
    let address = "\\x{".repeat(1 << 20);
    let body = format!("A: b\r\n\r\nFinal-Recipient: utf-8;{address}\r\nAction: failed\r\n");
    let status = parse_delivery_status(body.as_bytes());
    assert_eq!(status.recipients[0].final_recipient, Some(address));
}

proptest! {
    #[test]
    fn threat_10_foreign_text_never_makes_a_field(reply in "(\r\n|\n|\r|Bcc: x|550 |你|\u{0}|--b0undary|\t){0,30}", host in "[a-z\r\n:]{0,20}", header: Vec<u8>) {
        let to = address("alice@example.org");
        let mut recipient = failed("bob@example.net", (5, 0, 0), &reply);
        recipient.remote_mta = Some(host.clone());
        let recipients = [recipient];
        let mut report = report(&to, &recipients, Original::Header(&header));
        report.reporting_mta = &host;
        report.envelope_id = Some(&reply);
        report.message_id = &host;
        let written = write_report(&report);
        prop_assert!(written.bytes.is_ascii());
        let names: Vec<_> = mime::HeaderReader::new(&written.bytes).map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
        prop_assert!(names.iter().all(|name| ["Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"].contains(&name.as_str())), "{names:?}");
        prop_assert_eq!(mime::digest(&written.bytes).parts.parts().len(), 4);
        prop_assert_eq!(read_report(&written.bytes).map(|status| status.recipients.len()), Some(1));
        prop_assert!(written.bytes.split(|&b| b == b'\n').all(|line| line.len() <= 999));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = (read_report(&bytes), parse_delivery_status(&bytes));
    }
}
