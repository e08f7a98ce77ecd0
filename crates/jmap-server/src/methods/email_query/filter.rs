//! Conditions as tests. RFC 8621 §4.4.1

use crate::blob_id::BlobRef;
use crate::email::body::{Bodies, has_attachment};
use crate::email::keywords::flag_id;
use crate::email::message::{Memory, Message};
use crate::limits::WORDS_MAX;
use crate::look::Look;
use ::search::{Test, Texts};
use jmap_proto::{Filter, MethodError, Operator, date};
use mailbox_model::{EmailId, MailboxId};
use mailstore::EmailRecord;
use mime::StoredDigest;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Makes a filter ready; all emails that are looked at are in `base`, if there is one.
pub(crate) fn compile(
    look: &Look,
    filter: Option<&Filter>,
    base: Option<MailboxId>,
    texts: &mut Texts,
) -> Result<Test, MethodError> {
    match filter {
        None => Ok(Test::Known(true)),
        Some(Filter::Condition(members)) => {
            let tests = members.iter();
            let tests = tests.map(|(name, value)| condition(look, name, value, base, texts));
            Ok(Test::And(tests.collect::<Result<_, _>>()?))
        }
        Some(Filter::Operator(operator, filters)) => {
            let mut tests = Vec::with_capacity(filters.len());
            for filter in filters {
                tests.push(compile(look, Some(filter), base, texts)?);
            }
            Ok(match operator {
                Operator::And => Test::And(tests),
                Operator::Or => any(tests),
                Operator::Not => Test::Not(Box::new(any(tests))),
            })
        }
    }
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

fn condition(
    look: &Look,
    name: &str,
    value: &Value,
    base: Option<MailboxId>,
    texts: &mut Texts,
) -> Result<Test, MethodError> {
    let number = || value.as_u64().ok_or_else(|| wrong(name, "a whole number"));
    let moment = || date::parse_utc(text(name, value)?).ok_or_else(|| wrong(name, "a UTC date"));
    Ok(match name {
        "inMailbox" => match look.mailbox(text(name, value)?) {
            Some(mailbox) if Some(mailbox.id()) == base => Test::Known(true),
            Some(mailbox) => {
                let shown = mailbox.entries().iter().filter(|entry| !entry.deleted);
                among(shown.map(|entry| entry.email))
            }
            None => Test::Known(false),
        },
        "inMailboxOtherThan" => {
            let list = value.as_array().ok_or_else(|| wrong(name, "a list"))?;
            let ids = list
                .iter()
                .map(|id| text(name, id))
                .collect::<Result<Vec<_>, _>>()?;
            let others: HashSet<_> = ids
                .into_iter()
                .filter_map(|id| look.mailbox(id))
                .map(|m| m.id())
                .collect();
            let shown = look.emails().map(|(email, _)| email);
            among(shown.filter(|email| {
                let mut copies = look.copies(*email);
                copies.any(|(mailbox, _)| !others.contains(&mailbox.id()))
            }))
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
            in_thread(look, text(name, value)?, |all, having| having == all)
        }
        "someInThreadHaveKeyword" => in_thread(look, text(name, value)?, |_, having| having > 0),
        "noneInThreadHaveKeyword" => in_thread(look, text(name, value)?, |_, having| having == 0),
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

fn among(emails: impl Iterator<Item = EmailId>) -> Test {
    Test::Among(Arc::new(emails.collect()))
}

fn keyword(look: &Look, keyword: &str, set: bool) -> Test {
    match flag_id(look.view(), keyword) {
        Some(id) => Test::Flag(id, set),
        // What nobody ever set is on no email.
        None => Test::Known(!set),
    }
}

/// Emails of the threads of which so many have a keyword.
fn in_thread(look: &Look, keyword: &str, holds: fn(u32, u32) -> bool) -> Test {
    let counts = count_in_threads(look, keyword);
    let good = |email: &EmailId| {
        let (all, having) = counts
            .get(&look.thread_of(*email))
            .copied()
            .unwrap_or_default();
        holds(all, having)
    };
    among(look.emails().map(|(email, _)| email).filter(good))
}

/// Of each thread how many emails are shown, and how many of them have a keyword.
pub(super) fn count_in_threads(look: &Look, keyword: &str) -> HashMap<EmailId, (u32, u32)> {
    let id = flag_id(look.view(), keyword);
    let mut counts: HashMap<EmailId, (u32, u32)> = HashMap::new();
    for (email, entry) in look.emails() {
        let (all, having) = counts.entry(look.thread_of(email)).or_default();
        *all += 1;
        *having += u32::from(id.is_some_and(|id| entry.has(id)));
    }
    counts
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
    words.truncate(WORDS_MAX);
    words
}

/// What a filter looks for in subjects and in bodies.
pub(crate) fn terms(filter: Option<&Filter>) -> (Vec<String>, Vec<String>) {
    let (mut subject, mut body) = (Vec::new(), Vec::new());
    collect(filter, &mut |members: &Map<String, Value>| {
        for (name, value) in members {
            let found = words(value.as_str().unwrap_or_default());
            match name.as_str() {
                "text" => {
                    subject.extend(found.iter().cloned());
                    body.extend(found);
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
fn attached(record: &EmailRecord, _: &StoredDigest<'_>) -> bool {
    let source = Memory(&[]);
    // Nothing of the message is read for that.
    let blob = BlobRef::email(EmailId(0));
    let damaged = |error| mailstore::RecordError::Damaged(EmailId(0), error);
    let message = Message::stored(blob, record, &source, damaged);
    message.is_ok_and(|message| has_attachment(&message, &Bodies::of(&message)))
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
