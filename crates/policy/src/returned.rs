//! RCPT TO a sender that was rewritten or tagged here: what comes back to it goes to whom
//! it was before.

use bounces::Returns;
use directory::Target;
use envelope::{Address, ForwardPath, Reply, ReversePath};

use crate::recipient::is_role;
use crate::session::{Role, Session};
use crate::{Decision, Policy, reply};

impl Policy {
    /// Decides about a recipient that is a sender of ours as it left; none if it is
    /// none, and nothing else is said against it here.
    ///
    /// A rewritten sender (SRS) takes notifications only: they have the null sender, and
    /// anybody may say its address, so nothing is sent on that could be anything else. A
    /// tagged one (BATV) is what it was without its tag, for everybody.
    pub async fn check_returned(
        &self,
        session: &Session,
        sender: &ReversePath,
        recipient: &ForwardPath,
        size: Option<u64>,
    ) -> Option<Decision> {
        let (ForwardPath::Address(address), Some(returns)) = (recipient, &self.returns) else {
            return None;
        };
        let formed = Returns::has_form(address) || Returns::has_tag(address);
        let untagged = !formed && self.needs_tag(session, sender, address);
        if !formed && !untagged {
            return None;
        }
        match self.directory.is_local_domain(address.domain()).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::error!(%error, recipient = %address, "a recipient could not be checked");
                return Some(Decision::Refuse(reply::local_trouble()));
            }
        }
        if untagged {
            let decision = self.check_recipient(session, recipient, size).await;
            return Some(match decision {
                Decision::Local(_) => Decision::Refuse(reply::untagged(address)),
                other => other,
            });
        }
        if let Some(untagged) = returns.untagged(address).await {
            return Some(match untagged {
                Ok(own) => {
                    let path = ForwardPath::Address(own);
                    self.check_recipient(session, &path, size).await
                }
                Err(why) => Decision::Refuse(reply::not_tagged(address, why)),
            });
        }
        if *sender != ReversePath::Null {
            return Some(Decision::Refuse(reply::only_notifications(address)));
        }
        Some(match returns.original(address).await {
            Some(Ok(original)) => Decision::Local(vec![Target::Forward(original)]),
            Some(Err(why)) => Decision::Refuse(reply::not_returned(address, why)),
            None => Decision::Refuse(reply::no_such_user(&address.to_wire())),
        })
    }

    /// A stranger's notification to somebody whose mail leaves with a tag.
    fn needs_tag(&self, session: &Session, sender: &ReversePath, address: &Address) -> bool {
        self.requires_tags
            && *sender == ReversePath::Null
            && session.role == Role::Mx
            && !self.may_relay(session)
            && !is_role(address)
    }

    /// The refusal of an address that nothing is sent to, where it is one.
    pub(crate) async fn check_suppressed(&self, address: &Address) -> Option<Reply> {
        let entry = self.suppressed.as_ref()?.find(address).await?;
        tracing::info!(recipient = %address, by = entry.by.as_str(), reason = entry.reason, "nothing is sent to this address");
        Some(reply::suppressed(address, &entry))
    }
}
