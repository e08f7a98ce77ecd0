//! Comparators and match types (RFC 5228 §2.7, RFC 4790, RFC 5231).

use crate::glob::cut;
use crate::limits::{
    MATCHES_MAX, REGEX_BYTES_MAX, REGEX_BYTES_MIN, REGEX_BYTES_TOTAL_MAX, REGEX_CACHE_BYTES_MAX,
    REGEX_CHARS_MAX, REGEX_NESTED_MAX, REGEX_OCTET_BYTES, REGEX_OWN_BYTES, REGEX_TRIED_BYTES_MAX,
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

    pub(crate) fn folded<'a>(self, text: &'a str) -> Cow<'a, str> {
        match self {
            Self::UnicodeCasemap => Cow::Owned(mime::casemap(text)),
            // RFC 4790 §9.2.1: small letters become capitals, which orders "_" behind them.
            Self::AsciiCasemap if text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                Cow::Owned(text.to_ascii_uppercase())
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// What it takes to look at so many octets, compared with a plain look.
    pub(crate) fn weight(self) -> usize {
        match self {
            Self::UnicodeCasemap => 8,
            _ => 1,
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

    pub(crate) fn same_char(self, a: char, b: char) -> bool {
        match self {
            _ if a == b => true,
            Self::Octet | Self::AsciiNumeric => false,
            Self::AsciiCasemap => a.eq_ignore_ascii_case(&b),
            Self::UnicodeCasemap if a.is_ascii() && b.is_ascii() => a.eq_ignore_ascii_case(&b),
            Self::UnicodeCasemap => {
                let (mut x, mut y) = ([0; 4], [0; 4]);
                mime::casemap(a.encode_utf8(&mut x)) == mime::casemap(b.encode_utf8(&mut y))
            }
        }
    }
}

/// What a match found; the whole is the first (RFC 5229 §3.2).
pub(crate) type Captures = Vec<String>;

/// A compiled expression. Its time is linear in the text (CVE-2020-28200), by a factor that grows with its size.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    regex: regex::Regex,
    /// 64-octet pieces of the compiled program, about: each may be looked at for each octet of a text.
    cost: u64,
}

/// Why there is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoExpression {
    /// It is none, or too large for one.
    Wrong(String),
    /// Together with those before it is too large.
    NoRoom,
}

/// What expressions may still take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpressionRoom {
    /// Octets of those that are kept.
    pub kept: usize,
    /// Octets of all that are made.
    pub tried: usize,
}

impl ExpressionRoom {
    /// For all of a script.
    pub(crate) const SCRIPT: Self = Self {
        kept: REGEX_BYTES_TOTAL_MAX,
        tried: REGEX_TRIED_BYTES_MAX,
    };
}

impl Expression {
    /// Takes from `room` what was made to find out its size, and what it is then: the memory and the time of
    /// compiling are bounded by it, whatever comes of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(
        comparator: Comparator,
        pattern: &str,
        room: &mut ExpressionRoom,
    ) -> Result<Self, NoExpression> {
        if pattern.chars().count() > REGEX_CHARS_MAX {
            return Err(NoExpression::Wrong(format!(
                "regular expressions have at most {REGEX_CHARS_MAX} characters"
            )));
        }
        let mut size = REGEX_BYTES_MIN;
        loop {
            let taken = size + REGEX_OWN_BYTES + pattern.len() * REGEX_OCTET_BYTES;
            let left = room.tried.checked_sub(taken);
            room.tried = left.ok_or(NoExpression::NoRoom)?;
            let built = regex::RegexBuilder::new(pattern)
                .case_insensitive(comparator != Comparator::Octet)
                .size_limit(size)
                .dfa_size_limit(REGEX_CACHE_BYTES_MAX)
                .nest_limit(REGEX_NESTED_MAX)
                .build();
            match built {
                Ok(regex) => {
                    let left = room.kept.checked_sub(taken);
                    room.kept = left.ok_or(NoExpression::NoRoom)?;
                    let cost = size as u64 / 64;
                    return Ok(Self { regex, cost });
                }
                // How large it is, is told by what it fits into.
                Err(regex::Error::CompiledTooBig(_)) if size < REGEX_BYTES_MAX => size *= 4,
                Err(regex::Error::CompiledTooBig(_)) => {
                    let why = "this regular expression is too large";
                    return Err(NoExpression::Wrong(why.into()));
                }
                Err(error) => {
                    let why = error.to_string();
                    let why = why.lines().last().unwrap_or_default();
                    let why = why.trim_start_matches("error: ");
                    let why = format!("this is no regular expression: {why}");
                    return Err(NoExpression::Wrong(why));
                }
            }
        }
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What it may take to look at a text, in octets that are looked at.
    pub(crate) fn work(&self, text: &str) -> usize {
        let work = (text.len() as u64 + 1).saturating_mul(self.cost);
        usize::try_from(work).unwrap_or(usize::MAX)
    }

    /// What it found, each cut to `room` octets.
    pub(crate) fn captures(&self, text: &str, room: usize) -> Option<Captures> {
        let found = self.regex.captures(text)?;
        let group = |group: Option<regex::Match<'_>>| {
            group.map_or(String::new(), |group| cut(group.as_str(), room).to_owned())
        };
        Some(found.iter().take(MATCHES_MAX).map(group).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let room = |octets| ExpressionRoom {
            kept: octets,
            tried: 2 * octets,
        };
        let read =
            |pattern: &str| Expression::read(Comparator::AsciiCasemap, pattern, &mut room(1 << 20));
        assert!(read("(a{1000}){1000}").is_err());
        assert!(read(&"(".repeat(100)).is_err());
        assert!(read("[").is_err());
        let small = read("(x+x+)+y").expect("compiles");
        assert!(!small.is_match(&"x".repeat(100_000)));
        assert_eq!(small.captures("XXY", 9).expect("matches"), ["XXY", "XX"]);
        assert_eq!(small.captures("XXY", 1).expect("matches"), ["X", "X"]);
        // A larger one costs more.
        let large = read("\\w{2}").expect("compiles");
        assert!(large.work("text") > small.work("text"));
        let mut room = room(30_000);
        let read = |room: &mut ExpressionRoom| Expression::read(Comparator::Octet, "a", room).err();
        assert_eq!(read(&mut room), None);
        assert_eq!(read(&mut room), None);
        assert_eq!(read(&mut room), Some(NoExpression::NoRoom));
    }
}
