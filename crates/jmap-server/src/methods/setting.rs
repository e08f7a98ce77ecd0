//! What all `/set` methods share. RFC 8620 §5.3

use super::store_failed;
use crate::look::Look;
use engine::{Batch, SubmitError};
use jmap_proto::arguments::Set;
use jmap_proto::{MethodError, SetError};
use mailstore::limits::CONFLICT_RETRIES;
use mailstore::{Lane, StoreError};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

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

impl Outcome {
    /// The answer.
    pub(crate) fn answer(self, account_id: String, old: String, new: String) -> Map<String, Value> {
        let errors = |errors: BTreeMap<String, SetError>| match errors.is_empty() {
            true => Value::Null,
            false => errors
                .into_iter()
                .map(|(id, error)| (id, error.to_value()))
                .collect(),
        };
        let objects = |objects: BTreeMap<String, Value>| match objects.is_empty() {
            true => Value::Null,
            false => objects.into_iter().collect(),
        };
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

/// Nothing of another's account is changed here, and nothing in another state than is asked for.
pub(crate) fn check(look: &Look, if_in_state: Option<&str>) -> Result<(), MethodError> {
    if !look.room.is_own() {
        return Err(MethodError::AccountReadOnly);
    }
    match if_in_state {
        Some(state) if state != look.state() => Err(MethodError::StateMismatch),
        _ => Ok(()),
    }
}

/// RFC 8620 §5.3: what is to be destroyed is not updated.
pub(crate) fn without_destroyed(set: &mut Set, outcome: &mut Outcome) {
    let destroy = &set.destroy;
    set.update.retain(|(id, _)| {
        let goes = destroy.contains(id);
        if goes {
            let error = SetError::new("willDestroy", "it is to be destroyed by the same call");
            outcome.not_updated.insert(id.clone(), error);
        }
        !goes
    });
    let mut seen = std::collections::HashSet::new();
    set.destroy.retain(|id| seen.insert(id.clone()));
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
            tracing::error!(%error, "jmap: the store failed");
            SetError::new("serverFail", "this is not possible at the moment")
        }
    }
}
