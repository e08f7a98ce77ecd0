//! After a disaster: a restored or failed-over account may have lost history
//! that clients saw. Nobody knows which numbers it gave, so all that it can have
//! given are passed over, and every client is made to ask for everything again.
//!
//! One log entry does it ([`mailbox_model::Change::Raised`]), so that the log
//! stays the account. UIDVALIDITYs stay: clients keep what they have cached of
//! messages that are still there.

use crate::account::Account;
use crate::error::StoreError;
use mailbox_model::stage::stage_raise;
use mailbox_model::{ModSeq, Raise};
use std::sync::Arc;

/// How far each number moves: further than lost history can have gone.
pub const RAISE: Raise = Raise {
    uids: 1 << 20,
    emails: 1 << 32,
    mailboxes: 1 << 20,
    uid_validities: 1 << 20,
};

/// How far the account's change number moves.
pub const RAISE_MODSEQ: u64 = 1 << 40;

impl Account {
    /// Passes over every number that lost history may have given, and sets the
    /// floor of what is known of changes and expunges there: a client that
    /// remembers an earlier state is told all entries anew, and that every UID
    /// which is not there is gone. Gives the change's number.
    ///
    /// # Errors
    /// The numbers are used up, or the store can't be written.
    pub async fn raise_after_disaster(self: &Arc<Self>) -> Result<ModSeq, StoreError> {
        self.change(|lane, batch| {
            let draft = stage_raise(lane.view(), RAISE)?;
            let modseq = ModSeq(lane.view().modseq().0.saturating_add(RAISE_MODSEQ));
            lane.stage_as(batch, draft, modseq)?;
            Ok(modseq)
        })
        .await
    }
}
