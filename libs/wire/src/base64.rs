//! Base64 as RFC 4648 §4 has it: padded, canonical, one line; and as §5 has it for
//! addresses and tokens.

use data_encoding::{BASE64, BASE64URL_NOPAD};

/// Encodes `bytes` on one line.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Decodes one line of padded base64; `None` when it is not canonical.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    // The library also takes padded texts joined to one (`Zg==Zg==`).
    let body = text.get(..text.len().saturating_sub(2))?;
    if body.contains(&b'=') {
        return None;
    }
    BASE64.decode(text).ok()
}

/// Decodes base64url without padding (RFC 7515 §2); `None` when it is not canonical.
#[must_use]
pub fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_4648_section_10() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(decode(b"Zg"), None);
        assert_eq!(decode(b"Zg==\r\n"), None);
    }

    #[test]
    fn rfc_7515_appendix_c() {
        assert_eq!(decode_url(b"A-z_4ME"), Some(vec![3, 236, 255, 224, 193]));
        for bad in ["A-z_4ME=", "A+z/4ME", "A-z_4MF", "A-z_4", "A-z_4ME\n", "A"] {
            assert_eq!(decode_url(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decode_url(b""), Some(Vec::new()));
    }

    // Found by the fuzzer `wire_record`.
    #[test]
    fn padded_texts_joined_to_one_are_not_canonical() {
        for joined in ["Zg==Zg==", "060=pppp", "=", "====", "Zm8=Zg=="] {
            assert_eq!(decode(joined.as_bytes()), None, "{joined}");
        }
    }

    proptest! {
        #[test]
        fn what_decodes_is_canonical(text in "[A-Za-z0-9+/=\\r\\n ]{0,16}") {
            if let Some(bytes) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
