//! The form of a password that is hashed and compared: SASLprep (RFC 4013)
//! without its tables of unassigned code points and its check of directions.
//!
//! Those two would refuse passwords that people have; what remains makes the
//! same password typed on two keyboards the same bytes: other spaces become
//! U+0020, invisible marks vanish, NFKC. A password that SASLprep would take is
//! prepared exactly as SASLprep says, so SCRAM clients agree with us.

use crate::limits::PASSWORD_BYTES_MAX;
use crate::secret::Secret;
use icu_normalizer::ComposingNormalizerBorrowed;

/// Prepares a password; `None` when it is empty, too long or holds control
/// characters.
#[must_use]
pub fn prepare(password: &str) -> Option<Secret> {
    if password.len() > PASSWORD_BYTES_MAX {
        return None;
    }
    let prepared = if password.is_ascii() {
        Secret::from(password)
    } else {
        let mapped: zeroize::Zeroizing<String> = zeroize::Zeroizing::new(
            password
                .chars()
                .filter(|&c| !mapped_to_nothing(c))
                .map(|c| if is_other_space(c) { ' ' } else { c })
                .collect(),
        );
        let normalized = ComposingNormalizerBorrowed::new_nfkc().normalize(&mapped);
        Secret::new(normalized.into_owned())
    };
    let text = prepared.expose();
    // RFC 4013 §2.3: control characters are prohibited.
    let fits = !text.is_empty() && text.len() <= PASSWORD_BYTES_MAX;
    (fits && !text.chars().any(char::is_control)).then_some(prepared)
}

/// RFC 3454 table B.1.
fn mapped_to_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200b}'..='\u{200d}'
            | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// RFC 3454 table C.1.2.
fn is_other_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prepared(password: &str) -> Option<String> {
        prepare(password).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_examples_of_rfc_4013_section_3() {
        assert_eq!(prepared("I\u{ad}X").as_deref(), Some("IX"));
        assert_eq!(prepared("user").as_deref(), Some("user"));
        assert_eq!(prepared("USER").as_deref(), Some("USER"));
        assert_eq!(prepared("\u{aa}").as_deref(), Some("a"));
        assert_eq!(prepared("\u{2168}").as_deref(), Some("IX"));
        assert_eq!(prepared("\u{7}"), None);
    }

    #[test]
    fn composed_and_decomposed_input_is_the_same_password() {
        assert_eq!(prepared("e\u{301}"), prepared("\u{e9}"));
        assert_eq!(prepared("a\u{3000}b").as_deref(), Some("a b"));
        assert_eq!(prepared(""), None);
        assert_eq!(prepared("\u{200b}"), None);
        assert_eq!(prepared(&"x".repeat(PASSWORD_BYTES_MAX + 1)), None);
    }

    proptest! {
        #[test]
        fn preparing_twice_changes_nothing(password in "\\PC{0,40}") {
            if let Some(once) = prepared(&password) {
                prop_assert_eq!(prepared(&once), Some(once.clone()));
            }
        }
    }
}
