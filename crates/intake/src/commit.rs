//! One shard, one batch: body, mailbox entries, queue entries.
//!
//! The body is staged first, a long one on the blocking pool. Then the accounts' lanes are
//! taken in ascending order, the copies staged, the batch submitted, the lanes
//! let go; only then do we wait for the disk. A conflict means staging anew.

use crate::limits::{CONFLICTS_MAX, LOCAL_RETRY, STAGE_HERE_BYTES};
use crate::plan::{Body, Common, LocalCopy, Part, Plan};
use crate::receiving::of_blob;
use crate::reply;
use crate::store::Inner;
use crate::success;
use crate::traced::{self, Went};
use blobs::BlobError;
use bytes::Bytes;
use engine::{Batch, CommitNo, SubmitError};
use envelope::{AccountId, Recipient, Reply, ReversePath};
use mailbox_model::Flag;
use mailstore::{Lanes, NewEmail, OverQuota, Place, StoreError};
use queue::{NewMessage, QueueError, Start};
use runtime::Monotonic;
use std::borrow::Cow;
use std::sync::Arc;

/// What else goes into the commit of a part.
pub(crate) trait Extra: Sync {
    /// Adds it.
    ///
    /// # Errors
    /// It could not be added as a whole: the batch is not submitted.
    fn stage(&self, inner: &Inner, batch: &mut Batch) -> Result<(), QueueError>;

    /// The batch that it was staged in last was taken; durable soon.
    fn submitted(&self, _: CommitNo) {}

    /// True when it is committed even if every copy of the part is refused.
    fn is_needed(&self) -> bool {
        true
    }

    /// Read before each attempt, on the blocking pool: true when an earlier
    /// attempt was taken after all.
    fn done_key(&self) -> Option<Vec<u8>> {
        None
    }
}

/// What becomes of copies that cannot be staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// The answer to the client is still open: what may work later waits in the
    /// queue, the rest is refused where the answer can say so.
    Open,
    /// The message was accepted already: everything waits in the queue.
    Promised,
    /// The message is in the queue already: refused, unless others of the part
    /// are delivered; then they wait for themselves.
    Split,
}

/// Recipients that a part refuses: places in the envelope.
pub(crate) type Refusals = Vec<(usize, Reply)>;

/// What became of a part.
#[derive(Debug)]
pub(crate) enum Committed {
    /// It is durable, or there was nothing to commit.
    Done(Refusals),
    /// It had been done before.
    Before,
}

/// Why a copy could not be staged.
enum Failure {
    /// It may work later; the text is for people.
    Temporary(String),
    /// No room within a quota.
    Full(OverQuota),
    /// Never.
    Permanent,
}

impl Failure {
    fn of(error: &StoreError) -> Self {
        match error {
            StoreError::OverQuota(over) => Self::Full(*over),
            // The directory knows the account; its mail is being made or removed.
            StoreError::NoAccount(_) => Self::Temporary(error.to_string()),
            other if other.is_temporary() => Self::Temporary(error.to_string()),
            _ => Self::Permanent,
        }
    }

    fn reply(&self, copy: &LocalCopy) -> Reply {
        match self {
            Self::Temporary(_) => reply::local_trouble(),
            Self::Full(over) => reply::full(&copy.recipient.address, *over),
            Self::Permanent => reply::not_storable(&copy.recipient.address),
        }
    }

    fn text(&self, copy: &LocalCopy) -> String {
        match self {
            Self::Temporary(text) => text.clone(),
            _ => self.reply(copy).to_line(),
        }
    }
}

impl Inner {
    /// Carries a plan out, as far as there is time; one reply for each recipient.
    pub(crate) async fn execute(
        self: &Arc<Self>,
        mut plan: Plan,
        mut body: Body,
        until: Monotonic,
    ) -> Vec<Reply> {
        let accepted = reply::accepted(&plan.common.id.to_string());
        let mut replies = vec![accepted; plan.recipients];
        for (place, refusal) in plan.refused.drain() {
            replies[place] = refusal;
        }
        let refusals = match plan.parts.len() {
            0 => Ok(Vec::new()),
            1 => {
                let part = plan
                    .parts
                    .pop_first()
                    .map(|(_, part)| part)
                    .unwrap_or_default();
                let committed = self
                    .commit_part(
                        &plan.common,
                        &part,
                        &mut body,
                        Failing::Open,
                        None,
                        Some(until),
                    )
                    .await;
                committed.map(|committed| match committed {
                    Committed::Done(refusals) => refusals,
                    Committed::Before => Vec::new(),
                })
            }
            _ => self.spread(plan, body, until).await,
        };
        match refusals {
            Ok(refusals) => {
                for (place, refusal) in refusals {
                    replies[place] = refusal;
                }
            }
            Err(reply) => {
                for answer in replies.iter_mut().filter(|answer| answer.is_positive()) {
                    answer.clone_from(&reply);
                }
            }
        }
        replies
    }

    /// Commits one part and waits until it is durable. Mailboxes that are not to
    /// be had before `until` get their copies from the queue.
    pub(crate) async fn commit_part(
        &self,
        common: &Common,
        part: &Part,
        body: &mut Body,
        failing: Failing,
        extra: Option<&dyn Extra>,
        until: Option<Monotonic>,
    ) -> Result<Committed, Reply> {
        let mut part = Cow::Borrowed(part);
        for _ in 0..CONFLICTS_MAX {
            let done_key = extra.and_then(Extra::done_key);
            let Some(mut batch) = self
                .stage_body(body, done_key)
                .await
                .map_err(|e| of_blob(&e))?
            else {
                return Ok(Committed::Before);
            };
            let mut lanes = match self.lanes(&part, until).await {
                Some(lanes) => lanes,
                None => {
                    tracing::warn!(id = %common.id, copies = part.locals.len(), "no time left: the queue delivers");
                    part.to_mut().queue_copies(&common.trace);
                    self.ports.mailstore.lanes(&[]).await
                }
            };
            let part = &*part;
            let failures = stage_copies(&mut lanes, &mut batch, part, body);
            let failed: Vec<usize> = failures.iter().map(|&(index, _)| index).collect();
            let told = success::told(common, part, &failed);
            let mut went = traced::delivered(part, &failed);
            let refusals =
                self.stage_queue(&mut batch, common, part, body, failures, failing, &mut went);
            let nothing_kept = refusals_cover(part, &refusals) && part.queued.is_empty();
            if nothing_kept && !extra.is_some_and(Extra::is_needed) {
                return Ok(Committed::Done(refusals));
            }
            self.stage_success(&mut batch, common, body, &told)
                .map_err(|error| of_blob(&error))?;
            if let Some(accepted) = &body.traced {
                accepted.stage(&mut batch, body.blob.shard(), &went);
            }
            if let Some(extra) = extra {
                extra.stage(self, &mut batch).map_err(|error| {
                    tracing::error!(id = %common.id, %error, "a message is not committed without its outcome");
                    reply::local_trouble()
                })?;
            }
            match lanes.submit(batch) {
                Ok(ticket) => {
                    if let Some(extra) = extra {
                        extra.submitted(ticket.commit());
                    }
                    ticket.done().await;
                    return Ok(Committed::Done(refusals));
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => {
                    tracing::warn!(id = %common.id, %error, "a message was not committed");
                    return Err(reply::of_submit(&error));
                }
            }
        }
        tracing::warn!(id = %common.id, "other commits came first each time");
        Err(reply::local_trouble())
    }

    /// The lanes of the part's accounts; `None` when they are not to be had in time.
    async fn lanes(&self, part: &Part, until: Option<Monotonic>) -> Option<Lanes> {
        let accounts: Vec<AccountId> = part.locals.iter().map(|copy| copy.account).collect();
        let lanes = self.ports.mailstore.lanes(&accounts);
        let Some(until) = until else {
            return Some(lanes.await);
        };
        let runtime = &self.ports.runtime;
        let left = until.since(runtime.monotonic());
        runtime.timeout(left, Box::pin(lanes)).await.ok()
    }

    /// A batch that holds the body; `None` when the part is done already.
    async fn stage_body(
        &self,
        body: &mut Body,
        done_key: Option<Vec<u8>>,
    ) -> Result<Option<Batch>, BlobError> {
        let blobs = Arc::clone(&self.ports.blobs);
        let engine = Arc::clone(&self.ports.engine);
        let mut blob = body.blob.clone();
        let is_short = done_key.is_none() && blob.size <= STAGE_HERE_BYTES;
        let work = move || {
            if let Some(key) = done_key
                && engine.snapshot(blob.shard()).get(&key)?.is_some()
            {
                return Ok((blob, None));
            }
            let mut batch = Batch::new();
            blobs.stage(&mut batch, &mut blob)?;
            Ok::<_, BlobError>((blob, Some(batch)))
        };
        // A hop to another thread and back costs more than to compress a few kilobytes;
        // that the look for the same body meets the disk is rare.
        let (blob, batch) = if is_short {
            work()?
        } else {
            self.ports.runtime.blocking(work).await?
        };
        body.blob = blob;
        Ok(batch)
    }

    /// Stages the queue's part, with the copies that failed and may wait; gives
    /// the recipients to refuse, and says where all of them went.
    #[allow(
        clippy::too_many_arguments,
        reason = "what one attempt of `commit_part` has, used there alone"
    )]
    fn stage_queue(
        &self,
        batch: &mut Batch,
        common: &Common,
        part: &Part,
        body: &Body,
        failures: Vec<(usize, Failure)>,
        failing: Failing,
        went: &mut Vec<Went>,
    ) -> Refusals {
        for copy in &part.queued {
            let recipients = copy.recipients.clone();
            let mut new = self.new_message(common, recipients, copy.prefix.clone(), body);
            if let Some(sender) = &copy.sender {
                new.envelope.reverse_path = ReversePath::Address(sender.clone());
            }
            if let Some(reply) = &copy.refusal {
                new.start = Start::Refused {
                    reply: reply.clone(),
                };
            }
            let queued = self.ports.queue.stage(batch, body.blob.shard(), new);
            tracing::debug!(id = %common.id, %queued, "queued");
            went.extend(traced::queued(&copy.recipients, queued));
        }
        let delivered = part.locals.iter().enumerate().any(|(index, copy)| {
            let failed = failures.iter().any(|&(failed, _)| failed == index);
            !failed && !copy.is_senders_own()
        });
        let waits = |failure: &Failure| matches!(failure, Failure::Temporary(_));
        let some_accepted = delivered
            || !part.queued.is_empty()
            || (failing == Failing::Open && failures.iter().any(|(_, failure)| waits(failure)));
        let mut refusals = Vec::new();
        for (index, failure) in failures {
            let copy = &part.locals[index];
            if copy.is_senders_own() {
                let reason = failure.text(copy);
                tracing::warn!(id = %common.id, account = %copy.account, reason, "the sender has no copy");
                went.push(traced::not_kept(copy, &reason));
                continue;
            }
            let queues = match failing {
                Failing::Open => waits(&failure) || (!common.each && some_accepted),
                Failing::Promised => true,
                Failing::Split => some_accepted,
            };
            if !queues {
                let refusal = failure.reply(copy);
                went.push(traced::refused(&copy.recipient, &refusal));
                refusals.extend(copy.places.iter().map(|&place| (place, refusal.clone())));
                continue;
            }
            let reason = failure.text(copy);
            tracing::warn!(id = %common.id, account = %copy.account, reason, "a copy waits in the queue");
            let recipient = Recipient {
                address: copy.address.clone(),
                ..copy.recipient.clone()
            };
            let trace = Bytes::from(common.trace.clone());
            let mut new = self.new_message(common, vec![recipient], trace, body);
            new.start = Start::Later {
                wait_ms: u64::try_from(LOCAL_RETRY.as_millis()).unwrap_or(u64::MAX),
                reason,
            };
            let queued = self.ports.queue.stage(batch, body.blob.shard(), new);
            went.extend(traced::queued(
                std::slice::from_ref(&copy.recipient),
                queued,
            ));
        }
        refusals
    }

    fn new_message(
        &self,
        common: &Common,
        recipients: Vec<Recipient>,
        prefix: Bytes,
        body: &Body,
    ) -> NewMessage {
        let mut envelope = common.base.clone();
        envelope.recipients = recipients;
        let now_ms = self.ports.runtime.now().unix_ms;
        // RFC 4865
        let start = match (&common.hold, envelope.hold_until_ms) {
            (Some(reason), _) => Start::Held {
                reason: reason.clone(),
            },
            (None, Some(until_ms)) if until_ms > now_ms => Start::Later {
                wait_ms: until_ms - now_ms,
                reason: "held until its time, as its sender asked".into(),
            },
            _ => Start::Now,
        };
        NewMessage {
            blob: body.blob.id,
            blob_size: body.blob.size,
            body: body.blob.bytes().cloned(),
            prefix,
            envelope,
            origin: common.origin.clone(),
            start,
        }
    }

    /// Submits a small batch of our own; waits until it is durable.
    pub(crate) async fn submit(&self, batch: Batch) -> Result<CommitNo, SubmitError> {
        Ok(self.ports.engine.submit(batch)?.done().await)
    }
}

/// Stages each account's copy into its mailbox; gives those that failed.
fn stage_copies(
    lanes: &mut Lanes,
    batch: &mut Batch,
    part: &Part,
    body: &Body,
) -> Vec<(usize, Failure)> {
    let mut failures = Vec::new();
    for (index, copy) in part.locals.iter().enumerate() {
        if let Err(failure) = stage_copy(lanes, batch, copy, body) {
            failures.push((index, failure));
        }
    }
    failures
}

fn stage_copy(
    lanes: &mut Lanes,
    batch: &mut Batch,
    copy: &LocalCopy,
    body: &Body,
) -> Result<(), Failure> {
    let lane = lanes.lane(copy.account).map_err(Failure::of)?;
    let mailbox = lane
        .resolve(&Place::Role(copy.mailbox))
        .map_err(|error| Failure::of(&error))?;
    let email = NewEmail {
        blob: body.blob.id,
        blob_size: body.blob.size,
        prefix: copy.prefix.clone(),
        digest: body.digest.clone(),
        received_at: body.received_at,
        // What one has written oneself has been read.
        flags: if copy.is_senders_own() {
            vec![Flag::Seen]
        } else {
            Vec::new()
        },
    };
    lane.stage_deliver(batch, mailbox, &[email], copy.quota)
        .map_err(|error| Failure::of(&error))?;
    Ok(())
}

/// True when every copy of the part is refused.
fn refusals_cover(part: &Part, refusals: &Refusals) -> bool {
    let refused = |place: &usize| refusals.iter().any(|(refused, _)| refused == place);
    part.locals
        .iter()
        .all(|copy| copy.places.iter().all(refused))
}
