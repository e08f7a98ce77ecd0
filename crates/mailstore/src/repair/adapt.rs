//! What still fits of a log entry whose predecessors are lost.
//!
//! Rule: rather too much is kept than too little. An arrival is taken as far as
//! its numbers are free; a removal only takes what it names; whatever can't be
//! understood without the lost entries is left out. Emails that nobody shows
//! afterwards are found by their records.

use mailbox_model::{Change, FlagEdit, FlagId, Item, KeywordId, LogEntry, View, apply};
use std::sync::Arc;

/// Keywords that are invented at most for one entry, so that the numbers of later
/// ones stay what they were.
const KEYWORDS_INVENTED_MAX: usize = 1000;

/// What became of an entry.
pub(super) enum Adapted {
    /// The view with what fitted.
    Partly(Box<View>),
    /// Nothing of it fits.
    No,
}

pub(super) fn adapt(view: &View, entry: &LogEntry) -> Adapted {
    let mut next = LogEntry {
        new_keywords: keywords(view, entry),
        ..entry.clone()
    };
    for change in candidates(view, &entry.change) {
        next.change = change;
        let mut adapted = view.clone();
        if apply(&mut adapted, &next).is_ok() {
            return Adapted::Partly(Box::new(adapted));
        }
    }
    Adapted::No
}

/// The entry's keywords, behind as many as must have been added by lost entries.
fn keywords(view: &View, entry: &LogEntry) -> Vec<Arc<str>> {
    let known = view.keywords().len();
    let added = entry.new_keywords.len();
    let largest = largest_keyword(&entry.change).map_or(0, |id| id.0 as usize + 1);
    let missing = largest.saturating_sub(known + added);
    let mut all = Vec::new();
    if missing <= KEYWORDS_INVENTED_MAX {
        all.extend((0..missing).map(|n| Arc::from(format!("lost-{}", known + n))));
    }
    let is_new = |name: &&Arc<str>| view.keywords().id(name).is_none();
    all.extend(entry.new_keywords.iter().filter(is_new).cloned());
    all
}

fn largest_keyword(change: &Change) -> Option<KeywordId> {
    let of_items = |items: &[Item]| {
        let all = items.iter().flat_map(|item| item.keywords.others());
        all.copied().max()
    };
    match change {
        Change::Deliver { items, .. }
        | Change::Expunge { items, .. }
        | Change::Delete { items, .. } => of_items(items),
        Change::Flags { edits, .. } => edits
            .iter()
            .filter_map(|edit| match edit.flag {
                FlagId::Keyword(id) => Some(id),
                _ => None,
            })
            .max(),
        _ => None,
    }
}

/// What to try, the best first; the last changes nothing but the keywords.
fn candidates(view: &View, change: &Change) -> Vec<Change> {
    let mut all = vec![change.clone()];
    match change {
        Change::Deliver {
            mailbox,
            items,
            dated,
        } => {
            all.push(Change::Deliver {
                mailbox: *mailbox,
                items: arriving(view, *mailbox, items),
                dated: dated.clone(),
            });
        }
        Change::Flags { mailbox, edits } => {
            let edits = edits
                .iter()
                .filter_map(|edit| edit_of(view, *mailbox, edit));
            all.push(Change::Flags {
                mailbox: *mailbox,
                edits: edits.collect(),
            });
        }
        // A mailbox stays where entries are in it that the change does not name.
        Change::Expunge { mailbox, items }
        | Change::Delete {
            mailbox: mailbox_model::NewMailbox { id: mailbox, .. },
            items,
            ..
        } => {
            all.push(Change::Expunge {
                mailbox: *mailbox,
                items: leaving(view, *mailbox, items),
            });
        }
        _ => {}
    }
    if let Some(any) = view.mailboxes().next() {
        all.push(Change::Flags {
            mailbox: any.id(),
            edits: Vec::new(),
        });
    }
    all
}

/// Items whose numbers are free.
fn arriving(view: &View, mailbox: mailbox_model::MailboxId, items: &[Item]) -> Vec<Item> {
    let Some(target) = view.mailbox(mailbox) else {
        return Vec::new();
    };
    let (mut uid, mut email) = (target.uid_next(), view.next_email());
    let free = |item: &&Item| {
        let free = item.uid >= uid && item.email >= email;
        if free {
            (uid, email) = (item.uid.next(), item.email.next());
        }
        free
    };
    items.iter().filter(free).cloned().collect()
}

/// Items that are in the mailbox as they say.
fn leaving(view: &View, mailbox: mailbox_model::MailboxId, items: &[Item]) -> Vec<Item> {
    let Some(source) = view.mailbox(mailbox) else {
        return Vec::new();
    };
    let there = |item: &&Item| {
        let found = source.find(item.uid);
        found.is_some_and(|(_, entry)| entry.email == item.email)
    };
    items.iter().filter(there).cloned().collect()
}

/// The edit of those entries that it really changes.
fn edit_of(view: &View, mailbox: mailbox_model::MailboxId, edit: &FlagEdit) -> Option<FlagEdit> {
    let target = view.mailbox(mailbox)?;
    let changed = target
        .select(&edit.uids)
        .filter(|(_, entry)| entry.has(edit.flag) != edit.set);
    let uids: mailbox_model::UidSet = changed.map(|(_, entry)| entry.uid).collect();
    (!uids.is_empty()).then(|| FlagEdit {
        uids,
        ..edit.clone()
    })
}
