//! MTA-STS policies and TXT records: what is read is written as what reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tls_policy::{Policy, record_id};

fuzz_target!(|input: &[u8]| {
    if let Ok(policy) = Policy::parse(input) {
        assert_eq!(Policy::parse(policy.to_text().as_bytes()), Ok(policy));
    }
    let records: Vec<Vec<u8>> = input.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    if let Some(id) = record_id(&records) {
        assert!((1..=32).contains(&id.len()));
    }
});
