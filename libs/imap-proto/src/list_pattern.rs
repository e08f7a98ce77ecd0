//! Patterns of LIST and LSUB: `*` matches anything, `%` all but the separator
//! (RFC 9051 §6.3.9). Matching takes time in the product of the two lengths,
//! however many wildcards there are.

use crate::limits::PATTERN_BYTES_MAX;
use crate::mailbox_name::{NameForm, SEPARATOR, decode_wire, normalise_inbox};

/// A pattern together with its reference, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPattern(Vec<char>);

impl ListPattern {
    /// Joins the reference and the pattern as RFC 9051 §6.3.9 lets a server do:
    /// one after the other. What no name can look like is a pattern that matches
    /// nothing: "any syntactically valid pattern that is not accepted by a server
    /// for any reason MUST be silently ignored".
    #[must_use]
    pub fn from_wire(reference: &[u8], pattern: &[u8], form: NameForm) -> Self {
        if reference.len() + pattern.len() > PATTERN_BYTES_MAX {
            return Self::new(IN_NO_NAME);
        }
        let decode = |bytes| decode_wire(bytes, form).unwrap_or_else(|_| IN_NO_NAME.to_owned());
        Self::new(&(decode(reference) + &decode(pattern)))
    }

    /// A pattern in UTF-8.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let mut chars: Vec<char> = Vec::new();
        for c in normalise_inbox(pattern).chars() {
            // Runs of wildcards say no more than one: `*` where any of them is one.
            match (chars.last().copied(), c) {
                (Some('*'), '*' | '%') | (Some('%'), '%') => {}
                (Some('%'), '*') => {
                    chars.pop();
                    chars.push('*');
                }
                _ => chars.push(c),
            }
        }
        Self(chars)
    }

    /// True when the pattern holds no character at all: the client asks for the separator.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when `name` matches. INBOX itself is compared in any case.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name_chars: Vec<char> = name.chars().collect();
        if name == "INBOX" {
            let upper: Vec<char> = self.0.iter().map(char::to_ascii_uppercase).collect();
            return matches(&upper, &name_chars);
        }
        matches(&self.0, &name_chars)
    }
}

/// A character that no name holds.
const IN_NO_NAME: &str = "\0";

/// Set-of-states matching: `reached[i]` says that the pattern's first `i`
/// characters can match what was read so far.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    skip_wildcards(pattern, &mut reached);
    for &c in name {
        let mut next = vec![false; pattern.len() + 1];
        for (i, &p) in pattern.iter().enumerate() {
            if !reached[i] {
                continue;
            }
            match p {
                '*' => next[i] = true,
                '%' if c != SEPARATOR => next[i] = true,
                '%' => {}
                _ if p == c => next[i + 1] = true,
                _ => {}
            }
        }
        skip_wildcards(pattern, &mut next);
        reached = next;
    }
    reached[pattern.len()]
}

/// A wildcard also matches nothing.
fn skip_wildcards(pattern: &[char], reached: &mut [bool]) {
    for (i, &p) in pattern.iter().enumerate() {
        if reached[i] && matches!(p, '*' | '%') {
            reached[i + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_of_rfc_9051_section_6_3_9() {
        for (pattern, name, matched) in [
            ("*", "a/b/c", true),
            ("%", "a/b", false),
            ("%", "a", true),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("%/%", "a/b", true),
            ("*c", "a/b/c", true),
            ("a*%c", "a/b/c", true),
            ("%t*4", "x/test3/test4", false),
            ("x/%t*4", "x/test3/test4", true),
            ("inbox", "INBOX", true),
            ("InB%", "INBOX", true),
            ("inbox/x", "INBOX/x", true),
            ("Sent", "sent", false),
            ("", "", true),
            ("邮%", "邮箱", true),
        ] {
            assert_eq!(
                ListPattern::new(pattern).matches(name),
                matched,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_outside_of_modified_utf7_matches_nothing() {
        // RFC 9051 §9: `list-char` has all of these.
        let pattern = b"!#$&'+,-.0123456789:;<=>?@^_`|[}%*";
        let pattern = ListPattern::from_wire(b"", pattern, NameForm::ModifiedUtf7);
        assert!(!pattern.matches("!#$&'+,-.0123456789:;<=>?@^_`|[}"));
        let long = vec![b'*'; PATTERN_BYTES_MAX + 1];
        for (reference, text) in [(&b"a&b"[..], &b"*"[..]), (b"", b"\xff*"), (b"", &long)] {
            let pattern = ListPattern::from_wire(reference, text, NameForm::ModifiedUtf7);
            assert!(!pattern.matches("a&b") && !pattern.matches("x"));
        }
    }

    #[test]
    fn many_wildcards_cost_no_more_than_the_product_of_the_lengths() {
        let pattern = ListPattern::new(&"*a".repeat(1000));
        assert!(!pattern.matches(&"a".repeat(500)));
    }

    fn naive(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((w @ ('*' | '%'), rest)) => {
                naive(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(c, tail)| (*w == '*' || *c != '/') && naive(pattern, tail))
            }
            Some((p, rest)) => name
                .split_first()
                .is_some_and(|(c, tail)| c == p && naive(rest, tail)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_backtracking(pattern in "[ab/%*]{0,8}", name in "[ab/]{0,8}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(ListPattern::new(&pattern).matches(&name), naive(&chars(&pattern), &chars(&name)));
        }
    }
}
