//! Terms: runs of three characters, and of two where both are written without blanks between words
//! (Han, kana, Hangul).
//!
//! | term | of |
//! |---|---|
//! | bit 31 | 1 in the body, 0 in the header |
//! | bit 30 | 0: three characters of ASCII, in bits 0 to 20, exactly |
//! | | 1: bits 0 to 29 are a hash of two or three characters |

use crate::limits::TERMS_PER_TEXT;
use mime::Place;

/// A run of characters at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u32);

/// What a document has that may hold any text.
pub const EVERYWHERE: Term = Term(u32::MAX);

const BODY: u32 = 1 << 31;
const HASHED: u32 = 1 << 30;

/// Appends the terms of a folded text, in its order, some more than once.
pub fn terms_of(text: &str, place: Place, out: &mut Vec<Term>) {
    let place = bit(place);
    let (mut one, mut two) = (None, None);
    for three in text.chars() {
        if let Some(two) = two {
            if is_dense(two) && is_dense(three) {
                out.push(Term(place | hash(['\0', two, three])));
            }
            if let Some(one) = one {
                out.push(Term(place | triple([one, two, three])));
            }
        }
        (one, two) = (two, Some(three));
    }
}

/// The terms that every document has which holds a folded text at a place; none says nothing. Of a
/// long text some of them.
#[must_use]
pub fn terms_in(text: &str, place: Place) -> Vec<Term> {
    let mut terms = Vec::new();
    let chars = text.chars().count();
    terms_of(text, place, &mut terms);
    if chars > 2 {
        // Runs of two are in those of three.
        let pairs: Vec<Term> = pairs_of(text, place);
        terms.retain(|term| !pairs.contains(term));
        if terms.is_empty() {
            terms = pairs;
        }
    }
    terms.sort_unstable();
    terms.dedup();
    let all = terms.len();
    if all > TERMS_PER_TEXT {
        terms = (0..TERMS_PER_TEXT)
            .map(|at| terms[at * all / TERMS_PER_TEXT])
            .collect();
    }
    terms
}

fn pairs_of(text: &str, place: Place) -> Vec<Term> {
    let pairs = text.chars().zip(text.chars().skip(1));
    let pairs = pairs.filter(|(one, two)| is_dense(*one) && is_dense(*two));
    pairs
        .map(|(one, two)| Term(bit(place) | hash(['\0', one, two])))
        .collect()
}

fn bit(place: Place) -> u32 {
    match place {
        Place::Header => 0,
        Place::Body => BODY,
    }
}

fn triple(chars: [char; 3]) -> u32 {
    match chars.iter().all(char::is_ascii) {
        true => chars.iter().fold(0, |all, &c| all << 7 | u32::from(c)),
        false => hash(chars),
    }
}

fn hash(chars: [char; 3]) -> u32 {
    let all = chars
        .iter()
        .fold(0u64, |all, &c| all << 21 | u64::from(u32::from(c)));
    // Fibonacci hashing; the last value of all is not a run's.
    let mixed = (all ^ all >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (mixed >> 34) as u32;
    HASHED | hash.min(HASHED - 2)
}

/// Of a script where words are short and stand side by side.
fn is_dense(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11ff}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{318e}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{9fff}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_characters_of_han_and_three_of_any_have_terms() {
        for (text, count) in [
            ("", 0),
            ("A", 0),
            ("AB", 0),
            ("ABC", 1),
            ("ABCD", 2),
            ("AAAA", 1),
            ("你", 0),
            ("你好", 1),
            ("你好吗", 1),
            ("カ\u{3099}", 1),
            ("가각", 1),
            ("A你", 0),
            ("A你B", 1),
        ] {
            assert_eq!(terms_in(text, Place::Body).len(), count, "{text}");
        }
        let header = terms_in("ABC", Place::Header);
        assert_ne!(header, terms_in("ABC", Place::Body));
        assert_eq!(
            header,
            [Term(
                u32::from(b'A') << 14 | u32::from(b'B') << 7 | u32::from(b'C')
            )]
        );
        let long: String = ('A'..='Z').chain('0'..='9').collect();
        assert_eq!(terms_in(&long, Place::Body).len(), TERMS_PER_TEXT);
    }

    proptest! {
        #[test]
        fn a_text_has_the_terms_of_its_parts(
            a in "[ab你好が가 é]{0,6}", b in "\\PC{0,5}|[ab你好が가 é]{0,5}", c: String,
        ) {
            let mut all = Vec::new();
            terms_of(&format!("{a}{b}{c}"), Place::Body, &mut all);
            for term in terms_in(&b, Place::Body) {
                prop_assert!(all.contains(&term) && term != EVERYWHERE);
            }
        }
    }
}
