//! What all `/set` methods share. RFC 8620 §5.3

use super::store_failed;
use crate::access::Room;
use crate::api::Calling;
use crate::look::Look;
use engine::{Batch, SubmitError};
use jmap_proto::arguments::Set;
use jmap_proto::{MethodError, SetError};
use mailbox_model::ModSeq;
use mailstore::limits::CONFLICT_RETRIES;
use mailstore::{Lane, StoreError};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};

/// What became of the objects of a `/set`.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) created: BTreeMap<String, Value>,
    /// What the server changed beside, or null.
    pub(crate) updated: BTreeMap<String, Value>,
    pub(crate) destroyed: Vec<String>,
    pub(crate) not_created: BTreeMap<String, SetError>,
    pub(crate) not_updated: BTreeMap<String, SetError>,
    pub(crate) not_destroyed: BTreeMap<String, SetError>,
}

/// Errors by ids, or null.
pub(crate) fn errors(errors: BTreeMap<String, SetError>) -> Value {
    match errors.is_empty() {
        true => Value::Null,
        false => errors
            .into_iter()
            .map(|(id, error)| (id, error.to_value()))
            .collect(),
    }
}

/// Objects by ids, or null.
pub(crate) fn objects(objects: BTreeMap<String, Value>) -> Value {
    match objects.is_empty() {
        true => Value::Null,
        false => objects.into_iter().collect(),
    }
}

impl Outcome {
    /// Notes what became of a creation.
    ///
    /// # Errors
    /// The whole call fails.
    pub(crate) fn note_created(
        &mut self,
        calling: &mut Calling<'_>,
        creation: String,
        done: Result<Value, Failed>,
    ) -> Result<(), MethodError> {
        match done {
            Ok(told) => {
                if let Some(id) = told["id"].as_str() {
                    calling.created.insert(creation.clone(), id.to_owned());
                }
                self.created.insert(creation, told);
            }
            Err(Failed::Object(error)) => drop(self.not_created.insert(creation, error)),
            Err(Failed::Call(error)) => return Err(error),
        }
        Ok(())
    }

    /// Adds what became of others.
    pub(crate) fn take(&mut self, others: Self) {
        self.created.extend(others.created);
        self.updated.extend(others.updated);
        self.destroyed.extend(others.destroyed);
        self.not_created.extend(others.not_created);
        self.not_updated.extend(others.not_updated);
        self.not_destroyed.extend(others.not_destroyed);
    }

    /// The answer.
    pub(crate) fn answer(self, account_id: String, old: String, new: String) -> Map<String, Value> {
        let destroyed = match self.destroyed.is_empty() {
            true => Value::Null,
            false => self.destroyed.into(),
        };
        let mut answer = Map::new();
        answer.insert("accountId".into(), account_id.into());
        answer.insert("oldState".into(), old.into());
        answer.insert("newState".into(), new.into());
        answer.insert("created".into(), objects(self.created));
        answer.insert("updated".into(), objects(self.updated));
        answer.insert("destroyed".into(), destroyed);
        answer.insert("notCreated".into(), errors(self.not_created));
        answer.insert("notUpdated".into(), errors(self.not_updated));
        answer.insert("notDestroyed".into(), errors(self.not_destroyed));
        answer
    }
}

/// Nothing is changed in an account that may only be read, and nothing in another state than is asked for. The state is
/// looked at again where something is committed.
pub(crate) fn check(look: &Look, if_in_state: Option<&str>) -> Result<(), MethodError> {
    if look.room.is_read_only() {
        return Err(MethodError::AccountReadOnly);
    }
    match if_in_state {
        Some(state) if state != look.state() => Err(MethodError::StateMismatch),
        _ => Ok(()),
    }
}

/// The states that a call leads through. It may commit more than once, and others may between its
/// commits: so each lane that it takes is shown here before it changes anything.
#[derive(Debug)]
pub(crate) struct Commits {
    only_in: Option<String>,
    /// Before the first commit and behind the last.
    own: Option<(ModSeq, ModSeq)>,
    /// Behind the last of ours before somebody else's first.
    gap: Option<ModSeq>,
}

impl Commits {
    /// RFC 8620 §5.3: with `ifInState` nothing is done in another state, and nothing behind what others did meanwhile.
    pub(crate) fn new(if_in_state: Option<&str>) -> Self {
        Self {
            only_in: if_in_state.map(str::to_owned),
            own: None,
            gap: None,
        }
    }

    /// # Errors
    /// What the lane holds is another state than is asked for.
    pub(crate) fn check(&self, room: &Room, lane: &Lane) -> Result<(), MethodError> {
        let now = lane.view().modseq();
        let as_asked = match (&self.only_in, self.own) {
            (None, _) => true,
            (Some(state), None) => *state == room.state(now),
            (Some(_), Some((_, last))) => last == now,
        };
        as_asked.then_some(()).ok_or(MethodError::StateMismatch)
    }

    /// A commit led from one state to another.
    pub(crate) fn note(&mut self, before: ModSeq, after: ModSeq) {
        if before == after {
            return;
        }
        let first = match self.own {
            None => before,
            Some((first, last)) => {
                if last != before {
                    self.gap.get_or_insert(last);
                }
                first
            }
        };
        self.own = Some((first, after));
    }

    /// Nothing is done yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_none()
    }

    /// `oldState`.
    pub(crate) fn old(&self, look: &Look) -> String {
        let old = self.own.map_or(look.modseq(), |(old, _)| old);
        look.room.state(old)
    }

    /// `newState`, by the rights that a room has then. A client takes it as all that it need know: where others came
    /// between, it is the last state before that, and /changes tells some of ours again.
    pub(crate) fn new_state(&self, look: &Look, room: &Room) -> String {
        let last = self.own.map_or(look.modseq(), |(_, last)| last);
        room.state(self.gap.unwrap_or(last))
    }

    /// `oldState` and `newState`.
    pub(crate) fn states(&self, look: &Look) -> (String, String) {
        (self.old(look), self.new_state(look, &look.room))
    }
}

/// Why an object is not set: it alone, or the whole call.
#[derive(Debug)]
pub(crate) enum Failed {
    Object(SetError),
    Call(MethodError),
}

impl From<SetError> for Failed {
    fn from(error: SetError) -> Self {
        Self::Object(error)
    }
}

impl Failed {
    /// What is done stays told: the call fails only where nothing is.
    pub(crate) fn of(error: MethodError, commits: &Commits) -> Self {
        match error {
            MethodError::StateMismatch if commits.is_empty() => Self::Call(error),
            MethodError::RequestTooLarge => {
                Self::Object(SetError::new("tooLarge", "it is too large for one change"))
            }
            error => Self::Object(SetError::new(error.kind(), error.to_string())),
        }
    }
}

/// RFC 8620 §5.3: what is to be destroyed is not updated; and one object is named once, by its id or by what it was
/// created as.
pub(crate) fn without_destroyed(calling: &Calling<'_>, set: &mut Set, outcome: &mut Outcome) {
    let made: HashSet<String> = set.create.iter().map(|(id, _)| id.clone()).collect();
    let meant = |id: &str| {
        let creation = id.strip_prefix('#').filter(|id| !made.contains(*id));
        let known = creation.and_then(|id| calling.created.get(id));
        known.cloned().unwrap_or_else(|| id.to_owned())
    };
    let mut destroyed = HashSet::new();
    set.destroy.retain(|id| destroyed.insert(meant(id)));
    let mut updated = HashSet::new();
    set.update.retain(|(id, _)| {
        let meant = meant(id);
        let error = if destroyed.contains(&meant) {
            SetError::new("willDestroy", "it is to be destroyed by the same call")
        } else if !updated.insert(meant) {
            SetError::invalid_patch("it is updated by another name in the same call")
        } else {
            return true;
        };
        outcome.not_updated.insert(id.clone(), error);
        false
    });
}

/// Whether another commit was faster.
pub(crate) enum Submitted {
    Done,
    Again,
}

/// Submits what a lane has staged, and waits until it is there.
///
/// # Errors
/// The store takes nothing.
pub(crate) async fn submit(lane: Lane, batch: Batch) -> Result<Submitted, MethodError> {
    if lane.is_clean() {
        lane.let_go().await;
        return Ok(Submitted::Done);
    }
    match lane.submit(batch) {
        Ok(ticket) => {
            ticket.done().await;
            Ok(Submitted::Done)
        }
        Err(SubmitError::Conflict { winner, .. }) => {
            winner.visible().await;
            Ok(Submitted::Again)
        }
        Err(SubmitError::TooLarge { .. }) => Err(MethodError::RequestTooLarge),
        Err(error) => Err(store_failed(&error.into())),
    }
}

/// How often a change is staged again.
pub(crate) const TRIES: u32 = CONFLICT_RETRIES;

/// What a client is told of one object that the store refuses.
pub(crate) fn refused(error: &StoreError) -> SetError {
    match error {
        StoreError::OverQuota(over) => SetError::new("overQuota", over.to_string()),
        StoreError::Stage(error) => SetError::new("forbidden", error.to_string()),
        error => {
            let error = store_failed(error);
            SetError::new(error.kind(), error.to_string())
        }
    }
}
