//! Delivery reports of others: read without trust, bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use report_format::limits::{FEEDBACK_VALUES_MAX, RECIPIENTS_READ_MAX, WORD_CHARS_MAX};
use report_format::{
    DeliveryStatus, Feedback, parse_delivery_status, parse_feedback, read_feedback, read_report,
};

fn check(status: &DeliveryStatus, bytes: usize) {
    assert!(status.recipients.len() <= RECIPIENTS_READ_MAX);
    for recipient in &status.recipients {
        let texts = [
            &recipient.original_recipient,
            &recipient.final_recipient,
            &recipient.remote_mta,
            &recipient.diagnostic,
        ];
        for text in texts.into_iter().flatten() {
            assert!(text.len() <= 3 * bytes + 16);
            assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
        }
    }
}

fn check_feedback(feedback: &Feedback) {
    for all in [&feedback.recipients, &feedback.domains, &feedback.uris] {
        assert!(all.len() <= FEEDBACK_VALUES_MAX);
        for text in all {
            assert!(text.chars().count() <= WORD_CHARS_MAX);
            assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let data = &fuzz::expand(data);
    check(&parse_delivery_status(data), data.len());
    if let Some(status) = read_report(data) {
        check(&status, data.len());
    }
    for feedback in [parse_feedback(data), read_feedback(data)] {
        if let Some(feedback) = feedback {
            check_feedback(&feedback);
        }
    }
});
