//! Mailbox/set (RFC 8621 §2.5). All of a call is one commit, but for sort orders, and for mailboxes with
//! more emails than one change takes away.

use super::mailbox_get::{SORT_ORDER, place};
use super::setting::{Outcome, Submitted, TRIES, check, submit, without_destroyed};
use super::{Done, look_of, store_failed};
use crate::api::Calling;
use crate::look::Look;
use bytes::Bytes;
use engine::Batch;
use jmap_proto::arguments::Set;
use jmap_proto::{Arguments, MethodError, Patch, SetError};
use mailbox_model::stage::{Expunging, StageError};
use mailbox_model::{MailboxId, MailboxName, Role, UidSet};
use mailstore::limits::EXPUNGE_PER_CHANGE;
use mailstore::{Lane, StoreError};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) async fn run(calling: &mut Calling<'_>, mut arguments: Arguments) -> Done {
    let mut set = Set::take(&mut arguments)?;
    let remove_emails = arguments.flag("onDestroyRemoveEmails", false)?;
    arguments.finish()?;
    let look = look_of(calling, &set.account_id).await?;
    check(&look, set.if_in_state.as_deref())?;
    let mut outcome = Outcome::default();
    without_destroyed(&mut set, &mut outcome);
    // Only where nothing else of the call can keep them from being destroyed.
    if remove_emails && set.create.is_empty() && set.update.is_empty() {
        empty_large_ones(&look, &set.destroy).await?;
    }
    let account = look.room.account.clone();
    for _ in 0..TRIES {
        let mut lane = account.lane().await.map_err(|error| store_failed(&error))?;
        let before = look.at(lane.view());
        // What was emptied above is no change of others.
        if !remove_emails {
            check(&before, set.if_in_state.as_deref())?;
        }
        let mut work = Work {
            look: &look,
            made: BTreeMap::new(),
            orders: Vec::new(),
            outcome: Outcome::default(),
        };
        let mut batch = Batch::new();
        work.create_all(calling, &set, &mut lane, &mut batch)
            .await?;
        work.update_all(calling, &set, &mut lane, &mut batch)
            .await?;
        work.destroy_all(&set, remove_emails, &mut lane, &mut batch)?;
        if let Submitted::Again = submit(lane, batch).await? {
            continue;
        }
        for (creation, id) in &work.made {
            calling
                .created
                .insert(creation.clone(), look.mailbox_id(*id));
        }
        for (mailbox, order) in &work.orders {
            let value = Some(Bytes::from(order.to_string()));
            let noted = account
                .annotate(Some(*mailbox), &[(SORT_ORDER.to_owned(), value)])
                .await;
            if noted.map_err(|error| store_failed(&error))?.is_err() {
                tracing::warn!(account = %account.id(), "jmap: a sort order is not kept, there are too many annotations");
            }
        }
        work.outcome.not_updated.extend(outcome.not_updated);
        let new = calling.jmap.look(&look.room).await?.state();
        let answer = work.outcome.answer(set.account_id, before.state(), new);
        return Ok(vec![("Mailbox/set", answer)]);
    }
    Err(MethodError::ServerUnavailable)
}

/// What does not fit into one commit goes before the mailbox does.
async fn empty_large_ones(look: &Look, destroy: &[String]) -> Result<(), MethodError> {
    for id in destroy {
        if let Some(mailbox) = look.mailbox(id)
            && mailbox.entries().len() > EXPUNGE_PER_CHANGE / 4
            && !mailbox.name().is_inbox()
            && !look.view().has_children(mailbox.name())
        {
            let which = UidSet::all();
            let done = look
                .room
                .account
                .expunge(mailbox.id(), Expunging::Exactly(&which))
                .await;
            done.map_err(|error| store_failed(&error))?;
        }
    }
    Ok(())
}

/// One try.
struct Work<'a> {
    look: &'a Look,
    /// Creation ids.
    made: BTreeMap<String, MailboxId>,
    orders: Vec<(MailboxId, u32)>,
    outcome: Outcome,
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
                    let order = value.as_u64().and_then(|order| u32::try_from(order).ok());
                    wanted.order = Some(order.ok_or_else(|| wrong("it is a whole number"))?);
                }
                "isSubscribed" => {
                    let flag = value
                        .as_bool()
                        .ok_or_else(|| wrong("it is true or false"))?;
                    wanted.subscribed = Some(flag);
                }
                _ => return Err(wrong("it is the server's")),
            }
        }
        Ok(wanted)
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
    /// The mailbox that an id or a creation id means.
    fn find(&self, calling: &Calling<'_>, lane: &Lane, id: &str) -> Option<MailboxName> {
        let made = id
            .strip_prefix('#')
            .and_then(|creation| self.made.get(creation));
        let id = match made {
            Some(id) => *id,
            None => {
                let id = calling.id_of(id)?;
                mailstore::object_id::mailbox_of(id, self.look.room.owner())?
            }
        };
        lane.view()
            .mailbox(id)
            .map(|mailbox| mailbox.name().clone())
    }

    /// The mailbox above; none for the top.
    fn above(
        &self,
        calling: &Calling<'_>,
        lane: &Lane,
        parent: &Value,
    ) -> Result<Option<MailboxName>, SetError> {
        let wrong = || SetError::invalid_properties(["parentId"], "there is no such mailbox");
        match parent {
            Value::Null => Ok(None),
            Value::String(id) => self.find(calling, lane, id).map(Some).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    async fn create_all(
        &mut self,
        calling: &Calling<'_>,
        set: &Set,
        lane: &mut Lane,
        batch: &mut Batch,
    ) -> Result<(), MethodError> {
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
                    !self.made.contains_key(parent) && set.create.iter().any(|(id, _)| id == parent)
                });
                if unmade {
                    later.push(one);
                    continue;
                }
                match self.create(calling, object, lane, batch) {
                    Ok((id, told)) => {
                        self.made.insert(creation.clone(), id);
                        self.outcome.created.insert(creation.clone(), told);
                    }
                    Err(error) => drop(self.outcome.not_created.insert(creation.clone(), error)),
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

    fn create(
        &mut self,
        calling: &Calling<'_>,
        object: &Map<String, Value>,
        lane: &mut Lane,
        batch: &mut Batch,
    ) -> Result<(MailboxId, Value), SetError> {
        let wanted = Wanted::of(object.iter().map(|(name, value)| (name.as_str(), value)))?;
        let missing = || SetError::invalid_properties(["name"], "a mailbox has a name");
        let name = wanted.name.ok_or_else(missing)?;
        let above = self.above(calling, lane, wanted.parent.unwrap_or(&Value::Null))?;
        let name = name_below(above.as_ref(), name)?;
        let role = wanted.role.map(role_of).transpose()?.flatten();
        let made = lane.stage_create(batch, &name, role);
        let id = made.map_err(|error| refused(&error))?;
        if wanted.subscribed == Some(false) {
            let done = lane.stage_unsubscribe(batch, &name);
            done.map_err(|error| refused(&error))?;
        }
        self.orders.extend(
            wanted
                .order
                .filter(|order| *order > 0)
                .map(|order| (id, order)),
        );
        let mut told = json!({
            "id": self.look.mailbox_id(id),
            "totalEmails": 0,
            "unreadEmails": 0,
            "totalThreads": 0,
            "unreadThreads": 0,
            "myRights": {
                "mayReadItems": true,
                "mayAddItems": true,
                "mayRemoveItems": true,
                "maySetSeen": true,
                "maySetKeywords": true,
                "mayCreateChild": true,
                "mayRename": true,
                "mayDelete": true,
                "maySubmit": true,
            },
        });
        // RFC 8620 §5.3: what the server chose, where the client left it open.
        let usual = [
            ("parentId", Value::Null, wanted.parent.is_none()),
            ("role", Value::Null, wanted.role.is_none()),
            ("sortOrder", 0.into(), wanted.order.is_none()),
            ("isSubscribed", true.into(), wanted.subscribed.is_none()),
        ];
        for (name, value, open) in usual {
            if open {
                told[name] = value;
            }
        }
        Ok((id, told))
    }

    async fn update_all(
        &mut self,
        calling: &Calling<'_>,
        set: &Set,
        lane: &mut Lane,
        batch: &mut Batch,
    ) -> Result<(), MethodError> {
        for (id, patch) in &set.update {
            match self.update(calling, id, patch, lane, batch).await {
                Ok(()) => drop(self.outcome.updated.insert(id.clone(), Value::Null)),
                Err(error) => drop(self.outcome.not_updated.insert(id.clone(), error)),
            }
        }
        Ok(())
    }

    async fn update(
        &mut self,
        calling: &Calling<'_>,
        id: &str,
        patch: &Map<String, Value>,
        lane: &mut Lane,
        batch: &mut Batch,
    ) -> Result<(), SetError> {
        let from = self
            .find(calling, lane, id)
            .ok_or_else(SetError::not_found)?;
        let look = self.look.at(lane.view());
        let mailbox = look
            .view()
            .mailbox_named(&from)
            .ok_or_else(SetError::not_found)?;
        let patch = Patch::parse(patch.clone())?;
        if patch.properties().count() != patch.whole().count() {
            return Err(SetError::invalid_patch(
                "there is nothing inside these properties",
            ));
        }
        let wanted = Wanted::of(patch.whole())?;
        if let Some(role) = wanted.role
            && role_of(role)? != mailbox.role()
        {
            let text = "a mailbox keeps the role that it was made with";
            return Err(SetError::invalid_properties(["role"], text));
        }
        if wanted.name.is_some() || wanted.parent.is_some() {
            let (now_above, leaf) = place(&look, mailbox);
            let above = match wanted.parent {
                Some(parent) => self.above(calling, lane, parent)?,
                None => now_above
                    .and_then(|id| look.view().mailbox(id))
                    .map(|m| m.name().clone()),
            };
            let to = match wanted.name {
                Some(name) if name != leaf => name_below(above.as_ref(), name)?,
                // A name with levels that are no mailboxes stays as it is.
                _ => {
                    let full = above.map_or(leaf.to_owned(), |above| format!("{above}/{leaf}"));
                    let wrong = |error: mailbox_model::NameError| {
                        SetError::invalid_properties(["name"], error.to_string())
                    };
                    MailboxName::parse(&full).map_err(wrong)?
                }
            };
            if to != from {
                if from.is_inbox() {
                    return Err(SetError::new("forbidden", "the inbox stays where it is"));
                }
                let renamed = lane.stage_rename(batch, &from, &to).await;
                renamed.map_err(|error| refused(&error))?;
            }
        }
        let id = mailbox.id();
        let name = lane
            .view()
            .mailbox(id)
            .map(|mailbox| mailbox.name().clone());
        if let (Some(subscribed), Some(name)) = (wanted.subscribed, name) {
            let done = match subscribed {
                true => lane.stage_subscribe(batch, &name),
                false => lane.stage_unsubscribe(batch, &name),
            };
            done.map_err(|error| refused(&error))?;
        }
        self.orders.extend(wanted.order.map(|order| (id, order)));
        Ok(())
    }

    fn destroy_all(
        &mut self,
        set: &Set,
        remove_emails: bool,
        lane: &mut Lane,
        batch: &mut Batch,
    ) -> Result<(), MethodError> {
        // What lies below others goes first, whatever the order that was given.
        let depth = |id: &String| {
            let id = mailstore::object_id::mailbox_of(id, self.look.room.owner());
            let mailbox = id.and_then(|id| lane.view().mailbox(id));
            mailbox.map_or(0, |mailbox| mailbox.name().as_str().matches('/').count())
        };
        let mut ids: Vec<(usize, &String)> = set.destroy.iter().map(|id| (depth(id), id)).collect();
        ids.sort_by(|(a, _), (b, _)| b.cmp(a));
        for (_, id) in ids {
            match self.destroy(id, remove_emails, lane, batch) {
                Ok(()) => self.outcome.destroyed.push(id.clone()),
                Err(error) => drop(self.outcome.not_destroyed.insert(id.clone(), error)),
            }
        }
        Ok(())
    }

    fn destroy(
        &mut self,
        id: &str,
        remove_emails: bool,
        lane: &mut Lane,
        batch: &mut Batch,
    ) -> Result<(), SetError> {
        let id = mailstore::object_id::mailbox_of(id, self.look.room.owner());
        let mailbox = id.and_then(|id| lane.view().mailbox(id)).cloned();
        let mailbox = mailbox.ok_or_else(SetError::not_found)?;
        if mailbox.name().is_inbox() {
            return Err(SetError::new("forbidden", "the inbox stays"));
        }
        if lane.view().has_children(mailbox.name()) {
            return Err(SetError::new(
                "mailboxHasChild",
                "there are mailboxes below it",
            ));
        }
        let shown = mailbox.entries().iter().any(|entry| !entry.deleted);
        if shown && !remove_emails {
            return Err(SetError::new("mailboxHasEmail", "there are emails in it"));
        }
        let deleted = lane.stage_delete(batch, mailbox.name());
        deleted.map_err(|error| refused(&error))?;
        // IMAP keeps subscriptions to what is gone; here there is nothing that could show them.
        let done = lane.stage_unsubscribe(batch, mailbox.name());
        done.map_err(|error| refused(&error))
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
