//! Binary parts as they stream in: any split gives the same message, which is
//! little longer and has no binary part any more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mime::BinaryEncoder;

fn encode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut encoder, mut out) = (BinaryEncoder::default(), Vec::new());
    for piece in pieces {
        encoder.push(piece, &mut out);
    }
    encoder.finish(&mut out);
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [seed])) = fuzz::knobs(data) else {
        return;
    };
    let message = fuzz::expand(data);
    let whole = encode([&message[..]]);
    assert_eq!(whole, encode(fuzz::pieces(&message, seed)));
    // 57 octets become 78 with the line's end; each part may say its encoding anew.
    assert!(whole.len() <= message.len() * 3 + 100, "{}", whole.len());
    assert_eq!(encode([&whole[..]]), whole, "a binary part is left");
});
