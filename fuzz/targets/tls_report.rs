//! Reports on TLS of others: read without trust, bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use report_format::limits::{
    DETAILS_READ_MAX, POLICIES_READ_MAX, TLS_REPORT_BYTES_MAX, TEXT_READ_CHARS_MAX, TEXTS_READ_MAX,
};
use report_format::packing::{pack, unpack};
use report_format::reading::{Received, Text, read};

fn check_text(text: &Text) {
    assert!(text.0.chars().count() <= TEXT_READ_CHARS_MAX);
    assert!(!text.0.contains(char::is_control), "{text:?}");
}

fn check(report: &Received) {
    for text in [&report.organisation, &report.contact, &report.id] {
        check_text(text);
    }
    let policies = &report.policies.items;
    assert!((1..=POLICIES_READ_MAX).contains(&policies.len()));
    for policy in policies {
        for listed in [&policy.policy.strings, &policy.policy.hosts] {
            assert!(listed.items.len() <= TEXTS_READ_MAX);
            listed.items.iter().for_each(check_text);
        }
        assert!(policy.failures.items.len() <= DETAILS_READ_MAX);
        for detail in &policy.failures.items {
            for text in [&detail.result, &detail.host, &detail.reason] {
                check_text(text);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let data = &fuzz::expand(data);
    if let Ok(unpacked) = unpack(data) {
        assert!(unpacked.len() <= TLS_REPORT_BYTES_MAX);
    }
    let plain = read(data);
    if let Ok(report) = &plain {
        check(report);
    }
    // Packed it is the same.
    if let Ok(text) = core::str::from_utf8(data)
        && !data.starts_with(&[0x1f, 0x8b])
    {
        assert_eq!(read(&pack(text)).ok(), plain.ok());
    }
    if let Some(found) = report_format::find_tls_report(data) {
        assert!(found.len() <= data.len());
    }
});
