//! Keywords and mailboxes of an email: what is asked for, and the steps that lead there.

use super::keywords::{flag_of, of_entry};
use crate::api::Calling;
use crate::look::Look;
use engine::Batch;
use jmap_proto::{Patch, SetError};
use mailbox_model::stage::{Expunging, FlagAction, FlagsRequest, Untouched};
use mailbox_model::{EmailId, Flag, MailboxId, Uid, UidSet};
use mailstore::{Lane, StoreError};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

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
}

impl Edits {
    /// Notes what a patch asks of an email.
    ///
    /// # Errors
    /// It asks for what cannot be.
    pub(crate) fn update(
        &mut self,
        calling: &Calling<'_>,
        look: &Look,
        email: EmailId,
        patch: Map<String, Value>,
    ) -> Result<(), SetError> {
        let mut object = Map::new();
        let mut copies = look.copies(email);
        let Some((first, entry)) = copies.next() else {
            return Err(SetError::not_found());
        };
        let (home, uid) = (first.id(), entry.uid);
        let had = of_entry(look.view(), entry);
        let had_in: BTreeMap<MailboxId, Uid> = look
            .copies(email)
            .map(|(mailbox, entry)| (mailbox.id(), entry.uid))
            .collect();
        let ids = had_in
            .keys()
            .map(|id| (look.mailbox_id(*id), Value::Bool(true)));
        object.insert("mailboxIds".into(), Value::Object(ids.collect()));
        object.insert("keywords".into(), Value::Object(had.clone()));
        let patch = lower_keywords(created_ids(calling, patch))?;
        let patch = Patch::parse(patch)?;
        for name in patch.properties() {
            if name != "keywords" && name != "mailboxIds" {
                let text = "only keywords and mailboxIds of an email change";
                return Err(SetError::invalid_properties([name], text));
            }
        }
        patch.apply(&mut object)?;
        let wanted = keywords_in(object.get("keywords").unwrap_or(&Value::Null))?;
        let wanted_in = mailboxes_in(
            calling,
            look,
            object.get("mailboxIds").unwrap_or(&Value::Null),
        )?;
        let had: BTreeSet<Flag> = had.keys().filter_map(|keyword| flag_of(keyword)).collect();
        self.note_flags((home, uid), wanted.difference(&had), true);
        self.note_flags((home, uid), had.difference(&wanted), false);
        self.note_places(look, email, &had_in, &wanted_in);
        Ok(())
    }

    fn note_flags<'a>(
        &mut self,
        (mailbox, uid): (MailboxId, Uid),
        flags: impl Iterator<Item = &'a Flag>,
        set: bool,
    ) {
        let flags: Vec<Flag> = flags.cloned().collect();
        if !flags.is_empty() {
            self.flags
                .entry((mailbox, flags, set))
                .or_default()
                .push(uid);
        }
    }

    fn note_places(
        &mut self,
        look: &Look,
        email: EmailId,
        had: &BTreeMap<MailboxId, Uid>,
        wanted: &BTreeSet<MailboxId>,
    ) {
        let mut leaves: Vec<(MailboxId, Uid)> = had
            .iter()
            .filter(|(id, _)| !wanted.contains(id))
            .map(|(id, uid)| (*id, *uid))
            .collect();
        let mut enters: Vec<MailboxId> = Vec::new();
        for mailbox in wanted.iter().filter(|id| !had.contains_key(id)) {
            // A copy that a client has marked is there still.
            match look.uid_in(email, *mailbox) {
                Some(uid) => self.unmarked.entry(*mailbox).or_default().push(uid),
                None => enters.push(*mailbox),
            }
        }
        // From one place to another is a MOVE.
        if let ([(from, uid)], [to]) = (&leaves[..], &enters[..]) {
            self.moves.entry((*from, *to)).or_default().push(*uid);
            (leaves, enters) = (Vec::new(), Vec::new());
        }
        if let Some((&from, &uid)) = had.first_key_value() {
            for to in enters {
                self.copies.entry((from, to)).or_default().push(uid);
            }
        }
        for (mailbox, uid) in leaves {
            self.gone.entry(mailbox).or_default().push(uid);
        }
    }

    /// Notes that an email goes, with all of its copies.
    pub(crate) fn destroy(&mut self, look: &Look, email: EmailId) {
        for (mailbox, entry) in look.places.copies(email) {
            self.gone.entry(mailbox.id()).or_default().push(entry.uid);
        }
    }

    /// Stages all of it.
    ///
    /// # Errors
    /// As the lane's own steps.
    pub(crate) async fn stage(&self, lane: &mut Lane, batch: &mut Batch) -> Result<(), StoreError> {
        let set_of = |uids: &[Uid]| uids.iter().copied().collect::<UidSet>();
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
        for ((from, to), uids) in &self.copies {
            lane.stage_copy(batch, *from, *to, &set_of(uids)).await?;
        }
        for ((from, to), uids) in &self.moves {
            lane.stage_move(batch, *from, *to, &set_of(uids)).await?;
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
        Ok(())
    }
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
