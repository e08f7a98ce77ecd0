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
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    let nfkd = DecomposingNormalizerBorrowed::new_nfkd();
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars() {
        // RFC 5051 works by UnicodeData.txt, where syllables of Hangul have no decomposition;
        // Han has none but for compatibility forms that lie elsewhere.
        if matches!(c, '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') {
            flush(&nfkd, &mut run, &mut out);
            out.push(c);
            continue;
        }
        let mut upper = c.to_uppercase();
        run.push(match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            // Only the simple mappings, one letter for one.
            _ => c,
        });
    }
    flush(&nfkd, &mut run, &mut out);
    out
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

    proptest! {
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
