//! Our own delivery reports about anything: legal lines, bounded, and our own
//! reader finds in them what was to be told.
#![no_main]

use envelope::{Address, EnhancedStatus, OriginalRecipient};
use libfuzzer_sys::fuzz_target;
use mime::DateTime;
use report_format::limits::{RETURNED_HEADER_BYTES_MAX, RETURNED_MESSAGE_BYTES_MAX};
use report_format::{Action, Original, RecipientReport, Report, read_report, write_report};

const ADDRESSES: [&str; 5] = [
    "a@b.example",
    "\"x y\\\"\"@b.example",
    "é@münchen.example",
    "c@[IPv6:2001:db8::1]",
    "+=/@x.example",
];
const ACTIONS: [Action; 5] = [
    Action::Failed,
    Action::Delayed,
    Action::Delivered,
    Action::Relayed,
    Action::Expanded,
];

fn recipient(text: &str, knob: u8) -> RecipientReport {
    let address = Address::parse(text).or_else(|_| Address::parse(fuzz::pick(&ADDRESSES, knob)));
    RecipientReport {
        address: address.expect("an address"),
        orcpt: OriginalRecipient::parse(text),
        action: fuzz::pick(&ACTIONS, knob),
        status: EnhancedStatus::new(fuzz::pick(&[2, 4, 5], knob), u16::from(knob), 999),
        remote_mta: (knob & 1 == 1).then(|| text.to_owned()),
        diagnostic: (knob & 2 != 0).then(|| text.to_owned()),
        last_attempt: (knob & 4 != 0).then_some(DateTime {
            unix_seconds: i64::from(knob),
            zone_minutes: -60,
        }),
        retry_until: None,
    }
}

fn check(bytes: &[u8], eight_bit: bool) {
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let content = line.strip_suffix(b"\r\n").expect("CRLF");
        assert!(content.len() <= 998, "a line too long: {}", content.len());
        assert!(!content.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    assert!(eight_bit || bytes.is_ascii());
    assert!(bytes.len() <= RETURNED_MESSAGE_BYTES_MAX.max(3 * RETURNED_HEADER_BYTES_MAX) + 100_000);
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob, more])) = fuzz::knobs::<2>(data) else {
        return;
    };
    let data = fuzz::expand(data);
    let lossy = String::from_utf8_lossy(&data);
    let texts: Vec<&str> = lossy.split('\u{1}').collect();
    let text = |at: usize| texts.get(at).copied().unwrap_or("x");
    let recipients: Vec<RecipientReport> = (0..1 + usize::from(more & 3))
        .map(|at| recipient(text(at), knob.rotate_left(at as u32)))
        .collect();
    let to = Address::parse(fuzz::pick(&ADDRESSES, more >> 2)).expect("an address");
    let now = DateTime {
        unix_seconds: 1_171_494_123,
        zone_minutes: 120,
    };
    let report = Report {
        reporting_mta: text(1),
        to: &to,
        date: now,
        message_id: text(2),
        boundary: "b0undary",
        envelope_id: (knob & 8 != 0).then(|| text(0)),
        arrived: now,
        queue_id: (knob & 16 != 0).then(|| text(3)),
        recipients: &recipients,
        original: if knob & 32 != 0 {
            Original::Message(&data)
        } else {
            Original::Header(&data)
        },
    };
    let written = write_report(&report);
    check(&written.bytes, written.eight_bit);
    assert_eq!(written.smtputf8, to.needs_smtputf8());
    let read = read_report(&written.bytes).expect("our own report");
    assert_eq!(read.recipients.len(), recipients.len());
    for (read, told) in read.recipients.iter().zip(&recipients) {
        assert_eq!((read.action, read.status), (told.action, Some(told.status)));
        let address = told
            .address
            .to_ascii()
            .unwrap_or_else(|| told.address.to_string());
        assert_eq!(read.final_recipient.as_deref(), Some(address.as_str()));
        assert_eq!(read.last_attempt, told.last_attempt);
    }
});
