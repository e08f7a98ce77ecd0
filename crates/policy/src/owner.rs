//! RRVS: is the mailbox still whose the sender knew it to be? RFC 7293.
//!
//! Not here: where the test cannot be made because the mailbox is elsewhere
//! (`deliver`).

use directory::Target;
use envelope::{ForwardPath, Reply, ValidSince};

use crate::recipient::is_role;
use crate::{Decision, Policy, reply};

impl Policy {
    /// Whether every account that the recipient leads to is as old as the sender
    /// knows it. Of what goes on elsewhere nothing is known here.
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
        for target in targets {
            let Target::Account { id, .. } = target else {
                continue;
            };
            let created_ms = match self.directory.account(*id).await {
                Ok(Some(account)) => account.created_ms,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%error, %address, "a recipient's age could not be looked up");
                    return Err(reply::local_trouble());
                }
            };
            let created = i64::try_from(created_ms / 1000).unwrap_or(i64::MAX);
            if created > since.unix_seconds {
                return Err(reply::owner_changed(address));
            }
        }
        Ok(())
    }
}
