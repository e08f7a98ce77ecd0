//! Keywords and mailboxes of an email: what is asked for, whether the user may, and the steps that lead there.

use super::keywords::{flag_of, of_entry};
use crate::api::Calling;
use crate::look::Look;
use engine::Batch;
use jmap_proto::{Patch, SetError};
use mailbox_model::stage::{Expunging, FlagAction, FlagsRequest, Untouched};
use mailbox_model::{EmailId, Entry, Flag, Mailbox, MailboxId, Uid, UidSet};
use mailstore::{Lane, Rights, StoreError};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The keywords of an object that is set.
///
/// # Errors
/// They are none.
pub(crate) fn keywords_in(value: &Value) -> Result<BTreeSet<Flag>, SetError> {
    let wrong =
        || SetError::invalid_properties(["keywords"], "keywords is a map of keywords to true");
    let mut flags = BTreeSet::new();
    match value {
        Value::Null => {}
        Value::Object(keywords) => {
            for (keyword, set) in keywords {
                if *set != Value::Bool(true) {
                    return Err(wrong());
                }
                flags.insert(flag_of(keyword).ok_or_else(wrong)?);
            }
        }
        _ => return Err(wrong()),
    }
    if flags.len() > mailbox_model::limits::KEYWORDS_PER_CHANGE_MAX {
        return Err(SetError::new(
            "tooManyKeywords",
            "that are too many keywords",
        ));
    }
    Ok(flags)
}

/// The mailboxes of an object that is set; one at least.
///
/// # Errors
/// There is none, or one is not there.
pub(crate) fn mailboxes_in(
    calling: &Calling<'_>,
    look: &Look,
    value: &Value,
) -> Result<BTreeSet<MailboxId>, SetError> {
    let wrong = |text: &str| SetError::invalid_properties(["mailboxIds"], text);
    let Value::Object(ids) = value else {
        return Err(wrong("mailboxIds is a map of ids to true"));
    };
    let mut mailboxes = BTreeSet::new();
    for (id, set) in ids {
        if *set != Value::Bool(true) {
            return Err(wrong("mailboxIds is a map of ids to true"));
        }
        let mailbox = calling.id_of(id).and_then(|id| look.mailbox(id));
        mailboxes.insert(
            mailbox
                .ok_or_else(|| wrong("there is no such mailbox"))?
                .id(),
        );
    }
    match mailboxes.is_empty() {
        // RFC 8621 §4.1.1: "An Email MUST belong to one or more Mailboxes".
        true => Err(wrong("an email is in one mailbox at least")),
        false => Ok(mailboxes),
    }
}

/// What is to be done to many emails, by kinds, so that it becomes few changes.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    flags: BTreeMap<(MailboxId, Vec<Flag>, bool), Vec<Uid>>,
    /// Copies that were marked `\Deleted` and are wanted again.
    unmarked: BTreeMap<MailboxId, Vec<Uid>>,
    moves: BTreeMap<(MailboxId, MailboxId), Vec<Uid>>,
    copies: BTreeMap<(MailboxId, MailboxId), Vec<Uid>>,
    gone: BTreeMap<MailboxId, Vec<Uid>>,
    /// In another's account: what the user has read then, and what not.
    seen: BTreeMap<(MailboxId, bool), Vec<Uid>>,
    /// Copies that he has read then, and may have read elsewhere.
    read: BTreeSet<(MailboxId, Uid)>,
}

/// An email as it is, and as it is wanted.
struct Update {
    email: EmailId,
    had: BTreeMap<MailboxId, Uid>,
    wanted: BTreeSet<MailboxId>,
    /// Flags that are set, and flags that are cleared.
    flags: [BTreeSet<Flag>; 2],
    is_seen: bool,
}

impl Edits {
    /// Notes what a patch asks of an email.
    ///
    /// # Errors
    /// It asks for what cannot be, or for what the user may not.
    pub(crate) fn update(
        &mut self,
        calling: &Calling<'_>,
        look: &Look,
        email: EmailId,
        patch: Map<String, Value>,
    ) -> Result<(), SetError> {
        let update = Update::of(calling, look, email, patch)?;
        update.check_rights(look)?;
        let first = update.had.first_key_value();
        let (home, uid) = first
            .map(|(id, uid)| (*id, *uid))
            .ok_or_else(SetError::not_found)?;
        let is_own = look.room.is_own();
        for (flags, set) in update.flags.iter().zip([true, false]) {
            let of_email = flags.iter().filter(|flag| is_own || **flag != Flag::Seen);
            let of_email: Vec<Flag> = of_email.cloned().collect();
            if !of_email.is_empty() {
                let key = (home, of_email, set);
                self.flags.entry(key).or_default().push(uid);
            }
            if !is_own && flags.contains(&Flag::Seen) {
                for (mailbox, uid) in &update.had {
                    self.seen.entry((*mailbox, set)).or_default().push(*uid);
                }
            }
        }
        if !is_own && update.is_seen {
            self.read.insert((home, uid));
        }
        self.note_places(look, &update);
        Ok(())
    }

    fn note_places(&mut self, look: &Look, update: &Update) {
        let mut leaves: Vec<(MailboxId, Uid)> = update.leaves().collect();
        let mut enters: Vec<MailboxId> = Vec::new();
        for mailbox in update.enters() {
            // A copy that a client has marked is there still.
            match look.uid_in(update.email, mailbox) {
                Some(uid) => {
                    self.unmarked.entry(mailbox).or_default().push(uid);
                    let may_read = look.room.rights(mailbox).has(Rights::SEEN);
                    if !look.room.is_own() && may_read {
                        let seen = self.seen.entry((mailbox, update.is_seen));
                        seen.or_default().push(uid);
                    }
                }
                None => enters.push(mailbox),
            }
        }
        let Some((&home, &uid)) = update.had.first_key_value() else {
            return;
        };
        // From one place to another is a MOVE.
        if let ([(from, uid)], [to]) = (&leaves[..], &enters[..]) {
            if self.read.contains(&(home, update.had[&home])) {
                self.read.insert((*from, *uid));
            }
            self.moves.entry((*from, *to)).or_default().push(*uid);
            (leaves, enters) = (Vec::new(), Vec::new());
        }
        for to in enters {
            self.copies.entry((home, to)).or_default().push(uid);
        }
        for (mailbox, uid) in leaves {
            self.gone.entry(mailbox).or_default().push(uid);
        }
    }

    /// Notes that an email goes, with all of its copies; of another's with those that the user sees.
    ///
    /// # Errors
    /// The user may not take them away.
    pub(crate) fn destroy(&mut self, look: &Look, email: EmailId) -> Result<(), SetError> {
        let copies: Vec<(MailboxId, Uid)> = match look.room.is_own() {
            true => copies_of(look.places.copies(email)),
            false => copies_of(look.copies(email)),
        };
        for (mailbox, _) in &copies {
            look.room
                .check_right(*mailbox, Rights::DELETE | Rights::EXPUNGE)?;
        }
        for (mailbox, uid) in copies {
            self.gone.entry(mailbox).or_default().push(uid);
        }
        Ok(())
    }

    /// Stages all of it.
    ///
    /// # Errors
    /// As the lane's own steps.
    pub(crate) async fn stage(
        mut self,
        look: &Look,
        lane: &mut Lane,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        for ((mailbox, flags, set), uids) in &self.flags {
            let request = FlagsRequest {
                mailbox: *mailbox,
                uids: &set_of(uids),
                action: if *set {
                    FlagAction::Add
                } else {
                    FlagAction::Remove
                },
                flags,
                unchanged_since: None,
                untouched: Untouched {
                    deleted: true,
                    ..Untouched::default()
                },
            };
            lane.stage_flags(batch, &request)?;
        }
        for (mailbox, uids) in &self.unmarked {
            let request = FlagsRequest {
                mailbox: *mailbox,
                uids: &set_of(uids),
                action: FlagAction::Remove,
                flags: &[Flag::Deleted],
                unchanged_since: None,
                untouched: Untouched::default(),
            };
            lane.stage_flags(batch, &request)?;
        }
        for ((from, to), uids) in std::mem::take(&mut self.copies) {
            let copied = lane.stage_copy(batch, from, to, &set_of(&uids)).await?;
            self.note_read(look, (from, to), &copied);
        }
        for ((from, to), uids) in std::mem::take(&mut self.moves) {
            let moved = lane.stage_move(batch, from, to, &set_of(&uids)).await?;
            self.note_read(look, (from, to), &moved);
        }
        for (mailbox, uids) in &self.gone {
            let uids = set_of(uids);
            let which = Expunging::Exactly(&uids);
            lane.stage_expunge(
                batch,
                *mailbox,
                which,
                mailstore::limits::EXPUNGE_PER_CHANGE,
            )?;
        }
        self.stage_seen(look, lane, batch).await
    }

    /// What the user has read stays read where it goes to.
    fn note_read(&mut self, look: &Look, (from, to): (MailboxId, MailboxId), pairs: &[(Uid, Uid)]) {
        if look.room.rights(to).has(Rights::SEEN) {
            let read = pairs
                .iter()
                .filter(|(uid, _)| self.read.contains(&(from, *uid)));
            let read: Vec<Uid> = read.map(|(_, uid)| *uid).collect();
            if !read.is_empty() {
                self.seen.entry((to, true)).or_default().extend(read);
            }
        }
    }

    /// `\Seen` of another's mailbox is each reader's own.
    async fn stage_seen(
        &self,
        look: &Look,
        lane: &mut Lane,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let Some(reader) = look.room.reader() else {
            return Ok(());
        };
        let mailboxes: BTreeSet<MailboxId> = self.seen.keys().map(|(id, _)| *id).collect();
        for mailbox in mailboxes {
            let of = |seen| self.seen.get(&(mailbox, seen)).map(|uids| set_of(uids));
            let (read, unread) = (of(true).unwrap_or_default(), of(false).unwrap_or_default());
            lane.stage_seen_by(batch, mailbox, reader, &read, &unread)
                .await?;
        }
        Ok(())
    }
}

impl Update {
    fn of(
        calling: &Calling<'_>,
        look: &Look,
        email: EmailId,
        patch: Map<String, Value>,
    ) -> Result<Self, SetError> {
        let Some((_, entry)) = look.copies(email).next() else {
            return Err(SetError::not_found());
        };
        let keywords = of_entry(look.view(), &look.entry(entry));
        let had: BTreeMap<_, _> = copies_of(look.copies(email)).into_iter().collect();
        let ids = had
            .keys()
            .map(|id| (look.mailbox_id(*id), Value::Bool(true)));
        let mut object = Map::new();
        object.insert("mailboxIds".into(), Value::Object(ids.collect()));
        object.insert("keywords".into(), Value::Object(keywords.clone()));
        let patch = lower_keywords(created_ids(calling, patch))?;
        let patch = Patch::parse(patch)?;
        for name in patch.properties() {
            if name != "keywords" && name != "mailboxIds" {
                let text = "only keywords and mailboxIds of an email change";
                return Err(SetError::invalid_properties([name], text));
            }
        }
        let names_keywords = patch.properties().any(|name| name == "keywords");
        patch.apply(&mut object)?;
        // Those that it has are not looked at where it is only moved.
        let before: BTreeSet<Flag> = match names_keywords {
            true => keywords.keys().filter_map(|name| flag_of(name)).collect(),
            false => BTreeSet::new(),
        };
        let flags = match names_keywords {
            true => keywords_in(object.get("keywords").unwrap_or(&Value::Null))?,
            false => BTreeSet::new(),
        };
        let was_seen = keywords.contains_key("$seen");
        let mailboxes = object.get("mailboxIds").unwrap_or(&Value::Null);
        let wanted = mailboxes_in(calling, look, mailboxes)?;
        Ok(Self {
            email,
            had,
            wanted,
            is_seen: match names_keywords {
                true => flags.contains(&Flag::Seen),
                false => was_seen,
            },
            flags: [&flags - &before, &before - &flags],
        })
    }

    /// Mailboxes that it leaves.
    fn leaves(&self) -> impl Iterator<Item = (MailboxId, Uid)> + '_ {
        let leaves = self.had.iter().filter(|(id, _)| !self.wanted.contains(id));
        leaves.map(|(id, uid)| (*id, *uid))
    }

    /// Mailboxes that it comes into.
    fn enters(&self) -> impl Iterator<Item = MailboxId> + '_ {
        let enters = self.wanted.iter().filter(|id| !self.had.contains_key(id));
        enters.copied()
    }

    /// RFC 8621 §2, myRights: `$seen` and keywords need their right in all mailboxes that the email is in.
    fn check_rights(&self, look: &Look) -> Result<(), SetError> {
        let room = &look.room;
        let changed = || self.flags.iter().flatten();
        for mailbox in self.had.keys() {
            if changed().any(|flag| *flag == Flag::Seen) {
                room.check_right(*mailbox, Rights::SEEN)?;
            }
            if changed().any(|flag| *flag != Flag::Seen) {
                room.check_right(*mailbox, Rights::WRITE)?;
            }
        }
        for (mailbox, _) in self.leaves() {
            room.check_right(mailbox, Rights::DELETE | Rights::EXPUNGE)?;
        }
        for mailbox in self.enters() {
            room.check_right(mailbox, Rights::INSERT)?;
            // What clears the mark of a copy that is there still.
            if look.uid_in(self.email, mailbox).is_some() {
                room.check_right(mailbox, Rights::DELETE)?;
            }
        }
        Ok(())
    }
}

fn set_of(uids: &[Uid]) -> UidSet {
    uids.iter().copied().collect()
}

fn copies_of<'a>(
    copies: impl Iterator<Item = (&'a Arc<Mailbox>, &'a Entry)>,
) -> Vec<(MailboxId, Uid)> {
    copies
        .map(|(mailbox, entry)| (mailbox.id(), entry.uid))
        .collect()
}

/// RFC 8621 §4.1.1: keywords are the same in capitals, and kept in lower case.
fn lower_keywords(patch: Map<String, Value>) -> Result<Map<String, Value>, SetError> {
    let mut lower = Map::new();
    for (path, value) in patch {
        let path = match path.strip_prefix("keywords/") {
            Some(keyword) => format!("keywords/{}", keyword.to_ascii_lowercase()),
            None => path,
        };
        if lower.insert(path, value).is_some() {
            let text = "one keyword is named twice";
            return Err(SetError::invalid_properties(["keywords"], text));
        }
    }
    Ok(lower)
}

/// RFC 8620 §5.3: ids of what was created stand in patches too, in paths.
fn created_ids(calling: &Calling<'_>, patch: Map<String, Value>) -> Map<String, Value> {
    let resolved = patch.into_iter().map(|(path, value)| {
        let id = path
            .strip_prefix("mailboxIds/")
            .and_then(|id| calling.id_of(id));
        match id {
            Some(id) => (format!("mailboxIds/{id}"), value),
            None => (path, value),
        }
    });
    resolved.collect()
}
