//! Email/set (RFC 8621 §4.6).
//!
//! Updates and destroys of a call are one commit. What is created has bodies that are written first; each
//! comes in with all its copies, or not at all.

use super::setting::{Outcome, Submitted, TRIES, check, submit, without_destroyed};
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
    let mut outcome = Outcome::default();
    without_destroyed(&mut set, &mut outcome);
    let old = change(calling, &look, &set, &mut outcome).await?;
    for (creation, object) in std::mem::take(&mut set.create) {
        match create(calling, &look, object).await? {
            Ok(told) => {
                if let Some(id) = told["id"].as_str() {
                    calling.created.insert(creation.clone(), id.to_owned());
                }
                outcome.created.insert(creation, told);
            }
            Err(error) => drop(outcome.not_created.insert(creation, error)),
        }
    }
    let new = calling.jmap.look(&look.room).await?.state();
    Ok(outcome.answer(set.account_id, old, new))
}

/// Updates and destroys. Gives the state before them.
async fn change(
    calling: &Calling<'_>,
    look: &Look,
    set: &Set,
    outcome: &mut Outcome,
) -> Result<String, MethodError> {
    let account = &look.room.account;
    for _ in 0..TRIES {
        let mut lane = account.lane().await.map_err(|error| store_failed(&error))?;
        let look = look.at(lane.view());
        check(&look, set.if_in_state.as_deref())?;
        let old = look.state();
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
            match calling.id_of(id).and_then(|id| look.email(id)) {
                Some(email) => {
                    edits.destroy(&look, email);
                    done.destroyed.push(id.clone());
                }
                None => drop(done.not_destroyed.insert(id.clone(), SetError::not_found())),
            }
        }
        let mut batch = Batch::new();
        let staged = edits.stage(&mut lane, &mut batch).await;
        staged.map_err(|error| store_failed(&error))?;
        if let Submitted::Done = submit(lane, batch).await? {
            outcome.updated.extend(done.updated);
            outcome.not_updated.extend(done.not_updated);
            outcome.destroyed.extend(done.destroyed);
            outcome.not_destroyed.extend(done.not_destroyed);
            return Ok(old);
        }
    }
    Err(MethodError::ServerUnavailable)
}

async fn create(
    calling: &mut Calling<'_>,
    look: &Look,
    object: Map<String, Value>,
) -> Result<Result<Value, SetError>, MethodError> {
    let place = match Place::of(calling, look, &Value::Object(object.clone())) {
        Ok(place) => place,
        Err(error) => return Ok(Err(error)),
    };
    let message = match compose::compose(calling.jmap, look, &object).await {
        Ok(message) => message,
        Err(error) => return Ok(Err(error)),
    };
    let delivered = deliver(calling, look, Arriving { message, place }).await?;
    Ok(delivered.map(|(_, told)| told))
}
