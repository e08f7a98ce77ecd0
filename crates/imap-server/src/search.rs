//! Makes tests of search keys (RFC 9051 §6.4.4); `search` evaluates them.

pub(crate) use ::search::{Candidate, Comparator, Query};

use crate::selected::Selected;
use ::search::{Relation, Test, Texts};
use imap_proto::{SearchKey, SequenceSet};
use mailbox_model::{EmailId, Flag, Threads, Uid, UidSet, View};
use mailstore::object_id;
use runtime::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What is made ready beside the tests.
struct Ready<'a> {
    texts: Texts,
    /// Where a key asks for them.
    threads: Option<&'a Threads>,
    /// The emails of those that were asked for: each once, however often it is.
    emails_of: HashMap<EmailId, Arc<HashSet<EmailId>>>,
    /// Below FUZZY.
    is_fuzzy: bool,
}

/// Makes a key ready for a mailbox.
pub(crate) fn query_of(
    key: SearchKey,
    selected: &Selected,
    view: &View,
    now: Timestamp,
    comparator: Comparator,
    threads: Option<&Threads>,
) -> Query {
    let mut ready = Ready {
        texts: Texts::new(comparator),
        threads,
        emails_of: HashMap::new(),
        is_fuzzy: false,
    };
    let test = compile(key, selected, view, now, &mut ready);
    Query::new(test, ready.texts)
}

fn compile(
    key: SearchKey,
    selected: &Selected,
    view: &View,
    now: Timestamp,
    ready: &mut Ready<'_>,
) -> Test {
    let mut sub = |key| compile(key, selected, view, now, ready);
    let ago = |seconds: u32| {
        let now = i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX);
        now.saturating_sub(i64::from(seconds))
    };
    match key {
        SearchKey::All | SearchKey::SaveDateSupported => Test::Known(true),
        // Stored searches are in the place of their names by now.
        SearchKey::Nothing | SearchKey::Filter(_) => Test::Known(false),
        SearchKey::And(keys) => Test::And(keys.into_iter().map(sub).collect()),
        SearchKey::Or(a, b) => Test::Or(Box::new(sub(*a)), Box::new(sub(*b))),
        SearchKey::Not(key) => Test::Not(Box::new(sub(*key))),
        SearchKey::Sequence(SequenceSet::Saved) | SearchKey::Uid(SequenceSet::Saved) => {
            Test::Uid(selected.saved.clone())
        }
        // A number that is not there matches nothing; `*` is the last.
        SearchKey::Sequence(set) => Test::Number(set.resolve(selected.len())),
        SearchKey::Uid(set) => {
            let last = selected.entries().last().map_or(0, |entry| entry.uid.0);
            let ranges = set.resolve(last).into_iter();
            Test::Uid(UidSet::from_ranges(ranges.map(|(a, b)| (Uid(a), Uid(b)))))
        }
        SearchKey::Flag(flag, set) => {
            let id = Flag::parse(flag.as_str()).and_then(|flag| view.flag_id(&flag));
            // A keyword that nobody ever set is on no message.
            id.map_or(Test::Known(!set), |id| Test::Flag(id, set))
        }
        SearchKey::Fuzzy(key) => {
            let above = std::mem::replace(&mut ready.is_fuzzy, true);
            let test = compile(*key, selected, view, now, ready);
            ready.is_fuzzy = above;
            test
        }
        SearchKey::Address(name, text) | SearchKey::Header(name, text)
            if ready.is_fuzzy && !text.is_empty() =>
        {
            ready.texts.fuzzy_header(&name, &text)
        }
        SearchKey::Address(name, text) => ready.texts.address(&name, &text),
        SearchKey::Header(name, text) => ready.texts.header(&name, &text),
        SearchKey::Body(text) if ready.is_fuzzy => ready.texts.fuzzy_text(&text, false),
        SearchKey::Text(text) if ready.is_fuzzy => ready.texts.fuzzy_text(&text, true),
        SearchKey::Body(text) => ready.texts.body(&text),
        SearchKey::Text(text) => ready.texts.text(&text),
        SearchKey::Before(day) => Test::Received(Relation::Before, day),
        SearchKey::On(day) => Test::Received(Relation::On, day),
        SearchKey::Since(day) => Test::Received(Relation::Since, day),
        SearchKey::SentBefore(day) => Test::Sent(Relation::Before, day),
        SearchKey::SentOn(day) => Test::Sent(Relation::On, day),
        SearchKey::SentSince(day) => Test::Sent(Relation::Since, day),
        SearchKey::SavedBefore(day) => Test::Saved(Relation::Before, day),
        SearchKey::SavedOn(day) => Test::Saved(Relation::On, day),
        SearchKey::SavedSince(day) => Test::Saved(Relation::Since, day),
        SearchKey::Larger(size) => Test::Larger(size),
        SearchKey::Smaller(size) => Test::Smaller(size),
        SearchKey::Older(seconds) => Test::Older(ago(seconds)),
        SearchKey::Younger(seconds) => Test::Younger(ago(seconds)),
        SearchKey::EmailId(id) => match object_id::email_of(&id, selected.owner()) {
            Some(email) => Test::Email(email),
            None => Test::Known(false),
        },
        SearchKey::ThreadId(id) => {
            let first = object_id::thread_of(&id, selected.owner());
            match first.zip(ready.threads) {
                Some((first, threads)) => {
                    let emails = ready.emails_of.entry(first);
                    let emails = emails
                        .or_insert_with(|| threads.emails(first).collect::<HashSet<_>>().into());
                    Test::Among(Arc::clone(emails))
                }
                None => Test::Known(false),
            }
        }
        SearchKey::ModSeq(modseq) => Test::ModSeq(modseq),
    }
}
