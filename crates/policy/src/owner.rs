//! RRVS: is the mailbox still whose the sender knew it to be? RFC 7293.
//!
//! Not here: where the test cannot be made because the mailbox is elsewhere
//! (`deliver`).

use directory::Target;
use envelope::{ForwardPath, Reply, ValidSince};

use crate::recipient::is_role;
use crate::{Decision, Policy, reply};

impl Policy {
    /// Whether the account whose address it is, is as old as the sender knows it. Of
    /// aliases, and of what goes on elsewhere, nothing is known here.
    ///
    /// # Errors
    /// The reply that refuses the recipient.
    pub async fn check_owner(
        &self,
        recipient: &ForwardPath,
        decision: &Decision,
        since: ValidSince,
    ) -> Result<(), Reply> {
        let (ForwardPath::Address(address), Decision::Local(targets)) = (recipient, decision)
        else {
            return Ok(());
        };
        // RFC 7293 §10: roles have no owner that could have changed.
        if is_role(address) {
            return Ok(());
        }
        // An account's age is that of its own address; an alias may be older than the
        // accounts that it leads to now, and of its age nothing is known.
        let [
            Target::Account {
                id,
                address: own,
                detail,
            },
        ] = &targets[..]
        else {
            return Ok(());
        };
        if detail.is_none() && own.to_key() != address.to_key() {
            return Ok(());
        }
        let created_ms = match self.directory.account(*id).await {
            Ok(Some(account)) => account.created_ms,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::error!(%error, %address, "a recipient's age could not be looked up");
                return Err(reply::local_trouble());
            }
        };
        let created = i64::try_from(created_ms / 1000).unwrap_or(i64::MAX);
        if created > since.unix_seconds {
            return Err(reply::owner_changed(address));
        }
        Ok(())
    }
}
