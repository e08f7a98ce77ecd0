//! Email/changes, Thread/changes, Mailbox/changes (RFC 8621 §4.3, §3.2, §2.2).

use super::{Done, look_of};
use crate::api::Calling;
use crate::changes::{Changed, How, all_of_emails, counted_otherwise, cut, log_since, of_emails};
use crate::look::Look;
use crate::threads::ShownThreads;
use jmap_proto::arguments::{Changes, QueryChanges};
use jmap_proto::{Arguments, MethodError};
use mailbox_model::{Change, EmailId, LogEntry, MailboxId, MailboxName, ModSeq, NewMailbox};
use mailstore::{EmailReader, object_id};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

/// What a /queryChanges comes to (RFC 8620 §5.6).
pub(super) struct QueryChanged<'a, T> {
    pub(super) asked: QueryChanges,
    pub(super) state: String,
    pub(super) results: &'a [T],
    /// What may have moved: it is taken out, and put in again where it is now.
    pub(super) touched: &'a HashSet<T>,
}

impl<T: Copy + Eq + Hash> QueryChanged<'_, T> {
    pub(super) fn answer(
        self,
        id: impl Fn(T) -> String,
    ) -> Result<Map<String, Value>, MethodError> {
        let places = self.results.iter().enumerate();
        let added: Vec<Value> = places
            .filter(|(_, one)| self.touched.contains(one))
            .map(|(index, one)| json!({ "id": id(*one), "index": index }))
            .collect();
        let removed: Vec<String> = self.touched.iter().map(|one| id(*one)).collect();
        let count = (added.len() + removed.len()) as u64;
        if self.asked.max.is_some_and(|max| count > max) {
            return Err(MethodError::TooManyChanges);
        }
        let mut answer = Map::new();
        answer.insert("accountId".into(), self.asked.account_id.into());
        answer.insert("oldQueryState".into(), self.asked.since.into());
        answer.insert("newQueryState".into(), self.state.into());
        if self.asked.calculate_total {
            answer.insert("total".into(), self.results.len().into());
        }
        answer.insert("removed".into(), removed.into());
        answer.insert("added".into(), added.into());
        Ok(answer)
    }
}

/// RFC 8620 §5.2
fn answer<T>(
    look: &Look,
    asked: Changes,
    changed: &Changed<T>,
    id: impl Fn(&T) -> String,
) -> Map<String, Value> {
    let ids = |list: &[T]| list.iter().map(&id).collect::<Vec<_>>();
    let mut answer = Map::new();
    answer.insert("accountId".into(), asked.account_id.into());
    answer.insert("oldState".into(), asked.since.into());
    answer.insert("newState".into(), look.room.state(changed.state).into());
    answer.insert("hasMoreChanges".into(), changed.more.into());
    answer.insert("created".into(), ids(&changed.created).into());
    answer.insert("updated".into(), ids(&changed.updated).into());
    answer.insert("destroyed".into(), ids(&changed.destroyed).into());
    answer
}

pub(super) async fn emails(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let asked = Changes::take(&mut arguments)?;
    arguments.finish()?;
    let look = look_of(calling, &asked.account_id).await?;
    let changed = of_emails(&look, look.room.since(&asked.since)?, asked.max).await?;
    let answer = answer(&look, asked, &changed, |email| look.email_id(*email));
    Ok(vec![("Email/changes", answer)])
}

pub(super) async fn threads(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let asked = Changes::take(&mut arguments)?;
    arguments.finish()?;
    let look = look_of(calling, &asked.account_id).await?;
    let all = all_of_emails(&look, look.room.since(&asked.since)?).await?;
    // All of them, whatever part is told.
    let new = all.iter().filter(|(_, how, _)| *how == How::Created);
    let new: HashSet<EmailId> = new.map(|(.., email)| *email).collect();
    let emails = cut(all, look.modseq(), asked.max)?;
    let threads = look.threads().await?;
    // However many they are, others do not wait for that.
    let work = move |_: &EmailReader| threads_of(&threads, &emails, &new);
    let changed = look.room.account.reading(work).await;
    let owner = look.room.owner();
    let answer = answer(&look, asked, &changed, |first| {
        object_id::of_thread(*first, owner)
    });
    Ok(vec![("Thread/changes", answer)])
}

/// A thread changes when an email joins it or leaves it. It is told as new where no email of it that is shown was
/// shown before, though one that is gone may have been: who is told in parts need not have heard of that one.
fn threads_of(
    of_look: &ShownThreads,
    emails: &Changed<EmailId>,
    new: &HashSet<EmailId>,
) -> Changed<EmailId> {
    let touched = emails.created.iter().chain(&emails.destroyed);
    let threads: BTreeSet<EmailId> = touched.map(|email| of_look.of(*email)).collect();
    let mut changed = Changed {
        created: Vec::new(),
        updated: Vec::new(),
        destroyed: Vec::new(),
        state: emails.state,
        more: emails.more,
    };
    for first in threads {
        let members = of_look.emails(first);
        let list = match members.is_empty() {
            true => &mut changed.destroyed,
            false if members.iter().all(|email| new.contains(email)) => &mut changed.created,
            false => &mut changed.updated,
        };
        list.push(first);
    }
    changed
}

pub(super) async fn mailboxes(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let asked = Changes::take(&mut arguments)?;
    arguments.finish()?;
    let look = look_of(calling, &asked.account_id).await?;
    let since = look.room.since(&asked.since)?;
    let threads = look.threads().await?;
    let (changed, counts_only) = of_mailboxes(&look, Some(threads), since, asked.max).await?;
    let mut answer = answer(&look, asked, &changed, |mailbox| look.mailbox_id(*mailbox));
    // RFC 8621 §2.2
    let properties = match counts_only {
        true => json!([
            "totalEmails",
            "unreadEmails",
            "totalThreads",
            "unreadThreads"
        ]),
        false => Value::Null,
    };
    answer.insert("updatedProperties".into(), properties);
    Ok(vec![("Mailbox/changes", answer)])
}

/// What changed of mailboxes since a state, and whether of those that were there before only counts
/// did. Without threads their counts change nothing.
pub(crate) async fn of_mailboxes(
    look: &Look,
    threads: Option<ShownThreads>,
    since: ModSeq,
    max: Option<u64>,
) -> Result<(Changed<MailboxId>, bool), MethodError> {
    let log = Arc::new(log_since(look, since).await?);
    let mut history = History::default();
    for entry in log.iter() {
        history.take(look, entry);
    }
    history.note_below(look);
    let mut last = history.changed.clone();
    if let Some(threads) = threads {
        let (looked, entries) = (look.clone(), Arc::clone(&log));
        // However many have changed, others do not wait for that.
        let work = move |_: &EmailReader| counted_otherwise(&looked, &threads, since, &entries);
        for (mailbox, at) in look.room.account.reading(work).await {
            let known = last.entry(mailbox).or_default();
            *known = (*known).max(at);
        }
    }
    for mailbox in look.view().mailboxes() {
        if mailbox.highest_modseq() > since {
            let known = last.entry(mailbox.id()).or_default();
            *known = (*known).max(mailbox.highest_modseq());
        }
    }
    let mut changes = Vec::new();
    for (mailbox, modseq) in last {
        let is_there = look.view().mailbox(mailbox).is_some();
        let born = history.born.get(&mailbox).copied();
        let (at, how) = match (born, is_there) {
            (None, true) if look.room.shows(mailbox) => (modseq, How::Updated),
            (Some(born), true) if look.room.shows(mailbox) => (born, How::Created),
            (None, false) if look.room.shows(mailbox) => (modseq, How::Destroyed),
            _ => continue,
        };
        changes.push((at, how, mailbox));
    }
    let changed = cut(changes, look.modseq(), max)?;
    let counts_only = changed
        .updated
        .iter()
        .all(|id| !history.changed.contains_key(id));
    let counts_only = counts_only && !changed.updated.is_empty();
    Ok((changed, counts_only))
}

/// What the log says of mailboxes.
#[derive(Default)]
struct History {
    born: BTreeMap<MailboxId, ModSeq>,
    /// More than counts.
    changed: BTreeMap<MailboxId, ModSeq>,
    /// Levels that became mailboxes or ceased to be.
    levels: HashMap<MailboxName, ModSeq>,
}

impl History {
    fn take(&mut self, look: &Look, entry: &LogEntry) {
        let at = entry.modseq;
        match &entry.change {
            Change::Create { mailboxes } => self.create(at, mailboxes),
            Change::Rename {
                created, renames, ..
            } => {
                self.create(at, created);
                for renamed in renames {
                    self.changed.insert(renamed.id, at);
                    self.levels.insert(renamed.from.clone(), at);
                    self.levels.insert(renamed.to.clone(), at);
                }
            }
            Change::Delete { mailbox, .. } => {
                self.changed.insert(mailbox.id, at);
                self.levels.insert(mailbox.name.clone(), at);
            }
            Change::Subscribe { name } | Change::Unsubscribe { name } => self.named(look, at, name),
            Change::Touched { mailbox, uids } if uids.is_empty() => {
                self.changed.insert(*mailbox, at);
            }
            _ => {}
        }
    }

    fn create(&mut self, at: ModSeq, mailboxes: &[NewMailbox]) {
        for mailbox in mailboxes {
            self.born.insert(mailbox.id, at);
            self.changed.insert(mailbox.id, at);
            self.levels.insert(mailbox.name.clone(), at);
        }
    }

    /// What lies below such a level stands below another mailbox now, by another name.
    fn note_below(&mut self, look: &Look) {
        if self.levels.is_empty() {
            return;
        }
        for mailbox in look.view().mailboxes() {
            let above = mailbox.name().ancestors();
            let at = above.filter_map(|name| self.levels.get(&name).copied());
            if let Some(at) = at.max() {
                let known = self.changed.entry(mailbox.id()).or_default();
                *known = (*known).max(at);
            }
        }
    }

    fn named(&mut self, look: &Look, at: ModSeq, name: &MailboxName) {
        if let Some(mailbox) = look.view().mailbox_named(name) {
            self.changed.insert(mailbox.id(), at);
        }
    }
}
