//! Text as the collation `i;unicode-casemap` compares it (RFC 5051 §2): one case, and
//! letters apart from their accents and widths.
//!
//! Departures: what decomposes into small ASCII letters becomes capitals too, so that
//! a ligature is found by its letters in either case.

use icu_normalizer::DecomposingNormalizerBorrowed;
use std::borrow::Cow;

/// The text for comparing, equal for texts that the collation takes for equal. Of a part
/// of a text it is a part of the text's.
#[must_use]
pub fn casemap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    casemap_into(text, &mut out);
    out
}

/// Appends what [`casemap`] gives. Letters of ASCII and Han, which most text is made of, go in
/// bulk.
pub fn casemap_into(text: &str, out: &mut String) {
    let nfkd = DecomposingNormalizerBorrowed::new_nfkd();
    let mut run = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.bytes().position(|byte| !byte.is_ascii());
        let (plain, behind) = rest.split_at(plain.unwrap_or(rest.len()));
        let from = out.len();
        out.push_str(plain);
        // A letter of ASCII begins anew whatever stands before it, and what stands behind it
        // changes nothing of it.
        out[from..].make_ascii_uppercase();
        let other = behind.bytes().position(|byte| byte.is_ascii());
        let (other, behind) = behind.split_at(other.unwrap_or(behind.len()));
        fold_others(&nfkd, other, &mut run, out);
        rest = behind;
    }
}

/// Text without letters of ASCII.
fn fold_others(
    nfkd: &DecomposingNormalizerBorrowed<'_>,
    text: &str,
    run: &mut String,
    out: &mut String,
) {
    let mut kept = 0;
    for (at, c) in text.char_indices() {
        // RFC 5051 works by UnicodeData.txt, where syllables of Hangul have no decomposition;
        // Han has none but for compatibility forms that lie elsewhere.
        if matches!(c, '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') {
            if !run.is_empty() {
                flush(nfkd, run, out);
                kept = at;
            }
            continue;
        }
        if run.is_empty() {
            out.push_str(&text[kept..at]);
        }
        let mut upper = c.to_uppercase();
        run.push(match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            // Only the simple mappings, one letter for one.
            _ => c,
        });
    }
    if run.is_empty() {
        out.push_str(&text[kept..]);
    } else {
        flush(nfkd, run, out);
    }
}

fn flush(nfkd: &DecomposingNormalizerBorrowed<'_>, run: &mut String, out: &mut String) {
    if run.is_empty() {
        return;
    }
    match nfkd.normalize(run) {
        Cow::Borrowed(text) => out.push_str(text),
        Cow::Owned(mut text) => {
            text.make_ascii_uppercase();
            out.push_str(&text);
        }
    }
    run.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_accents_and_widths_are_one() {
        for (a, b) in [
            ("Hello", "hELLO"),
            ("é", "E\u{301}"),
            ("É", "e\u{301}"),
            ("ａｂＣ", "ABC"),
            ("ﬁ", "FI"),
            ("ǆ", "ǅ"),
            ("привет", "ПРИВЕТ"),
            ("σ", "Σ"),
        ] {
            assert_eq!(casemap(a), casemap(b), "{a} {b}");
        }
        for (a, b) in [("e", "é"), ("가", "각"), ("你", "好"), ("ss", "ß")] {
            assert_ne!(casemap(a), casemap(b), "{a} {b}");
        }
        assert!(!casemap("각").contains(&casemap("가")));
    }

    /// Letter by letter, as it is defined.
    fn slowly(text: &str) -> String {
        let mut mapped = String::new();
        let nfkd = DecomposingNormalizerBorrowed::new_nfkd();
        for c in text.chars() {
            if matches!(c, '\u{ac00}'..='\u{d7a3}') {
                // No decomposition: a mark of its own class stands for it.
                mapped.push(c);
                continue;
            }
            let mut upper = c.to_uppercase();
            mapped.push(match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => c,
            });
        }
        let pieces = mapped.split_inclusive(|c| matches!(c, '\u{ac00}'..='\u{d7a3}'));
        let pieces = pieces.map(|piece| {
            let syllable = piece
                .chars()
                .next_back()
                .filter(|c| matches!(c, '\u{ac00}'..='\u{d7a3}'));
            let before = &piece[..piece.len() - syllable.map_or(0, char::len_utf8)];
            let mut folded = nfkd.normalize(before).to_ascii_uppercase();
            folded.extend(syllable);
            folded
        });
        pieces.collect()
    }

    proptest! {
        #[test]
        fn in_bulk_as_letter_by_letter(
            text in "([a-zA-Z ]{0,9}|[éßﬁａがｶﾞ\u{301}\u{327}각你好Ǆσ½Å]{0,4}|[\\PC]{0,3}){0,6}",
        ) {
            prop_assert_eq!(casemap(&text), slowly(&text));
        }

        #[test]
        fn a_part_is_found_in_the_whole(a: String, b: String, c: String) {
            // A mark that combines may move behind others: between letters it does not.
            let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let (a, b, c) = (letters(&a), letters(&b), letters(&c));
            let whole = [a.as_str(), b.as_str(), c.as_str()].join(" ");
            prop_assert!(casemap(&whole).contains(&casemap(&b)));
        }
    }
}
