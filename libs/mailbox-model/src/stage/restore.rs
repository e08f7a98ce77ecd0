//! Bringing back: emails that the account had, flags and names as they were.

use super::mailboxes::renamed;
use super::{Runs, StageError, find};
use crate::change::{Change, Draft, FlagEdit, Item, Renamed, Restored};
use crate::flags::{FlagId, Keywords};
use crate::ids::{EmailId, MailboxId, Uid};
use crate::limits::EMAILS_PER_CHANGE_MAX;
use crate::name::MailboxName;
use crate::uidset::UidSet;
use crate::view::{Copy, View};
use std::collections::{BTreeMap, HashMap, HashSet};

/// An email that is to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub email: EmailId,
    /// The flags that it had; those of a living copy win.
    pub keywords: Keywords,
    /// Octets.
    pub size: u64,
}

/// What a restore comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreStaged {
    /// None when all of them are in the mailbox.
    pub draft: Option<Draft>,
    /// Each email that comes back, with its new UID.
    pub emails: Vec<(EmailId, Uid)>,
}

/// Works out the return of emails to one mailbox; those that it holds are passed
/// over. None comes back marked `\Deleted`. Costs a look at every entry of the
/// account.
///
/// # Errors
/// No such mailbox; numbers used up; too many for one change; an email that the
/// account never had.
pub fn stage_restore(
    view: &View,
    mailbox: MailboxId,
    wanted: &[Wanted],
) -> Result<RestoreStaged, StageError> {
    let target = find(view, mailbox)?;
    super::emails::check_room(target, wanted.len())?;
    if wanted.len() > EMAILS_PER_CHANGE_MAX {
        return Err(StageError::TooMany);
    }
    let mut living = copies_of(view, &wanted.iter().map(|wanted| wanted.email).collect());
    let mut items = Vec::new();
    let mut uid = target.uid_next();
    for Wanted {
        email,
        keywords,
        size,
    } in wanted
    {
        if *email >= view.next_email() {
            return Err(StageError::NoEmail(*email));
        }
        let copies = living.entry(*email).or_default();
        if copies.iter().any(|(copy, _)| copy.mailbox == mailbox) {
            continue;
        }
        let beside = copies.first().map(|(copy, _)| *copy);
        let keywords = copies
            .first()
            .map_or_else(|| keywords.clone(), |(_, living)| living.clone());
        copies.push((Copy { mailbox, uid }, keywords.clone()));
        let item = Item {
            uid,
            email: *email,
            keywords,
            deleted: false,
            size: *size,
        };
        items.push(Restored { item, beside });
        uid = uid.next();
    }
    let emails = items.iter().map(|r| (r.item.email, r.item.uid)).collect();
    let draft = (!items.is_empty()).then(|| Change::Restore { mailbox, items }.into());
    Ok(RestoreStaged { draft, emails })
}

type Copies = HashMap<EmailId, Vec<(Copy, Keywords)>>;

fn copies_of(view: &View, emails: &HashSet<EmailId>) -> Copies {
    let mut copies = Copies::new();
    for mailbox in view.mailboxes() {
        let found = mailbox
            .entries()
            .iter()
            .filter(|entry| emails.contains(&entry.email));
        for entry in found {
            let copy = Copy {
                mailbox: mailbox.id(),
                uid: entry.uid,
            };
            let keywords = entry.keywords.clone();
            copies
                .entry(entry.email)
                .or_default()
                .push((copy, keywords));
        }
    }
    copies
}

/// Works out the flags that entries are to have, `\Deleted` among them: nothing
/// else about them changes. UIDs that are not there are passed over.
///
/// # Errors
/// No such mailbox.
pub fn stage_exact_flags(
    view: &View,
    mailbox: MailboxId,
    wanted: &BTreeMap<Uid, (Keywords, bool)>,
) -> Result<Option<Draft>, StageError> {
    let source = find(view, mailbox)?;
    let uids: UidSet = wanted.keys().copied().collect();
    let mut edits: BTreeMap<(FlagId, bool), Runs> = BTreeMap::new();
    for (rank, entry) in source.select(&uids) {
        let Some((keywords, deleted)) = wanted.get(&entry.uid) else {
            continue;
        };
        let mut note = |flag, set| edits.entry((flag, set)).or_default().push(rank, entry.uid);
        for flag in keywords.iter().filter(|&flag| !entry.keywords.has(flag)) {
            note(flag, true);
        }
        for flag in entry.keywords.iter().filter(|&flag| !keywords.has(flag)) {
            note(flag, false);
        }
        if entry.deleted != *deleted {
            note(FlagId::Deleted, *deleted);
        }
    }
    let edits: Vec<FlagEdit> = edits
        .into_iter()
        .map(|((flag, set), runs)| FlagEdit {
            flag,
            set,
            uids: runs.uids,
        })
        .collect();
    Ok((!edits.is_empty()).then(|| Change::Flags { mailbox, edits }.into()))
}

/// Works out new names for several mailboxes at once, each for itself: those
/// below it keep theirs. Mailboxes may exchange their names.
///
/// # Errors
/// No such mailbox; the inbox; a name that another mailbox has and keeps.
pub fn stage_rename_each(
    view: &View,
    names: &BTreeMap<MailboxId, MailboxName>,
) -> Result<Option<Draft>, StageError> {
    let mut renames = Vec::new();
    let mut taken = HashSet::new();
    for (&id, to) in names {
        let from = find(view, id)?.name();
        if from == to {
            continue;
        }
        if from.is_inbox() || to.is_inbox() {
            return Err(StageError::Inbox);
        }
        let holder = view.mailbox_named(to).map(|mailbox| mailbox.id());
        let stays = holder.is_some_and(|holder| names.get(&holder).is_none_or(|new| new == to));
        if stays || !taken.insert(to) {
            return Err(StageError::NameTaken);
        }
        renames.push(Renamed {
            id,
            from: from.clone(),
            to: to.clone(),
        });
    }
    Ok((!renames.is_empty()).then(|| renamed(view, Vec::new(), renames)))
}
