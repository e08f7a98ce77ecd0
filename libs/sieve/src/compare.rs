//! Comparators and match types (RFC 5228 §2.7, RFC 4790, RFC 5231).

use crate::glob::cut;
use crate::limits::{
    MATCHES_MAX, REGEX_AUTOMATON_BYTES_MAX, REGEX_BYTES_MAX, REGEX_CACHE_BYTES_MAX,
    REGEX_CHARS_MAX, REGEX_NESTED_MAX, REGEX_OCTET_BYTES, REGEX_OWN_BYTES, REGEX_TABLES_BYTES_MAX,
};
use core::cmp::Ordering;
use regex_automata::Span;
use regex_automata::hybrid::dfa;
use regex_automata::nfa::thompson::{self, NFA, pikevm::PikeVM};
use regex_automata::util::syntax;
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
///
/// Texts are walked over by an automaton that is made while it walks, which takes little for each octet; where that
/// would become too large, and for what the groups have found, all of the program looks at each octet.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    /// None for a large program.
    automaton: Option<dfa::DFA>,
    program: PikeVM,
    /// What the program may take for one octet, in octets that are looked at.
    cost: usize,
    /// Octets of what it needs while it looks.
    tables: usize,
}

/// Why there is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoExpression {
    /// It is none, or too large for one.
    Wrong(String),
    /// Together with those before it is too large.
    NoRoom,
}

impl Expression {
    /// Takes from `room` what it takes in memory, or what was made until it was too large: the memory and the time of
    /// compiling are bounded by it, whatever comes of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(
        comparator: Comparator,
        pattern: &str,
        room: &mut usize,
    ) -> Result<Self, NoExpression> {
        if pattern.chars().count() > REGEX_CHARS_MAX {
            return Err(NoExpression::Wrong(format!(
                "regular expressions have at most {REGEX_CHARS_MAX} characters"
            )));
        }
        let own = REGEX_OWN_BYTES + pattern.len() * REGEX_OCTET_BYTES;
        let left = room.checked_sub(own).ok_or(NoExpression::NoRoom)?;
        *room = left;
        let syntax = syntax::Config::new()
            .case_insensitive(comparator != Comparator::Octet)
            .nest_limit(REGEX_NESTED_MAX);
        let read = syntax::parse_with(pattern, &syntax).map_err(|error| wrong(&error))?;
        let limit = REGEX_BYTES_MAX.min(left);
        let config = thompson::Config::new().nfa_size_limit(Some(limit));
        let built = NFA::compiler().configure(config).build_from_hir(&read);
        let nfa = match built {
            Ok(nfa) => nfa,
            Err(error) => {
                *room = left - limit;
                return Err(match error.size_limit() {
                    Some(_) if limit < REGEX_BYTES_MAX => NoExpression::NoRoom,
                    Some(_) => too_large(),
                    None => wrong(&error),
                });
            }
        };
        let size = nfa.memory_usage();
        *room = left.checked_sub(size).ok_or(NoExpression::NoRoom)?;
        let groups = nfa.group_info().slot_len() + 1;
        let tables = nfa.states().len() * groups * size_of::<usize>();
        if tables > REGEX_TABLES_BYTES_MAX {
            return Err(too_large());
        }
        let config = dfa::Config::new()
            .cache_capacity(REGEX_CACHE_BYTES_MAX)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(0))
            .unicode_word_boundary(true);
        let automaton = dfa::DFA::builder()
            .configure(config)
            .build_from_nfa(nfa.clone());
        let automaton = automaton.ok().filter(|_| size <= REGEX_AUTOMATON_BYTES_MAX);
        let program = PikeVM::new_from_nfa(nfa).map_err(|error| wrong(&error))?;
        Ok(Self {
            automaton,
            program,
            cost: (size / 16).max(64),
            tables,
        })
    }

    /// Does all of the program find it?
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.program
            .is_match(&mut self.program.create_cache(), text)
    }

    /// What it may take the program to look at a text, in octets that are looked at.
    pub(crate) fn work(&self, text: &str) -> usize {
        let work = (text.len() + 1).saturating_mul(self.cost);
        work.saturating_add(self.tables / 16)
    }

    /// What it found, each cut to `room` octets.
    pub(crate) fn captures(&self, text: &str, room: usize) -> Option<Captures> {
        let mut found = self.program.create_captures();
        let cache = &mut self.program.create_cache();
        self.program.captures(cache, text, &mut found);
        if !found.is_match() {
            return None;
        }
        let group = |group: Option<Span>| {
            group.map_or(String::new(), |group| {
                cut(&text[group.range()], room).to_owned()
            })
        };
        Some(found.iter().take(MATCHES_MAX).map(group).collect())
    }
}

fn wrong(error: &impl core::fmt::Display) -> NoExpression {
    let why = error.to_string();
    let why = why.lines().last().unwrap_or_default();
    let why = why.trim_start_matches("error: ");
    NoExpression::Wrong(format!("this is no regular expression: {why}"))
}

fn too_large() -> NoExpression {
    NoExpression::Wrong("this regular expression is too large".into())
}

/// An expression that looks at one text after another.
pub(crate) struct Search<'e> {
    expression: &'e Expression,
    automaton: Option<(&'e dfa::DFA, dfa::Cache)>,
    /// Octets of the automaton before it had states.
    empty: usize,
    /// States' successors that were paid for.
    paid: usize,
}

impl<'e> Search<'e> {
    pub(crate) fn new(expression: &'e Expression) -> Self {
        let automaton = expression.automaton.as_ref();
        let automaton = automaton.map(|one| (one, one.create_cache()));
        let empty = automaton.as_ref();
        let empty = empty.map_or(0, |(_, cache)| cache.memory_usage());
        Self {
            expression,
            automaton,
            empty,
            paid: 0,
        }
    }

    pub(crate) fn expression(&self) -> &'e Expression {
        self.expression
    }

    /// Does the automaton find it, if it can tell, and what that took besides a look at the text.
    pub(crate) fn look(&mut self, text: &str) -> (Option<bool>, usize) {
        let Some((automaton, cache)) = &mut self.automaton else {
            return (None, 0);
        };
        let input = regex_automata::Input::new(text).earliest(true);
        let found = automaton.try_search_fwd(cache, &input);
        // Each successor is found once, and takes what the program takes for an octet.
        let successors = (cache.memory_usage().saturating_sub(self.empty)) / 4;
        let new = successors.saturating_sub(self.paid).min(text.len() + 2);
        self.paid += new;
        let work = new.saturating_mul(self.expression.cost);
        match found {
            Ok(found) => (Some(found.is_some()), work),
            Err(_) => {
                // It has become too large, or does not know these letters.
                self.automaton = None;
                (None, work)
            }
        }
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
        let read =
            |pattern: &str| Expression::read(Comparator::AsciiCasemap, pattern, &mut (1 << 20));
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
        let mut room = 10_000;
        let read = |room: &mut usize| Expression::read(Comparator::Octet, "a", room).err();
        assert_eq!(read(&mut room), None);
        assert_eq!(read(&mut room), None);
        assert_eq!(read(&mut room), Some(NoExpression::NoRoom));
    }

    #[test]
    fn the_automaton_says_what_the_program_says() {
        let patterns = [
            "^\\[[a-z]+\\] x",
            "a.c$",
            "\\bword\\b",
            "(a|b)*a(a|b){12}c",
            "\\w+\\d",
            "",
            "é+",
            "[^a]b",
        ];
        let texts = [
            "",
            "[list] x",
            "abc",
            "a word.",
            "é word é",
            "wörter9",
            &"abba".repeat(5_000),
            "xb",
            "ab",
            "A\nC",
        ];
        let mut told = 0;
        for pattern in patterns {
            let read = Expression::read(Comparator::AsciiCasemap, pattern, &mut (1 << 20));
            let read = read.expect("an expression");
            let mut search = Search::new(&read);
            for text in texts {
                if let (Some(found), _) = search.look(text) {
                    assert_eq!(found, read.is_match(text), "{pattern} {text:.80}");
                    told += 1;
                }
                assert_eq!(read.captures(text, 9).is_some(), read.is_match(text));
            }
        }
        assert!(told > 60, "{told}");
        // What would become too large ends, and is paid for.
        let read = Expression::read(Comparator::Octet, "(a|b)*a(a|b){14}c", &mut (1 << 20));
        let read = read.expect("an expression");
        let mut state = 1_u32;
        let random: String = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if state >> 31 == 0 { 'a' } else { 'b' }
            })
            .collect();
        let (found, work) = Search::new(&read).look(&random);
        assert!(found.is_none() && work > 1_000 * 64, "{work}");
    }
}
