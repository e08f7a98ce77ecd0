//! Delivering what waited in the queue for a recipient here.
//!
//! The recipient is resolved anew. Copies for accounts of the message's own
//! shard, and what goes on elsewhere, are one commit with what the queue has to
//! write down. A copy for an account of another shard is committed there first,
//! with a mark, so that it is not made twice.
//!
//! One recipient that leads to several targets: those that fail are queued anew,
//! each for itself, in the commit that delivers the others.

use crate::commit::{Committed, Extra, Failing};
use crate::header::HeaderFilter;
use crate::plan::{Body, Common, LocalCopy, Part, QueuedCopy, led_to, quota_rule};
use crate::receiving::of_blob;
use crate::senders::Senders;
use crate::store::{Inner, Intake, internal_date};
use crate::{prefix, record, reply};
use blobs::BlobError;
use bytes::Bytes;
use directory::{Resolution, Target};
use engine::{Batch, CommitNo, Expect, ShardId};
use envelope::{AccountId, Address, Recipient, Reply, ReversePath};
use mailbox_model::Role as MailboxRole;
use mailstore::QuotaRule;
use mime::{Indexer, Limits};
use parking_lot::Mutex;
use queue::{Message, QueueError};
use queue_model::QueueId;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A queued message for one recipient here.
#[derive(Debug, Clone, Copy)]
pub struct Queued<'a> {
    /// Its name in the queue.
    pub id: QueueId,
    /// The shard of its queue entry and of its body.
    pub shard: ShardId,
    /// The message.
    pub message: &'a Message,
    /// For whom.
    pub recipient: &'a Recipient,
}

/// What goes into the same commit: the queue's own change.
pub trait Alongside: Send {
    /// Adds it to a batch of the message's shard; again for another batch after a conflict.
    ///
    /// # Errors
    /// The batch lacks a part of it: nothing is delivered for now.
    fn stage(&mut self, batch: &mut Batch) -> Result<(), QueueError>;

    /// The batch that it was staged in last was taken.
    fn submitted(&mut self, commit: CommitNo);

    /// Commits it alone; false when that failed.
    fn commit(&mut self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

struct WithQueue<'a>(Mutex<&'a mut dyn Alongside>);

impl Extra for WithQueue<'_> {
    fn stage(&self, _: &Inner, batch: &mut Batch) -> Result<(), QueueError> {
        self.0.lock().stage(batch)
    }

    fn submitted(&self, commit: CommitNo) {
        self.0.lock().submitted(commit);
    }

    fn is_needed(&self) -> bool {
        false
    }
}

/// The mark of an account in another shard.
struct Mark {
    shard: ShardId,
    id: QueueId,
    account: AccountId,
}

impl Mark {
    fn key(&self) -> Vec<u8> {
        record::queued_mark_key(self.shard, self.id, self.account)
    }
}

impl Extra for Mark {
    fn stage(&self, _: &Inner, batch: &mut Batch) -> Result<(), QueueError> {
        batch.expect(self.key(), Expect::Absent);
        batch.put(self.key(), record::mark(self.shard));
        Ok(())
    }

    fn done_key(&self) -> Option<Vec<u8>> {
        Some(self.key())
    }

    fn is_needed(&self) -> bool {
        false
    }
}

/// Where in an account.
#[derive(Debug, Clone, Copy)]
enum Into<'a> {
    Inbox,
    /// It was refused for this.
    Junk {
        reason: &'a str,
    },
}

/// The targets of one recipient, by where they are.
#[derive(Default)]
struct Targets {
    here: Part,
    elsewhere: BTreeMap<ShardId, Vec<LocalCopy>>,
    count: usize,
}

/// A stored message read again.
struct Stored {
    digest: Bytes,
    filter: HeaderFilter,
}

impl Intake {
    /// Delivers a queued message to a recipient here. When this returns `Ok`,
    /// `alongside` was committed, with the mailbox where they share a shard.
    ///
    /// # Errors
    /// The reply that a server would have given; `alongside` was not committed.
    ///
    /// # Cancel safety
    /// A commit that was submitted goes on.
    pub async fn deliver_queued(
        &self,
        queued: Queued<'_>,
        alongside: &mut dyn Alongside,
    ) -> Result<(), Reply> {
        self.deliver_into(queued, Into::Inbox, alongside).await
    }

    /// Delivers into Junk what [`Intake::deliver_queued`] has refused, with the
    /// reason in its header, whatever the quota; to accounts only.
    ///
    /// # Errors
    /// As for [`Intake::deliver_queued`].
    ///
    /// # Cancel safety
    /// A commit that was submitted goes on.
    pub async fn set_aside(
        &self,
        queued: Queued<'_>,
        reason: &str,
        alongside: &mut dyn Alongside,
    ) -> Result<(), Reply> {
        self.deliver_into(queued, Into::Junk { reason }, alongside)
            .await
    }

    async fn deliver_into(
        &self,
        queued: Queued<'_>,
        into: Into<'_>,
        alongside: &mut dyn Alongside,
    ) -> Result<(), Reply> {
        let inner = &self.inner;
        let envelope = &queued.message.envelope;
        let resolved = inner
            .resolve_queued(&envelope.reverse_path, &queued.recipient.address)
            .await?;
        let goes_on = resolved.iter().any(|t| matches!(t, Target::Forward(_)));
        let senders = if goes_on {
            inner.senders(&envelope.reverse_path).await?
        } else {
            Senders::kept()
        };
        let stored = inner
            .read_stored(queued)
            .await
            .map_err(|error| of_blob(&error))?;
        let mut targets = inner.sort_targets(queued, into, &resolved, &stored, &senders)?;
        let common = common(queued);
        let mut marks = Vec::new();
        let mut refusal = None;
        for (shard, copies) in std::mem::take(&mut targets.elsewhere) {
            for copy in copies {
                let mark = Mark {
                    shard,
                    id: queued.id,
                    account: copy.account,
                };
                let address = copy.address.clone();
                match inner
                    .deliver_elsewhere(queued, &stored, &common, copy, &mark)
                    .await
                {
                    Ok(()) => marks.push(mark),
                    Err(reply) if targets.count == 1 => return Err(reply),
                    Err(reply) => {
                        refusal = Some(reply);
                        let recipient = led_to(queued.recipient, &address);
                        let prefix = queued.message.prefix.clone();
                        let copy = QueuedCopy::new(vec![recipient], prefix);
                        targets.here.queued.push(copy);
                    }
                }
            }
        }
        inner
            .deliver_here(queued, &stored, &common, targets, refusal, alongside)
            .await?;
        for mark in marks {
            let mut batch = Batch::new();
            batch.delete(mark.key());
            // A mark that stays costs a few bytes and hurts nobody.
            let _ = inner.ports.engine.submit(batch);
        }
        Ok(())
    }
}

impl Inner {
    async fn resolve_queued(
        &self,
        sender: &ReversePath,
        address: &Address,
    ) -> Result<Vec<Target>, Reply> {
        if let Some(original) = self.returned(sender, address).await? {
            return Ok(vec![Target::Forward(original)]);
        }
        let untagged = match self.ports.returns.untagged(address).await {
            Some(Ok(own)) => Some(own),
            Some(Err(why)) => return Err(policy::reply::not_tagged(address, why)),
            None => None,
        };
        let address = untagged.as_ref().unwrap_or(address);
        let resolved = self.ports.directory.resolve(address).await;
        let targets = match resolved {
            Ok(Resolution::Local(targets)) => targets,
            Ok(Resolution::NoSuchUser | Resolution::NotLocalDomain) => {
                return Err(reply::no_such_user(address));
            }
            Ok(Resolution::AliasLoop) => return Err(reply::alias_loop(address)),
            Err(error) => {
                tracing::error!(%error, %address, "a recipient could not be looked up");
                return Err(reply::local_trouble());
            }
        };
        let mut enabled = Vec::with_capacity(targets.len());
        for target in targets {
            if let Target::Account { id, .. } = &target {
                match self.ports.directory.account(*id).await {
                    Ok(Some(account)) if !account.disabled => {}
                    Ok(_) => continue,
                    Err(error) => {
                        tracing::error!(%error, %address, "an account could not be looked up");
                        return Err(reply::local_trouble());
                    }
                }
            }
            enabled.push(target);
        }
        if enabled.is_empty() {
            return Err(reply::disabled(address));
        }
        Ok(enabled)
    }

    /// Whom a notification to a rewritten sender is for.
    async fn returned(
        &self,
        sender: &ReversePath,
        address: &Address,
    ) -> Result<Option<Address>, Reply> {
        if *sender != ReversePath::Null {
            return Ok(None);
        }
        match self.ports.returns.original(address).await {
            None => Ok(None),
            Some(Ok(original)) => Ok(Some(original)),
            Some(Err(why)) => Err(policy::reply::not_returned(address, why)),
        }
    }

    async fn read_stored(&self, queued: Queued<'_>) -> Result<Stored, BlobError> {
        let blobs = Arc::clone(&self.ports.blobs);
        let (shard, id) = (queued.shard, queued.message.blob);
        let read = move || {
            let mut reader = blobs.open(shard, id)?;
            let mut indexer = Indexer::new(Limits::default());
            let mut filter = HeaderFilter::new(None);
            let mut header = Vec::new();
            while let Some(chunk) = reader.next_chunk()? {
                indexer.push(&chunk);
                let _ = filter.push(&chunk, &mut header);
                header.clear();
            }
            filter.finish(&mut header);
            Ok(Stored {
                digest: indexer.finish().encode().into(),
                filter,
            })
        };
        self.ports.runtime.blocking(read).await
    }

    fn sort_targets(
        &self,
        queued: Queued<'_>,
        into: Into<'_>,
        resolved: &[Target],
        stored: &Stored,
        senders: &Senders,
    ) -> Result<Targets, Reply> {
        let Queued {
            message, recipient, ..
        } = queued;
        let aside = matches!(into, Into::Junk { .. });
        // In Junk a loop has its end.
        let was_here =
            |address: &Address| !aside && stored.filter.was_delivered_to(&address.to_key());
        let inner = match into {
            Into::Inbox => message.prefix.clone(),
            Into::Junk { reason } => prefix::with_reason(reason, &message.prefix),
        };
        let mut targets = Targets::default();
        if was_here(&recipient.address) {
            return Err(reply::delivered_before(&recipient.address));
        }
        let mut passed_on = recipient.clone();
        if resolved.len() > 1 {
            // It is told of as a whole.
            passed_on.notify = recipient.notify.without_success();
        }
        for target in resolved {
            targets.count += 1;
            match target {
                Target::Forward(_) if aside => {}
                Target::Forward(address) => {
                    let prefix = prefix::for_forward(&recipient.address, &message.prefix);
                    targets.here.queued.push(QueuedCopy {
                        sender: senders.through(recipient.address.domain()),
                        ..QueuedCopy::new(vec![led_to(&passed_on, address)], prefix)
                    });
                }
                Target::Account { id, address, .. } => {
                    if was_here(address) {
                        return Err(reply::delivered_before(address));
                    }
                    let copy = LocalCopy {
                        account: *id,
                        address: address.clone(),
                        recipient: passed_on.clone(),
                        places: vec![0],
                        prefix: prefix::for_mailbox(
                            &message.envelope.reverse_path,
                            address,
                            &recipient.address,
                            &inner,
                        ),
                        quota: if aside {
                            QuotaRule::Ignore
                        } else {
                            quota_rule(&recipient.address)
                        },
                        mailbox: if aside {
                            MailboxRole::Junk
                        } else {
                            MailboxRole::Inbox
                        },
                        // `dispatch` tells, in the commit that it stages alongside.
                        told: Vec::new(),
                    };
                    match self.ports.engine.shard_of_account(id.0) {
                        shard if shard == queued.shard => targets.here.locals.push(copy),
                        shard => targets.elsewhere.entry(shard).or_default().push(copy),
                    }
                }
            }
        }
        if aside && targets.here.locals.is_empty() && targets.elsewhere.is_empty() {
            return Err(reply::no_such_user(&recipient.address));
        }
        Ok(targets)
    }

    async fn deliver_elsewhere(
        &self,
        queued: Queued<'_>,
        stored: &Stored,
        common: &Common,
        copy: LocalCopy,
        mark: &Mark,
    ) -> Result<(), Reply> {
        let part = Part {
            locals: vec![copy],
            ..Part::default()
        };
        let mut body = self.body_in(queued, stored, mark.shard).await?;
        let committed = self
            .commit_part(common, &part, &mut body, Failing::Split, Some(mark), None)
            .await?;
        match committed {
            Committed::Done(refusals) => {
                refusals.into_iter().next().map_or(Ok(()), |(_, r)| Err(r))
            }
            Committed::Before => Ok(()),
        }
    }

    async fn deliver_here(
        &self,
        queued: Queued<'_>,
        stored: &Stored,
        common: &Common,
        targets: Targets,
        refusal: Option<Reply>,
        alongside: &mut dyn Alongside,
    ) -> Result<(), Reply> {
        let part = targets.here;
        if part == Part::default() {
            if alongside.commit().await {
                return Ok(());
            }
            return Err(refusal.unwrap_or_else(reply::local_trouble));
        }
        let mut body = self.body_in(queued, stored, queued.shard).await?;
        let with_queue = WithQueue(Mutex::new(alongside));
        let committed = self
            .commit_part(
                common,
                &part,
                &mut body,
                Failing::Split,
                Some(&with_queue),
                None,
            )
            .await?;
        match committed {
            Committed::Done(refusals) => {
                refusals.into_iter().next().map_or(Ok(()), |(_, r)| Err(r))
            }
            Committed::Before => Ok(()),
        }
    }

    async fn body_in(
        &self,
        queued: Queued<'_>,
        stored: &Stored,
        shard: ShardId,
    ) -> Result<Body, Reply> {
        let copied = self
            .copy_blob(queued.shard, queued.message.blob, shard, false)
            .await;
        let (blob, header) = copied.map_err(|error| of_blob(&error))?;
        Ok(Body {
            blob,
            digest: stored.digest.clone(),
            received_at: internal_date(self.now()),
            header,
            traced: None,
        })
    }
}

fn common(queued: Queued<'_>) -> Common {
    let message = queued.message;
    let mut base = message.envelope.clone();
    base.recipients = Vec::new();
    Common {
        id: queued.id,
        base,
        origin: message.origin.clone(),
        trace: String::from_utf8_lossy(&message.prefix).into_owned(),
        each: true,
        hold: None,
    }
}
