//! What one reader has read in another's mailbox: `\Seen` there is each reader's own (PRACTICE §6).
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | ranges, how many | varint |
//! | each: its UIDs | two varints, [`crate::runs`] |
//!
//! One record for each mailbox and reader, written in one commit with a change that counts
//! its entries as changed ([`mailbox_model::Change::Touched`]): so mod-sequences, IDLE and
//! resynchronising work as for any flag, and other readers are told flags that are as they were.
//! Ranges may reach over UIDs that are not there. The record goes with the account.

use crate::account::Account;
use crate::error::StoreError;
use crate::keys;
use crate::lane::Lane;
use crate::limits::CONFLICT_RETRIES;
use crate::operations::{FlagsStored, Outcome};
use crate::runs::Runs;
use engine::{Batch, Expect};
use envelope::AccountId;
use mailbox_model::stage::{FlagAction, FlagsRequest, StageError, Untouched, stage_touch};
use mailbox_model::{Entry, Flag, MailboxId, ModSeq, Uid, UidSet, View};
use std::sync::Arc;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

fn encode(seen: &UidSet) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(VERSION).varint(seen.range_count() as u64);
    let mut places = Runs::default();
    for (first, last) in seen.ranges() {
        places.write(&mut out, first, last);
    }
    out.finish()
}

pub(crate) fn decode(record: &[u8]) -> Result<UidSet, DecodeError> {
    let mut input = Reader::new(record);
    match input.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let mut ranges = Vec::new();
    let mut places = Runs::default();
    for _ in 0..input.varint()? {
        ranges.push(places.read(&mut input)?);
    }
    input.finish()?;
    Ok(UidSet::from_ranges(ranges))
}

/// A STORE in another's mailbox.
#[derive(Debug, Clone, Copy)]
pub struct ReadersStore<'a> {
    /// Whose `\Seen` it is.
    pub reader: AccountId,
    /// Where.
    pub mailbox: MailboxId,
    /// Whose flags.
    pub uids: &'a UidSet,
    /// What to do.
    pub action: FlagAction,
    /// With which.
    pub flags: &'a [Flag],
    /// Entries changed after this are left alone and told.
    pub unchanged_since: Option<ModSeq>,
    /// Flags that the reader may not change.
    pub untouched: Untouched,
}

impl Account {
    /// What a reader has read of a mailbox.
    ///
    /// # Errors
    /// The record can't be read.
    pub async fn seen_by(
        &self,
        mailbox: MailboxId,
        reader: AccountId,
    ) -> Result<UidSet, StoreError> {
        Ok(self.stored_seen_by(mailbox, reader).await?.1)
    }

    async fn stored_seen_by(
        &self,
        mailbox: MailboxId,
        reader: AccountId,
    ) -> Result<(Expect, UidSet), StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let account = self.id();
        let work = move || {
            let snapshot = engine.snapshot(engine.shard_of_account(account.0));
            Ok::<_, StoreError>(snapshot.get(&keys::seen_by(account, mailbox, reader))?)
        };
        let Some(stored) = self.shared.runtime.blocking(work).await? else {
            return Ok((Expect::Absent, UidSet::new()));
        };
        let seen = decode(&stored.value).map_err(|error| StoreError::Damaged {
            account,
            what: format!("what {reader} has read of mailbox {}: {error}", mailbox.0),
        })?;
        Ok((Expect::Version(stored.version), seen))
    }

    /// STORE by another than the owner: `\Seen` is the reader's own, all other flags the email's.
    ///
    /// # Errors
    /// No such mailbox, a keyword that can't be, a record that can't be read or written.
    pub async fn store_flags_of_reader(
        self: &Arc<Self>,
        store: &ReadersStore<'_>,
    ) -> Result<FlagsStored, StoreError> {
        let request = FlagsRequest {
            mailbox: store.mailbox,
            uids: store.uids,
            action: store.action,
            flags: store.flags,
            unchanged_since: store.unchanged_since,
            untouched: Untouched {
                seen: true,
                ..store.untouched
            },
        };
        for _ in 0..CONFLICT_RETRIES {
            let mut lane = self.lane().await?;
            // What is submitted and not visible yet is found by the condition.
            let (expect, seen) = self.stored_seen_by(store.mailbox, store.reader).await?;
            let before = lane.view().clone();
            let mut batch = Batch::new();
            let (modified, mut modseq) = lane.stage_flags(&mut batch, &request)?;
            if let Some((seen, changed)) = seen_after(&before, store, &seen)?
                && let Some(draft) = stage_touch(lane.view(), store.mailbox, &changed)?
            {
                modseq = Some(lane.stage_touched(&mut batch, draft)?);
                let key = keys::seen_by(self.id(), store.mailbox, store.reader);
                batch.expect(key.clone(), expect);
                batch.put(key, encode(&seen));
            }
            let value = FlagsStored { modified, modseq };
            if let Outcome::Done(value) = Self::finish(lane, batch, value).await? {
                return Ok(value);
            }
        }
        Err(StoreError::Contended)
    }
}

impl Lane {
    pub(crate) fn stage_touched(
        &mut self,
        batch: &mut Batch,
        draft: mailbox_model::Draft,
    ) -> Result<ModSeq, StoreError> {
        let modseq = self.view().modseq().next();
        self.stage_as(batch, draft, modseq)?;
        Ok(modseq)
    }

    /// Stages what a reader has read, and what he has not, among the entries of another's mailbox. Once for each
    /// mailbox and reader: what a batch says already is not seen here.
    ///
    /// # Errors
    /// No such mailbox; a record that can't be read.
    pub async fn stage_seen_by(
        &mut self,
        batch: &mut Batch,
        mailbox: MailboxId,
        reader: AccountId,
        read: &UidSet,
        unread: &UidSet,
    ) -> Result<(), StoreError> {
        let account = Arc::clone(self.account());
        // What is submitted and not visible yet is found by the condition.
        let (expect, seen) = account.stored_seen_by(mailbox, reader).await?;
        let is =
            |entry: &Entry, was| (was || read.contains(entry.uid)) && !unread.contains(entry.uid);
        let after = seen_where(self.view(), mailbox, &seen, is)?;
        if let Some((seen, changed)) = after
            && let Some(draft) = stage_touch(self.view(), mailbox, &changed)?
        {
            self.stage_touched(batch, draft)?;
            let key = keys::seen_by(account.id(), mailbox, reader);
            batch.expect(key.clone(), expect);
            batch.put(key, encode(&seen));
        }
        Ok(())
    }
}

/// What the reader has read after a STORE, and of which entries that differs; none if of none.
fn seen_after(
    view: &View,
    store: &ReadersStore<'_>,
    seen: &UidSet,
) -> Result<Option<(UidSet, UidSet)>, StoreError> {
    let named = store.flags.contains(&Flag::Seen);
    let sets = match (store.action, named) {
        (FlagAction::Add, true) | (FlagAction::Replace, true) => true,
        (FlagAction::Remove, true) | (FlagAction::Replace, false) => false,
        (FlagAction::Add | FlagAction::Remove, false) => return Ok(None),
    };
    if store.untouched.seen {
        return Ok(None);
    }
    let is = |entry: &Entry, was| {
        let is_named = store.uids.contains(entry.uid)
            && store
                .unchanged_since
                .is_none_or(|since| entry.modseq <= since);
        if is_named { sets } else { was }
    };
    seen_where(view, store.mailbox, seen, is)
}

/// What the reader has read after a change, and of which entries that differs; none if of none.
fn seen_where(
    view: &View,
    mailbox: MailboxId,
    seen: &UidSet,
    is: impl Fn(&Entry, bool) -> bool,
) -> Result<Option<(UidSet, UidSet)>, StoreError> {
    let mailbox = view.mailbox(mailbox).ok_or(StageError::NoMailbox)?;
    let mut after: Vec<(Uid, Uid)> = Vec::new();
    let mut changed = UidSet::new();
    let mut before_was_seen = false;
    for entry in mailbox.entries() {
        let was = seen.contains(entry.uid);
        let is = is(entry, was);
        if is != was {
            changed.push(entry.uid);
        }
        match after.last_mut() {
            // Over what is not there, so that the record stays short.
            Some(range) if is && before_was_seen => range.1 = entry.uid,
            _ if is => after.push((entry.uid, entry.uid)),
            _ => {}
        }
        before_was_seen = is;
    }
    Ok((!changed.is_empty()).then(|| (UidSet::from_ranges(after), changed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_these_bytes_and_reads_back() {
        let seen = UidSet::from_ranges([(Uid(2), Uid(4)), (Uid(300), Uid(300))]);
        let golden = [1, 2, 2, 2, 0xa8, 2, 0];
        assert_eq!(encode(&seen), golden);
        assert_eq!(decode(&golden), Ok(seen));
        for len in 0..golden.len() {
            assert!(decode(&golden[..len]).is_err());
        }
        assert!(decode(&[2, 0]).is_err());
        assert!(decode(&[1, 1, 0, 0]).is_err());
    }
}
