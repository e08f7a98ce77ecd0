//! Entries against email records, records against bodies and links.

use super::Findings;
use super::finding::Finding;
use crate::email::EmailRecord;
use crate::error::StoreError;
use crate::keys;
use crate::load::for_each;
use crate::reap::ended;
use blobs::{Blobs, Owner};
use engine::{CommitNo, Engine, ShardId, Snapshot, Versioned};
use envelope::AccountId;
use mailbox_model::{EmailId, MailboxId, ModSeq, Uid, View};
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::vec::IntoIter;

/// An email that must have a record, with one of its copies: 32 bytes of memory
/// for each message of an account while that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    email: EmailId,
    mailbox: MailboxId,
    uid: Uid,
    size: u64,
}

impl Expected {
    fn missing(self) -> Finding {
        Finding::NoRecord {
            mailbox: self.mailbox,
            uid: self.uid,
            email: self.email,
        }
    }
}

/// Merges the view's emails, in order of their ids, with the records.
pub(super) fn check(
    (engine, snapshot): (&dyn Engine, &dyn Snapshot),
    blobs: &Blobs,
    (account, shard): (AccountId, ShardId),
    view: &View,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut expected = expected(view);
    // Kept until the retention has passed.
    let mut kept = BTreeSet::new();
    ended(snapshot, account, ModSeq(u64::MAX), &mut kept)?;
    let (start, end) = keys::emails(account);
    for_each(snapshot, start, &end, |key, record| {
        let Some(email) = keys::email_of(&key) else {
            return Ok(());
        };
        while let Some(lost) = expected.next_if(|next| next.email < email) {
            findings.push(lost.missing());
        }
        let Some(entry) = expected.next_if(|next| next.email == email) else {
            if !kept.contains(&email) {
                findings.push(Finding::Orphan(email));
            }
            return Ok(());
        };
        let Some(found) = check_record(snapshot, blobs, (account, shard), entry, &record)? else {
            return Ok(());
        };
        // A body is looked up as it is now: it may have gone with its email.
        if is_unchanged(engine, shard, &key, record.version)? {
            findings.push(found);
        }
        Ok(())
    })?;
    for lost in expected {
        findings.push(lost.missing());
    }
    Ok(())
}

fn expected(view: &View) -> Peekable<IntoIter<Expected>> {
    let mut all = Vec::new();
    for mailbox in view.mailboxes() {
        all.extend(mailbox.entries().iter().map(|entry| Expected {
            email: entry.email,
            mailbox: mailbox.id(),
            uid: entry.uid,
            size: entry.size(),
        }));
    }
    all.sort_unstable();
    all.dedup_by_key(|expected| expected.email);
    all.into_iter().peekable()
}

fn check_record(
    snapshot: &dyn Snapshot,
    blobs: &Blobs,
    (account, shard): (AccountId, ShardId),
    entry: Expected,
    record: &Versioned,
) -> Result<Option<Finding>, StoreError> {
    let email = entry.email;
    let record = match EmailRecord::decode(&record.value) {
        Ok(record) => record,
        Err(error) => return Ok(Some(Finding::RecordDamaged(email, error.to_string()))),
    };
    let owner = Owner::Email(account, email.0);
    let linked = blobs.has_link(snapshot, shard, record.blob, owner)?;
    Ok(match blobs.open(shard, record.blob) {
        Ok(body) if body.size() == record.blob_size => {
            if record.size() != entry.size {
                Some(Finding::Size(email))
            } else {
                (!linked).then_some(Finding::NoLink(email, record.blob))
            }
        }
        _ => Some(Finding::NoBlob(email, record.blob)),
    })
}

fn is_unchanged(
    engine: &dyn Engine,
    shard: ShardId,
    key: &[u8],
    version: CommitNo,
) -> Result<bool, StoreError> {
    let now = engine.snapshot(shard).get(key)?;
    Ok(now.is_some_and(|now| now.version == version))
}
