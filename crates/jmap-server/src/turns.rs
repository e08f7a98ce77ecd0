//! Turns at what takes long: to look through a mailbox, to read many messages.
//!
//! A user has few at a time, all users together not many more; who comes later waits. A turn is kept by
//! the work itself, so that who goes away does not begin anew while it still goes on. Whoever has
//! one takes no other: nothing waits for itself.

use crate::Jmap;
use crate::auth::User;
use crate::limits::{TURNS_MAX, TURNS_PER_USER_MAX};
use envelope::AccountId;
use jmap_proto::MethodError;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All turns.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    of: Mutex<HashMap<AccountId, Weak<Semaphore>>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(TURNS_MAX)),
            of: Mutex::default(),
        }
    }
}

/// A turn, until its last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Turn(#[allow(dead_code)] Arc<[OwnedSemaphorePermit; 2]>);

impl Turns {
    fn of(&self, user: AccountId) -> Arc<Semaphore> {
        let mut of = self.of.lock();
        if let Some(known) = of.get(&user).and_then(Weak::upgrade) {
            return known;
        }
        of.retain(|_, turns| turns.strong_count() > 0);
        let new = Arc::new(Semaphore::new(TURNS_PER_USER_MAX));
        of.insert(user, Arc::downgrade(&new));
        new
    }
}

impl Jmap {
    /// Waits for a turn.
    ///
    /// # Errors
    /// There are none any more: never, as the turns are not closed.
    pub(crate) async fn turn(&self, user: &User) -> Result<Turn, MethodError> {
        let turns = &self.shared.turns;
        let closed = |_| MethodError::ServerUnavailable;
        let own = turns.of(user.id).acquire_owned().await;
        let own = own.map_err(closed)?;
        let all = Arc::clone(&turns.all).acquire_owned().await;
        Ok(Turn(Arc::new([own, all.map_err(closed)?])))
    }
}
