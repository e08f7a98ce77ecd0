//! Searches whose results are kept up to date (CONTEXT=SEARCH, CONTEXT=SORT: RFC 5267).
//!
//! Only messages that changed or came are looked at again, when their change is told; what is
//! expunged leaves a result before its EXPUNGE, so that the numbers are still right. A result of
//! SEARCH is in the mailbox's order: its places are 0. One of SORT has places, and what its
//! messages are compared by is kept.
//!
//! Invariants: a session keeps [`CONTEXTS_MAX`] at most; they go with the selection.

use crate::commands::search::{Candidate, find_among};
use crate::commands::sort::{Sorted, compare, with_keys};
use crate::limits::{CONTEXT_SORTED_MAX, CONTEXTS_MAX};
use crate::reply::{Ended, Reply};
use crate::selected::{Differences, Selected};
use crate::session::Session;
use imap_proto::response::{self, Code, Status};
use imap_proto::sequence::write_numbers;
use imap_proto::{SearchKey, SortCriterion, Tag};
use mailbox_model::Uid;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A search that is kept up to date.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    tag: Tag,
    uid: bool,
    key: SearchKey,
    results: Results,
}

/// What it has found by now.
#[derive(Debug, Clone)]
pub(crate) enum Results {
    /// SEARCH
    InOrder(BTreeSet<Uid>),
    /// SORT
    Sorted(SortedResults),
}

/// Messages in their order.
#[derive(Debug, Clone)]
pub(crate) struct SortedResults {
    criteria: Arc<Vec<SortCriterion>>,
    sorted: Vec<Sorted>,
    /// Those of `sorted`.
    uids: BTreeSet<Uid>,
}

impl SortedResults {
    pub(crate) fn new(criteria: Arc<Vec<SortCriterion>>, sorted: Vec<Sorted>) -> Self {
        let uids = sorted.iter().map(|(_, (_, entry))| entry.uid).collect();
        Self {
            criteria,
            sorted,
            uids,
        }
    }

    /// Takes one out; gives its place, counted from 1.
    fn remove(&mut self, uid: Uid) -> Option<usize> {
        if !self.uids.remove(&uid) {
            return None;
        }
        let place = self
            .sorted
            .iter()
            .position(|(_, (_, entry))| entry.uid == uid)?;
        self.sorted.remove(place);
        Some(place + 1)
    }

    /// Puts one in; gives its place, counted from 1.
    fn insert(&mut self, one: Sorted) -> usize {
        let before = |other: &Sorted| compare(other, &one).is_lt();
        let place = self.sorted.partition_point(before);
        self.uids.insert(one.1.1.uid);
        self.sorted.insert(place, one);
        place + 1
    }
}

impl Results {
    fn has(&self, uid: Uid) -> bool {
        match self {
            Self::InOrder(uids) => uids.contains(&uid),
            Self::Sorted(results) => results.uids.contains(&uid),
        }
    }
}

/// RFC 5267 §4.3: a tag stands for one search that is kept up to date.
pub(crate) fn check_tag(session: &Session, tag: &Tag) -> Result<(), Reply> {
    let mut contexts = session.selected.iter().flat_map(|s| &s.contexts);
    match contexts.any(|context| context.tag == *tag) {
        true => Err(Reply::bad(
            "that tag is another search's, which is kept up to date",
        )),
        false => Ok(()),
    }
}

/// Keeps a search up to date from now on, or says that it is not.
pub(crate) fn keep(session: &mut Session, tag: &Tag, uid: bool, key: SearchKey, results: Results) {
    let Some(selected) = &mut session.selected else {
        return;
    };
    let sorted = match &results {
        Results::InOrder(_) => 0,
        Results::Sorted(results) => results.sorted.len(),
    };
    if selected.contexts.len() >= CONTEXTS_MAX || sorted > CONTEXT_SORTED_MAX {
        // RFC 5267 §4.3.4
        let code = Code::NoUpdate(tag.to_string());
        let text = "that is too much to be kept up to date";
        response::untagged_status(&mut session.out, Status::Ok, Some(&code), text);
        return;
    }
    let tag = tag.clone();
    selected.contexts.push(Context {
        tag,
        uid,
        key,
        results,
    });
}

/// CANCELUPDATE. Tags of searches that are not kept are passed over.
pub(crate) fn cancel(session: &mut Session, tags: &[Vec<u8>]) -> Reply {
    if let Some(selected) = &mut session.selected {
        let named = |context: &Context| {
            tags.iter()
                .any(|tag| tag == context.tag.as_str().as_bytes())
        };
        selected.contexts.retain(|context| !named(context));
    }
    Reply::ok("they are not kept any more")
}

/// Takes out what is expunged. To be told before the EXPUNGE.
pub(crate) fn forget_expunged(session: &mut Session, differences: &Differences) {
    let Some(selected) = &mut session.selected else {
        return;
    };
    if differences.expunged.is_empty() {
        return;
    }
    for context in &mut selected.contexts {
        let uid = context.uid;
        // Highest first, and so each number is right when its turn comes; in a set the order is none.
        let gone = differences.expunged.iter().rev();
        let pairs = match &mut context.results {
            Results::InOrder(uids) => {
                let gone = gone.filter(|(_, uid)| uids.remove(uid));
                let numbers: Vec<u32> = gone.map(|(n, gone)| number(uid, *n, *gone)).collect();
                in_order(numbers)
            }
            Results::Sorted(results) => {
                let gone = gone.filter_map(|(n, gone)| {
                    Some((results.remove(*gone)?, vec![number(uid, *n, *gone)]))
                });
                gone.collect()
            }
        };
        write(&mut session.out, context, "REMOVEFROM", &pairs);
    }
}

/// Looks again at what changed or came, and tells what is in a result now or is not any more.
pub(crate) async fn update(session: &mut Session, differences: &Differences) -> Result<(), Ended> {
    let kept = session
        .selected
        .as_ref()
        .is_some_and(|selected| !selected.contexts.is_empty());
    let nothing = differences.touched.is_empty() && differences.arrived.is_empty();
    if !kept || nothing {
        return Ok(());
    }
    let Some(mut selected) = session.selected.take() else {
        return Ok(());
    };
    let mut contexts = std::mem::take(&mut selected.contexts);
    let mut ranks = differences.touched.clone();
    ranks.extend(differences.arrived.clone());
    for context in &mut contexts {
        Box::pin(look_again(session, &selected, context, &ranks)).await?;
    }
    selected.contexts = contexts;
    session.selected = Some(selected);
    Ok(())
}

async fn look_again(
    session: &mut Session,
    selected: &Selected,
    context: &mut Context,
    ranks: &[usize],
) -> Result<(), Ended> {
    let (tag, key) = (context.tag.clone(), context.key.clone());
    let found = find_among(session, &tag, selected, key, Some(ranks)).await?;
    let matches: BTreeSet<Uid> = found.messages.iter().map(|(_, entry)| entry.uid).collect();
    let looked_at = ranks.iter().filter_map(|&rank| {
        let number = u32::try_from(rank + 1).ok()?;
        Some((number, selected.entries().get(rank)?.clone()))
    });
    let (mut added, mut removed): (Vec<Candidate>, Vec<Candidate>) = Default::default();
    for candidate in looked_at {
        let uid = candidate.1.uid;
        match (context.results.has(uid), matches.contains(&uid)) {
            (true, false) => removed.push(candidate),
            (false, true) => added.push(candidate),
            _ => {}
        }
    }
    let uid = context.uid;
    let name = |(n, entry): &Candidate| number(uid, *n, entry.uid);
    let (gone, new) = match &mut context.results {
        Results::InOrder(uids) => {
            for (_, entry) in &removed {
                uids.remove(&entry.uid);
            }
            uids.extend(added.iter().map(|(_, entry)| entry.uid));
            let numbers = |list: &[Candidate]| in_order(list.iter().map(name).collect());
            (numbers(&removed), numbers(&added))
        }
        Results::Sorted(results) => {
            let gone = removed.iter().filter_map(|candidate| {
                Some((results.remove(candidate.1.uid)?, vec![name(candidate)]))
            });
            let gone = gone.collect::<Vec<_>>();
            let criteria = Arc::clone(&results.criteria);
            let (keyed, _) = with_keys(
                session,
                &selected.account,
                (added, &found.scores),
                &criteria,
            )
            .await;
            let new = keyed.sorted().into_iter().map(|one| {
                let named = vec![name(&one.1)];
                (results.insert(one), named)
            });
            (gone, new.collect())
        }
    };
    write(&mut session.out, context, "REMOVEFROM", &gone);
    write(&mut session.out, context, "ADDTO", &new);
    Ok(())
}

fn number(uid: bool, number: u32, of: Uid) -> u32 {
    if uid { of.0 } else { number }
}

/// Messages in the mailbox's order (RFC 5267 §4.3.2: place 0).
fn in_order(mut numbers: Vec<u32>) -> Vec<(usize, Vec<u32>)> {
    numbers.sort_unstable();
    match numbers.is_empty() {
        true => Vec::new(),
        false => vec![(0, numbers)],
    }
}

/// `* ESEARCH (TAG "a") UID ADDTO (0 2:4)`
fn write(out: &mut Vec<u8>, context: &Context, word: &str, pairs: &[(usize, Vec<u32>)]) {
    if pairs.is_empty() {
        return;
    }
    out.extend_from_slice(b"* ESEARCH (TAG ");
    response::write_string(out, context.tag.as_str().as_bytes());
    out.extend_from_slice(if context.uid { b") UID " } else { b") " });
    out.extend_from_slice(word.as_bytes());
    for (i, (place, numbers)) in pairs.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b" (" } else { b" " });
        response::write_number(out, *place as u64);
        out.push(b' ');
        write_numbers(out, numbers.iter().copied());
    }
    out.extend_from_slice(b")\r\n");
}
