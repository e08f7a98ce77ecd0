//! Does a response satisfy an expectation? Texts are compared without regard
//! to case; a variable takes the value that it first meets.
//!
//! Lists match in order unless a directive at their start, or the place they
//! are in, says otherwise: the attributes of FETCH and STATUS are pairs in any
//! order, flags and the attributes of LIST are sets.

use super::value::Value;
use std::collections::BTreeMap;

/// What the variables stand for.
pub(super) type Variables = BTreeMap<String, Vec<u8>>;

/// An untagged response as it came.
#[derive(Debug, Clone)]
pub(super) struct Untagged {
    pub(super) values: Vec<Value>,
    /// The sequence number that the message had when the command began.
    pub(super) first_number: Option<u32>,
    /// As it was on the wire, for reports.
    pub(super) raw: Vec<u8>,
}

/// How the elements of a list are compared.
#[derive(Debug, Clone)]
struct Rule {
    /// Elements belong together by so many and come in any order; in order if 0.
    chain: usize,
    extra: bool,
    ignore: Vec<Vec<u8>>,
    ban: Vec<Vec<u8>>,
}

impl Rule {
    fn ordered() -> Self {
        Self::any_order(0, false)
    }

    fn any_order(chain: usize, extra: bool) -> Self {
        Self {
            chain,
            extra,
            ignore: Vec::new(),
            ban: Vec::new(),
        }
    }

    fn flags() -> Self {
        Self {
            ignore: vec![b"\\recent".to_vec()],
            ..Self::any_order(1, false)
        }
    }

    /// The directives at a list's start, and the elements behind them.
    fn of(list: &[Value], default: Self) -> (Self, &[Value]) {
        let count = list
            .iter()
            .take_while(|v| matches!(v, Value::Atom(text) if text.starts_with(b"$!")))
            .count();
        if count == 0 {
            return (default, list);
        }
        let mut rule = Self::ordered();
        for directive in &list[..count] {
            let text = String::from_utf8_lossy(directive.text().unwrap_or_default()).into_owned();
            let (name, argument) = text[2..].split_once('=').unwrap_or((&text[2..], ""));
            match name {
                "unordered" => {
                    rule.chain = argument.parse().unwrap_or(1);
                    rule.extra = true;
                }
                "noextra" => rule.extra = false,
                "extra" => rule.extra = true,
                "ignore" => rule.ignore.push(argument.into()),
                "ban" => rule.ban.push(argument.into()),
                _ => rule.chain = 0,
            }
        }
        (rule, &list[count..])
    }
}

/// True for what IMAP4rev2 never tells: SEARCH, RECENT and `[UNSEEN]`
/// (RFC 9051 §6.3.2, §7.3.4 and Appendix E).
pub(super) fn is_of_rev1_alone(got: &Untagged) -> bool {
    let is = |at: usize, word: &str| got.values.get(at).is_some_and(|value| value.is(word));
    let has_unseen = match got.values.get(1) {
        Some(Value::Code(code)) => code.first().is_some_and(|name| name.is("UNSEEN")),
        _ => false,
    };
    is(0, "SEARCH") || is(1, "RECENT") || has_unseen
}

/// What an ESEARCH that answers a SEARCH without RETURN says, as SEARCH would have
/// said it (RFC 9051 §6.4.4); `None` for all else.
pub(super) fn as_search(got: &Untagged) -> Option<Untagged> {
    let [first, Value::List(tag), items @ ..] = got.values.as_slice() else {
        return None;
    };
    if !first.is("ESEARCH") || !tag.first()?.is("TAG") {
        return None;
    }
    let items = match items {
        [uid, rest @ ..] if uid.is("UID") => rest,
        all => all,
    };
    let mut values = vec![Value::Atom(b"SEARCH".to_vec())];
    match items {
        [] => {}
        [all, set] if all.is("ALL") => {
            for range in std::str::from_utf8(set.text()?).ok()?.split(',') {
                let (from, to) = range.split_once(':').unwrap_or((range, range));
                let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
                // A mailbox of a script has a few messages.
                if to.abs_diff(from) > 10_000 {
                    return None;
                }
                let numbers = from.min(to)..=from.max(to);
                values.extend(numbers.map(|number| Value::Atom(number.to_string().into())));
            }
        }
        _ => return None,
    }
    Some(Untagged {
        values,
        first_number: None,
        raw: got.raw.clone(),
    })
}

/// True when `got` is what was expected; then the variables it set stay set.
pub(super) fn satisfies(expected: &[Value], got: &Untagged, variables: &mut Variables) -> bool {
    let mut trial = variables.clone();
    let matched = response(expected, got, &mut trial);
    if matched {
        *variables = trial;
    }
    matched
}

fn response(expected: &[Value], got: &Untagged, variables: &mut Variables) -> bool {
    let values = &got.values;
    let is_status = values.first().is_some_and(|first| {
        ["OK", "NO", "BAD", "BYE", "PREAUTH"]
            .iter()
            .any(|s| first.is(s))
    });
    // The text of a status, and its code, need not be expected.
    let fits = expected.len() == values.len() || (is_status && expected.len() <= values.len());
    if !fits {
        return false;
    }
    let is_fetch = values.get(1).is_some_and(|v| v.is("FETCH"));
    let is_list = values.first().is_some_and(|v| v.is("LIST") || v.is("LSUB"));
    let is_status_data = values.first().is_some_and(|v| v.is("STATUS"));
    expected
        .iter()
        .zip(values)
        .enumerate()
        .all(|(i, (want, have))| {
            if let Some(number) = first_number(want).filter(|_| i == 0) {
                return got.first_number == Some(number);
            }
            let rule = match i {
                2 if is_fetch || is_status_data => Rule::any_order(2, true),
                1 if is_list => Rule::any_order(1, true),
                _ => Rule::ordered(),
            };
            value(want, have, &rule, variables)
        })
}

/// `$3`: the message that had number 3 when the command began.
fn first_number(want: &Value) -> Option<u32> {
    let Value::Atom(text) = want else { return None };
    std::str::from_utf8(text.strip_prefix(b"$")?)
        .ok()?
        .parse()
        .ok()
}

fn value(want: &Value, have: &Value, rule: &Rule, variables: &mut Variables) -> bool {
    match (want, have) {
        (Value::Atom(any), _) if any == b"$" => true,
        (Value::List(want), Value::List(have)) => {
            let (rule, want) = Rule::of(want, rule.clone());
            list(want, have, &rule, variables)
        }
        (Value::Code(want), Value::Code(have)) => list(want, have, &Rule::ordered(), variables),
        (Value::Literal(want), have) => have.text() == Some(want),
        // NIL is not "NIL".
        (want, have) if want.is("NIL") || have.is("NIL") => want.is("NIL") && have.is("NIL"),
        (Value::Atom(want) | Value::Quoted(want), have) => {
            have.text().is_some_and(|have| text(want, have, variables))
        }
        _ => false,
    }
}

fn list(want: &[Value], have: &[Value], rule: &Rule, variables: &mut Variables) -> bool {
    if rule.chain == 0 {
        return want.len() == have.len()
            && want
                .iter()
                .zip(have)
                .all(|(want, have)| value(want, have, &Rule::ordered(), variables));
    }
    let mut left: Vec<&[Value]> = have.chunks(rule.chain).collect();
    for want in want.chunks(rule.chain) {
        let found = left.iter().position(|have| {
            let mut trial = variables.clone();
            let matched = chain(want, have, &mut trial);
            if matched {
                *variables = trial;
            }
            matched
        });
        match found {
            Some(at) => left.remove(at),
            None => return false,
        };
    }
    left.iter().all(|have| {
        let name = have.first().and_then(Value::text).unwrap_or_default();
        let is_in = |names: &[Vec<u8>]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        !is_in(&rule.ban) && (rule.extra || is_in(&rule.ignore))
    })
}

/// One element, or a name with its value.
fn chain(want: &[Value], have: &[Value], variables: &mut Variables) -> bool {
    let rule = match want.first() {
        Some(name) if name.is("FLAGS") => Rule::flags(),
        _ => Rule::ordered(),
    };
    want.len() == have.len()
        && want
            .iter()
            .zip(have)
            .all(|(want, have)| value(want, have, &rule, variables))
}

/// A text in which variables may stand; one without a value takes what is there.
fn text(want: &[u8], have: &[u8], variables: &mut Variables) -> bool {
    let (before, unset, after) = expand(want, variables);
    let Some(name) = unset else {
        return before.eq_ignore_ascii_case(have);
    };
    let fits = have.len() >= before.len() + after.len()
        && have[..before.len()].eq_ignore_ascii_case(&before)
        && have[have.len() - after.len()..].eq_ignore_ascii_case(&after);
    if fits {
        let taken = &have[before.len()..have.len() - after.len()];
        variables.insert(name, taken.to_vec());
    }
    fits
}

/// The text with values for variables: all of it, or what stands before and
/// behind the first variable that has none.
pub(super) fn expand(text: &[u8], variables: &Variables) -> (Vec<u8>, Option<String>, Vec<u8>) {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| b == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(b"$") {
            out.push(b'$');
            rest = after;
            continue;
        }
        let (name, after) = variable(rest);
        rest = after;
        match variables.get(&name) {
            Some(value) => out.extend_from_slice(value),
            None if name.is_empty() => out.push(b'$'),
            None => {
                // Only one unknown can be solved.
                let (behind, _, _) = expand(rest, variables);
                return (out, Some(name), behind);
            }
        }
    }
    out.extend_from_slice(rest);
    (out, None, Vec::new())
}

/// `name` or `{name}`, and what follows.
fn variable(text: &[u8]) -> (String, &[u8]) {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(inner) = text.strip_prefix(b"{")
        && let Some(end) = inner.iter().position(|&b| b == b'}')
    {
        return (name(&inner[..end]), &inner[end + 1..]);
    }
    let end = text
        .iter()
        .position(|b| !b.is_ascii_alphanumeric() && *b != b'_')
        .unwrap_or(text.len());
    (name(&text[..end]), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::super::value::{expectation, response as parse};
    use super::*;

    fn check(expected: &str, wire: &str, variables: &mut Variables) -> bool {
        let got = Untagged {
            values: parse(wire.as_bytes()),
            first_number: Some(7),
            raw: Vec::new(),
        };
        satisfies(&expectation(expected.as_bytes()), &got, variables)
    }

    #[test]
    fn lists_match_by_the_place_they_are_in() {
        let mut none = Variables::new();
        for (expected, wire, matched) in [
            ("1 fetch (uid 4)", "1 FETCH (FLAGS () UID 4)", true),
            (
                "1 fetch (flags (\\seen))",
                "1 FETCH (FLAGS (\\Recent \\Seen))",
                true,
            ),
            (
                "1 fetch (flags (\\seen))",
                "1 FETCH (FLAGS (\\Seen x))",
                false,
            ),
            ("$7 expunge", "3 EXPUNGE", true),
            ("$3 expunge", "3 EXPUNGE", false),
            ("search 1 2", "SEARCH 1 2 3", false),
            ("list (\\a) \"/\" x", "LIST (\\B \\A) \"/\" \"X\"", true),
            (
                "list ($!unordered $!ban=\\b) \"/\" x",
                "LIST (\\B \\A) \"/\" x",
                false,
            ),
            ("ok [uidnext 3]", "OK [UIDNEXT 3] text", true),
            ("ok [uidnext 3]", "OK text", false),
            ("bye", "BYE text", true),
            ("1 fetch (x (NIL))", "1 FETCH (X (\"NIL\"))", false),
            ("1 fetch (x $)", "1 FETCH (X (1 2))", true),
        ] {
            assert_eq!(
                check(expected, wire, &mut none),
                matched,
                "{expected} / {wire}"
            );
        }
        assert!(none.is_empty());
    }

    #[test]
    fn an_esearch_is_read_as_a_search_and_what_rev2_has_not_is_known() {
        let got = |wire: &str| Untagged {
            values: parse(wire.as_bytes()),
            first_number: None,
            raw: Vec::new(),
        };
        for (wire, search) in [
            ("ESEARCH (TAG \"a\") ALL 1:3,7", Some("search 1 2 3 7")),
            ("ESEARCH (TAG \"a\") UID ALL 9", Some("search 9")),
            ("ESEARCH (TAG \"a\") UID", Some("search")),
            ("ESEARCH (TAG \"a\") COUNT 3", None),
            ("ESEARCH ALL 1", None),
            ("SEARCH 1", None),
        ] {
            let search = search.map(|text| parse(text.to_uppercase().as_bytes()));
            assert_eq!(
                as_search(&got(wire)).map(|got| got.values),
                search,
                "{wire}"
            );
        }
        for wire in ["SEARCH", "3 RECENT", "OK [UNSEEN 3] text"] {
            assert!(is_of_rev1_alone(&got(wire)), "{wire}");
        }
        for wire in [
            "ESEARCH (TAG \"a\")",
            "STATUS x (RECENT 0 UNSEEN 3)",
            "OK [UIDNEXT 3] UNSEEN",
        ] {
            assert!(!is_of_rev1_alone(&got(wire)), "{wire}");
        }
    }

    #[test]
    fn variables_take_what_they_meet_and_keep_it() {
        let mut variables = Variables::new();
        assert!(check(
            "1 fetch (uid $uid1)",
            "1 FETCH (UID 12)",
            &mut variables
        ));
        assert!(check(
            "esearch all $uid1:$b,$$x",
            "ESEARCH ALL 12:15,$x",
            &mut variables
        ));
        assert_eq!(variables.get("b").map(Vec::as_slice), Some(&b"15"[..]));
        assert!(!check(
            "1 fetch (uid $uid1)",
            "1 FETCH (UID 13)",
            &mut variables
        ));
        // What did not match sets nothing.
        assert!(!check(
            "2 fetch (uid $c)",
            "1 FETCH (UID 13)",
            &mut variables
        ));
        assert!(!variables.contains_key("c"));
    }
}
