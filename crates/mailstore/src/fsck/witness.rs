//! What must be true from one view of an account to a later one, and of what
//! was acknowledged. The simulation and the crash tests keep a witness beside
//! the store and ask it after each power cut.

use super::finding::Finding;
use crate::error::RecordError;
use crate::{Account, StoreError};
use blobs::BlobId;
use engine::check::Checker;
use mailbox_model::{EmailId, MailboxId, ModSeq, Uid, UidValidity, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A message that somebody was told is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acknowledged {
    /// Where.
    pub mailbox: MailboxId,
    /// What its UIDs mean.
    pub uid_validity: UidValidity,
    /// Its UID.
    pub uid: Uid,
    /// Its body.
    pub blob: BlobId,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    uid_validity: UidValidity,
    uid_next: Uid,
    highest_modseq: ModSeq,
}

/// What clients have seen of an account.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    modseq: ModSeq,
    mailboxes: BTreeMap<MailboxId, Seen>,
    /// Every UIDVALIDITY and whose it is.
    validities: BTreeMap<UidValidity, MailboxId>,
    /// Which email a UID means.
    meanings: BTreeMap<(UidValidity, Uid), EmailId>,
}

/// A promise that was broken between two views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which promise.
    pub checker: Checker,
    /// How.
    pub what: String,
}

impl Witness {
    /// Looks at a view that is not older than the one before, and remembers it.
    /// Checks `uid-modseq-grow`, `uidvalidity-unique` and `no-duplicate`.
    pub fn observe(&mut self, view: &View) -> Vec<Broken> {
        let mut broken = Vec::new();
        broken.extend(super::check_view(view).into_iter().map(Broken::from));
        let mut tell = |checker, what| broken.push(Broken { checker, what });
        if view.modseq() < self.modseq {
            let what = format!("change {} comes after {}", view.modseq(), self.modseq);
            tell(Checker::UidModseqGrow, what);
        }
        self.modseq = view.modseq();
        for mailbox in view.mailboxes() {
            let id = mailbox.id();
            let now = Seen {
                uid_validity: mailbox.uid_validity(),
                uid_next: mailbox.uid_next(),
                highest_modseq: mailbox.highest_modseq(),
            };
            if *self.validities.entry(now.uid_validity).or_insert(id) != id {
                let what = format!(
                    "mailbox {id}: UIDVALIDITY {} was another's",
                    now.uid_validity
                );
                tell(Checker::UidValidityUnique, what);
            }
            if let Some(before) = self.mailboxes.insert(id, now) {
                let same = before.uid_validity == now.uid_validity;
                if now.uid_validity < before.uid_validity {
                    let what = format!(
                        "mailbox {id}: UIDVALIDITY {} after a later",
                        now.uid_validity
                    );
                    tell(Checker::UidValidityUnique, what);
                }
                if now.highest_modseq < before.highest_modseq
                    || same && now.uid_next < before.uid_next
                {
                    let what = format!("mailbox {id}: UIDNEXT or HIGHESTMODSEQ went back");
                    tell(Checker::UidModseqGrow, what);
                }
            }
            for entry in mailbox.entries() {
                let place = (now.uid_validity, entry.uid);
                if *self.meanings.entry(place).or_insert(entry.email) != entry.email {
                    let what = format!("mailbox {id}: UID {} means another message now", entry.uid);
                    tell(Checker::UidModseqGrow, what);
                }
            }
        }
        broken
    }
}

impl Account {
    /// Which of the acknowledged messages, none of which was expunged since,
    /// are not there with their bodies: `acknowledged-mail-present`, `blob-present`.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn missing(
        self: &Arc<Self>,
        acknowledged: &BTreeSet<Acknowledged>,
    ) -> Result<Vec<(Acknowledged, Checker)>, StoreError> {
        let view = self.view();
        let mut missing = Vec::new();
        for &one in acknowledged {
            let entry = view
                .mailbox(one.mailbox)
                .filter(|mailbox| mailbox.uid_validity() == one.uid_validity)
                .and_then(|mailbox| mailbox.find(one.uid));
            let Some((_, entry)) = entry else {
                missing.push((one, Checker::AcknowledgedMailPresent));
                continue;
            };
            let record = match self.email_record(entry.email).await {
                Ok(record) if record.blob == one.blob => record,
                Ok(_) | Err(RecordError::Missing(_) | RecordError::Damaged(..)) => {
                    missing.push((one, Checker::AcknowledgedMailPresent));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let mut reader = self.open_message(&record, 0..u64::MAX);
            loop {
                match reader.next_piece().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => {
                        missing.push((one, Checker::BlobPresent));
                        break;
                    }
                }
            }
        }
        Ok(missing)
    }
}

impl From<Finding> for Broken {
    fn from(finding: Finding) -> Self {
        let report = finding.report(envelope::AccountId(0));
        Self {
            checker: report.checker,
            what: report.what,
        }
    }
}
