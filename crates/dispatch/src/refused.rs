//! Recipients that were refused when their message had been heard.
//!
//! With one answer for all, the door could not tell the client: the refusal came into
//! the queue with the message. Nothing is sent. Our own user is told; what a stranger
//! sent to people here goes into Junk with the reason; what would have gone elsewhere
//! waits for a person, as what Junk does not take. Who releases it then, or sends it
//! another way, has decided anew: it goes like any other.

use deliver::{Outcome, Reason};
use envelope::Reply;
use queue::{Lease, QueueError, Settlement};
use queue_model::Event;

use crate::attempt::{Became, How, commit, log, reason_of, settle};
use crate::dispatcher::Core;
use crate::local;

/// What the lease's recipients are still to be refused for.
pub(crate) fn refusal(lease: &Lease) -> Option<&Reply> {
    let refusal = lease.message().refusal.as_ref()?;
    // Whoever was put on hold by this has had his attempt.
    let is_new = lease.recipients().all(|(.., known)| known.attempts == 0);
    is_new.then_some(refusal)
}

/// Refuses the lease's recipients, who are people here or elsewhere.
pub(crate) async fn refuse(
    core: &Core,
    lease: &Lease,
    reply: &Reply,
    local: bool,
) -> Result<(), QueueError> {
    let outcome = Outcome::Permanent(Reason {
        reply: reply.clone(),
        said_by: None,
    });
    let how = How::without_attempt(local);
    let places = lease.recipients().map(|(place, ..)| place);
    if lease.message().origin.account.is_some() {
        let became = places.map(|place| Became::here(place, outcome.clone()));
        return settle(core, lease, became.collect(), &how).await;
    }
    let reason = reason_of(&outcome);
    let mut held = Vec::new();
    for (place, recipient, _) in lease.recipients() {
        if local {
            let refused = Became::here(place, outcome.clone());
            let left = local::set_aside(core, lease, recipient, refused, &how).await?;
            if left.is_none() {
                continue;
            }
        }
        log(lease, recipient, Event::Hold, &reason, &how);
        held.push(Settlement {
            place,
            event: Event::Hold,
            counts: true,
            tells_delay: false,
            reason: Some(reason.clone()),
        });
    }
    if held.is_empty() {
        return Ok(());
    }
    commit(core, lease.change(held, None).await?, None).await
}
