//! Charsets to UTF-8, and guesses for text that does not say which it is in.
//!
//! Never here: UTF-7 (text in it is shown as it is: decoding it lets markup
//! pass every filter) and the stateful relics that browsers refuse too.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, REPLACEMENT, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Decodes `bytes` by the charset that a message names. A missing charset, or
/// one that is only ASCII, is guessed where the bytes are not ASCII; an unknown
/// one is read as Windows-1252. Never fails: what does not decode becomes U+FFFD.
#[must_use]
pub fn decode(label: Option<&str>, bytes: &[u8]) -> String {
    text(label, bytes).into_owned()
}

/// As [`decode`]; what is UTF-8 already is not copied.
#[must_use]
pub fn text<'a>(label: Option<&str>, bytes: &'a [u8]) -> Cow<'a, str> {
    match label.and_then(known) {
        Some(encoding) => encoding.decode_with_bom_removal(bytes).0,
        None => match label {
            Some(label) if !says_nothing(label) => {
                WINDOWS_1252.decode_without_bom_handling(bytes).0
            }
            _ => guess(bytes),
        },
    }
}

/// Does every line of a text in that charset decode by itself? Not where a character has two bytes or
/// four whatever it is.
pub(crate) fn has_lines(label: Option<&str>) -> bool {
    let encoding = label.and_then(known);
    encoding.is_none_or(|encoding| encoding != UTF_16LE && encoding != UTF_16BE)
}

/// Decodes bytes that name no charset: UTF-8 if they are valid UTF-8, otherwise
/// the likeliest of the charsets that mail is written in.
#[must_use]
pub fn guess(bytes: &[u8]) -> Cow<'_, str> {
    match core::str::from_utf8(bytes) {
        Ok(text) => return Cow::Borrowed(text),
        // UTF-8 that was cut in the middle of its last character.
        Err(e) if e.error_len().is_none() && !bytes[..e.valid_up_to()].is_ascii() => {
            return String::from_utf8_lossy(bytes);
        }
        Err(_) => {}
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    // The first bytes decide: a guess needs no more, and is bounded by it.
    let sample = &bytes[..bytes.len().min(GUESS_BYTES_MAX)];
    detector.feed(sample, true);
    let encoding = detector.guess(None, Utf8Detection::Allow);
    Cow::Owned(encoding.decode_without_bom_handling(bytes).0.into_owned())
}

const GUESS_BYTES_MAX: usize = 16 * 1_024;

/// Labels that promise ASCII, or nothing, and are often wrong.
fn says_nothing(label: &str) -> bool {
    const NAMES: [&str; 8] = [
        "us-ascii",
        "ascii",
        "unknown-8bit",
        "x-unknown",
        "unknown",
        "default",
        "8bit",
        "",
    ];
    let label = label.trim();
    NAMES.iter().any(|name| label.eq_ignore_ascii_case(name))
}

fn known(label: &str) -> Option<&'static Encoding> {
    if says_nothing(label) {
        return None;
    }
    let encoding = Encoding::for_label(label.trim().as_bytes())?;
    (encoding != REPLACEMENT).then_some(encoding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{BIG5, GB18030, SHIFT_JIS};

    #[test]
    fn named_charsets_decode() {
        assert_eq!(decode(Some("iso-8859-1"), b"caf\xe9"), "café");
        assert_eq!(decode(Some("GB2312"), b"\xc4\xe3\xba\xc3"), "你好");
        assert_eq!(decode(Some("utf-8"), b"ok\xff"), "ok\u{fffd}");
        assert_eq!(decode(Some("iso-2022-jp"), b"\x1b$B$3\x1b(B"), "こ");
    }

    #[test]
    fn ascii_that_is_not_ascii_is_guessed() {
        assert_eq!(decode(Some("us-ascii"), "你好".as_bytes()), "你好");
        assert_eq!(decode(None, "naïve".as_bytes()), "naïve");
        assert_eq!(
            decode(None, "你好".as_bytes().split_last().expect("bytes").1),
            "你\u{fffd}"
        );
        assert_eq!(decode(None, b"caf\xe9"), "café");
    }

    #[test]
    fn utf7_and_unknown_charsets_stay_as_they_are() {
        assert_eq!(
            decode(Some("utf-7"), b"+ADw-script+AD4-"),
            "+ADw-script+AD4-"
        );
        assert_eq!(decode(Some("no-such"), b"\xe9"), "é");
    }

    #[test]
    fn undeclared_east_asian_text_is_recognised() {
        let chinese = "关于明天上午会议的通知，请各位同事准时参加";
        assert_eq!(guess(&GB18030.encode(chinese).0), chinese);
        let taiwan = "關於明天上午會議的通知，請各位同事準時參加";
        assert_eq!(guess(&BIG5.encode(taiwan).0), taiwan);
        let japanese = "明日の会議についてのお知らせです";
        assert_eq!(guess(&SHIFT_JIS.encode(japanese).0), japanese);
    }
}
