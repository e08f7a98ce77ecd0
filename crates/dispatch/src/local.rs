//! Queued mail for people here.
//!
//! Recipients go one by one: each mailbox's commit holds the end of its queue
//! entry, and the report that is due.
//!
//! What is refused for good was accepted at the door, beside others or because
//! it could wait. Only our own users are told of it: nothing has proved who
//! another sender is, and a report could go to somebody who has nothing to do
//! with it. Such a message goes into the recipient's Junk, with the reason; where
//! even that cannot be, it waits for a person. Nothing is lost, nobody is
//! bothered.

use deliver::Outcome;
use engine::{Batch, CommitNo};
use envelope::{Recipient, Reply, ReversePath};
use observe::Route;
use queue::{Change, Lease, QueueError, Settlement};
use queue_model::{Event, Happening, Verdict, report_for};

use crate::attempt::{Became, How, Prepared, commit, log, reason_of, settle, verdict};
use crate::dispatcher::Core;
use crate::ports::{BoxFuture, LocalCopy, Together};
use crate::report::{self, Told};
use crate::site::Site;

/// Delivers to the lease's recipients.
pub(crate) async fn deliver(core: &Core, lease: &Lease) -> Result<(), QueueError> {
    let how = How {
        counts: true,
        host: Some(Site::Local.to_string()),
        ..How::without_attempt(true)
    };
    let mut others = Vec::new();
    for (place, recipient, known) in lease.recipients() {
        let report = match success(core, lease, place, recipient).await {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(id = %lease.id(), %error, "the sender's report could not be written");
                let text = "the report to the sender cannot be written";
                let outcome = Outcome::temporary((4, 3, 0), text);
                others.push(Became::here(place, outcome));
                continue;
            }
        };
        let change = lease.change(vec![done(place, "delivered")], None).await?;
        let mut together = WithOutcome::new(core, change, report);
        let copy = copy(lease, recipient);
        let outcome = core.ports.local.deliver(copy, &mut together).await;
        if let Outcome::Delivered(reply) = &outcome {
            together
                .conclude(lease, recipient, &reply.to_line(), &how)
                .await?;
            continue;
        }
        drop(together);
        let domain = recipient.address.domain();
        let verdict = verdict(core, lease, domain, known.attempts + 1, &outcome);
        let is_over = matches!(verdict, Verdict::Refused | Verdict::Expired);
        if is_over && lease.message().origin.account.is_none() {
            let refused = Became::here(place, outcome);
            others.extend(set_aside(core, lease, recipient, refused, &how).await?);
        } else {
            others.push(Became::here(place, outcome));
        }
    }
    if others.is_empty() {
        Ok(())
    } else {
        settle(core, lease, others, &how).await
    }
}

/// Into the recipient's Junk, or to where a person sees it. Gives back what is
/// to be settled as it is: a report of our own that nobody can get.
pub(crate) async fn set_aside(
    core: &Core,
    lease: &Lease,
    recipient: &Recipient,
    refused: Became,
    how: &How,
) -> Result<Option<Became>, QueueError> {
    let reason = reason_of(&refused.outcome);
    let text = format!("in Junk, because: {reason}");
    let change = lease.change(vec![done(refused.place, &text)], None).await?;
    let mut together = WithOutcome::new(core, change, None);
    let copy = copy(lease, recipient);
    let outcome = core
        .ports
        .local
        .set_aside(copy, &reason, &mut together)
        .await;
    if outcome.is_delivered() {
        together.conclude(lease, recipient, &text, how).await?;
        return Ok(None);
    }
    drop(together);
    if lease.message().envelope.reverse_path == ReversePath::Null {
        return Ok(Some(refused));
    }
    let text = format!("{reason}; not in Junk either: {}", reason_of(&outcome));
    log(lease, recipient, Event::Hold, &text, how);
    let held = Settlement {
        event: Event::Hold,
        ..done(refused.place, &text)
    };
    let change = lease.change(vec![held], None).await?;
    commit(core, change, None).await?;
    Ok(None)
}

/// The report of the delivery, if the sender wants one.
async fn success(
    core: &Core,
    lease: &Lease,
    place: usize,
    recipient: &Recipient,
) -> Result<Option<Prepared>, QueueError> {
    let sender = &lease.message().envelope.reverse_path;
    let action = report_for(sender, recipient.notify, Happening::Delivered);
    let told = action.map(|action| Told {
        place,
        action,
        expired: false,
        outcome: Outcome::Delivered(Reply::enhanced(250, (2, 1, 5), "delivered")),
    });
    report::prepare(core, lease, told.as_slice()).await
}

fn done(place: usize, reason: &str) -> Settlement {
    Settlement {
        place,
        event: Event::Deliver,
        counts: true,
        tells_delay: false,
        reason: Some(reason.to_owned()),
    }
}

fn copy<'a>(lease: &'a Lease, recipient: &'a Recipient) -> LocalCopy<'a> {
    LocalCopy {
        id: lease.id(),
        shard: lease.shard(),
        message: lease.message(),
        recipient,
    }
}

/// The outcome of a local recipient, on its way into the mailbox's commit. It
/// holds the message's lane.
struct WithOutcome<'a> {
    core: &'a Core,
    change: Option<Change<'a>>,
    report: Option<Prepared>,
}

impl<'a> WithOutcome<'a> {
    fn new(core: &'a Core, change: Change<'a>, report: Option<Prepared>) -> Self {
        Self {
            core,
            change: Some(change),
            report,
        }
    }

    /// It is delivered: a deliverer that forgot the queue's part has delivered
    /// all the same.
    async fn conclude(
        mut self,
        lease: &Lease,
        recipient: &Recipient,
        reason: &str,
        how: &How,
    ) -> Result<(), QueueError> {
        let metrics = &self.core.ports.metrics;
        metrics.delivery(Route::Local, observe::Outcome::Delivered);
        log(lease, recipient, Event::Deliver, reason, how);
        match self.change.take() {
            Some(change) => commit(self.core, change, self.report.take()).await,
            None => Ok(()),
        }
    }
}

impl Together for WithOutcome<'_> {
    fn stage(&mut self, batch: &mut Batch) -> Result<(), QueueError> {
        let Some(change) = &self.change else {
            return Ok(());
        };
        change.stage(batch);
        if let Some(report) = &mut self.report {
            let ports = &self.core.ports;
            ports.blobs().stage(batch, &mut report.blob)?;
            let (shard, message) = (report.blob.shard(), report.message.clone());
            ports.queue.stage(batch, shard, message);
        }
        Ok(())
    }

    fn submitted(&mut self, commit: CommitNo) {
        if let Some(change) = self.change.take() {
            change.submitted(commit);
        }
    }

    fn commit(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let Some(change) = self.change.take() else {
                return true;
            };
            let committed = commit(self.core, change, self.report.take()).await;
            committed
                .inspect_err(|error| tracing::warn!(%error, "an outcome was not recorded"))
                .is_ok()
        })
    }
}
