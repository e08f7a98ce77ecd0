//! What a sender is told who wants to hear of a success: RFC 3461 §5.2.3, §5.2.7.
//!
//! The report goes into the queue with the commit that delivers, so that nobody
//! is told of what did not happen, and nobody is not told of what did. What goes
//! through the queue is told of by `dispatch`.

use crate::plan::{Body, Common, Part};
use crate::store::Inner;
use blobs::BlobError;
use engine::Batch;
use envelope::{EnhancedStatus, Recipient, ReversePath};
use mime::DateTime;
use queue::{NewMessage, Origin, Start};
use queue_model::{Action, Happening, report_for};
use report_format::{Original, RecipientReport, Report, write_report};

/// Something to be told about one recipient.
pub(crate) struct Told {
    recipient: Recipient,
    action: Action,
}

/// What is to be told when the part is committed without the copies that failed.
pub(crate) fn told(common: &Common, part: &Part, failed: &[usize]) -> Vec<Told> {
    let copies = part.locals.iter().enumerate();
    let delivered = copies
        .filter(|(index, _)| !failed.contains(index))
        .flat_map(|(_, copy)| &copy.told)
        .map(|recipient| (recipient, Happening::Delivered));
    let expanded = part.expanded.iter().map(|r| (r, Happening::Expanded));
    delivered
        .chain(expanded)
        .filter_map(|(recipient, happening)| {
            let action = report_for(&common.base.reverse_path, recipient.notify, happening)?;
            Some(Told {
                recipient: recipient.clone(),
                action,
            })
        })
        .collect()
}

impl Inner {
    /// Adds the report to the batch that delivers.
    pub(crate) fn stage_success(
        &self,
        batch: &mut Batch,
        common: &Common,
        body: &Body,
        told: &[Told],
    ) -> Result<(), BlobError> {
        let ReversePath::Address(to) = &common.base.reverse_path else {
            return Ok(());
        };
        if told.is_empty() {
            return Ok(());
        }
        let recipients: Vec<RecipientReport> =
            told.iter().map(|told| report(told, self.now())).collect();
        let word = || format!("{:016x}", self.ports.runtime.random_u64());
        let (message_id, boundary) = (word() + &word(), word() + &word());
        let written = write_report(&Report {
            reporting_mta: &self.options.hostname,
            to,
            date: self.now(),
            message_id: &format!("{message_id}@{}", self.options.hostname),
            boundary: &boundary,
            envelope_id: common.base.envid.as_deref(),
            arrived: DateTime {
                unix_seconds: body.received_at.unix_seconds,
                zone_minutes: body.received_at.zone_minutes,
            },
            queue_id: Some(&common.id.to_string()),
            recipients: &recipients,
            // RFC 3461 §4.3: RET is about failures.
            original: Original::Header(&body.header),
        });
        let shard = body.blob.shard();
        let mut writer = self.ports.blobs.writer(shard);
        writer.push(&written.bytes)?;
        let mut blob = writer.finish()?;
        self.ports.blobs.stage(batch, &mut blob)?;
        let message = NewMessage {
            blob: blob.id,
            blob_size: blob.size,
            body: blob.bytes().cloned(),
            prefix: bytes::Bytes::new(),
            envelope: written.envelope(to),
            origin: Origin::default(),
            start: Start::Now,
        };
        self.ports.queue.stage(batch, shard, message);
        Ok(())
    }
}

fn report(told: &Told, now: DateTime) -> RecipientReport {
    let expanded = told.action == Action::Expanded;
    RecipientReport {
        address: told.recipient.address.clone(),
        orcpt: told.recipient.orcpt.clone(),
        action: if expanded {
            report_format::Action::Expanded
        } else {
            report_format::Action::Delivered
        },
        // RFC 3463 §3.2: 2.1.5, the destination address is valid.
        status: EnhancedStatus::new(2, 1, 5),
        remote_mta: None,
        diagnostic: None,
        last_attempt: Some(now),
        retry_until: None,
    }
}
