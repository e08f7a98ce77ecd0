//! Stored digests: what decodes is written as the same bytes, and a damaged one
//! makes no section panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mime::{Digest, SectionSpec, SectionText, StoredDigest};

fuzz_target!(|record: &[u8]| {
    look(record);
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
            if let Ok(stored) = StoredDigest::read(record) {
                let whole = mime::section(&digest.parts, &spec, 1_000);
                assert!(stored.section(&spec, 1_000) == Ok(whole) || path.is_empty());
            }
            if let Some(range) = mime::section(&digest.parts, &spec, 1_000) {
                assert!(range.start <= range.end);
            }
        }
    }
});

/// Whatever is asked of a record that is damaged somewhere.
fn look(record: &[u8]) {
    let Ok(stored) = StoredDigest::read(record) else {
        return;
    };
    let _ = (
        stored.sent_day(),
        stored.subject(),
        stored.parts(),
        stored.write_cached_fields(&["subject"], &mut Vec::new()),
    );
}
