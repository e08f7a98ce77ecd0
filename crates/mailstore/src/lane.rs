//! The lane: whoever holds it stages changes against the account's tip and
//! submits them. It is held until `submit`, never over the sync.
//!
//! What is staged belongs to the lane until then: dropping a lane forgets it.

use crate::account::Account;
use crate::email::NewEmail;
use crate::error::{RecordError, StoreError};
use crate::head::{Floor, Head, OverQuota, QuotaLimits, QuotaMark, QuotaOwner, Terms};
use crate::keys;
use crate::limits::{
    COMMIT_BYTES_SOFT, PREFIX_BYTES_MAX, RECEIVED_AGO_MAX_SECONDS, RENEWED_BYTES_INLINE,
};
use crate::load::Tip;
use crate::quota::Reservation;
use crate::read;
use crate::store::Shared;
use blobs::Owner;
use bytes::Bytes;
use engine::{Batch, Expect, SubmitError, Ticket};
use envelope::AccountId;
use mailbox_model::stage::{self, Arrival, BackStep, Expunging, FlagsRequest, StageError, Wanted};
use mailbox_model::{
    Draft, Effects, EmailId, MailboxId, MailboxName, ModSeq, Role, Uid, UidSet, Usage, View,
    Weight, apply_noting,
};
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// Where a delivery goes; what is not there (any more) is the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This mailbox.
    Id(MailboxId),
    /// The mailbox with this special use.
    Role(Role),
    /// The mailbox of this name.
    Name(MailboxName),
}

/// Whether a delivery asks for the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaRule {
    /// Refuse what would go over it.
    Enforce,
    /// Role addresses and administrators are never refused for it.
    Ignore,
}

/// The right to change an account, with what is staged so far.
#[derive(Debug)]
pub struct Lane {
    account: Arc<Account>,
    tip: OwnedMutexGuard<Tip>,
    view: View,
    terms: Terms,
    /// Its place in the ledger of the account's group.
    reservation: Option<Reservation>,
    effects: Effects,
    entries: u32,
    /// Records that go before the change, unseen.
    before: Vec<Batch>,
}

impl Lane {
    pub(crate) fn new(account: Arc<Account>, tip: OwnedMutexGuard<Tip>) -> Self {
        Self {
            view: tip.view.clone(),
            terms: tip.terms,
            reservation: account.shared.quotas.reservation(account.id()),
            account,
            tip,
            effects: Effects::default(),
            entries: 0,
            before: Vec::new(),
        }
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The tip with what this lane staged: newer than what is durable.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// True when nothing is staged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.entries == 0 && self.terms == self.tip.terms
    }

    /// Lets go of a lane on which nothing was to be done: what it found done may be another's change, and is said
    /// once it is durable.
    pub async fn let_go(self) {
        let (account, found) = (Arc::clone(self.account()), self.view().modseq());
        drop(self);
        account.settled(found).await;
    }

    /// The mailbox for a delivery, the inbox if `place` is not there.
    ///
    /// # Errors
    /// There is not even an inbox.
    pub fn resolve(&self, place: &Place) -> Result<MailboxId, StoreError> {
        let found = match place {
            Place::Id(id) => self.view.mailbox(*id),
            Place::Role(role) => self.view.role(*role),
            Place::Name(name) => self.view.mailbox_named(name),
        };
        let mailbox = found
            .or_else(|| self.view.inbox())
            .ok_or(StageError::NoMailbox)?;
        Ok(mailbox.id())
    }

    /// Stages one change: its log entry goes into `batch`, the lane's view
    /// moves on. Gives the change's effects.
    fn stage(&mut self, batch: &mut Batch, draft: Draft) -> Result<Effects, StoreError> {
        self.stage_as(batch, draft, self.view.modseq().next())
    }

    /// As `stage`, under a number of the caller's choice.
    pub(crate) fn stage_as(
        &mut self,
        batch: &mut Batch,
        draft: Draft,
        modseq: ModSeq,
    ) -> Result<Effects, StoreError> {
        let at_ms = self.account.shared.runtime.now().unix_ms;
        let entry = draft.into_entry(modseq, at_ms);
        let mut effects = Effects::default();
        let mut view = self.view.clone();
        apply_noting(&mut view, &entry, &mut effects)?;
        batch.put(keys::log(self.account.id(), entry.modseq), entry.encode());
        self.view = view;
        self.entries += 1;
        self.effects.pages.extend(effects.pages.iter().copied());
        self.effects
            .mailboxes
            .extend(effects.mailboxes.iter().copied());
        Ok(effects)
    }

    /// Stages the arrival of emails in one mailbox. The batch must also stage
    /// their blobs. Gives the ids and UIDs in order.
    ///
    /// # Errors
    /// No such mailbox, over quota, numbers used up, a prefix too long.
    pub fn stage_deliver(
        &mut self,
        batch: &mut Batch,
        mailbox: MailboxId,
        emails: &[NewEmail],
        quota: QuotaRule,
    ) -> Result<Vec<(EmailId, Uid)>, StoreError> {
        let mut more = Usage::default();
        for email in emails {
            if email.prefix.len() > PREFIX_BYTES_MAX {
                return Err(StoreError::PrefixTooLong(email.prefix.len()));
            }
            more.bytes = more.bytes.saturating_add(email.size());
            more.emails += 1;
        }
        let usage = Usage {
            bytes: self.view.usage().bytes.saturating_add(more.bytes),
            emails: self.view.usage().emails.saturating_add(more.emails),
        };
        if quota == QuotaRule::Enforce
            && let Some(unit) = self.terms.limits.exceeded_by(usage)
        {
            let owner = QuotaOwner::Account;
            return Err(StoreError::OverQuota(OverQuota { owner, unit }));
        }
        let now = self.account.shared.runtime.now().unix_seconds();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let arrivals: Vec<Arrival<'_>> = emails
            .iter()
            .map(|email| Arrival {
                flags: &email.flags,
                size: email.size(),
                dated: !(0..=RECEIVED_AGO_MAX_SECONDS)
                    .contains(&now.saturating_sub(email.received_at.unix_seconds)),
            })
            .collect();
        let staged = stage::stage_deliver(&self.view, mailbox, &arrivals)?;
        if let Some(reservation) = &mut self.reservation {
            let reserved = reservation.reserve(more, quota);
            reserved.map_err(StoreError::OverQuota)?;
        }
        self.stage(batch, staged.draft)?;
        let account = self.account.id();
        for (email, (id, _)) in emails.iter().zip(&staged.emails) {
            batch.put(keys::email(account, *id), email.record());
            let owner = Owner::Email(account, id.0);
            self.account
                .shared
                .blobs
                .link(batch, self.account.shard(), email.blob, owner);
        }
        Ok(staged.emails)
    }

    /// Stages a STORE. Gives the MODIFIED set, and the change's number if
    /// anything changes.
    ///
    /// # Errors
    /// No such mailbox, a keyword that can't be.
    pub fn stage_flags(
        &mut self,
        batch: &mut Batch,
        request: &FlagsRequest<'_>,
    ) -> Result<(UidSet, Option<ModSeq>), StoreError> {
        let staged = stage::stage_flags(&self.view, request)?;
        let Some(draft) = staged.draft else {
            return Ok((staged.modified, None));
        };
        self.stage(batch, draft)?;
        Ok((staged.modified, Some(self.view.modseq())))
    }

    /// Stages a COPY. Gives the pairs of source and target UIDs.
    ///
    /// # Errors
    /// No such mailbox, numbers used up, a record that must be written again
    /// and can't be read.
    pub async fn stage_copy(
        &mut self,
        batch: &mut Batch,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
    ) -> Result<Vec<(Uid, Uid)>, StoreError> {
        let staged = stage::stage_copy(&self.view, from, to, uids)?;
        if let Some(draft) = staged.draft {
            let effects = self.stage(batch, draft)?;
            self.renew(batch, effects.renewed).await?;
        }
        Ok(staged.uids)
    }

    /// Stages a MOVE. Gives the pairs of source and target UIDs.
    ///
    /// # Errors
    /// As [`Lane::stage_copy`].
    pub async fn stage_move(
        &mut self,
        batch: &mut Batch,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
    ) -> Result<Vec<(Uid, Uid)>, StoreError> {
        let staged = stage::stage_move(&self.view, from, to, uids)?;
        if let Some(draft) = staged.draft {
            let effects = self.stage(batch, draft)?;
            self.renew(batch, effects.renewed).await?;
        }
        Ok(staged.uids)
    }

    /// Stages an expunge of at most `limit` entries. Gives the UIDs, and true
    /// if some are left. The records of emails that lose their last copy stay
    /// until the retention has passed ([`Account::reap`]).
    ///
    /// # Errors
    /// No such mailbox.
    pub fn stage_expunge(
        &mut self,
        batch: &mut Batch,
        mailbox: MailboxId,
        which: Expunging<'_>,
        limit: usize,
    ) -> Result<(Vec<Uid>, bool), StoreError> {
        let staged = stage::stage_expunge(&self.view, mailbox, which, limit)?;
        if let Some(draft) = staged.draft {
            self.stage(batch, draft)?;
        }
        Ok((staged.uids, staged.more))
    }

    /// Stages a CREATE with the parents that are missing.
    ///
    /// # Errors
    /// The name or the special use is taken.
    pub fn stage_create(
        &mut self,
        batch: &mut Batch,
        name: &MailboxName,
        role: Option<Role>,
    ) -> Result<MailboxId, StoreError> {
        let (draft, ids) = stage::stage_create(&self.view, &[(name.clone(), role)])?;
        self.stage(batch, draft)?;
        ids.into_iter().next().ok_or(StageError::NoMailbox.into())
    }

    /// Stages a RENAME. Renaming the inbox makes the target and moves the
    /// messages there; the inbox stays. RFC 9051 §6.3.6
    ///
    /// # Errors
    /// No such name, the new one is taken, below the old one or too long.
    pub async fn stage_rename(
        &mut self,
        batch: &mut Batch,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), StoreError> {
        if !from.is_inbox() {
            let draft = stage::stage_rename(&self.view, from, to)?;
            self.stage(batch, draft)?;
            return Ok(());
        }
        let target = self.stage_create(batch, to, None)?;
        let inbox = self.view.inbox().ok_or(StageError::NoMailbox)?.id();
        self.stage_move(batch, inbox, target, &UidSet::all())
            .await?;
        Ok(())
    }

    /// Stages a DELETE of a mailbox with what is in it, which must be few
    /// enough for one commit.
    ///
    /// # Errors
    /// No such mailbox; the inbox; a name that has only children.
    pub fn stage_delete(
        &mut self,
        batch: &mut Batch,
        name: &MailboxName,
    ) -> Result<MailboxId, StoreError> {
        let staged = stage::stage_delete(&self.view, name)?;
        self.stage(batch, staged.draft)?;
        Ok(staged.id)
    }

    /// Stages a SUBSCRIBE.
    ///
    /// # Errors
    /// Too many subscriptions to names without a mailbox.
    pub fn stage_subscribe(
        &mut self,
        batch: &mut Batch,
        name: &MailboxName,
    ) -> Result<(), StoreError> {
        if let Some(draft) = stage::stage_subscribe(&self.view, name)? {
            self.stage(batch, draft)?;
        }
        Ok(())
    }

    /// Stages an UNSUBSCRIBE.
    ///
    /// # Errors
    /// None of the client's making.
    pub fn stage_unsubscribe(
        &mut self,
        batch: &mut Batch,
        name: &MailboxName,
    ) -> Result<(), StoreError> {
        if let Some(draft) = stage::stage_unsubscribe(&self.view, name) {
            self.stage(batch, draft)?;
        }
        Ok(())
    }

    /// Stages a new UIDVALIDITY for a mailbox.
    ///
    /// # Errors
    /// No such mailbox; numbers used up.
    pub fn stage_uid_validity(
        &mut self,
        batch: &mut Batch,
        mailbox: MailboxId,
    ) -> Result<(), StoreError> {
        let draft = stage::stage_uid_validity(&self.view, mailbox)?;
        self.stage(batch, draft)?;
        Ok(())
    }

    /// Stages the return of emails to a mailbox; their records are there. Gives
    /// those that were not in it with their new UIDs.
    ///
    /// # Errors
    /// No such mailbox; numbers used up.
    pub(crate) fn stage_restore(
        &mut self,
        batch: &mut Batch,
        to: MailboxId,
        wanted: &[Wanted],
    ) -> Result<Vec<(EmailId, Uid)>, StoreError> {
        let staged = stage::stage_restore(&self.view, to, wanted)?;
        if let Some(draft) = staged.draft {
            self.stage(batch, draft)?;
        }
        Ok(staged.emails)
    }

    /// Stages one step of the way back to a moment.
    ///
    /// # Errors
    /// As [`BackStep::stage`]; records that can't be read.
    pub(crate) async fn stage_back(
        &mut self,
        batch: &mut Batch,
        step: &BackStep,
    ) -> Result<(), StoreError> {
        if let Some(draft) = step.stage(&self.view)? {
            let effects = self.stage(batch, draft)?;
            self.renew(batch, effects.renewed).await?;
        }
        Ok(())
    }

    /// Stages new limits; no change of the account, only of its head.
    pub fn stage_quota_limits(&mut self, limits: QuotaLimits) {
        self.terms.limits = limits;
    }

    /// Stages that the account's owner was told of a mark; false if the account
    /// is not at this mark, or the owner was told of it or a higher one.
    pub(crate) fn stage_told(&mut self, mark: QuotaMark) -> bool {
        let due = self.terms.limits.mark(self.view.usage()) == mark && self.terms.told < mark;
        if due {
            self.terms.told = mark;
        }
        due
    }

    /// What the head will say: the mark falls with the use, so that the owner is
    /// told again after that.
    fn terms_now(&self) -> Terms {
        let mark = self.terms.limits.mark(self.view.usage());
        Terms {
            told: self.terms.told.min(mark),
            ..self.terms
        }
    }

    /// Where the account's log begins, as of the tip.
    pub(crate) fn floor(&self) -> Floor {
        self.terms.floor
    }

    /// The change that the latest checkpoint shows.
    pub(crate) fn checkpoint_modseq(&self) -> ModSeq {
        self.tip.stored.root.map_or(ModSeq(0), |(modseq, _)| modseq)
    }

    /// Stages a new floor; the batch must show the base that belongs to it.
    pub(crate) fn stage_floor(&mut self, floor: Floor) {
        self.terms.floor = floor;
    }

    /// Writes the records of emails that a copy made of others.
    async fn renew(
        &mut self,
        batch: &mut Batch,
        renewed: Vec<(EmailId, EmailId)>,
    ) -> Result<(), StoreError> {
        let olds = renewed.iter().map(|(old, _)| *old).collect();
        let records = self.raw_records(olds).await?;
        let total: usize = records.iter().flatten().map(Bytes::len).sum();
        let mut unseen = Batch::new();
        let inline = total <= RENEWED_BYTES_INLINE;
        for ((old, new), record) in renewed.into_iter().zip(records) {
            let record = record.ok_or(RecordError::Missing(old))?;
            let blob = read::blob_of(old, &record)?;
            let target = if inline { &mut *batch } else { &mut unseen };
            target.put(keys::email(self.account.id(), new), record);
            let owner = Owner::Email(self.account.id(), new.0);
            self.account
                .shared
                .blobs
                .link(target, self.account.shard(), blob, owner);
            if unseen.size_bytes() > COMMIT_BYTES_SOFT {
                self.before.push(std::mem::take(&mut unseen));
            }
        }
        if !unseen.is_empty() {
            self.before.push(unseen);
        }
        Ok(())
    }

    // Not `&self`: a lane may be sent to another thread but not shared with one.
    async fn raw_records(&mut self, ids: Vec<EmailId>) -> Result<Vec<Option<Bytes>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let records = self.account.raw_records(ids.clone()).await?;
        if records.iter().all(Option::is_some) {
            return Ok(records);
        }
        // An email that is not visible yet: rare, since clients name what they saw.
        self.account.settled(self.tip.view.modseq()).await;
        self.account.raw_records(ids).await
    }

    /// Submits the batch with what this lane staged, and lets the lane go.
    /// Await the ticket afterwards.
    ///
    /// # Errors
    /// Nothing was done. On [`SubmitError::Conflict`] wait for the winner, take
    /// the lane again and stage again.
    pub fn submit(self, batch: Batch) -> Result<Ticket, SubmitError> {
        let shared = Arc::clone(&self.account.shared);
        submit(&shared, vec![self], batch)
    }

    /// Submits records beside the account's state, with the condition that the account is
    /// as this lane found it, and lets the lane go. Nothing may be staged.
    pub(crate) fn submit_beside(mut self, mut batch: Batch) -> Result<Ticket, SubmitError> {
        debug_assert!(self.is_clean());
        self.expect_head(&mut batch);
        let submitted = self.account.shared.engine.submit(batch);
        if let Err(SubmitError::Conflict { key, .. }) = &submitted {
            self.tip.stale |= *key == keys::head(self.account.id());
        }
        submitted
    }

    /// The batch counts only while the account is as this lane found it.
    fn expect_head(&self, batch: &mut Batch) {
        let head = keys::head(self.account.id());
        batch.expect(head, Expect::Version(self.tip.version));
    }

    /// Of the view with what is staged.
    fn weight(&self) -> Weight {
        let touched = &self.effects.mailboxes;
        self.tip.weight.after(&self.tip.view, &self.view, touched)
    }

    fn seal(&self, batch: &mut Batch) {
        if self.is_clean() {
            return;
        }
        self.expect_head(batch);
        let key = keys::head(self.account.id());
        let terms = self.terms_now();
        batch.put(key, Head::of(&self.view, terms).encode());
        let account = Arc::clone(&self.account);
        let view = Arc::new(self.view.clone());
        let weight = self.weight();
        batch.on_visible(move |_| account.publish(view, weight, terms));
    }

    /// Makes what was submitted the tip.
    fn accept(mut self, commit: engine::CommitNo) {
        if self.is_clean() {
            return;
        }
        self.tip.weight = self.weight();
        self.tip.version = commit;
        self.tip.terms = self.terms_now();
        if let Some(reservation) = self.reservation {
            reservation.settle(self.account.id(), self.view.usage());
        }
        self.tip.view = self.view;
        self.tip.pending.add(self.effects, self.entries);
        let due = self.tip.pending.entries >= self.account.shared.options.entries_per_checkpoint;
        drop(self.tip);
        if due {
            self.account.want_checkpoint();
        }
    }
}

/// The lanes of several accounts; see [`crate::Mailstore::lanes`].
#[derive(Debug)]
pub struct Lanes {
    shared: Arc<Shared>,
    lanes: Vec<(AccountId, Result<Lane, StoreError>)>,
}

impl Lanes {
    pub(crate) fn new(
        shared: Arc<Shared>,
        lanes: Vec<(AccountId, Result<Lane, StoreError>)>,
    ) -> Self {
        Self { shared, lanes }
    }

    /// The lane of one account.
    ///
    /// # Errors
    /// Why it could not be taken.
    ///
    /// # Panics
    /// The account was not among those asked for: our own mistake.
    pub fn lane(&mut self, account: AccountId) -> Result<&mut Lane, &StoreError> {
        let at = self
            .lanes
            .binary_search_by_key(&account, |(id, _)| *id)
            .expect("the account was named when the lanes were taken");
        match &mut self.lanes[at].1 {
            Ok(lane) => Ok(lane),
            Err(error) => Err(error),
        }
    }

    /// Submits the batch with what all lanes staged, and lets them go. Await
    /// the ticket afterwards.
    ///
    /// # Errors
    /// As [`Lane::submit`].
    pub fn submit(self, batch: Batch) -> Result<Ticket, SubmitError> {
        let lanes = self.lanes.into_iter().filter_map(|(_, lane)| lane.ok());
        submit(&self.shared, lanes.collect(), batch)
    }
}

fn submit(shared: &Shared, mut lanes: Vec<Lane>, batch: Batch) -> Result<Ticket, SubmitError> {
    let ticket = match submit_changes(shared, &mut lanes, batch) {
        Ok(ticket) => ticket,
        Err(error) => {
            // Whatever else of the account is another than was found, it need not be loaded again for that.
            if let SubmitError::Conflict { key, .. } = &error {
                for lane in &mut lanes {
                    lane.tip.stale |= *key == keys::head(lane.account.id());
                }
            }
            return Err(error);
        }
    };
    let commit = ticket.commit();
    for lane in lanes {
        lane.accept(commit);
    }
    Ok(ticket)
}

/// Submits what goes before the change, and the change.
fn submit_changes(
    shared: &Shared,
    lanes: &mut [Lane],
    mut batch: Batch,
) -> Result<Ticket, SubmitError> {
    for lane in lanes.iter_mut() {
        for mut unseen in std::mem::take(&mut lane.before) {
            // The ids in it are free only as long as nobody else moved the head.
            lane.expect_head(&mut unseen);
            shared.engine.submit(unseen)?;
        }
    }
    for lane in lanes.iter() {
        lane.seal(&mut batch);
    }
    shared.engine.submit(batch)
}
