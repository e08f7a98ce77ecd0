//! Email/set (RFC 8621 §4.6).
//!
//! Updates and destroys of a call are one commit. What is created has bodies that are written first; each
//! comes in with all its copies, or not at all.

use super::setting::{
    Commits, Failed, Outcome, Submitted, TRIES, check, submit, without_destroyed,
};
use super::{Done, look_of, store_failed};
use crate::api::Calling;
use crate::email::arriving::{Arriving, Place, deliver};
use crate::email::compose;
use crate::email::edit::Edits;
use crate::limits::CREATED_AT_ONCE_MAX;
use crate::look::Look;
use engine::Batch;
use jmap_proto::arguments::Set;
use jmap_proto::{Arguments, MethodError, SetError};
use serde_json::{Map, Value};

pub(super) async fn run(calling: &mut Calling<'_>, mut arguments: Arguments) -> Done {
    let set = Set::take(&mut arguments)?;
    arguments.finish()?;
    Ok(vec![("Email/set", set_all(calling, set).await?)])
}

/// Carries it out; Email/copy does too, for the originals.
pub(crate) async fn set_all(
    calling: &mut Calling<'_>,
    mut set: Set,
) -> Result<Map<String, Value>, MethodError> {
    let look = look_of(calling, &set.account_id).await?;
    check(&look, set.if_in_state.as_deref())?;
    if set.create.len() > CREATED_AT_ONCE_MAX {
        return Err(MethodError::RequestTooLarge);
    }
    let mut commits = Commits::new(set.if_in_state.as_deref());
    let mut outcome = Outcome::default();
    without_destroyed(calling, &mut set, &mut outcome);
    change(calling, &look, &set, &mut commits, &mut outcome).await?;
    for (creation, object) in std::mem::take(&mut set.create) {
        let done = create(calling, &look, &mut commits, object).await;
        outcome.note_created(calling, creation, done)?;
    }
    let (old, new) = commits.states(&look);
    Ok(outcome.answer(set.account_id, old, new))
}

/// Updates and destroys.
///
/// # Errors
/// None of them is done.
async fn change(
    calling: &Calling<'_>,
    look: &Look,
    set: &Set,
    commits: &mut Commits,
    outcome: &mut Outcome,
) -> Result<(), MethodError> {
    if set.update.is_empty() && set.destroy.is_empty() {
        return Ok(());
    }
    let account = &look.room.account;
    for _ in 0..TRIES {
        let mut lane = account.lane().await.map_err(|error| store_failed(&error))?;
        commits.check(&look.room, &lane)?;
        let look = look.at(lane.view());
        let mut edits = Edits::default();
        let mut done = Outcome::default();
        for (id, patch) in &set.update {
            let email = calling.id_of(id).and_then(|id| look.email(id));
            let noted = match email {
                Some(email) => edits.update(calling, &look, email, patch.clone()),
                None => Err(SetError::not_found()),
            };
            match noted {
                Ok(()) => drop(done.updated.insert(id.clone(), Value::Null)),
                Err(error) => drop(done.not_updated.insert(id.clone(), error)),
            }
        }
        for id in &set.destroy {
            let email = calling.id_of(id).and_then(|id| look.email(id));
            let noted = match email {
                Some(email) => edits.destroy(&look, email),
                None => Err(SetError::not_found()),
            };
            match noted {
                Ok(()) => done.destroyed.push(id.clone()),
                Err(error) => drop(done.not_destroyed.insert(id.clone(), error)),
            }
        }
        let mut batch = Batch::new();
        let staged = edits.stage(&look, &mut lane, &mut batch).await;
        staged.map_err(|error| store_failed(&error))?;
        let after = lane.view().modseq();
        if let Submitted::Done = submit(lane, batch).await? {
            commits.note(look.modseq(), after);
            outcome.take(done);
            return Ok(());
        }
    }
    Err(MethodError::ServerUnavailable)
}

async fn create(
    calling: &Calling<'_>,
    look: &Look,
    commits: &mut Commits,
    object: Map<String, Value>,
) -> Result<Value, Failed> {
    let place = Place::of(calling, look, &Value::Object(object.clone()))?;
    let message = compose::compose(calling, look, &object).await?;
    deliver(calling.jmap, look, commits, Arriving { message, place }).await
}
