//! Checks one account: log against pages against head, entries against email
//! records against blob links. Reads one snapshot; repairs nothing.

use crate::email::EmailRecord;
use crate::error::StoreError;
use crate::head::Head;
use crate::keys::{self, Chain};
use crate::limits::FINDINGS_MAX;
use crate::load::{Pending, base_view, checkpoint_view, fold_from_floor, for_each};
use crate::reap::ended;
use blobs::{BlobId, Blobs, Owner};
use engine::{Engine, ShardId, Snapshot};
use envelope::AccountId;
use mailbox_model::{Counters, EmailId, LogEntry, MailboxId, ModSeq, Uid, Usage, View, apply};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something about an account that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// There is no head.
    NoAccount,
    /// The head does not decode.
    HeadDamaged(String),
    /// The head differs from the folded log.
    HeadDiffers,
    /// The log can't be folded.
    Log(String),
    /// The checkpoint can't be read.
    Checkpoint(String),
    /// The checkpoint is not the log folded up to it.
    CheckpointDiffers(ModSeq),
    /// A mailbox's counters are not the sums over its entries.
    Counters(MailboxId),
    /// The usage is not the sum over the emails.
    Usage,
    /// An entry's email has no record.
    NoRecord {
        /// The mailbox.
        mailbox: MailboxId,
        /// The entry.
        uid: Uid,
        /// The email.
        email: EmailId,
    },
    /// An email's record does not decode.
    RecordDamaged(EmailId, String),
    /// An entry's size is not its record's.
    Size(EmailId),
    /// An email's blob is not there.
    NoBlob(EmailId, BlobId),
    /// An email's blob does not know of it.
    NoLink(EmailId, BlobId),
    /// A record of an email that is in no mailbox and not kept for its retention.
    Orphan(EmailId),
    /// There are more findings than are told.
    More,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccount => write!(f, "the account has no head"),
            Self::HeadDamaged(error) => write!(f, "the head is damaged: {error}"),
            Self::HeadDiffers => write!(f, "the head differs from the log"),
            Self::Log(error) => write!(f, "the log can't be folded: {error}"),
            Self::Checkpoint(error) => write!(f, "the checkpoint is damaged: {error}"),
            Self::CheckpointDiffers(modseq) => {
                write!(f, "the checkpoint at change {modseq} differs from the log")
            }
            Self::Counters(id) => write!(f, "mailbox {id}: the counters are not the sums"),
            Self::Usage => write!(f, "the quota used is not the sum over the emails"),
            Self::NoRecord {
                mailbox,
                uid,
                email,
            } => {
                write!(
                    f,
                    "mailbox {mailbox}, UID {uid}: email {email} has no record"
                )
            }
            Self::RecordDamaged(email, error) => {
                write!(f, "email {email}: the record is damaged: {error}")
            }
            Self::Size(email) => write!(f, "email {email}: its entry has another size"),
            Self::NoBlob(email, blob) => write!(f, "email {email}: blob {blob} is missing"),
            Self::NoLink(email, blob) => write!(f, "email {email}: blob {blob} has no link to it"),
            Self::Orphan(email) => {
                write!(f, "email {email} is in no mailbox and was never expunged")
            }
            Self::More => write!(f, "there is more"),
        }
    }
}

/// Findings up to a bound.
struct Findings(Vec<Finding>);

impl Findings {
    fn push(&mut self, finding: Finding) {
        match self.0.len() {
            n if n < FINDINGS_MAX => self.0.push(finding),
            n if n == FINDINGS_MAX => self.0.push(Finding::More),
            _ => {}
        }
    }
}

pub(crate) fn check(
    engine: &dyn Engine,
    blobs: &Blobs,
    account: AccountId,
) -> Result<Vec<Finding>, StoreError> {
    let shard = engine.shard_of_account(account.0);
    let snapshot = engine.snapshot(shard);
    let Some(head) = snapshot.get(&keys::head(account))? else {
        return Ok(vec![Finding::NoAccount]);
    };
    let mut findings = Findings(Vec::new());
    // A damaged head is told below; the log then counts from its beginning.
    let floor = Head::decode(&head.value).map_or(ModSeq(0), |head| head.floor.modseq);
    let pending = &mut Pending::default();
    let view = match fold_from_floor(&*snapshot, account, floor, pending) {
        Ok(view) => view,
        Err(StoreError::Read(error)) => return Err(error.into()),
        Err(error) => {
            findings.push(Finding::Log(error.to_string()));
            return Ok(findings.0);
        }
    };
    match Head::decode(&head.value) {
        Err(error) => findings.push(Finding::HeadDamaged(error.to_string())),
        Ok(head) if Head::of(&view, head.limits, head.floor) != head => {
            findings.push(Finding::HeadDiffers);
        }
        Ok(_) => {}
    }
    check_checkpoint(&*snapshot, account, floor, &mut findings)?;
    check_sums(&view, &mut findings);
    check_emails(&*snapshot, blobs, (account, shard), &view, &mut findings)?;
    Ok(findings.0)
}

/// Folds the log up to the checkpoint and compares.
fn check_checkpoint(
    snapshot: &dyn Snapshot,
    account: AccountId,
    floor: ModSeq,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let Some(root) = snapshot.get(&keys::root(account, Chain::Latest))? else {
        return Ok(());
    };
    let (stored, modseq) = match checkpoint_view(snapshot, account, Chain::Latest, &root.value) {
        Ok((view, _, modseq)) => (view, modseq),
        Err(StoreError::Read(error)) => return Err(error.into()),
        Err(error) => {
            findings.push(Finding::Checkpoint(error.to_string()));
            return Ok(());
        }
    };
    let mut folded = base_view(snapshot, account, floor)?;
    let (start, _) = keys::log_after(account, floor);
    let (end, _) = keys::log_after(account, modseq);
    for_each(snapshot, start, &end, |_, record| {
        let entry = LogEntry::decode(&record.value).map_err(|error| StoreError::Damaged {
            account,
            what: error.to_string(),
        })?;
        Ok(apply(&mut folded, &entry)?)
    })?;
    if folded != stored {
        findings.push(Finding::CheckpointDiffers(modseq));
    }
    Ok(())
}

fn check_sums(view: &View, findings: &mut Findings) {
    let mut sizes: BTreeMap<EmailId, u64> = BTreeMap::new();
    for mailbox in view.mailboxes() {
        let mut sums = Counters::default();
        for entry in mailbox.entries() {
            sums.messages += 1;
            sums.unseen += u64::from(!entry.keywords.is_seen());
            sums.deleted += u64::from(entry.deleted);
            sums.size_bytes += entry.size;
            sizes.insert(entry.email, entry.size);
        }
        if sums != mailbox.counters() {
            findings.push(Finding::Counters(mailbox.id()));
        }
    }
    let usage = Usage {
        bytes: sizes.values().sum(),
        emails: sizes.len() as u64,
    };
    if usage != view.usage() {
        findings.push(Finding::Usage);
    }
}

fn check_emails(
    snapshot: &dyn Snapshot,
    blobs: &Blobs,
    (account, shard): (AccountId, ShardId),
    view: &View,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut expected: BTreeMap<EmailId, (MailboxId, Uid, u64)> = BTreeMap::new();
    for mailbox in view.mailboxes() {
        for entry in mailbox.entries() {
            expected.insert(entry.email, (mailbox.id(), entry.uid, entry.size));
        }
    }
    // Kept until the retention has passed.
    let mut kept = BTreeSet::new();
    ended(snapshot, account, ModSeq(u64::MAX), &mut kept)?;
    let (start, end) = keys::emails(account);
    for_each(snapshot, start, &end, |key, record| {
        let Some(email) = keys::email_of(&key) else {
            return Ok(());
        };
        let Some((_, _, size)) = expected.remove(&email) else {
            if !kept.contains(&email) {
                findings.push(Finding::Orphan(email));
            }
            return Ok(());
        };
        let record = match EmailRecord::decode(&record.value) {
            Ok(record) => record,
            Err(error) => {
                findings.push(Finding::RecordDamaged(email, error.to_string()));
                return Ok(());
            }
        };
        if record.size() != size {
            findings.push(Finding::Size(email));
        }
        match blobs.open(shard, record.blob) {
            Ok(body) if body.size() == record.blob_size => {}
            _ => findings.push(Finding::NoBlob(email, record.blob)),
        }
        let owner = Owner::Email(account, email.0);
        if !blobs.is_linked(shard, record.blob, owner)? {
            findings.push(Finding::NoLink(email, record.blob));
        }
        Ok(())
    })?;
    for (email, (mailbox, uid, _)) in expected {
        findings.push(Finding::NoRecord {
            mailbox,
            uid,
            email,
        });
    }
    Ok(())
}
