//! Comparators and match types (RFC 5228 §2.7, RFC 4790, RFC 5231).

use crate::limits::{
    MATCHES_MAX, REGEX_BYTES_MAX, REGEX_BYTES_MIN, REGEX_CHARS_MAX, REGEX_NESTED_MAX,
};
use core::cmp::Ordering;
use std::borrow::Cow;

/// How strings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Comparator {
    Octet,
    // RFC 5228 §2.7.3: the default.
    #[default]
    AsciiCasemap,
    AsciiNumeric,
    UnicodeCasemap,
}

/// What a relational match asks (RFC 5231 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MatchType {
    #[default]
    Is,
    Contains,
    Matches,
    Regex,
    Value(Relation),
    Count(Relation),
    List,
}

/// How a test compares; see [`crate::HostCall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Matcher {
    pub(crate) comparator: Comparator,
    pub(crate) kind: MatchType,
}

impl Relation {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "gt" => Self::Gt,
            "ge" => Self::Ge,
            "lt" => Self::Lt,
            "le" => Self::Le,
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            _ => return None,
        })
    }

    pub(crate) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
        }
    }
}

/// A string as `i;ascii-numeric` sees it: its leading digits, or infinity (RFC 4790 §9.1.1).
fn number(text: &str) -> Option<&str> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit());
    let digits = &text[..end.unwrap_or(text.len())];
    (!digits.is_empty()).then(|| digits.trim_start_matches('0'))
}

impl Comparator {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "i;octet" => Self::Octet,
            "i;ascii-casemap" => Self::AsciiCasemap,
            "i;ascii-numeric" => Self::AsciiNumeric,
            "i;unicode-casemap" => Self::UnicodeCasemap,
            _ => return None,
        })
    }

    fn folded<'a>(self, text: &'a str) -> Cow<'a, str> {
        match self {
            Self::UnicodeCasemap => Cow::Owned(mime::casemap(text)),
            // RFC 4790 §9.2.1: small letters become capitals, which orders "_" behind them.
            Self::AsciiCasemap if text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                Cow::Owned(text.to_ascii_uppercase())
            }
            _ => Cow::Borrowed(text),
        }
    }

    pub(crate) fn order(self, a: &str, b: &str) -> Ordering {
        if self != Self::AsciiNumeric {
            return self.folded(a).cmp(&self.folded(b));
        }
        match (number(a), number(b)) {
            (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }

    pub(crate) fn same(self, a: &str, b: &str) -> bool {
        match self {
            Self::Octet => a == b,
            Self::AsciiCasemap => a.eq_ignore_ascii_case(b),
            _ => self.order(a, b).is_eq(),
        }
    }

    pub(crate) fn contains(self, text: &str, part: &str) -> bool {
        let (text, part) = (self.folded(text), self.folded(part));
        memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some()
    }

    fn same_char(self, a: char, b: char) -> bool {
        match self {
            _ if a == b => true,
            Self::Octet | Self::AsciiNumeric => false,
            Self::AsciiCasemap => a.eq_ignore_ascii_case(&b),
            Self::UnicodeCasemap => {
                let (mut x, mut y) = ([0; 4], [0; 4]);
                mime::casemap(a.encode_utf8(&mut x)) == mime::casemap(b.encode_utf8(&mut y))
            }
        }
    }
}

/// What stood in the places of `*` and `?`; the whole is the first (RFC 5229 §3.2).
pub(crate) type Captures = Vec<String>;

/// A pattern of `:matches`, cut into its places.
enum Glob {
    Char(char),
    One,
    Many,
}

fn glob(pattern: &str) -> Vec<Glob> {
    let mut out = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Glob::Many,
            '?' => Glob::One,
            // RFC 5228 §2.7.1: a backslash takes the meaning from what follows.
            '\\' => Glob::Char(chars.next().unwrap_or('\\')),
            c => Glob::Char(c),
        });
    }
    out
}

/// Does `text` match `pattern`? `steps` counts what it took; more than are left is an end without an answer.
///
/// Each `*` takes as little as it may (RFC 5229 §3.2), and only the last that was met is ever made to take more, so the
/// time is the product of the lengths at most.
pub(crate) fn matches(
    comparator: Comparator,
    text: &str,
    pattern: &str,
    steps: &mut u64,
) -> Result<Option<Captures>, OutOfSteps> {
    let pattern = glob(pattern);
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let offset = |at: usize| chars.get(at).map_or(text.len(), |(offset, _)| *offset);
    // Where each place's piece begins and ends, in characters.
    let mut places: Vec<(usize, usize)> = Vec::new();
    let (mut at, mut in_pattern) = (0, 0);
    // The last `*`: its place, the pattern behind it, how far it reaches.
    let mut last: Option<(usize, usize, usize)> = None;
    loop {
        *steps = steps.checked_sub(1).ok_or(OutOfSteps)?;
        let fits = match pattern.get(in_pattern) {
            Some(Glob::Many) => {
                places.push((at, at));
                last = Some((places.len() - 1, in_pattern + 1, at));
                in_pattern += 1;
                continue;
            }
            Some(Glob::One) if at < chars.len() => {
                places.push((at, at + 1));
                true
            }
            Some(Glob::Char(c)) if at < chars.len() => comparator.same_char(*c, chars[at].1),
            None if at == chars.len() => break,
            _ => false,
        };
        if fits {
            at += 1;
            in_pattern += 1;
            continue;
        }
        let Some((place, behind, reach)) = &mut last else {
            return Ok(None);
        };
        if *reach >= chars.len() {
            return Ok(None);
        }
        // A `*` at the end takes all there is at once.
        *reach = if *behind == pattern.len() {
            chars.len()
        } else {
            *reach + 1
        };
        places.truncate(*place + 1);
        places[*place].1 = *reach;
        (at, in_pattern) = (*reach, *behind);
    }
    let mut found = vec![text.to_owned()];
    for (from, to) in places.into_iter().take(MATCHES_MAX - 1) {
        found.push(text[offset(from)..offset(to)].to_owned());
    }
    Ok(Some(found))
}

/// There were fewer steps left than it takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfSteps;

/// A compiled expression. Its time is linear in the text (CVE-2020-28200), by a factor that grows with its size.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    regex: regex::Regex,
    /// 64-octet pieces of the compiled program, about: each may be looked at for each octet of a text.
    cost: u64,
}

impl Expression {
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(comparator: Comparator, pattern: &str) -> Result<Self, String> {
        if pattern.chars().count() > REGEX_CHARS_MAX {
            return Err(format!(
                "regular expressions have at most {REGEX_CHARS_MAX} characters"
            ));
        }
        let mut size = REGEX_BYTES_MIN;
        loop {
            let built = regex::RegexBuilder::new(pattern)
                .case_insensitive(comparator != Comparator::Octet)
                .size_limit(size)
                .dfa_size_limit(REGEX_BYTES_MAX)
                .nest_limit(REGEX_NESTED_MAX)
                .build();
            match built {
                Ok(regex) => {
                    let cost = size as u64 / 64;
                    return Ok(Self { regex, cost });
                }
                // How large it is, is told by what it fits into.
                Err(regex::Error::CompiledTooBig(_)) if size < REGEX_BYTES_MAX => size *= 4,
                Err(regex::Error::CompiledTooBig(_)) => {
                    return Err("this regular expression is too large".into());
                }
                Err(error) => {
                    let why = error.to_string();
                    let why = why.lines().last().unwrap_or_default();
                    let why = why.trim_start_matches("error: ");
                    return Err(format!("this is no regular expression: {why}"));
                }
            }
        }
    }

    /// What it may take to look at a text, in octets that are looked at.
    pub(crate) fn work(&self, text: &str) -> usize {
        let work = (text.len() as u64 + 1).saturating_mul(self.cost);
        usize::try_from(work).unwrap_or(usize::MAX)
    }

    pub(crate) fn captures(&self, text: &str) -> Option<Captures> {
        let found = self.regex.captures(text)?;
        let group = |group: Option<regex::Match<'_>>| {
            group.map_or(String::new(), |group| group.as_str().to_owned())
        };
        Some(found.iter().take(MATCHES_MAX).map(group).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str, pattern: &str) -> Option<Vec<String>> {
        matches(Comparator::AsciiCasemap, text, pattern, &mut 100_000).expect("enough steps")
    }

    #[test]
    fn patterns_take_as_little_as_they_may() {
        // RFC 5229 §3.2: its example.
        let captures = found("[acme-users] [fwd] version 1.0 is out", "[*] *").expect("matches");
        assert_eq!(captures[1..], ["acme-users", "[fwd] version 1.0 is out"]);
        let captures = found("frop-x", "??*-?").expect("matches");
        assert_eq!(captures[1..], ["f", "r", "op", "x"]);
        assert_eq!(found("aab", "*b").expect("matches")[1..], ["aa"]);
        assert_eq!(found("b*b", "\\b\\*b").expect("matches").len(), 1);
        assert_eq!(found("", "*").expect("matches")[1..], [""]);
        assert!(found("", "?").is_none());
        assert!(found("abc", "abcd").is_none());
        assert_eq!(found("é", "?").expect("matches")[1..], ["é"]);
        assert!(
            matches(Comparator::UnicodeCasemap, "ÉA", "é?", &mut 100)
                .expect("steps")
                .is_some()
        );
    }

    #[test]
    fn patterns_end_when_their_steps_do() {
        let text = "a".repeat(10_000);
        let pattern = format!("{}b", "a*".repeat(100));
        assert_eq!(
            matches(Comparator::Octet, &text, &pattern, &mut 5_000),
            Err(OutOfSteps)
        );
    }

    #[test]
    fn numbers_are_their_digits_and_all_else_is_infinite() {
        let order = |a: &str, b: &str| Comparator::AsciiNumeric.order(a, b);
        assert!(order("9", "10").is_lt());
        assert!(order("0010x", "10").is_eq());
        assert!(order("", "18446744073709551617000").is_gt());
        assert!(order("x", "y").is_eq());
        assert!(order("0", "00").is_eq());
    }

    #[test]
    fn comparators_fold_what_their_rfc_says() {
        assert!(!Comparator::Octet.same("a", "A"));
        assert!(Comparator::AsciiCasemap.same("aé", "Aé"));
        assert!(!Comparator::AsciiCasemap.same("é", "É"));
        assert!(Comparator::UnicodeCasemap.contains("Straße ÉTÉ", "été"));
        // RFC 4790 §9.2.1: "a" is "A", which is before "_".
        assert!(Comparator::AsciiCasemap.order("a", "_").is_lt());
        assert!(Comparator::Octet.order("a", "_").is_gt());
    }

    #[test]
    fn expressions_are_bounded() {
        let read = |pattern: &str| Expression::read(Comparator::AsciiCasemap, pattern);
        assert!(read("(a{1000}){1000}").is_err());
        assert!(read(&"(".repeat(100)).is_err());
        assert!(read("[").is_err());
        let small = read("(x+x+)+y").expect("compiles");
        assert!(small.captures(&"x".repeat(100_000)).is_none());
        assert_eq!(small.captures("XXY").expect("matches"), ["XXY", "XX"]);
        // A larger one costs more.
        let large = read("\\w{2}").expect("compiles");
        assert!(large.work("text") > small.work("text"));
    }

    proptest! {
        #[test]
        fn matches_agrees_with_a_regular_expression(text in "[ab]{0,8}", pattern in "[ab*?]{0,6}") {
            let part = |c: char| match c { '*' => "(.*?)".to_owned(), '?' => "(.)".to_owned(), c => c.to_string() };
            let anchored: String = pattern.chars().map(part).collect();
            let regex = regex::Regex::new(&format!("^{anchored}$")).expect("an expression");
            let captures = regex.captures(&text);
            let expected = captures.map(|found| found.iter().map(|group| group.map_or(String::new(), |group| group.as_str().into())).collect());
            prop_assert_eq!(found(&text, &pattern), expected);
        }
    }
}
