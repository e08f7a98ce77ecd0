//! Emails, their records and their bodies, by changes like any other: what is
//! lost leaves the mailboxes, what is found is shown.

use super::RepairError;
use crate::account::Account;
use crate::email::{EmailRecord, InternalDate};
use crate::error::StoreError;
use crate::fsck::Finding;
use crate::keys;
use crate::lane::Lane;
use crate::limits::{CONFLICT_RETRIES, OWNERS_ASKED, REPAIRED_AT_ONCE};
use crate::lists;
use crate::store::{Mailstore, Shared};
use blobs::{BlobId, BlobReader, Owner};
use bytes::Bytes;
use engine::check::{Aside, Checker, Mended, SetAside};
use engine::{Batch, ShardId, Snapshot, SubmitError};
use envelope::AccountId;
use mailbox_model::stage::{Expunging, Wanted, stage_restore};
use mailbox_model::{EmailId, Keywords, MailboxId, MailboxName, Uid, UidSet, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where emails go that no mailbox shows.
const RECOVERED: &str = "Recovered";

/// A copy of an email, as a mailbox shows it.
#[derive(Debug, Clone)]
struct Shown {
    mailbox: MailboxId,
    uid: Uid,
    keywords: Keywords,
}

/// An email whose record is lost or damaged, with the size and the copies that are shown.
type Unreadable = (EmailId, Option<Bytes>, (u64, Vec<Shown>));

/// What is to be done, worked out while nobody changes the account.
#[derive(Debug, Default)]
struct Plan {
    /// Records, links and conditions.
    batch: Batch,
    /// Copies that leave their mailboxes.
    gone: BTreeMap<MailboxId, Vec<Uid>>,
    /// Emails that come back to these mailboxes, with the right size.
    back: Vec<(MailboxId, Wanted)>,
    /// Emails that no mailbox shows.
    found: Vec<Wanted>,
    mended: Vec<Mended>,
}

impl Mailstore {
    pub(super) async fn repair_emails(
        &self,
        account: AccountId,
        findings: &[Finding],
        aside: &Arc<dyn Aside>,
    ) -> Result<Vec<Mended>, RepairError> {
        let emails: BTreeSet<EmailId> = findings.iter().filter_map(email_of).collect();
        let emails: Vec<EmailId> = emails.into_iter().collect();
        let held = self.account(account).await?;
        let mut mended = Vec::new();
        for some in emails.chunks(REPAIRED_AT_ONCE) {
            mended.extend(self.repair_some(&held, some, aside).await?);
        }
        Ok(mended)
    }

    async fn repair_some(
        &self,
        held: &Arc<Account>,
        emails: &[EmailId],
        aside: &Arc<dyn Aside>,
    ) -> Result<Vec<Mended>, RepairError> {
        for _ in 0..CONFLICT_RETRIES {
            let lane = held.lane().await?;
            // What is about to be looked at must be in the snapshot.
            held.settled(lane.view().modseq()).await;
            let planner = Planner {
                shared: Arc::clone(&self.shared),
                account: held.id(),
                shard: held.shard(),
                aside: Arc::clone(aside),
                view: lane.view().clone(),
                plan: Plan::default(),
            };
            let some = emails.to_vec();
            let work = move || planner.run(&some);
            let plan = self.shared.runtime.blocking(work).await?;
            let is_new = |wanted: &Wanted| wanted.email >= lane.view().next_email();
            if plan.found.iter().any(is_new) {
                // Their numbers are not given yet: a change that gave them is lost.
                drop(lane);
                held.raise_after_disaster().await?;
                continue;
            }
            let (lane, batch, mended) = carry_out(lane, plan)?;
            if batch.is_empty() {
                return Ok(mended);
            }
            match lane.submit(batch) {
                Ok(ticket) => {
                    ticket.done().await;
                    return Ok(mended);
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended.into())
    }
}

fn email_of(finding: &Finding) -> Option<EmailId> {
    match finding {
        Finding::NoRecord { email, .. }
        | Finding::RecordDamaged(email, _)
        | Finding::Size(email)
        | Finding::NoBlob(email, _)
        | Finding::NoLink(email, _)
        | Finding::Orphan(email) => Some(*email),
        _ => None,
    }
}

/// Stages what was planned.
fn carry_out(mut lane: Lane, plan: Plan) -> Result<(Lane, Batch, Vec<Mended>), RepairError> {
    let mut batch = plan.batch;
    for (mailbox, uids) in plan.gone {
        let uids: UidSet = uids.into_iter().collect();
        let which = Expunging::Exactly(&uids);
        lane.stage_expunge(&mut batch, mailbox, which, usize::MAX)?;
    }
    let mut back: BTreeMap<MailboxId, Vec<Wanted>> = BTreeMap::new();
    for (mailbox, wanted) in plan.back {
        back.entry(mailbox).or_default().push(wanted);
    }
    if !plan.found.is_empty() {
        let name = MailboxName::parse(RECOVERED).map_err(mailbox_model::stage::StageError::from);
        let name = name.map_err(StoreError::from)?;
        let recovered = match lane.view().mailbox_named(&name) {
            Some(mailbox) => mailbox.id(),
            None => lane.stage_create(&mut batch, &name, None)?,
        };
        back.entry(recovered).or_default().extend(plan.found);
    }
    for (mailbox, wanted) in back {
        let staged = stage_restore(lane.view(), mailbox, &wanted).map_err(StoreError::from)?;
        if let Some(draft) = staged.draft {
            let modseq = lane.view().modseq().next();
            lane.stage_as(&mut batch, draft, modseq)?;
        }
    }
    Ok((lane, batch, plan.mended))
}

/// Looks at emails one by one. Reads the disk.
struct Planner {
    shared: Arc<Shared>,
    account: AccountId,
    shard: ShardId,
    aside: Arc<dyn Aside>,
    view: View,
    plan: Plan,
}

impl Planner {
    fn run(mut self, emails: &[EmailId]) -> Result<Plan, RepairError> {
        let snapshot = self.shared.engine.snapshot(self.shard);
        let mut shown = self.shown(emails);
        let mut unreadable = Vec::new();
        for &email in emails {
            let key = keys::email(self.account, email);
            let stored = snapshot.get(&key)?.map(|stored| stored.value);
            let copies = shown.remove(&email).unwrap_or_default();
            let record = stored
                .as_ref()
                .and_then(|stored| EmailRecord::decode(stored).ok());
            match (record, copies) {
                (Some(record), (_, copies)) if copies.is_empty() => {
                    self.hidden(&*snapshot, email, &record, stored.as_ref())?;
                }
                (Some(record), (size, copies)) => {
                    self.readable(&*snapshot, email, record, (size, copies), stored.as_ref())?;
                }
                (None, copies) => unreadable.push((email, stored, copies)),
            }
        }
        self.unreadable(&*snapshot, unreadable)?;
        Ok(self.plan)
    }

    /// Where the emails are shown, and the size that is shown of them.
    fn shown(&self, emails: &[EmailId]) -> BTreeMap<EmailId, (u64, Vec<Shown>)> {
        let mut shown: BTreeMap<EmailId, (u64, Vec<Shown>)> = BTreeMap::new();
        for mailbox in self.view.mailboxes() {
            let of_these = mailbox
                .entries()
                .iter()
                .filter(|entry| emails.binary_search(&entry.email).is_ok());
            for entry in of_these {
                let place = shown.entry(entry.email).or_default();
                place.0 = entry.size();
                place.1.push(Shown {
                    mailbox: mailbox.id(),
                    uid: entry.uid,
                    keywords: entry.keywords.clone(),
                });
            }
        }
        shown
    }

    /// A record that no mailbox shows.
    fn hidden(
        &mut self,
        snapshot: &dyn Snapshot,
        email: EmailId,
        record: &EmailRecord,
        stored: Option<&Bytes>,
    ) -> Result<(), RepairError> {
        let blobs = Arc::clone(&self.shared.blobs);
        let owners = blobs
            .owners(self.shard, record.blob, OWNERS_ASKED)
            .map_err(StoreError::from)?;
        let is_shown = |owner: &Owner| match owner {
            Owner::Email(account, other) => {
                *account == self.account && *other != email.0 && self.shows(EmailId(*other))
            }
            Owner::Queue(_) => false,
        };
        let body = self.body(record.blob);
        if owners.iter().any(is_shown) || body.is_none() {
            let why = "no mailbox shows the email, and its body is shown by another or lost";
            return self.take_out(email, Some(record.blob), stored, why);
        }
        let owner = Owner::Email(self.account, email.0);
        blobs
            .stage_missing_link(
                &mut self.plan.batch,
                (snapshot, self.shard),
                record.blob,
                owner,
            )
            .map_err(StoreError::from)?;
        self.plan.found.push(Wanted {
            email,
            keywords: Keywords::default(),
            size: record.size(),
        });
        self.told(
            Checker::AcknowledgedMailPresent,
            format!("email {email}, which no mailbox showed, is in the mailbox {RECOVERED}"),
        );
        Ok(())
    }

    fn shows(&self, email: EmailId) -> bool {
        let mut mailboxes = self.view.mailboxes();
        mailboxes.any(|mailbox| mailbox.entries().iter().any(|entry| entry.email == email))
    }

    /// A record that can be read, of an email that is shown.
    fn readable(
        &mut self,
        snapshot: &dyn Snapshot,
        email: EmailId,
        mut record: EmailRecord,
        (size, copies): (u64, Vec<Shown>),
        stored: Option<&Bytes>,
    ) -> Result<(), RepairError> {
        let Some(body) = self.body(record.blob) else {
            self.leave(&copies);
            return self.take_out(email, Some(record.blob), stored, "the email's body is lost");
        };
        let owner = Owner::Email(self.account, email.0);
        let blobs = Arc::clone(&self.shared.blobs);
        if !blobs
            .has_link(snapshot, self.shard, record.blob, owner)
            .map_err(StoreError::from)?
        {
            self.told(
                Checker::BlobOwned,
                format!("email {email}: its body is linked again"),
            );
        }
        blobs
            .stage_missing_link(
                &mut self.plan.batch,
                (snapshot, self.shard),
                record.blob,
                owner,
            )
            .map_err(StoreError::from)?;
        if body.size() != record.blob_size {
            record.blob_size = body.size();
            let key = keys::email(self.account, email);
            self.plan.batch.put(key, record.encode());
            lists::forget(&mut self.plan.batch, self.account, &[email]);
            self.told(
                Checker::CountersEqualSums,
                format!("email {email}: the size of its body was put right"),
            );
        }
        if record.size() != size {
            self.resize(email, record.size(), copies);
        }
        Ok(())
    }

    /// The copies come back under new UIDs: what a UID means never changes.
    fn resize(&mut self, email: EmailId, size: u64, copies: Vec<Shown>) {
        self.leave(&copies);
        for copy in copies {
            let wanted = Wanted {
                email,
                keywords: copy.keywords,
                size,
            };
            self.plan.back.push((copy.mailbox, wanted));
        }
        self.told(
            Checker::CountersEqualSums,
            format!("email {email} has its right size, under a new UID"),
        );
    }

    fn leave(&mut self, copies: &[Shown]) {
        for copy in copies {
            self.plan
                .gone
                .entry(copy.mailbox)
                .or_default()
                .push(copy.uid);
        }
    }

    /// Records that are lost or damaged: a link may still tell the body.
    fn unreadable(
        &mut self,
        snapshot: &dyn Snapshot,
        emails: Vec<Unreadable>,
    ) -> Result<(), RepairError> {
        let owner = |email: EmailId| Owner::Email(self.account, email.0);
        let owners: BTreeSet<Owner> = emails.iter().map(|(email, ..)| owner(*email)).collect();
        let blobs = Arc::clone(&self.shared.blobs);
        let owned = blobs.owned_by(snapshot, self.shard, &owners);
        let owned: BTreeMap<Owner, BlobId> = owned
            .map_err(StoreError::from)?
            .into_iter()
            .map(|(blob, owner)| (owner, blob))
            .collect();
        for (email, stored, (size, copies)) in emails {
            let blob = owned.get(&Owner::Email(self.account, email.0)).copied();
            let body = blob.and_then(|blob| Some((blob, self.body(blob)?)));
            let is_shown = !copies.is_empty();
            let Some((blob, body)) = body.filter(|_| is_shown || stored.is_some()) else {
                self.leave(&copies);
                if is_shown || stored.is_some() {
                    let why = "the email's record is damaged, and nothing tells its body";
                    self.take_out(email, blob, stored.as_ref(), why)?;
                }
                continue;
            };
            let why = "the email's record was damaged; it was made again from the body";
            if let Some(stored) = &stored {
                self.keep(email, stored, why)?;
            }
            let record = self.made_again(stored.as_ref(), blob, body, size)?;
            let new_size = record.size();
            let key = keys::email(self.account, email);
            self.plan.batch.put(key, record.encode());
            lists::forget(&mut self.plan.batch, self.account, &[email]);
            self.told(
                Checker::RecordReadable,
                format!("email {email}: its record was made again from its body"),
            );
            if !is_shown {
                self.plan.found.push(Wanted {
                    email,
                    keywords: Keywords::default(),
                    size: new_size,
                });
            } else if new_size != size {
                self.resize(email, new_size, copies);
            }
        }
        Ok(())
    }

    /// A record for a body, with what can still be read of the old one.
    fn made_again(
        &self,
        damaged: Option<&Bytes>,
        blob: BlobId,
        mut body: BlobReader,
        size: u64,
    ) -> Result<EmailRecord, RepairError> {
        let left = damaged.map(EmailRecord::left_of).unwrap_or_default();
        let blob_size = body.size();
        // Only the very bytes that were shown may stand in front of the body.
        let prefix = left
            .prefix
            .filter(|prefix| blob_size + prefix.len() as u64 == size);
        let mut indexer = mime::Indexer::new(mime::Limits::default());
        while let Some(chunk) = body.next_chunk().map_err(StoreError::from)? {
            indexer.push(&chunk);
        }
        let now = self.shared.runtime.now().unix_seconds();
        let now = InternalDate {
            unix_seconds: i64::try_from(now).unwrap_or(i64::MAX),
            zone_minutes: 0,
        };
        let received_at = left
            .received_at
            .filter(|date| (0..=now.unix_seconds).contains(&date.unix_seconds));
        Ok(EmailRecord {
            blob,
            blob_size,
            received_at: received_at.unwrap_or(now),
            prefix: prefix.unwrap_or_default(),
            digest: indexer.finish().encode().into(),
        })
    }

    /// The body, if all of it can be read.
    fn body(&self, blob: BlobId) -> Option<BlobReader> {
        let mut reader = self.shared.blobs.open(self.shard, blob).ok()?;
        while reader.next_chunk().ok()?.is_some() {}
        self.shared.blobs.open(self.shard, blob).ok()
    }

    /// The record leaves the store, with its link.
    fn take_out(
        &mut self,
        email: EmailId,
        blob: Option<BlobId>,
        stored: Option<&Bytes>,
        why: &str,
    ) -> Result<(), RepairError> {
        if let Some(stored) = stored {
            self.keep(email, stored, why)?;
            let key = keys::email(self.account, email);
            self.plan.batch.delete(key);
            lists::forget(&mut self.plan.batch, self.account, &[email]);
        }
        if let Some(blob) = blob {
            let owner = Owner::Email(self.account, email.0);
            let blobs = Arc::clone(&self.shared.blobs);
            blobs.unlink(&mut self.plan.batch, self.shard, blob, owner);
        }
        self.told(
            Checker::AcknowledgedMailPresent,
            format!("email {email} was set aside: {why}"),
        );
        Ok(())
    }

    fn keep(&self, email: EmailId, stored: &Bytes, why: &str) -> Result<(), RepairError> {
        self.aside.keep(&SetAside {
            checker: Checker::RecordReadable,
            account: Some(self.account.0),
            key: &keys::email(self.account, email),
            value: stored,
            why,
        })?;
        Ok(())
    }

    fn told(&mut self, checker: Checker, what: String) {
        self.plan.mended.push(Mended {
            checker,
            account: Some(self.account.0),
            what,
        });
    }
}
