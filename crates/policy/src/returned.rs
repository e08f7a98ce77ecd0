//! RCPT TO a sender that was rewritten here: what comes back to it goes to whom it was
//! before.

use bounces::Returns;
use directory::Target;
use envelope::{Address, ForwardPath, ReversePath};

use crate::{Decision, Policy, reply};

impl Policy {
    /// Decides about a rewritten sender of ours; none if it is none. Whoever says it may
    /// be anybody, so it takes notifications only: they have the null sender, and nothing
    /// is sent on for longer than one of them may take.
    pub async fn check_returned(
        &self,
        sender: &ReversePath,
        recipient: &ForwardPath,
    ) -> Option<Decision> {
        let ForwardPath::Address(address) = recipient else {
            return None;
        };
        let returns = self
            .returns
            .as_ref()
            .filter(|_| Returns::has_form(address))?;
        match self.directory.is_local_domain(address.domain()).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::error!(%error, recipient = %address, "a recipient could not be checked");
                return Some(Decision::Refuse(reply::local_trouble()));
            }
        }
        if *sender != ReversePath::Null {
            return Some(Decision::Refuse(reply::only_notifications(address)));
        }
        Some(self.decide_returned(returns, address).await)
    }

    async fn decide_returned(&self, returns: &Returns, address: &Address) -> Decision {
        match returns.original(address).await {
            Some(Ok(original)) => Decision::Local(vec![Target::Forward(original)]),
            Some(Err(why)) => Decision::Refuse(reply::not_returned(address, why)),
            None => Decision::Refuse(reply::no_such_user(&address.to_wire())),
        }
    }
}
