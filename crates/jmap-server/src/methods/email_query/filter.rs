//! Conditions as tests. RFC 8621 §4.4.1

use super::threads::Threads;
use crate::email::body::{Bodies, has_attachment};
use crate::email::keywords::flag_id;
use crate::limits::{FILTER_TEXT_BYTES_MAX, FILTER_WORDS_MAX};
use crate::look::Look;
use ::search::{Asked, Test, Texts};
use jmap_proto::{Filter, MethodError, Operator, date};
use mailbox_model::MailboxId;
use mailstore::EmailRecord;
use mime::{StoredDigest, casemap};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What a filter is made ready with.
pub(super) struct Compiling<'a> {
    pub(super) look: &'a Look,
    /// All emails that are looked at are in this mailbox, if there is one.
    pub(super) base: Option<MailboxId>,
    pub(super) texts: &'a mut Texts,
    pub(super) threads: &'a mut Threads,
}

/// Makes a filter ready. No email is looked at for that: each is, when its turn comes.
pub(super) fn compile(
    filter: Option<&Filter>,
    with: &mut Compiling<'_>,
) -> Result<Test, MethodError> {
    match filter {
        None => Ok(Test::Known(true)),
        Some(Filter::Condition(members)) => {
            let tests = members.iter();
            let tests = tests.map(|(name, value)| condition(name, value, with));
            Ok(Test::And(tests.collect::<Result<_, _>>()?))
        }
        Some(Filter::Operator(operator, filters)) => {
            let mut tests = Vec::with_capacity(filters.len());
            for filter in filters {
                tests.push(compile(Some(filter), with)?);
            }
            Ok(match operator {
                Operator::And => Test::And(tests),
                Operator::Or => any(tests),
                Operator::Not => Test::Not(Box::new(any(tests))),
            })
        }
    }
}

/// How many conditions a filter has.
pub(super) fn count(filter: &Filter) -> usize {
    let mut count = 0;
    filter.visit(&mut |members| count += members.len());
    count
}

/// The conditions that look for texts.
const TEXTS: [&str; 8] = [
    "text", "body", "subject", "from", "to", "cc", "bcc", "header",
];

/// # Errors
/// It looks for more texts than are looked for at once.
pub(crate) fn check(filter: &Filter) -> Result<(), MethodError> {
    let (mut bytes, mut found) = (0, BTreeSet::new());
    filter.visit(&mut |members| {
        for name in TEXTS {
            let texts = match members.get(name) {
                Some(Value::Array(list)) => &list[..],
                Some(text) => std::slice::from_ref(text),
                None => continue,
            };
            for text in texts.iter().filter_map(Value::as_str) {
                bytes += text.len();
                if bytes > FILTER_TEXT_BYTES_MAX {
                    return;
                }
                match name {
                    "header" => drop(found.insert(text.to_owned())),
                    _ => found.extend(words(text)),
                }
            }
        }
    });
    if bytes > FILTER_TEXT_BYTES_MAX || found.len() > FILTER_WORDS_MAX {
        let text = "it looks for too many words";
        return Err(MethodError::UnsupportedFilter(text.into()));
    }
    Ok(())
}

fn any(tests: Vec<Test>) -> Test {
    let or = |one, other| Test::Or(Box::new(one), Box::new(other));
    tests.into_iter().reduce(or).unwrap_or(Test::Known(false))
}

fn wrong(name: &str, expected: &str) -> MethodError {
    MethodError::InvalidArguments(format!("{name} is not {expected}"))
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, MethodError> {
    value.as_str().ok_or_else(|| wrong(name, "a text"))
}

fn condition(name: &str, value: &Value, with: &mut Compiling<'_>) -> Result<Test, MethodError> {
    let look = with.look;
    let number = || value.as_u64().ok_or_else(|| wrong(name, "a whole number"));
    let moment = || date::parse_utc(text(name, value)?).ok_or_else(|| wrong(name, "a UTC date"));
    let texts = &mut *with.texts;
    Ok(match name {
        "inMailbox" => match look.mailbox(text(name, value)?).map(|mailbox| mailbox.id()) {
            Some(id) if Some(id) == with.base => Test::Known(true),
            Some(id) => with_copy(look, move |mailbox| mailbox == id),
            None => Test::Known(false),
        },
        "inMailboxOtherThan" => {
            let list = value.as_array().ok_or_else(|| wrong(name, "a list"))?;
            let mut others = BTreeSet::new();
            for id in list {
                others.extend(look.mailbox(text(name, id)?).map(|mailbox| mailbox.id()));
            }
            with_copy(look, move |mailbox| !others.contains(&mailbox))
        }
        "before" => Test::Older(moment()? - 1),
        "after" => Test::Younger(moment()?),
        "minSize" => match number()?.checked_sub(1) {
            Some(less) => Test::Larger(less),
            None => Test::Known(true),
        },
        "maxSize" => Test::Smaller(number()?),
        "hasKeyword" => keyword(look, text(name, value)?, true),
        "notKeyword" => keyword(look, text(name, value)?, false),
        "allInThreadHaveKeyword" => {
            in_thread(text(name, value)?, with, |all, having| having == all)?
        }
        "someInThreadHaveKeyword" => in_thread(text(name, value)?, with, |_, having| having > 0)?,
        "noneInThreadHaveKeyword" => in_thread(text(name, value)?, with, |_, having| having == 0)?,
        "hasAttachment" => {
            let wanted = value
                .as_bool()
                .ok_or_else(|| wrong(name, "true or false"))?;
            Test::Record(attached, wanted)
        }
        "text" => all_words(text(name, value)?, |word| texts.text(word)),
        "body" => all_words(text(name, value)?, |word| texts.body(word)),
        "subject" => all_words(text(name, value)?, |word| texts.header("subject", word)),
        "from" | "to" | "cc" | "bcc" => {
            all_words(text(name, value)?, |word| texts.address(name, word))
        }
        "header" => header(value, texts)?,
        _ => return Err(MethodError::UnsupportedFilter(name.to_owned())),
    })
}

/// Emails with a copy that is shown in such a mailbox.
fn with_copy(look: &Look, holds: impl Fn(MailboxId) -> bool + Send + Sync + 'static) -> Test {
    let look = look.clone();
    Test::Asked(Asked::new(move |entry| {
        let mut copies = look.copies(entry.email);
        copies.any(|(mailbox, _)| holds(mailbox.id()))
    }))
}

fn keyword(look: &Look, keyword: &str, set: bool) -> Test {
    match flag_id(look.view(), keyword) {
        Some(id) => Test::Flag(id, set),
        // What nobody ever set is on no email.
        None => Test::Known(!set),
    }
}

/// Emails of the threads of which so many have a keyword.
fn in_thread(
    keyword: &str,
    with: &mut Compiling<'_>,
    holds: fn(u32, u32) -> bool,
) -> Result<Test, MethodError> {
    let Some(flag) = flag_id(with.look.view(), keyword) else {
        // What nobody ever set no thread has, however many emails it has.
        return Ok(Test::Known(holds(1, 0)));
    };
    let counts = with.threads.counts(flag)?;
    Ok(Test::Asked(Asked::new(move |entry| {
        let (all, having) = counts.of(entry.email);
        holds(all, having)
    })))
}

fn header(value: &Value, texts: &mut Texts) -> Result<Test, MethodError> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    let words: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    match words.as_deref() {
        Some([name]) => Ok(texts.header(name, "")),
        Some([name, text]) => Ok(texts.header(name, text)),
        _ => Err(wrong("header", "a list of one text or two")),
    }
}

fn all_words(text: &str, mut test: impl FnMut(&str) -> Test) -> Test {
    Test::And(words(text).iter().map(|word| test(word)).collect())
}

/// RFC 8621 §4.4.1: words that must all be there, and phrases in quotes.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&next) = chars.peek() {
        if next.is_whitespace() {
            chars.next();
            continue;
        }
        let quote = Some(next).filter(|c| matches!(c, '"' | '\''));
        let mut word = String::new();
        if quote.is_some() {
            chars.next();
        }
        let mut closed = false;
        while let Some(&c) = chars.peek() {
            if quote.is_none() && c.is_whitespace() {
                break;
            }
            chars.next();
            match c {
                '\\' if quote.is_some() => word.extend(chars.next()),
                c if Some(c) == quote => {
                    closed = true;
                    break;
                }
                c => word.push(c),
            }
        }
        if let (Some(quote), false) = (quote, closed) {
            // An apostrophe, or a quote that nobody closed.
            let text = format!("{quote}{word}");
            words.extend(text.split_whitespace().map(str::to_owned));
        } else if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// What a filter looks for in subjects and in bodies, each once, as texts are compared. [`check`] bounds it.
pub(crate) fn terms(filter: Option<&Filter>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut subject, mut body) = (BTreeSet::new(), BTreeSet::new());
    collect(filter, &mut |members: &Map<String, Value>| {
        for (name, value) in members {
            let found = words(value.as_str().unwrap_or_default());
            let found = found.iter().map(|word| casemap(word));
            match name.as_str() {
                "text" => {
                    body.extend(found.clone());
                    subject.extend(found);
                }
                "subject" => subject.extend(found),
                "body" => body.extend(found),
                _ => {}
            }
        }
    });
    (subject, body)
}

/// The conditions that stand below no NOT.
fn collect(filter: Option<&Filter>, f: &mut dyn FnMut(&Map<String, Value>)) {
    match filter {
        None | Some(Filter::Operator(Operator::Not, _)) => {}
        Some(Filter::Condition(members)) => f(members),
        Some(Filter::Operator(_, filters)) => filters.iter().for_each(|one| collect(Some(one), f)),
    }
}

/// As Email/get says it.
fn attached(_: &EmailRecord, digest: &StoredDigest<'_>) -> bool {
    let parts = digest.parts();
    parts.is_ok_and(|parts| has_attachment(&parts, &Bodies::of(&parts)))
}

#[cfg(test)]
mod tests {
    use super::words;
    use proptest::prelude::*;

    #[test]
    fn words_and_phrases_are_told_apart() {
        for (text, expected) in [
            ("a b", &["a", "b"][..]),
            ("  \"a b\" c'd ", &["a b", "c'd"]),
            ("'a \\' b' \"c", &["a ' b", "\"c"]),
            ("\"open phrase", &["\"open", "phrase"]),
            ("会议 通知", &["会议", "通知"]),
            ("\"\"", &[]),
            ("", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "[\"'\\\\ a]{0,20}") {
            for word in words(&text) {
                prop_assert!(!word.is_empty());
            }
        }
    }
}
