//! The way back to a moment: what must change so that an account holds again
//! what it held then.
//!
//! [`steps_back`] compares the account as it was ([`crate::Rewind`]) with the
//! account as it is and gives the steps of the first kind that is due: names,
//! mailboxes, moves, returns, flags, subscriptions, and for [`Mode::Exact`] what
//! came since. Done, they are asked for again, until there are none: so a crash
//! or a change in between costs nothing, and to try it out is to take the steps
//! on a view that nobody sees.
//!
//! Nothing is destroyed: mail that came since stays, or goes to the trash.
//! Every email that comes back or moves gets a new UID, every mailbox that is
//! made again a new UIDVALIDITY. `\Deleted` is only ever cleared.

use super::{
    Expunging, StageError, Wanted, find, stage_create, stage_delete, stage_exact_flags,
    stage_expunge, stage_move, stage_rename_each, stage_restore, stage_subscribe,
    stage_unsubscribe,
};
use crate::change::Draft;
use crate::flags::Keywords;
use crate::ids::{EmailId, MailboxId, Uid};
use crate::limits::EMAILS_PER_CHANGE_MAX;
use crate::mailbox::Entry;
use crate::name::MailboxName;
use crate::role::Role;
use crate::uidset::UidSet;
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

/// What becomes of what came after the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It stays.
    Keep,
    /// Mail goes to the trash, other copies, empty mailboxes and subscriptions go.
    Exact,
}

/// One change on the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackStep {
    /// Mailboxes get the names that they had.
    Rename(BTreeMap<MailboxId, MailboxName>),
    /// A mailbox is made again.
    Create(MailboxName, Option<Role>),
    /// Copies go back to where they were.
    Move {
        /// Where they are.
        from: MailboxId,
        /// Where they were.
        to: MailboxId,
        /// Which, as the source numbers them.
        uids: UidSet,
    },
    /// Emails come back.
    Restore(MailboxId, Vec<Wanted>),
    /// Flags are as they were.
    Flags(MailboxId, BTreeMap<Uid, (Keywords, bool)>),
    /// A name is subscribed again.
    Subscribe(MailboxName),
    /// Mail that came since goes to the trash.
    Trash {
        /// Where it is.
        from: MailboxId,
        /// The trash.
        to: MailboxId,
        /// Which.
        uids: UidSet,
    },
    /// Copies of mail that is elsewhere go.
    Remove(MailboxId, UidSet),
    /// A mailbox that was made since, and is empty, goes.
    Delete(MailboxName),
    /// A name is no longer subscribed.
    Unsubscribe(MailboxName),
}

impl BackStep {
    /// Works out the step's change; none if nothing of it is left to do. A step
    /// is worked out on the view as it is by then, which may have moved on: what
    /// is no longer there is passed over, and the last copy of an email is never
    /// taken away.
    ///
    /// # Errors
    /// What the step needs is not there or is taken: ask for the steps again.
    pub fn stage(&self, view: &View) -> Result<Option<Draft>, StageError> {
        match self {
            Self::Rename(names) => stage_rename_each(view, names),
            Self::Create(name, role) => {
                let role = role.filter(|role| view.role(*role).is_none());
                Ok(Some(stage_create(view, &[(name.clone(), role)])?.0))
            }
            Self::Move { from, to, uids } | Self::Trash { from, to, uids } => {
                Ok(stage_move(view, *from, *to, uids)?.draft)
            }
            Self::Restore(to, wanted) => Ok(stage_restore(view, *to, wanted)?.draft),
            Self::Flags(mailbox, wanted) => stage_exact_flags(view, *mailbox, wanted),
            Self::Subscribe(name) => stage_subscribe(view, name),
            Self::Remove(mailbox, uids) => {
                let source = find(view, *mailbox)?;
                let has_others = source
                    .select(uids)
                    .filter(|(_, entry)| view.copies(*mailbox, entry).len() > 1);
                let uids: UidSet = has_others.map(|(_, entry)| entry.uid).collect();
                let which = Expunging::Exactly(&uids);
                Ok(stage_expunge(view, *mailbox, which, EMAILS_PER_CHANGE_MAX)?.draft)
            }
            Self::Delete(name) => {
                let mailbox = view.mailbox_named(name);
                if mailbox.is_some_and(|mailbox| mailbox.entries().is_empty()) {
                    Ok(Some(stage_delete(view, name)?.draft))
                } else {
                    Ok(None)
                }
            }
            Self::Unsubscribe(name) => Ok(stage_unsubscribe(view, name)),
        }
    }

    /// How many emails, mailboxes or names it is about.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Rename(names) => names.len() as u64,
            Self::Move { uids, .. } | Self::Trash { uids, .. } | Self::Remove(_, uids) => {
                uids.len()
            }
            Self::Restore(_, wanted) => wanted.len() as u64,
            Self::Flags(_, wanted) => wanted.len() as u64,
            Self::Create(..) | Self::Subscribe(_) | Self::Delete(_) | Self::Unsubscribe(_) => 1,
        }
    }
}

/// The next steps from `now` to what `past` held; none when it is there.
/// `lost` are emails that can't come back because their records are gone. Costs
/// a look at every entry of both.
#[must_use]
pub fn steps_back(past: &View, now: &View, mode: Mode, lost: &HashSet<EmailId>) -> Vec<BackStep> {
    let renames = renames(past, now);
    if !renames.is_empty() {
        return vec![BackStep::Rename(renames)];
    }
    let targets = Targets::find(past, now);
    if !targets.missing.is_empty() {
        return targets.missing;
    }
    let difference = Difference::find(past, now, &targets, lost);
    let Difference {
        moves,
        restores,
        flags,
        ..
    } = &difference;
    if !moves.is_empty() {
        return transfers(moves, |from, to, uids| BackStep::Move { from, to, uids });
    }
    if !restores.is_empty() {
        return restores
            .iter()
            .flat_map(|(&to, wanted)| {
                wanted
                    .chunks(EMAILS_PER_CHANGE_MAX)
                    .map(move |some| BackStep::Restore(to, some.to_vec()))
            })
            .collect();
    }
    if !flags.is_empty() {
        return flags
            .iter()
            .flat_map(|(&mailbox, wanted)| flag_steps(mailbox, wanted))
            .collect();
    }
    let subscribed: Vec<BackStep> = past
        .subscriptions()
        .filter(|name| !now.is_subscribed(name))
        .map(|name| BackStep::Subscribe(name.clone()))
        .collect();
    if !subscribed.is_empty() || mode == Mode::Keep {
        return subscribed;
    }
    difference.since(past, now, &targets)
}

/// The mailboxes that live under another name than then, as far as their old
/// names are free or become free by it.
fn renames(past: &View, now: &View) -> BTreeMap<MailboxId, MailboxName> {
    let mut wanted = BTreeMap::new();
    for old in past.mailboxes() {
        let Some(living) = now.mailbox(old.id()) else {
            continue;
        };
        let inbox = living.name().is_inbox() || old.name().is_inbox();
        if living.name() != old.name() && !inbox {
            wanted.insert(old.id(), old.name().clone());
        }
    }
    loop {
        let stuck = wanted.iter().find(|(_, name)| {
            let holder = now.mailbox_named(name);
            holder.is_some_and(|holder| !wanted.contains_key(&holder.id()))
        });
        let Some((&stuck, _)) = stuck else {
            return wanted;
        };
        wanted.remove(&stuck);
    }
}

/// Where the mailboxes of the past are now.
struct Targets {
    by_past: BTreeMap<MailboxId, MailboxId>,
    missing: Vec<BackStep>,
}

impl Targets {
    fn find(past: &View, now: &View) -> Self {
        let mut targets = Self {
            by_past: BTreeMap::new(),
            missing: Vec::new(),
        };
        let mut roles = BTreeSet::new();
        for old in past.mailboxes() {
            if now.mailbox(old.id()).is_some() {
                targets.by_past.insert(old.id(), old.id());
                continue;
            }
            let Some(name) = place_of(past, now, old.id(), old.name()) else {
                continue;
            };
            match now.mailbox_named(&name) {
                Some(made_since) => {
                    targets.by_past.insert(old.id(), made_since.id());
                }
                None => {
                    let free = |role: &Role| now.role(*role).is_none() && roles.insert(*role);
                    let role = old.role().filter(free);
                    targets.missing.push(BackStep::Create(name, role));
                }
            }
        }
        targets
    }
}

/// The name under which a mailbox that is gone comes back: its own, or below
/// "Restored" where another mailbox of that time has it now.
fn place_of(past: &View, now: &View, id: MailboxId, name: &MailboxName) -> Option<MailboxName> {
    let free = |name: &MailboxName| {
        let holder = now.mailbox_named(name);
        holder.is_none_or(|holder| past.mailbox(holder.id()).is_none())
    };
    let below = || MailboxName::parse(&format!("{RESTORED}/{name}")).ok();
    let numbered = || MailboxName::parse(&format!("{RESTORED}/mailbox {id}")).ok();
    Some(name.clone())
        .filter(free)
        .or_else(|| below().filter(free))
        .or_else(|| numbered().filter(free))
}

/// Mail of a mailbox whose name is taken by another comes back below this one.
const RESTORED: &str = "Restored";

/// A copy, then or now, with the mailbox as it is now.
struct Place<'a> {
    email: EmailId,
    mailbox: MailboxId,
    entry: &'a Entry,
}

type Transfers = BTreeMap<(MailboxId, MailboxId), Vec<Uid>>;

#[derive(Default)]
struct Difference {
    moves: Transfers,
    restores: BTreeMap<MailboxId, Vec<Wanted>>,
    flags: BTreeMap<MailboxId, BTreeMap<Uid, (Keywords, bool)>>,
    /// Copies of mail that was there then, where it was not.
    extra: BTreeMap<MailboxId, Vec<Uid>>,
    /// Copies of mail that came since: each email's places.
    arrivals: Vec<Vec<(MailboxId, Uid)>>,
}

impl Difference {
    fn find(past: &View, now: &View, targets: &Targets, lost: &HashSet<EmailId>) -> Self {
        let then = places(past, |id| targets.by_past.get(&id).copied());
        let there = places(now, Some);
        let mut difference = Self::default();
        let (mut a, mut b) = (0, 0);
        while a < then.len() || b < there.len() {
            let email = [then.get(a), there.get(b)]
                .into_iter()
                .flatten()
                .map(|place| place.email)
                .min();
            let Some(email) = email else { break };
            let old = run(&then, &mut a, email);
            let new = run(&there, &mut b, email);
            difference.of_email(&then[old], &there[new], lost);
        }
        difference
    }

    fn of_email(&mut self, old: &[Place<'_>], new: &[Place<'_>], lost: &HashSet<EmailId>) {
        if old.is_empty() {
            let places = new.iter().map(|place| (place.mailbox, place.entry.uid));
            self.arrivals.push(places.collect());
            return;
        }
        let is_at = |places: &[Place<'_>], mailbox| places.iter().any(|p| p.mailbox == mailbox);
        let mut extra = new.iter().filter(|place| !is_at(old, place.mailbox));
        let mut seen = BTreeSet::new();
        for place in old.iter().filter(|place| seen.insert(place.mailbox)) {
            let to = place.mailbox;
            match new.iter().find(|place| place.mailbox == to) {
                Some(living) => self.flags_of(place.entry, living),
                None => match extra.next() {
                    Some(from) => {
                        let uids = self.moves.entry((from.mailbox, to)).or_default();
                        uids.push(from.entry.uid);
                    }
                    None if new.is_empty() && lost.contains(&place.email) => {}
                    None => self.restores.entry(to).or_default().push(Wanted {
                        email: place.email,
                        keywords: place.entry.keywords.clone(),
                        size: place.entry.size(),
                    }),
                },
            }
        }
        for place in extra {
            let uids = self.extra.entry(place.mailbox).or_default();
            uids.push(place.entry.uid);
        }
    }

    fn flags_of(&mut self, old: &Entry, living: &Place<'_>) {
        let deleted = living.entry.deleted && old.deleted;
        if old.keywords != living.entry.keywords || deleted != living.entry.deleted {
            let wanted = (old.keywords.clone(), deleted);
            let of_mailbox = self.flags.entry(living.mailbox).or_default();
            of_mailbox.insert(living.entry.uid, wanted);
        }
    }

    /// The steps that take away what came since.
    fn since(self, past: &View, now: &View, targets: &Targets) -> Vec<BackStep> {
        let trash = now.role(Role::Trash).map(|trash| trash.id());
        let mut to_trash = Transfers::new();
        let mut removed = self.extra;
        for places in &self.arrivals {
            let in_trash = |&&(mailbox, _): &&(MailboxId, Uid)| Some(mailbox) == trash;
            let there = places.iter().any(|place| in_trash(&place));
            let outside = places.iter().filter(|place| !in_trash(place));
            for (at, &(mailbox, uid)) in outside.enumerate() {
                let Some(trash) = trash else {
                    return vec![make_trash(now)];
                };
                let uids = if at == 0 && !there {
                    to_trash.entry((mailbox, trash)).or_default()
                } else {
                    removed.entry(mailbox).or_default()
                };
                uids.push(uid);
            }
        }
        if !to_trash.is_empty() {
            return transfers(&to_trash, |from, to, uids| BackStep::Trash {
                from,
                to,
                uids,
            });
        }
        if !removed.is_empty() {
            let bounded = removed.iter().flat_map(|(&mailbox, uids)| {
                let some = chunks(uids).into_iter();
                some.map(move |uids| BackStep::Remove(mailbox, uids))
            });
            return bounded.collect();
        }
        let used: BTreeSet<MailboxId> = targets.by_past.values().copied().collect();
        let made_since = now.mailboxes().filter(|mailbox| {
            !used.contains(&mailbox.id())
                && mailbox.role().is_none()
                && mailbox.entries().is_empty()
        });
        let mut steps: Vec<BackStep> = made_since
            .map(|mailbox| BackStep::Delete(mailbox.name().clone()))
            .collect();
        let unsubscribed = now.subscriptions().filter(|name| {
            let living = now.mailbox_named(name);
            let stays = living.is_some_and(|mailbox| !used.contains(&mailbox.id()));
            !past.is_subscribed(name) && !stays
        });
        steps.extend(unsubscribed.map(|name| BackStep::Unsubscribe(name.clone())));
        steps
    }
}

fn make_trash(now: &View) -> BackStep {
    let candidates = (0..).map(|n: u32| match n {
        0 => "Trash".to_owned(),
        n => format!("Trash {n}"),
    });
    let mut free = candidates
        .filter_map(|name| MailboxName::parse(&name).ok())
        .filter(|name| now.mailbox_named(name).is_none());
    let name = free.next().unwrap_or_else(MailboxName::inbox);
    BackStep::Create(name, Some(Role::Trash))
}

/// All copies of a view in order of email and mailbox.
fn places(view: &View, here: impl Fn(MailboxId) -> Option<MailboxId>) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    for mailbox in view.mailboxes.values() {
        let Some(id) = here(mailbox.id()) else {
            continue;
        };
        places.extend(mailbox.entries().iter().map(|entry| Place {
            email: entry.email,
            mailbox: id,
            entry,
        }));
    }
    places.sort_unstable_by_key(|place| (place.email, place.mailbox));
    places
}

/// The places of an email, which begin at `at`; moves on behind them.
fn run(places: &[Place<'_>], at: &mut usize, email: EmailId) -> Range<usize> {
    let start = *at;
    while places.get(*at).is_some_and(|place| place.email == email) {
        *at += 1;
    }
    start..*at
}

fn flag_steps(mailbox: MailboxId, wanted: &BTreeMap<Uid, (Keywords, bool)>) -> Vec<BackStep> {
    let all: Vec<_> = wanted.iter().collect();
    let some = all.chunks(EMAILS_PER_CHANGE_MAX).map(|some| {
        let some = some.iter().map(|(uid, wanted)| (**uid, (*wanted).clone()));
        BackStep::Flags(mailbox, some.collect())
    });
    some.collect()
}

fn transfers(
    transfers: &Transfers,
    step: impl Fn(MailboxId, MailboxId, UidSet) -> BackStep,
) -> Vec<BackStep> {
    let mut steps = Vec::new();
    for (&(from, to), uids) in transfers {
        steps.extend(chunks(uids).into_iter().map(|uids| step(from, to, uids)));
    }
    steps
}

/// The UIDs in sets that one change may name.
fn chunks(uids: &[Uid]) -> Vec<UidSet> {
    uids.chunks(EMAILS_PER_CHANGE_MAX)
        .map(|some| some.iter().copied().collect())
        .collect()
}
