//! Ports that one crate declares and another fulfils.

use deliver::{Outcome, Reason};
use directory::Directory;
use dispatch::{BoxFuture, Local, LocalCopy, Routes, Together};
use engine::{Batch, CommitNo};
use envelope::{Domain, Reply};
use intake::{Alongside, Intake, Queued};
use policy::rules::CurrentRules;
use queue::QueueError;

/// Which way mail goes, by the rules in force.
pub(crate) struct RoutesByRules(pub(crate) CurrentRules);

impl Routes for RoutesByRules {
    fn relay_lifetime_ms(&self, domain: &Domain) -> Option<u64> {
        let relay = self.0.relay_domain(domain)?;
        Some(u64::try_from(relay.lifetime.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Queued mail for people here goes back through the intake.
pub(crate) struct LocalByIntake {
    pub(crate) intake: Intake,
    pub(crate) directory: Directory,
}

impl Local for LocalByIntake {
    fn is_local<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match self.directory.is_local_domain(domain).await {
                Ok(local) => local,
                Err(error) => {
                    tracing::warn!(%domain, %error, "it is not known whether a domain is ours");
                    // The local way answers with a temporary failure then: mail waits, it does not leave.
                    true
                }
            }
        })
    }

    fn deliver<'a>(
        &'a self,
        copy: LocalCopy<'a>,
        together: &'a mut dyn Together,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut part = QueuePart(together);
            outcome(self.intake.deliver_queued(queued(copy), &mut part).await)
        })
    }

    fn set_aside<'a>(
        &'a self,
        copy: LocalCopy<'a>,
        reason: &'a str,
        together: &'a mut dyn Together,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut part = QueuePart(together);
            let intake = &self.intake;
            outcome(intake.set_aside(queued(copy), reason, &mut part).await)
        })
    }
}

fn queued(copy: LocalCopy<'_>) -> Queued<'_> {
    Queued {
        id: copy.id,
        shard: copy.shard,
        message: copy.message,
        recipient: copy.recipient,
    }
}

fn outcome(delivered: Result<(), Reply>) -> Outcome {
    match delivered {
        Ok(()) => Outcome::Delivered(Reply::enhanced(250, (2, 1, 5), "delivered")),
        Err(reply) => refused(reply),
    }
}

/// The reply that a server would have given, as the outcome of an attempt.
fn refused(reply: Reply) -> Outcome {
    let permanent = reply.is_permanent();
    let reason = Reason {
        reply,
        said_by: None,
    };
    if permanent {
        Outcome::Permanent(reason)
    } else {
        Outcome::Temporary(reason)
    }
}

/// The dispatcher's part of a commit, as the intake wants it.
struct QueuePart<'a>(&'a mut dyn Together);

impl Alongside for QueuePart<'_> {
    fn stage(&mut self, batch: &mut Batch) -> Result<(), QueueError> {
        self.0.stage(batch)
    }

    fn submitted(&mut self, commit: CommitNo) {
        self.0.submitted(commit);
    }

    fn commit(&mut self) -> BoxFuture<'_, bool> {
        self.0.commit()
    }
}
