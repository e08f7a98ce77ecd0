//! Password hashes of other systems: what is read is read again from its own
//! text, and a check ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sasl::imported::Imported;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let (hash, password) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(parsed) = Imported::parse(hash) else {
        return;
    };
    assert_eq!(Imported::parse(parsed.text()).as_ref(), Ok(&parsed));
    // What asks for much work is for the limits' tests, not for a fuzzer.
    let lower = hash.to_lowercase();
    if !["$2", "rounds=", "pbkdf2"].iter().any(|word| lower.contains(word)) {
        let _ = parsed.check(password);
    }
});
