//! What the URLs of an account's mailboxes are authorized by (RFC 4467 §6: the
//! mailbox access key table).
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | secret | 32 bytes |
//! | mailboxes whose key was made anew, how many | varint |
//! | each: mailbox | varint, above the one before |
//! | each: how often | varint, at least 1 |
//!
//! A mailbox's key is the secret, the mailbox's number and how often it was made
//! anew: nothing has to be written when a mailbox comes or goes, and the key of
//! one that went is never that of another, because numbers are not given twice.
//! The record is made with the first URL that is authorized.

use crate::account::Account;
use crate::error::StoreError;
use crate::keys;
use crate::limits::CONFLICT_RETRIES;
use engine::{Batch, Engine, Expect, SubmitError, Versioned};
use envelope::AccountId;
use mailbox_model::{MailboxId, View};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
const SECRET_BYTES: usize = 32;

/// A key for a message authentication code, the mailbox's alone.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey(Vec<u8>);

impl AccessKey {
    /// One that is no mailbox's, of the same length.
    #[must_use]
    pub fn nobodys() -> Self {
        Self(vec![0; SECRET_BYTES + 8])
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey")
    }
}

/// When keys were made anew since the account is in memory, as numbers that grow.
#[derive(Debug, Default)]
pub(crate) struct Resets {
    last: u32,
    of_all: u32,
    of_one: BTreeMap<MailboxId, u32>,
}

impl Resets {
    fn of(&self, mailbox: MailboxId) -> u32 {
        self.of_one.get(&mailbox).copied().unwrap_or(self.of_all)
    }

    fn note(&mut self, mailbox: Option<MailboxId>, view: &View) {
        self.last = self.last.wrapping_add(1);
        match mailbox {
            Some(mailbox) => {
                self.of_one.insert(mailbox, self.last);
                // Not by the record: others may have written theirs since, and noted that.
                self.of_one.retain(|id, _| view.mailbox(*id).is_some());
            }
            None => {
                self.of_all = self.last;
                self.of_one.clear();
            }
        }
    }
}

/// The record.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AccessKeys {
    secret: [u8; SECRET_BYTES],
    resets: BTreeMap<MailboxId, u32>,
}

impl AccessKeys {
    fn key(&self, mailbox: MailboxId) -> AccessKey {
        let resets = self.resets.get(&mailbox).copied().unwrap_or_default();
        let mut key = self.secret.to_vec();
        // Of fixed lengths, so that no two give the same bytes.
        key.extend_from_slice(&mailbox.0.to_be_bytes());
        key.extend_from_slice(&resets.to_be_bytes());
        AccessKey(key)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).raw(&self.secret);
        out.varint(self.resets.len() as u64);
        for (mailbox, resets) in &self.resets {
            out.varint(u64::from(mailbox.0)).varint(u64::from(*resets));
        }
        out.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(record);
        match input.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let secret = input.raw(SECRET_BYTES)?.try_into();
        let secret = secret.map_err(|_| DecodeError::Truncated)?;
        let mut resets = BTreeMap::new();
        for _ in 0..input.varint()? {
            let mailbox = MailboxId(input.varint32()?);
            let times = input.varint32()?;
            let grows = resets
                .last_key_value()
                .is_none_or(|(last, _)| *last < mailbox);
            if !grows || times == 0 {
                return Err(DecodeError::OutOfRange);
            }
            resets.insert(mailbox, times);
        }
        input.finish()?;
        Ok(Self { secret, resets })
    }
}

impl Account {
    /// A mailbox's access key; none if no URL of the account was ever authorized.
    ///
    /// # Errors
    /// The record can't be read.
    pub async fn access_key(&self, mailbox: MailboxId) -> Result<Option<AccessKey>, StoreError> {
        let stored = self.stored_access_keys().await?;
        Ok(stored.map(|(_, keys)| keys.key(mailbox)))
    }

    /// A mailbox's access key, made if there is none.
    ///
    /// # Errors
    /// The record can't be read or written.
    pub async fn make_access_key(
        self: &Arc<Self>,
        mailbox: MailboxId,
    ) -> Result<AccessKey, StoreError> {
        let keys = self.change_access_keys(|_| false).await?;
        Ok(keys.key(mailbox))
    }

    /// Makes a mailbox's access key anew, or all of them: what was authorized by
    /// the old ones is not any more.
    ///
    /// # Errors
    /// The record can't be read or written.
    pub async fn reset_access_keys(
        self: &Arc<Self>,
        mailbox: Option<MailboxId>,
    ) -> Result<(), StoreError> {
        let view = self.view();
        let mut secret = [0; SECRET_BYTES];
        self.shared.runtime.fill_random(&mut secret);
        let change = |keys: &mut AccessKeys| {
            match mailbox {
                Some(mailbox) => *keys.resets.entry(mailbox).or_default() += 1,
                None => {
                    keys.secret = secret;
                    keys.resets.clear();
                }
            }
            keys.resets.retain(|id, _| view.mailbox(*id).is_some());
            true
        };
        self.change_access_keys(change).await?;
        let mut resets = self.resets.lock();
        // Looked at under the lock: it knows the mailboxes that others noted before.
        resets.note(mailbox, &self.view());
        drop(resets);
        self.wake();
        self.bells.ring(mailbox);
        Ok(())
    }

    /// Another number each time that a mailbox's access key is made anew, as long as the account is
    /// in memory. Who watches the account is woken.
    #[must_use]
    pub fn access_key_reset(&self, mailbox: MailboxId) -> u32 {
        self.resets.lock().of(mailbox)
    }

    async fn stored_access_keys(&self) -> Result<Option<(Versioned, AccessKeys)>, StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let account = self.id();
        let work = move || read(&*engine, account);
        let Some(stored) = self.shared.runtime.blocking(work).await? else {
            return Ok(None);
        };
        let keys = AccessKeys::decode(&stored.value).map_err(|error| StoreError::Damaged {
            account,
            what: format!("its access keys: {error}"),
        })?;
        Ok(Some((stored, keys)))
    }

    /// Writes the keys, if they are new or `change` says that they are others.
    async fn change_access_keys(
        self: &Arc<Self>,
        mut change: impl FnMut(&mut AccessKeys) -> bool,
    ) -> Result<AccessKeys, StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            // Taken before the record is read: nobody here changes it meanwhile.
            let lane = self.lane().await?;
            let (expect, keys) = match self.stored_access_keys().await? {
                Some((stored, mut keys)) => {
                    if !change(&mut keys) {
                        return Ok(keys);
                    }
                    (Expect::Version(stored.version), keys)
                }
                None => {
                    let mut secret = [0; SECRET_BYTES];
                    self.shared.runtime.fill_random(&mut secret);
                    let resets = BTreeMap::new();
                    (Expect::Absent, AccessKeys { secret, resets })
                }
            };
            let mut batch = Batch::new();
            let key = keys::access_keys(self.id());
            batch.expect(key.clone(), expect);
            batch.put(key, keys.encode());
            match lane.submit_beside(batch) {
                Ok(ticket) => {
                    ticket.done().await;
                    return Ok(keys);
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended)
    }
}

fn read(engine: &dyn Engine, account: AccountId) -> Result<Option<Versioned>, StoreError> {
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    Ok(snapshot.get(&keys::access_keys(account))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> AccessKeys {
        AccessKeys {
            secret: [7; SECRET_BYTES],
            resets: BTreeMap::from([(MailboxId(2), 1), (MailboxId(300), 3)]),
        }
    }

    #[test]
    fn the_record_is_these_bytes_and_reads_back() {
        let mut golden = vec![1];
        golden.extend([7; 32]);
        golden.extend([2, 2, 1, 0xac, 2, 3]);
        assert_eq!(sample().encode(), golden);
        assert!(AccessKeys::decode(&golden).is_ok_and(|read| read == sample()));
        for len in 0..golden.len() {
            assert!(AccessKeys::decode(&golden[..len]).is_err());
        }
        for (at, byte) in [(0, 2), (34, 200), (35, 0), (33, 1)] {
            let mut bad = golden.clone();
            bad[at] = byte;
            assert!(AccessKeys::decode(&bad).is_err(), "{at} {byte}");
        }
    }

    #[test]
    fn every_mailbox_and_every_reset_has_a_key_of_its_own() {
        let keys = sample();
        assert_ne!(keys.key(MailboxId(1)), keys.key(MailboxId(2)));
        let mut more = keys.clone();
        more.resets.insert(MailboxId(2), 2);
        assert_ne!(keys.key(MailboxId(2)), more.key(MailboxId(2)));
        assert_eq!(keys.key(MailboxId(1)), more.key(MailboxId(1)));
    }
}
