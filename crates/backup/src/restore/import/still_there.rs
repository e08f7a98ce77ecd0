//! What a living account still holds, so that nothing comes back beside itself.
//!
//! The same body with the same date is the same email. One that is in the trash
//! or marked `\Deleted` does not count, except in the very mailbox that it would
//! come back to: who asks for mail back asks for what was thrown away.

use crate::error::BackupError;
use crate::limits::SCAN_RECORDS;
use crate::names::Names;
use crate::pack::Name;
use mailbox_model::{EmailId, MailboxName, Role};
use mailstore::{Account, EmailRecord};
use runtime::Runtime;
use std::sync::Arc;

pub(super) struct StillThere {
    kept: Names,
    placed: Names,
}

impl StillThere {
    pub(super) fn of(runtime: &Runtime, account: &Arc<Account>) -> Result<Self, BackupError> {
        let mut there = Self {
            kept: Names::new()?,
            placed: Names::new()?,
        };
        let view = account.view();
        for mailbox in view.mailboxes() {
            let is_trash = mailbox.role() == Some(Role::Trash);
            let mut entries = mailbox.entries().iter();
            loop {
                let some: Vec<_> = entries.by_ref().take(SCAN_RECORDS).collect();
                if some.is_empty() {
                    break;
                }
                let ids: Vec<EmailId> = some.iter().map(|entry| entry.email).collect();
                let records = runtime.block_on(account.email_records(&ids));
                for (entry, record) in some.iter().zip(records) {
                    // One that can't be read is not there for anybody.
                    let Ok(record) = record else { continue };
                    let place = name_of(mailbox.name().as_str(), &record);
                    there.placed.insert(&place, 0)?;
                    if !is_trash && !entry.deleted {
                        there.kept.insert(&name_of("", &record), 0)?;
                    }
                }
            }
        }
        Ok(there)
    }

    pub(super) fn is_kept(&self, record: &EmailRecord) -> Result<bool, BackupError> {
        Ok(self.kept.get(&name_of("", record))?.is_some())
    }

    pub(super) fn is_in(
        &self,
        mailbox: &MailboxName,
        record: &EmailRecord,
    ) -> Result<bool, BackupError> {
        let place = name_of(mailbox.as_str(), record);
        Ok(self.placed.get(&place)?.is_some())
    }
}

fn name_of(mailbox: &str, record: &EmailRecord) -> Name {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&record.blob.0);
    hasher.update(&record.received_at.unix_seconds.to_be_bytes());
    hasher.update(mailbox.as_bytes());
    *hasher.finalize().as_bytes()
}
