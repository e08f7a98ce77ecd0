//! Mailbox/set (RFC 8621 §2.5). All of a call is one commit, but for mailboxes with more emails than one change
//! takes away, which are emptied before. Each object is set with all that is said of it, or not at all: what may
//! fail is looked at before anything of it is staged.

use super::mailbox_get::{OF_SERVER, SORT_ORDER, place, rights_of, show};
use super::setting::{
    Commits, Failed, Outcome, Submitted, TRIES, check, submit, without_destroyed,
};
use super::{Done, look_of, store_failed};
use crate::access::{Room, no_right};
use crate::api::Calling;
use crate::look::Look;
use crate::threads::ThreadCounts;
use bytes::Bytes;
use engine::Batch;
use jmap_proto::arguments::Set;
use jmap_proto::{Arguments, MethodError, Patch, SetError};
use mailbox_model::stage::{self, Expunging, StageError};
use mailbox_model::{Mailbox, MailboxId, MailboxName, Role, UidSet, View};
use mailstore::limits::EXPUNGE_PER_CHANGE;
use mailstore::{Account, Annotations, Lane, Rights, StagedAnnotations, StoreError};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

pub(super) async fn run(calling: &mut Calling<'_>, mut arguments: Arguments) -> Done {
    let mut set = Set::take(&mut arguments)?;
    let remove_emails = arguments.flag("onDestroyRemoveEmails", false)?;
    arguments.finish()?;
    let look = look_of(calling, &set.account_id).await?;
    check(&look, set.if_in_state.as_deref())?;
    let mut commits = Commits::new(set.if_in_state.as_deref());
    let mut outcome = Outcome::default();
    without_destroyed(calling, &mut set, &mut outcome);
    let done = set_all(calling, &look, &set, remove_emails, &mut commits).await;
    let (done, made) = match done {
        Ok(done) => done,
        Err(error) if commits.is_empty() => return Err(error),
        // Mailboxes were emptied: that is told, if only by the states.
        Err(error) => (nothing_done(&set, &Failed::of(error, &commits)), Vec::new()),
    };
    for (creation, made) in &made {
        let id = look.mailbox_id(made.id);
        calling.created.insert(creation.clone(), id);
    }
    outcome.take(done);
    let made = made.into_iter().map(|(_, made)| made).collect();
    let room = inherit(&look.room, made).await;
    let (old, new) = (commits.old(&look), commits.new_state(&look, &room));
    let answer = outcome.answer(set.account_id, old, new);
    Ok(vec![("Mailbox/set", answer)])
}

/// Carries it out.
///
/// # Errors
/// Nothing of it is done, but mailboxes may be empty that were to be destroyed.
async fn set_all(
    calling: &Calling<'_>,
    look: &Look,
    set: &Set,
    remove_emails: bool,
    commits: &mut Commits,
) -> Result<(Outcome, Vec<(String, Made)>), MethodError> {
    // Only where nothing else of the call can keep them from being destroyed.
    if remove_emails && set.create.is_empty() && set.update.is_empty() {
        let ids = set.destroy.iter().filter_map(|id| calling.id_of(id));
        let mailboxes = ids.filter_map(|id| look.mailbox(id));
        let destroy = mailboxes.map(|mailbox| mailbox.id()).collect();
        empty_large_ones(look, &destroy, commits).await?;
    }
    let account = &look.room.account;
    let mut counted = set.update.iter().flat_map(|(_, patch)| patch.keys());
    // Nobody waits for them while the lane is held.
    let threads = match counted.any(|name| name.ends_with("Threads")) {
        true => Some(look.threads().await?),
        false => None,
    };
    for _ in 0..TRIES {
        let mut lane = account.lane().await.map_err(|error| store_failed(&error))?;
        commits.check(&look.room, &lane)?;
        let before = lane.view().modseq();
        let orders = lane.read_annotations().await;
        let mut work = Work {
            calling,
            look,
            made: Vec::new(),
            orders: orders.map_err(|error| store_failed(&error))?,
            outcome: Outcome::default(),
            threads: threads.clone().map(ThreadCounts::new),
            lane,
            batch: Batch::new(),
        };
        work.create_all(set)?;
        work.update_all(set).await?;
        work.destroy_all(set, remove_emails)?;
        let Work {
            made,
            orders,
            outcome,
            mut lane,
            mut batch,
            ..
        } = work;
        if orders.has_changed() {
            let staged = lane.stage_annotations(&mut batch, orders);
            staged.map_err(|error| store_failed(&error))?;
        }
        let after = lane.view().modseq();
        if let Submitted::Done = submit(lane, batch).await? {
            commits.note(before, after);
            return Ok((outcome, made));
        }
    }
    Err(MethodError::ServerUnavailable)
}

/// All that was asked for failed for one reason.
fn nothing_done(set: &Set, failed: &Failed) -> Outcome {
    let error = match failed {
        Failed::Object(error) => error.clone(),
        Failed::Call(error) => SetError::new(error.kind(), error.to_string()),
    };
    let all = |ids: Vec<&String>| {
        let errors = ids.into_iter().map(|id| (id.clone(), error.clone()));
        errors.collect::<BTreeMap<_, _>>()
    };
    Outcome {
        not_created: all(set.create.iter().map(|(id, _)| id).collect()),
        not_updated: all(set.update.iter().map(|(id, _)| id).collect()),
        not_destroyed: all(set.destroy.iter().collect()),
        ..Outcome::default()
    }
}

/// What does not fit into one commit goes before the mailbox does.
async fn empty_large_ones(
    look: &Look,
    destroy: &BTreeSet<MailboxId>,
    commits: &mut Commits,
) -> Result<(), MethodError> {
    for id in destroy {
        let found = look.view().mailbox(*id);
        if found.is_some_and(|mailbox| is_large(mailbox)) {
            empty(look, *id, destroy, commits).await?;
        }
    }
    Ok(())
}

fn is_large(mailbox: &Mailbox) -> bool {
    mailbox.entries().len() > EXPUNGE_PER_CHANGE / 4
}

/// Empties one of the mailboxes that are to be destroyed.
async fn empty(
    look: &Look,
    mailbox: MailboxId,
    destroy: &BTreeSet<MailboxId>,
    commits: &mut Commits,
) -> Result<(), MethodError> {
    let account = &look.room.account;
    let (mut limit, mut conflicts) = (EXPUNGE_PER_CHANGE, 0);
    loop {
        let mut lane = account.lane().await.map_err(|error| store_failed(&error))?;
        commits.check(&look.room, &lane)?;
        let before = lane.view().modseq();
        if !may_go_together(&look.room, lane.view(), destroy).contains(&mailbox) {
            return Ok(());
        }
        let mut batch = Batch::new();
        let which = UidSet::all();
        let staged = lane.stage_expunge(&mut batch, mailbox, Expunging::Exactly(&which), limit);
        let (_, more) = staged.map_err(|error| store_failed(&error))?;
        let after = lane.view().modseq();
        match submit(lane, batch).await {
            Ok(Submitted::Done) => {
                commits.note(before, after);
                if !more {
                    return Ok(());
                }
            }
            Ok(Submitted::Again) if conflicts < TRIES => conflicts += 1,
            Ok(Submitted::Again) => return Err(MethodError::ServerUnavailable),
            // Emails with very many keywords.
            Err(MethodError::RequestTooLarge) if limit > 1 => limit /= 2,
            Err(error) => return Err(error),
        }
    }
}

/// May a mailbox be destroyed, whatever is in it?
fn may_go(room: &Room, view: &View, mailbox: &Mailbox) -> Result<(), SetError> {
    if mailbox.name().is_inbox() {
        return Err(SetError::new("forbidden", "the inbox stays"));
    }
    // RFC 4314 §4
    room.check_right(mailbox.id(), Rights::DELETE_MAILBOX)?;
    if view.has_children(mailbox.name()) {
        let text = "there are mailboxes below it";
        return Err(SetError::new("mailboxHasChild", text));
    }
    Ok(())
}

/// Those of the mailboxes to be destroyed that nothing keeps: below them lies only what goes too.
fn may_go_together(room: &Room, view: &View, destroy: &BTreeSet<MailboxId>) -> BTreeSet<MailboxId> {
    let (go, stay): (Vec<_>, Vec<_>) = view.mailboxes().partition(|mailbox| {
        let asked = destroy.contains(&mailbox.id()) && !mailbox.name().is_inbox();
        asked
            && room
                .check_right(mailbox.id(), Rights::DELETE_MAILBOX)
                .is_ok()
    });
    let kept = stay.iter().flat_map(|mailbox| mailbox.name().ancestors());
    let kept: HashSet<MailboxName> = kept.collect();
    let go = go.iter().filter(|mailbox| !kept.contains(mailbox.name()));
    go.map(|mailbox| mailbox.id()).collect()
}

/// Who may do what above may do it in what was made: a mailbox stays in its maker's sight (decision 25). Gives the room
/// with that.
async fn inherit(room: &Arc<Room>, made: Vec<Made>) -> Arc<Room> {
    let below = made.iter().any(|made| made.above.is_some());
    if !below {
        return Arc::clone(room);
    }
    let account = &room.account;
    for made in &made {
        if let Err(why) = inherit_one(account, made).await {
            tracing::error!(account = %account.id(), why, "jmap: a mailbox that was made is for its owner alone");
        }
    }
    Arc::new(room.with(made.into_iter().map(|made| (made.id, made.rights))))
}

async fn inherit_one(account: &Arc<Account>, made: &Made) -> Result<(), String> {
    let Some(above) = made.above else {
        return Ok(());
    };
    let acls = account.acls().await.map_err(|error| error.to_string())?;
    let Some(acl) = acls.of(above) else {
        return Ok(());
    };
    let changed = account.change_acl(made.id, |own| *own = acl.clone()).await;
    let changed = changed.map_err(|error| error.to_string())?;
    changed.map_err(|_| "too many rights are given".to_owned())
}

/// A mailbox that is made.
#[derive(Debug, Clone, Copy)]
struct Made {
    id: MailboxId,
    /// The nearest above, whose rights it inherits.
    above: Option<MailboxId>,
    rights: Rights,
}

/// One try.
struct Work<'a> {
    calling: &'a Calling<'a>,
    look: &'a Look,
    /// By creation ids, what is above first.
    made: Vec<(String, Made)>,
    orders: StagedAnnotations,
    outcome: Outcome,
    /// Of the look, where an update names their counts.
    threads: Option<ThreadCounts>,
    lane: Lane,
    batch: Batch,
}

/// What an object says of a mailbox.
struct Wanted<'a> {
    name: Option<&'a str>,
    parent: Option<&'a Value>,
    role: Option<&'a Value>,
    order: Option<u32>,
    subscribed: Option<bool>,
}

impl<'a> Wanted<'a> {
    // RFC 8620 §5.3: null is what it is where nothing is said.
    fn of(members: impl Iterator<Item = (&'a str, &'a Value)>) -> Result<Self, SetError> {
        let mut wanted = Self {
            name: None,
            parent: None,
            role: None,
            order: None,
            subscribed: None,
        };
        for (name, value) in members {
            let wrong = |text: &str| SetError::invalid_properties([name], text);
            match name {
                "name" => wanted.name = Some(value.as_str().ok_or_else(|| wrong("it is a text"))?),
                "parentId" => wanted.parent = Some(value),
                "role" => wanted.role = Some(value),
                "sortOrder" => {
                    let order = match value {
                        Value::Null => Some(0),
                        value => value.as_u64().and_then(|order| u32::try_from(order).ok()),
                    };
                    wanted.order = Some(order.ok_or_else(|| wrong("it is a whole number"))?);
                }
                "isSubscribed" => {
                    wanted.subscribed = match value {
                        Value::Null => Some(true),
                        Value::Bool(flag) => Some(*flag),
                        _ => return Err(wrong("it is true or false")),
                    };
                }
                _ => return Err(wrong("it is the server's")),
            }
        }
        Ok(wanted)
    }

    /// What of a mailbox is its owner's to say.
    fn check_owner(&self, room: &Room) -> Result<(), SetError> {
        let role = self.role.is_some_and(|role| !role.is_null());
        let others = role || self.order.is_some_and(|order| order > 0);
        if !room.is_own() && (others || self.subscribed == Some(true)) {
            let text = "role, order and subscription of another's mailbox are its owner's";
            return Err(SetError::new("forbidden", text));
        }
        Ok(())
    }
}

/// The full name of a mailbox below another.
fn name_below(above: Option<&MailboxName>, name: &str) -> Result<MailboxName, SetError> {
    let wrong = |text: &str| SetError::invalid_properties(["name"], text);
    // RFC 8621 §2: one level, in Net-Unicode.
    if name.is_empty() || name.contains('/') {
        return Err(wrong("a name is not empty and holds no slash"));
    }
    let full = match above {
        Some(above) => format!("{above}/{name}"),
        None => name.to_owned(),
    };
    MailboxName::parse(&full).map_err(|error| wrong(&error.to_string()))
}

fn refused(error: &StoreError) -> SetError {
    match error {
        StoreError::Stage(StageError::NameTaken) => {
            SetError::invalid_properties(["name"], "another mailbox has that name")
        }
        StoreError::Stage(StageError::RoleTaken) => {
            SetError::invalid_properties(["role"], "another mailbox has that role")
        }
        StoreError::Stage(StageError::BelowItself) => {
            SetError::invalid_properties(["parentId"], "a mailbox is not below itself")
        }
        StoreError::Stage(StageError::HasChildren) => {
            SetError::new("mailboxHasChild", "there are mailboxes below it")
        }
        StoreError::Stage(StageError::Mailboxes) => {
            SetError::new("overQuota", "there are too many mailboxes")
        }
        other => super::setting::refused(other),
    }
}

impl Work<'_> {
    fn room(&self) -> &Room {
        &self.look.room
    }

    /// What the user may do in a mailbox; in one that the call makes, what he may above.
    fn rights(&self, mailbox: MailboxId) -> Rights {
        let made = self.made.iter().find(|(_, made)| made.id == mailbox);
        made.map_or_else(|| self.room().rights(mailbox), |(_, made)| made.rights)
    }

    fn check_right(&self, mailbox: MailboxId, needed: Rights) -> Result<(), SetError> {
        let has = self.rights(mailbox).has(needed);
        has.then_some(()).ok_or_else(no_right)
    }

    /// The mailbox that an id or a creation id means.
    fn find(&self, id: &str) -> Option<Arc<Mailbox>> {
        let creation = id.strip_prefix('#');
        let made = creation.and_then(|id| self.made.iter().find(|(creation, _)| creation == id));
        let id = match made {
            Some((_, made)) => made.id,
            None => {
                let id = self.calling.id_of(id)?;
                let id = mailstore::object_id::mailbox_of(id, self.room().owner())?;
                Some(id).filter(|id| self.room().shows(*id))?
            }
        };
        self.lane.view().mailbox(id).cloned()
    }

    /// The mailbox above; none for the top.
    fn above(&self, parent: &Value) -> Result<Option<Arc<Mailbox>>, SetError> {
        let wrong = || SetError::invalid_properties(["parentId"], "there is no such mailbox");
        match parent {
            Value::Null => Ok(None),
            Value::String(id) => self.find(id).map(Some).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    fn create_all(&mut self, set: &Set) -> Result<(), MethodError> {
        let mut waiting: Vec<&(String, Map<String, Value>)> = set.create.iter().collect();
        // One may stand below another of the same call, in any order.
        loop {
            let mut later = Vec::new();
            let count = waiting.len();
            for one in waiting {
                let (creation, object) = one;
                let parent = object.get("parentId").and_then(Value::as_str);
                let parent = parent.and_then(|parent| parent.strip_prefix('#'));
                let unmade = parent.is_some_and(|parent| {
                    let made = self.made.iter().any(|(id, _)| id == parent);
                    !made && set.create.iter().any(|(id, _)| id == parent)
                });
                if unmade {
                    later.push(one);
                    continue;
                }
                match self.create(object) {
                    Ok((made, told)) => {
                        self.made.push((creation.clone(), made));
                        self.outcome.created.insert(creation.clone(), told);
                    }
                    Err(error) => {
                        let error = of_object(error)?;
                        self.outcome.not_created.insert(creation.clone(), error);
                    }
                }
            }
            if later.is_empty() || later.len() == count {
                for (creation, _) in later {
                    let error =
                        SetError::invalid_properties(["parentId"], "that mailbox is not made");
                    self.outcome.not_created.insert(creation.clone(), error);
                }
                return Ok(());
            }
            waiting = later;
        }
    }

    fn create(&mut self, object: &Map<String, Value>) -> Result<(Made, Value), Failed> {
        let wanted = Wanted::of(object.iter().map(|(name, value)| (name.as_str(), value)))?;
        let missing = || SetError::invalid_properties(["name"], "a mailbox has a name");
        let name = wanted.name.ok_or_else(missing)?;
        let above = self.above(wanted.parent.unwrap_or(&Value::Null))?;
        match &above {
            Some(above) => self.check_right(above.id(), Rights::CREATE)?,
            None if self.room().is_own() => {}
            None => return Err(no_right().into()),
        }
        wanted.check_owner(self.room())?;
        let name = name_below(above.as_ref().map(|above| above.name()), name)?;
        let role = wanted.role.map(role_of).transpose()?.flatten();
        let (_, ids) = stage::stage_create(self.lane.view(), &[(name.clone(), role)])
            .map_err(|error| refused(&error.into()))?;
        if let (Some(id), Some(order)) = (ids.last(), wanted.order) {
            self.set_order(*id, order)?;
        }
        let made = self.lane.stage_create(&mut self.batch, &name, role);
        let id = made.map_err(|error| fatal(&error))?;
        let subscribed = wanted.subscribed.unwrap_or(self.room().is_own());
        if !subscribed && self.room().is_own() {
            let done = self.lane.stage_unsubscribe(&mut self.batch, &name);
            done.map_err(|error| fatal(&error))?;
        }
        let above = above.map(|above| above.id());
        let rights = above.map_or(Rights::ALL, |above| self.rights(above));
        let told = self.tell(id, rights, &wanted);
        Ok((Made { id, above, rights }, told))
    }

    /// RFC 8620 §5.3: what the server chose, where the client left it open.
    fn tell(&self, id: MailboxId, rights: Rights, wanted: &Wanted<'_>) -> Value {
        let mut told = json!({
            "id": self.look.mailbox_id(id),
            "totalEmails": 0,
            "unreadEmails": 0,
            "totalThreads": 0,
            "unreadThreads": 0,
            "myRights": rights_of(rights, false),
        });
        let subscribed = self.room().is_own();
        let usual = [
            ("parentId", Value::Null, wanted.parent.is_none()),
            ("role", Value::Null, wanted.role.is_none()),
            ("sortOrder", 0.into(), wanted.order.is_none()),
            (
                "isSubscribed",
                subscribed.into(),
                wanted.subscribed.is_none(),
            ),
        ];
        for (name, value, open) in usual {
            if open {
                told[name] = value;
            }
        }
        told
    }

    fn set_order(&mut self, mailbox: MailboxId, order: u32) -> Result<(), SetError> {
        // The usual one needs no place.
        let value = Some(Bytes::from(order.to_string())).filter(|_| order > 0);
        let set = self
            .orders
            .set(Some(mailbox), &[(SORT_ORDER.to_owned(), value)]);
        set.map_err(|_| SetError::new("overQuota", "there are too many annotations"))
    }

    async fn update_all(&mut self, set: &Set) -> Result<(), MethodError> {
        for (id, patch) in &set.update {
            match self.update(id, patch).await {
                Ok(()) => drop(self.outcome.updated.insert(id.clone(), Value::Null)),
                Err(error) => {
                    let error = of_object(error)?;
                    self.outcome.not_updated.insert(id.clone(), error);
                }
            }
        }
        Ok(())
    }

    async fn update(&mut self, id: &str, patch: &Map<String, Value>) -> Result<(), Failed> {
        let mailbox = self.find(id).ok_or_else(SetError::not_found)?;
        let patch = Patch::parse(patch.clone())?;
        if patch.properties().count() != patch.whole().count() {
            let text = "there is nothing inside these properties";
            return Err(SetError::invalid_patch(text).into());
        }
        self.check_of_server(&mailbox, &patch)?;
        let said = patch.whole().filter(|(name, _)| !OF_SERVER.contains(name));
        let mut wanted = Wanted::of(said)?;
        if let Some(role) = wanted.role.take()
            && role_of(role)? != mailbox.role()
        {
            let text = "a mailbox keeps the role that it was made with";
            return Err(SetError::invalid_properties(["role"], text).into());
        }
        wanted.check_owner(self.room())?;
        let from = mailbox.name().clone();
        let to = self.new_name(&mailbox, &wanted)?;
        if to != from {
            if from.is_inbox() {
                let text = "the inbox stays where it is";
                return Err(SetError::new("forbidden", text).into());
            }
            self.may_rename(&from, &to)?;
            let staged = stage::stage_rename(self.lane.view(), &from, &to);
            staged.map_err(|error| refused(&error.into()))?;
        }
        if let Some(order) = wanted.order.filter(|_| self.room().is_own()) {
            self.set_order(mailbox.id(), order)?;
        }
        if to != from {
            let renamed = self.lane.stage_rename(&mut self.batch, &from, &to).await;
            renamed.map_err(|error| fatal(&error))?;
        }
        if let Some(subscribed) = wanted.subscribed.filter(|_| self.room().is_own()) {
            let done = match subscribed {
                true => self.lane.stage_subscribe(&mut self.batch, &to),
                false => self.lane.stage_unsubscribe(&mut self.batch, &to),
            };
            done.map_err(|error| fatal(&error))?;
        }
        Ok(())
    }

    /// RFC 8620 §5.3: an object may be sent back whole, as it was when the call began.
    fn check_of_server(&mut self, mailbox: &Mailbox, patch: &Patch) -> Result<(), SetError> {
        let names: Vec<&str> = patch.whole().map(|(name, _)| name).collect();
        let names: Vec<&str> = names
            .into_iter()
            .filter(|name| OF_SERVER.contains(name))
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let orders = Annotations::default();
        let shown = show(self.look, mailbox, &orders, self.threads.as_mut(), &names);
        let other = patch
            .whole()
            .find(|(name, value)| OF_SERVER.contains(name) && shown.get(name) != Some(value));
        match other {
            Some((name, _)) => Err(SetError::invalid_properties([name], "it is the server's")),
            None => Ok(()),
        }
    }

    /// The full name that is wanted.
    fn new_name(&self, mailbox: &Mailbox, wanted: &Wanted<'_>) -> Result<MailboxName, SetError> {
        if wanted.name.is_none() && wanted.parent.is_none() {
            return Ok(mailbox.name().clone());
        }
        let look = self.look.at(self.lane.view());
        let (now_above, leaf) = place(&look, mailbox);
        let above = match wanted.parent {
            Some(parent) => self.above(parent)?,
            None => now_above.and_then(|id| look.view().mailbox(id).cloned()),
        };
        let above = above.as_ref().map(|above| above.name());
        match wanted.name {
            Some(name) if name != leaf => name_below(above, name),
            // A name with levels that are no mailboxes stays as it is.
            _ => {
                let full = above.map_or(leaf.to_owned(), |above| format!("{above}/{leaf}"));
                let wrong = |error: mailbox_model::NameError| {
                    SetError::invalid_properties(["name"], error.to_string())
                };
                MailboxName::parse(&full).map_err(wrong)
            }
        }
    }

    /// RFC 4314 §4: `x` on the mailbox, and here on all that go with it; `k` above the new name.
    fn may_rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), SetError> {
        if self.room().is_own() {
            return Ok(());
        }
        let view = self.lane.view();
        let named = to.ancestors().filter_map(|name| view.mailbox_named(&name));
        let above = named.last().ok_or_else(no_right)?;
        self.check_right(above.id(), Rights::CREATE)?;
        for mailbox in view.mailboxes() {
            if mailbox.name() == from || mailbox.name().is_below(from) {
                self.check_right(mailbox.id(), Rights::DELETE_MAILBOX)?;
            }
        }
        Ok(())
    }

    fn destroy_all(&mut self, set: &Set, remove_emails: bool) -> Result<(), MethodError> {
        // What lies below others goes first, whatever the order that was given.
        let depth = |id: &String| {
            let mailbox = self.find(id);
            mailbox.map_or(0, |mailbox| mailbox.name().as_str().matches('/').count())
        };
        let mut ids: Vec<(usize, &String)> = set.destroy.iter().map(|id| (depth(id), id)).collect();
        ids.sort_by(|(a, _), (b, _)| b.cmp(a));
        for (_, id) in ids {
            match self.destroy(id, remove_emails) {
                Ok(()) => self.outcome.destroyed.push(id.clone()),
                Err(error) => {
                    let error = of_object(error)?;
                    self.outcome.not_destroyed.insert(id.clone(), error);
                }
            }
        }
        Ok(())
    }

    fn destroy(&mut self, id: &str, remove_emails: bool) -> Result<(), Failed> {
        let mailbox = self.find(id).ok_or_else(SetError::not_found)?;
        may_go(self.room(), self.lane.view(), &mailbox)?;
        let shown = mailbox.entries().iter().any(|entry| !entry.deleted);
        if shown && !remove_emails {
            let text = "there are emails in it";
            return Err(SetError::new("mailboxHasEmail", text).into());
        }
        let deleted = self.lane.stage_delete(&mut self.batch, mailbox.name());
        deleted.map_err(|error| fatal(&error))?;
        // IMAP keeps subscriptions to what is gone; here there is nothing that could show them.
        let done = self.lane.stage_unsubscribe(&mut self.batch, mailbox.name());
        done.map_err(|error| fatal(&error))
    }
}

/// What cannot be, since it was looked at before: nothing of the call is done then.
fn fatal(error: &StoreError) -> Failed {
    Failed::Call(store_failed(error))
}

fn of_object(failed: Failed) -> Result<SetError, MethodError> {
    match failed {
        Failed::Object(error) => Ok(error),
        Failed::Call(error) => Err(error),
    }
}

/// The role of a name in JMAP.
fn role_of(value: &Value) -> Result<Option<Role>, SetError> {
    let wrong = || SetError::invalid_properties(["role"], "there is no such role here");
    match value {
        Value::Null => Ok(None),
        Value::String(name) if name == "inbox" => Ok(Some(Role::Inbox)),
        Value::String(name) => {
            let found = Role::from_attribute(&format!("\\{name}"));
            let found = found.filter(|role| role.name() == name);
            found.map(Some).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}
