//! Base subjects for SORT and THREAD (RFC 5256 §2.1).
//!
//! Departure: of a very long subject only the beginning counts. Each leader is looked for
//! behind all blobs before it, which takes a time that grows with the square.

use crate::limits::KEPT_TEXT_CHARS_MAX;

/// The base subject of a decoded subject, and whether it was a reply or a
/// forward.
#[must_use]
pub fn base_subject(subject: &str) -> (String, bool) {
    let end = subject.char_indices().nth(KEPT_TEXT_CHARS_MAX);
    let subject = &subject[..end.map_or(subject.len(), |(at, _)| at)];
    let text = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = text.as_str();
    let mut reply = false;
    loop {
        let before = rest.len();
        // (2) trailing "(fwd)" and white space
        while let Some(shorter) = strip_suffix_ignore_case(rest, "(fwd)") {
            rest = shorter;
            reply = true;
        }
        loop {
            let inner = rest.len();
            rest = rest.trim();
            // (3) leading "re:", "fw:", "fwd:", with blobs before and inside
            if let Some(after) = strip_leader(rest) {
                rest = after;
                reply = true;
            }
            // (4) a leading [blob], unless nothing would be left
            if let Some(after) = strip_blob(rest)
                && !after.trim().is_empty()
            {
                rest = after;
            }
            if rest.len() == inner {
                break;
            }
        }
        // (6) "[fwd: ... ]"
        if let Some(inside) =
            strip_prefix_ignore_case(rest, "[fwd:").and_then(|r| r.strip_suffix(']'))
        {
            rest = inside;
            reply = true;
        }
        if rest.len() == before {
            return (rest.to_owned(), reply);
        }
    }
}

/// `*subj-blob ("re" / "fw" / "fwd") *WSP [subj-blob] ":"`
fn strip_leader(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = strip_blob(rest) {
        rest = after;
    }
    let rest = ["re", "fwd", "fw"].iter().find_map(|word| {
        let rest = strip_prefix_ignore_case(rest, word)?.trim_start();
        let rest = strip_blob(rest).unwrap_or(rest);
        rest.strip_prefix(':')
    })?;
    Some(rest.trim_start())
}

/// `"[" *BLOBCHAR "]" *WSP`
fn strip_blob(text: &str) -> Option<&str> {
    let (inside, after) = text.strip_prefix('[')?.split_once(']')?;
    (!inside.contains('[')).then(|| after.trim_start())
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    start
        .eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

fn strip_suffix_ignore_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let text = text.trim_end();
    let at = text.len().checked_sub(suffix.len())?;
    text.get(at..)?
        .eq_ignore_ascii_case(suffix)
        .then(|| text[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_a_long_subject_the_beginning_counts() {
        let blobs = "[]".repeat(1 << 20);
        assert_eq!(base_subject(&blobs), (blobs[..2].to_owned(), false));
        let (base, is_reply) = base_subject(&format!("Re: {}", "é".repeat(5000)));
        assert_eq!((base.chars().count(), is_reply), (996, true));
    }

    #[test]
    fn leaders_trailers_and_blobs_go() {
        for (subject, base, reply) in [
            ("Hello  world", "Hello world", false),
            ("Re: re[2]: Hello", "Hello", true),
            ("[list] RE: [x] Fwd: Hello (fwd) (FWD)", "Hello", true),
            ("[list]", "[list]", false),
            ("[list] Hello", "Hello", false),
            ("[Fwd: Re: Hello]", "Hello", true),
            ("Regards", "Regards", false),
            ("re:", "", true),
            ("", "", false),
        ] {
            assert_eq!(base_subject(subject), (base.to_owned(), reply), "{subject}");
        }
    }

    proptest! {
        #[test]
        fn a_base_subject_is_its_own_base(subject in "(re|fwd|[:\\[\\] a你]|\\(fwd\\)){0,12}") {
            let (base, _) = base_subject(&subject);
            prop_assert_eq!(base_subject(&base).0, base);
        }
    }
}
