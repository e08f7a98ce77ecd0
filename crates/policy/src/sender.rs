//! MAIL FROM: may this session use this reverse path?

use crate::session::{Role, Session};
use crate::{Policy, reply};
use directory::{DirectoryError, Resolution};
use envelope::{AccountId, Address, Reply, ReversePath};

impl Policy {
    /// Checks the reverse path of a transaction.
    ///
    /// # Errors
    /// The reply that refuses it.
    pub async fn check_sender(
        &self,
        session: &Session,
        reverse_path: &ReversePath,
    ) -> Result<(), Reply> {
        let Some(identity) = &session.identity else {
            return match session.role {
                Role::Submission if session.local_user.is_some() => {
                    self.check_local_sender(reverse_path).await
                }
                Role::Submission => Err(reply::login_needed()),
                Role::Mx | Role::Lmtp => Ok(()),
            };
        };
        // Read receipts and other reports of users have the null sender
        // (RFC 6409 §6.1 lets a submission server decide).
        let ReversePath::Address(sender) = reverse_path else {
            return Ok(());
        };
        match self.refusal_of_sender(identity.account, sender).await {
            Ok(None) => Ok(()),
            Ok(Some(refusal)) => Err(refusal),
            Err(error) => {
                tracing::error!(%error, "a sender could not be checked");
                Err(reply::local_trouble())
            }
        }
    }

    /// The refusal of a sender that the account may not use. What to do about it is
    /// said where something can be done.
    async fn refusal_of_sender(
        &self,
        account: AccountId,
        sender: &Address,
    ) -> Result<Option<Reply>, DirectoryError> {
        if self.directory.may_send_as(account, sender).await? {
            return Ok(None);
        }
        Ok(Some(
            if self.directory.is_local_domain(sender.domain()).await? {
                reply::not_granted(sender)
            } else {
                reply::not_yours(sender)
            },
        ))
    }

    /// Programs of this machine send as anybody of our domains, as they always
    /// could, but not as somebody of another's.
    async fn check_local_sender(&self, reverse_path: &ReversePath) -> Result<(), Reply> {
        let ReversePath::Address(sender) = reverse_path else {
            return Ok(());
        };
        match self.directory.resolve(sender).await {
            Ok(Resolution::NotLocalDomain) => Err(reply::not_our_domain(sender)),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "a sender could not be checked");
                Err(reply::local_trouble())
            }
        }
    }
}
