//! Stored envelopes: what decodes is written as a record that decodes to the same.
#![no_main]

use envelope::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|record: &[u8]| {
    let Ok(envelope) = Envelope::decode(record) else {
        return;
    };
    // An address is normalised when it is read, so the bytes may differ, once.
    let written = envelope.encode();
    assert_eq!(Envelope::decode(&written).as_ref(), Ok(&envelope));
    assert_eq!(
        Envelope::decode(&written).map(|again| again.encode()),
        Ok(written)
    );
});
