//! Stored digests: what decodes is written as the same bytes, and a damaged one
//! makes no section panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mime::{Digest, SectionSpec, SectionText};

fuzz_target!(|record: &[u8]| {
    let Ok(digest) = Digest::decode(record) else {
        return;
    };
    assert_eq!(digest.encode(), record);
    for text in [
        SectionText::Whole,
        SectionText::Header,
        SectionText::Text,
        SectionText::Mime,
    ] {
        for path in [&[][..], &[1], &[1, 1], &[2, 1, 1]] {
            let spec = SectionSpec {
                path: path.to_vec(),
                text,
            };
            if let Some(range) = mime::section(&digest.parts, &spec, 1_000) {
                assert!(range.start <= range.end);
            }
        }
    }
    let _ = (
        digest.sent_date(),
        digest.sent_day(),
        digest.cached_header_fields(&["subject"]),
    );
});
