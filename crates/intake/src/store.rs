//! The handle, and what it stands on.

use crate::facts::Transaction;
use crate::limits::ENVELOPE_BYTES_MAX;
use crate::receiving::Receiving;
use crate::reply;
use crate::resend::Resends;
use blobs::Blobs;
use bounces::Returns;
use directory::{Directory, Target};
use engine::{ShardId, SharedEngine};
use envelope::Reply;
use mailstore::{InternalDate, Mailstore};
use mime::DateTime;
use observe::Metrics;
use policy::Decision;
use queue::Queue;
use queue_model::QueueId;
use runtime::{Runtime, Tasks};
use std::fmt;
use std::sync::Arc;

/// What the intake works with.
#[derive(Clone)]
pub struct Ports {
    /// Where commits go.
    pub engine: SharedEngine,
    /// Clock, randomness, tasks.
    pub runtime: Runtime,
    /// Bodies.
    pub blobs: Arc<Blobs>,
    /// Mailboxes.
    pub mailstore: Mailstore,
    /// What is to be sent or tried again.
    pub queue: Queue,
    /// Who is here.
    pub directory: Directory,
    /// Who rewrites the senders of what goes on elsewhere, and knows them again.
    pub returns: Returns,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// How the intake behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our name in Received and in Message-IDs.
    pub hostname: String,
    /// The largest message, in bytes after dot-unstuffing.
    pub message_bytes_max: u64,
    /// Received fields after which a message is in a loop.
    pub received_max: usize,
    /// Messages that may wait in the queue; with more, mail for elsewhere is taken later.
    pub queued_max: u64,
    /// What an address of ours sends on elsewhere leaves with a sender of ours.
    pub rewrite_forwards: bool,
}

/// Takes messages in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) ports: Ports,
    pub(crate) options: Options,
    pub(crate) resends: Resends,
    /// Parts of messages that are tried again.
    pub(crate) tasks: Tasks,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    /// An intake over these ports. Call [`Intake::recover`] before the doors open.
    #[must_use]
    pub fn new(ports: Ports, options: Options) -> Self {
        let resends = Resends::new(ports.runtime.clone());
        let inner = Inner {
            ports,
            options,
            resends,
            tasks: Tasks::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Begins to receive a message, at the start of its data.
    ///
    /// # Errors
    /// The reply that refuses the data: no room on the disk or in the queue, too large, too many recipients.
    pub fn begin(&self, transaction: Transaction) -> Result<Receiving, Reply> {
        let inner = &self.inner;
        let size = transaction.size_hint.unwrap_or(0);
        if size > inner.options.message_bytes_max {
            return Err(reply::too_large(inner.options.message_bytes_max));
        }
        if !inner.ports.engine.has_room_for(size) {
            return Err(reply::no_room());
        }
        let leaves = transaction.decisions.iter().any(Decision::leads_elsewhere);
        if leaves && inner.ports.queue.count() >= inner.options.queued_max {
            return Err(reply::queue_full());
        }
        let recipients = &transaction.envelope.recipients;
        let bytes = recipients.iter().map(|recipient| {
            recipient.address.local().as_str().len() + recipient.address.domain().as_str().len()
        });
        if bytes.sum::<usize>() > ENVELOPE_BYTES_MAX {
            return Err(reply::too_many_recipients());
        }
        Ok(Receiving::new(Arc::clone(inner), transaction))
    }
}

impl Inner {
    pub(crate) fn next_id(&self) -> QueueId {
        let runtime = &self.ports.runtime;
        QueueId::from_parts(runtime.now().unix_ms, runtime.random_u64())
    }

    pub(crate) fn now(&self) -> DateTime {
        let seconds = self.ports.runtime.now().unix_seconds();
        DateTime {
            unix_seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            zone_minutes: 0,
        }
    }

    /// The shard whose journal gets the body first: the first account's, or any
    /// for a message that only goes into the queue.
    pub(crate) fn home_shard(&self, decisions: &[Decision]) -> ShardId {
        let targets = decisions.iter().filter_map(|decision| match decision {
            Decision::Local(targets) => Some(targets),
            _ => None,
        });
        let account = targets.flatten().find_map(|target| match target {
            Target::Account { id, .. } => Some(*id),
            Target::Forward(_) => None,
        });
        let engine = &self.ports.engine;
        match account {
            Some(id) => engine.shard_of_account(id.0),
            None => {
                let shards = u64::from(engine.shards().max(1));
                ShardId((self.ports.runtime.random_u64() % shards) as u16)
            }
        }
    }
}

pub(crate) fn internal_date(at: DateTime) -> InternalDate {
    InternalDate {
        unix_seconds: at.unix_seconds,
        zone_minutes: at.zone_minutes,
    }
}
