//! What the sender is told: RFC 3461 §6, RFC 3464.
//!
//! The report goes into the queue with the outcome that causes it, in one
//! commit; from there it goes to the sender like any other message, at once
//! when the sender is here. Not here: whether it is told at all (`queue-model`).

use bytes::Bytes;
use deliver::Outcome;
use envelope::{EnhancedStatus, Envelope, Ret, ReversePath, TlsWish};
use mime::DateTime;
use queue::{Lease, NewMessage, Origin, QueueError, Start};
use queue_model::Action;
use report_format::limits::{RETURNED_HEADER_BYTES_MAX, RETURNED_MESSAGE_BYTES_MAX};
use report_format::{Original, RecipientReport, Report, WrittenReport, write_report};

use crate::attempt::Prepared;
use crate::dispatcher::Core;

/// Something the sender is told about one recipient.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) place: usize,
    pub(crate) action: Action,
    /// It was given up because time ran out.
    pub(crate) expired: bool,
    pub(crate) outcome: Outcome,
}

impl Told {
    /// It can be told later without another copy of the message.
    pub(crate) fn can_wait(&self) -> bool {
        matches!(self.action, Action::Failed | Action::Delayed)
    }
}

/// Writes the report; none when nothing is to be told.
///
/// # Errors
/// The store does not take it: the outcome must not be committed without it.
pub(crate) async fn prepare(
    core: &Core,
    lease: &Lease,
    told: &[Told],
) -> Result<Option<Prepared>, QueueError> {
    if told.is_empty() {
        return Ok(None);
    }
    write(core, lease, told).await
}

async fn write(core: &Core, lease: &Lease, told: &[Told]) -> Result<Option<Prepared>, QueueError> {
    let message = lease.message();
    let ReversePath::Address(to) = &message.envelope.reverse_path else {
        return Ok(None);
    };
    let failed = told.iter().any(|told| told.action == Action::Failed);
    // RFC 3461 §4.3: RET is about failures; other reports return the header.
    // RFC 8689 §6: what was not to be read on its way does not come back whole.
    let secret = message.envelope.tls == TlsWish::Required;
    let whole = failed
        && !secret
        && message.envelope.ret == Some(Ret::Full)
        && message.size() <= RETURNED_MESSAGE_BYTES_MAX as u64;
    let original = original(lease, whole).await;
    let recipients = recipients(core, lease, told);
    let written = write_report(&Report {
        reporting_mta: &core.options.hostname,
        to,
        date: date(core.ports.runtime.now().unix_ms),
        message_id: &format!("{}@{}", random_word(core), core.options.hostname),
        boundary: &random_word(core),
        envelope_id: message.envelope.envid.as_deref(),
        arrived: date(message.arrived_ms),
        queue_id: Some(&lease.id().to_string()),
        recipients: &recipients,
        original: if whole {
            Original::Message(&original)
        } else {
            Original::Header(&original)
        },
    });
    let mut envelope = written.envelope(to);
    if secret {
        envelope.tls = TlsWish::Required;
    }
    into_queue(core, lease, written, envelope).await.map(Some)
}

async fn into_queue(
    core: &Core,
    lease: &Lease,
    written: WrittenReport,
    envelope: Envelope,
) -> Result<Prepared, QueueError> {
    let mut writer = core.ports.blobs().writer(lease.shard());
    // Larger ones leave memory chunk by chunk, and may wait for the disk.
    let write = move || {
        writer.push(&written.bytes)?;
        writer.finish()
    };
    let blob = core.ports.runtime.blocking(write).await?;
    let message = NewMessage {
        blob: blob.id,
        blob_size: blob.size,
        body: blob.bytes().cloned(),
        prefix: Bytes::new(),
        envelope,
        origin: Origin::default(),
        start: Start::Now,
    };
    Ok(Prepared { blob, message })
}

/// The original or its header; when it cannot be read the report goes without it.
async fn original(lease: &Lease, whole: bool) -> Bytes {
    let end = if whole {
        u64::MAX
    } else {
        RETURNED_HEADER_BYTES_MAX as u64
    };
    let read = lease.read(0..end).await;
    let bytes = read.unwrap_or_else(|error| {
        tracing::warn!(id = %lease.id(), %error, "a report returns nothing of its message");
        Bytes::new()
    });
    if whole {
        return bytes;
    }
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map_or(bytes.len(), |at| at + 2);
    bytes.slice(..end)
}

fn recipients(core: &Core, lease: &Lease, told: &[Told]) -> Vec<RecipientReport> {
    let message = lease.message();
    let report = |told: &Told| {
        let recipient = message.envelope.recipients.get(told.place)?;
        let schedule = core.schedule(recipient.address.domain());
        let lifetime_ms = schedule.lifetime_ms(message.is_report());
        let (reply, said_by) = match &told.outcome {
            Outcome::Delivered(reply) => (reply, None),
            Outcome::Temporary(reason) | Outcome::Permanent(reason) => {
                (&reason.reply, reason.said_by.clone())
            }
        };
        let diagnostic = if said_by.is_some() {
            reply.to_line()
        } else {
            reply.text()
        };
        let delayed = told.action == Action::Delayed;
        Some(RecipientReport {
            address: recipient.address.clone(),
            orcpt: recipient.orcpt.clone(),
            action: action(told.action),
            status: status(told, reply.enhanced),
            remote_mta: said_by,
            diagnostic: Some(diagnostic),
            last_attempt: Some(date(core.ports.runtime.now().unix_ms)),
            retry_until: delayed
                .then(|| date(message.counts_from_ms().saturating_add(lifetime_ms))),
        })
    };
    told.iter().filter_map(report).collect()
}

/// RFC 3463 §3.5: X.4.7 when time ran out; else what the server said, if its
/// class fits what is reported.
fn status(told: &Told, said: Option<EnhancedStatus>) -> EnhancedStatus {
    let class = match told.action {
        Action::Failed if told.expired => return EnhancedStatus::new(4, 4, 7),
        Action::Failed => 5,
        Action::Delayed => 4,
        Action::Delivered | Action::Relayed | Action::Expanded => 2,
    };
    said.filter(|said| said.class == class)
        .unwrap_or(EnhancedStatus::new(class, 0, 0))
}

fn action(action: Action) -> report_format::Action {
    match action {
        Action::Failed => report_format::Action::Failed,
        Action::Delayed => report_format::Action::Delayed,
        Action::Delivered => report_format::Action::Delivered,
        Action::Relayed => report_format::Action::Relayed,
        Action::Expanded => report_format::Action::Expanded,
    }
}

fn date(unix_ms: u64) -> DateTime {
    let unix_seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    DateTime {
        unix_seconds,
        zone_minutes: 0,
    }
}

fn random_word(core: &Core) -> String {
    format!("{:016x}{:016x}", core.seed(), core.seed())
}
