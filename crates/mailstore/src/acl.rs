//! Who else may do what with an account's mailboxes (RFC 4314).
//!
//! | key | value |
//! |---|---|
//! | `A` account `a` | version 1 · how many mailboxes follow · each, in order: its number · how many entries follow · each, in order: who · rights, a varint of bits |
//! | `S` `h` who · account (8 bytes) | nothing: where to look for what is shared with somebody ([`shares`]) |
//!
//! *Who* is a byte (1 an account, 2 all accounts of a domain, 3 a group of a domain; 128 added for
//! rights that are taken away) and the account as varint, or the domain or group as text.
//!
//! The first record is the truth, and is read each time it is asked: nobody acts on rights that
//! he had. The second kind may say too much but not too little: it is written before a
//! right is given and removed after the last is taken away. The owner's own rights stand nowhere:
//! they are all there are. Entries of a mailbox that is gone go with the next change; its number is
//! never another's.

mod rights;
mod shares;

pub use rights::Rights;
pub use shares::{SHARES_PREFIX, check_share};

use crate::account::Account;
use crate::error::StoreError;
use crate::keys;
use crate::limits::{ACL_BYTES_MAX, ACL_ENTRIES_MAX, ACL_GROUPS_MAX, CONFLICT_RETRIES};
use engine::{Batch, Engine, Expect, SubmitError, Versioned};
use envelope::AccountId;
use mailbox_model::MailboxId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::codec::{self, DecodeError, Writer};

const VERSION: u8 = 1;
const ACCOUNT: u8 = 1;
const DOMAIN: u8 = 2;
const GROUP: u8 = 3;
const NEGATIVE: u8 = 128;

/// To whom rights are given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// One account.
    Account(AccountId),
    /// All accounts of a domain, in lower case.
    Domain(String),
    /// The accounts of a domain to which an alias of it leads: the alias's address, folded.
    Group(String),
}

/// As whom somebody is looked for.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The account.
    pub account: AccountId,
    /// Its domain, in lower case.
    pub domain: Arc<str>,
    /// The groups that it is a member of, among those that are named.
    pub groups: Arc<BTreeSet<String>>,
}

impl Reader {
    fn is(&self, who: &Who) -> bool {
        match who {
            Who::Account(account) => *account == self.account,
            Who::Domain(domain) => **domain == *self.domain,
            Who::Group(group) => self.groups.contains(group),
        }
    }
}

/// An entry's name: who, and whether its rights are given or taken away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclName {
    /// Whose.
    pub who: Who,
    /// What it has is taken from what others give (RFC 4314 §2, `-identifier`).
    pub negative: bool,
}

/// Who may do what with one mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acl {
    entries: BTreeMap<AclName, Rights>,
}

impl Acl {
    /// The entries, none of them without a right.
    pub fn entries(&self) -> impl Iterator<Item = (&AclName, Rights)> {
        self.entries.iter().map(|(name, rights)| (name, *rights))
    }

    /// What an entry says.
    #[must_use]
    pub fn entry(&self, name: &AclName) -> Rights {
        self.entries.get(name).copied().unwrap_or_default()
    }

    /// Sets an entry; without a right it goes.
    pub fn set(&mut self, name: AclName, rights: Rights) {
        if rights.is_empty() {
            self.entries.remove(&name);
        } else {
            self.entries.insert(name, rights);
        }
    }

    /// What somebody may do: all that his account, his groups and his domain are given, less what is
    /// taken from any of them (RFC 4314 §2).
    #[must_use]
    pub fn rights_of(&self, reader: &Reader) -> Rights {
        let (mut given, mut taken) = (Rights::NONE, Rights::NONE);
        for (name, rights) in &self.entries {
            match (reader.is(&name.who), name.negative) {
                (false, _) => {}
                (true, false) => given = given | *rights,
                (true, true) => taken = taken | *rights,
            }
        }
        given - taken
    }
}

/// All of an account's, by mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acls {
    all: BTreeMap<MailboxId, Acl>,
}

/// An account's entries would be too many, or too long together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclLimit;

impl Acls {
    /// A mailbox's.
    #[must_use]
    pub fn of(&self, mailbox: MailboxId) -> Option<&Acl> {
        self.all.get(&mailbox)
    }

    /// What somebody may do with a mailbox.
    #[must_use]
    pub fn rights_of(&self, mailbox: MailboxId, reader: &Reader) -> Rights {
        let acl = self.all.get(&mailbox);
        acl.map_or(Rights::NONE, |acl| acl.rights_of(reader))
    }

    /// What somebody is given, by mailbox; those without a right are left out. Mailboxes that are gone may be among them.
    #[must_use]
    pub fn given_to(&self, reader: &Reader) -> BTreeMap<MailboxId, Rights> {
        let all = self.all.iter();
        let rights = all.map(|(mailbox, acl)| (*mailbox, acl.rights_of(reader)));
        rights.filter(|(_, rights)| !rights.is_empty()).collect()
    }

    /// The groups that are named, by their addresses.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<&str> {
        let names = self.all.values().flat_map(|acl| acl.entries.keys());
        let groups = names.filter_map(|name| match &name.who {
            Who::Group(group) => Some(group.as_str()),
            Who::Account(_) | Who::Domain(_) => None,
        });
        groups.collect()
    }

    /// Everybody who is given anything.
    fn all_given(&self) -> BTreeSet<Who> {
        let names = self.all.values().flat_map(|acl| acl.entries.keys());
        let given = names.filter(|name| !name.negative);
        given.map(|name| name.who.clone()).collect()
    }

    fn check(&self, record: &[u8]) -> Result<(), AclLimit> {
        let entries: usize = self.all.values().map(|acl| acl.entries.len()).sum();
        let few = entries <= ACL_ENTRIES_MAX && self.groups().len() <= ACL_GROUPS_MAX;
        match few && record.len() <= ACL_BYTES_MAX {
            true => Ok(()),
            false => Err(AclLimit),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).varint(self.all.len() as u64);
        for (mailbox, acl) in &self.all {
            out.varint(u64::from(mailbox.0));
            out.varint(acl.entries.len() as u64);
            for (name, rights) in &acl.entries {
                let negative = if name.negative { NEGATIVE } else { 0 };
                match &name.who {
                    Who::Account(account) => out.u8(ACCOUNT | negative).varint(account.0),
                    Who::Domain(domain) => out.u8(DOMAIN | negative).text(domain),
                    Who::Group(group) => out.u8(GROUP | negative).text(group),
                };
                out.varint(u64::from(rights.bits()));
            }
        }
        out.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut input = codec::Reader::new(record);
        match input.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let mut all: BTreeMap<MailboxId, Acl> = BTreeMap::new();
        for _ in 0..input.varint()? {
            let mailbox = MailboxId(input.varint32()?);
            let mut acl = Acl::default();
            for _ in 0..input.varint()? {
                let kind = input.u8()?;
                let who = match kind & !NEGATIVE {
                    ACCOUNT => Who::Account(AccountId(input.varint()?)),
                    DOMAIN => Who::Domain(input.text()?.to_owned()),
                    GROUP => Who::Group(input.text()?.to_owned()),
                    _ => return Err(DecodeError::Tag(kind)),
                };
                let negative = kind & NEGATIVE != 0;
                let name = AclName { who, negative };
                let bits = u16::try_from(input.varint32()?);
                let rights = bits.ok().and_then(Rights::from_bits);
                let rights = rights.ok_or(DecodeError::OutOfRange)?;
                if rights.is_empty() || acl.entries.insert(name, rights).is_some() {
                    return Err(DecodeError::OutOfRange);
                }
            }
            let last = all.last_key_value();
            if last.is_some_and(|(last, _)| *last >= mailbox) {
                return Err(DecodeError::OutOfRange);
            }
            all.insert(mailbox, acl);
        }
        input.finish()?;
        Ok(Self { all })
    }
}

impl Account {
    /// Who may do what with the mailboxes, beside the owner.
    ///
    /// # Errors
    /// The record can't be read.
    pub async fn acls(&self) -> Result<Acls, StoreError> {
        let stored = self.stored_acls().await?;
        Ok(stored.map_or(Acls::default(), |(_, acls)| acls))
    }

    /// Changes who may do what with a mailbox. Sessions that watch the account look again.
    ///
    /// # Errors
    /// The records can't be read or written.
    pub async fn change_acl(
        self: &Arc<Self>,
        mailbox: MailboxId,
        change: impl Fn(&mut Acl),
    ) -> Result<Result<(), AclLimit>, StoreError> {
        // What says where to look is changed before and after the record: one at a time.
        let _sharing = self.sharing.lock().await;
        for _ in 0..CONFLICT_RETRIES {
            let stored = self.stored_acls().await?;
            let before = stored.as_ref().map(|(_, acls)| acls.all_given());
            let before = before.unwrap_or_default();
            let (expect, mut acls) = match stored {
                Some((stored, acls)) => (Expect::Version(stored.version), acls),
                None => (Expect::Absent, Acls::default()),
            };
            change(acls.all.entry(mailbox).or_default());
            let view = self.view();
            let is_kept = |id: &MailboxId, acl: &mut Acl| {
                let lives = *id == mailbox || view.mailbox(*id).is_some();
                lives && !acl.entries.is_empty()
            };
            acls.all.retain(is_kept);
            let record = acls.encode();
            if let Err(limit) = acls.check(&record) {
                return Ok(Err(limit));
            }
            let after = acls.all_given();
            self.note_shares(after.difference(&before), true).await?;
            let lane = self.lane().await?;
            let mut batch = Batch::new();
            let key = keys::acls(self.id());
            batch.expect(key.clone(), expect);
            if acls.all.is_empty() {
                batch.delete(key);
            } else {
                batch.put(key, record);
            }
            match lane.submit_beside(batch) {
                Ok(ticket) => drop(ticket.done().await),
                Err(SubmitError::Conflict { winner, .. }) => {
                    winner.visible().await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            self.wake();
            self.bells.ring(Some(mailbox));
            self.note_shares(before.difference(&after), false).await?;
            return Ok(Ok(()));
        }
        Err(StoreError::Contended)
    }

    async fn stored_acls(&self) -> Result<Option<(Versioned, Acls)>, StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let account = self.id();
        let work = move || read(&*engine, account);
        let Some(stored) = self.shared.runtime.blocking(work).await? else {
            return Ok(None);
        };
        let acls = Acls::decode(&stored.value).map_err(|error| StoreError::Damaged {
            account,
            what: format!("who may do what with its mailboxes: {error}"),
        })?;
        Ok(Some((stored, acls)))
    }
}

fn read(engine: &dyn Engine, account: AccountId) -> Result<Option<Versioned>, StoreError> {
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    Ok(snapshot.get(&keys::acls(account))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(who: Who, negative: bool) -> AclName {
        AclName { who, negative }
    }

    fn sample() -> Acls {
        let mut acl = Acl::default();
        let domain = || Who::Domain("a.test".into());
        acl.set(name(Who::Account(AccountId(300)), false), Rights::INSERT);
        acl.set(name(domain(), false), Rights::LOOKUP | Rights::READ);
        acl.set(name(domain(), true), Rights::WRITE);
        acl.set(name(Who::Account(AccountId(7)), true), Rights::READ);
        acl.set(name(Who::Group("g@a.test".into()), false), Rights::INSERT);
        let mut acls = Acls::default();
        acls.all.insert(MailboxId(2), acl);
        acls
    }

    #[test]
    fn the_record_is_these_bytes_and_reads_back() {
        let mut golden = vec![1, 1, 2, 5, 129, 7, 2, 1, 0xac, 2, 16, 2, 6];
        golden.extend(b"a.test\x03\x82\x06a.test\x08\x03\x08g@a.test\x10");
        assert_eq!(sample().encode(), golden);
        assert_eq!(Acls::decode(&golden), Ok(sample()));
        for len in 0..golden.len() {
            assert!(Acls::decode(&golden[..len]).is_err());
        }
        for bad in [
            vec![2, 0],
            vec![1, 1, 2, 1, 4, 1, 1],
            vec![1, 1, 2, 1, 1, 1, 0],
            vec![1, 1, 2, 2, 1, 1, 1, 1, 1, 1],
            vec![1, 2, 2, 0, 2, 0],
            vec![1, 1, 2, 1, 1, 1, 0x80, 0x80, 0x7f],
        ] {
            assert!(Acls::decode(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_taken_counts_over_what_is_given() {
        let acls = sample();
        let of_member = |account, domain: &str, groups: &[&str]| {
            let reader = Reader {
                account: AccountId(account),
                domain: domain.into(),
                groups: Arc::new(groups.iter().map(|group| (*group).to_owned()).collect()),
            };
            acls.rights_of(MailboxId(2), &reader)
        };
        let of = |account, domain| of_member(account, domain, &[]);
        let member = of_member(1, "a.test", &["g@a.test", "h@a.test"]);
        assert_eq!(member, Rights::LOOKUP | Rights::READ | Rights::INSERT);
        assert_eq!(of_member(1, "b.test", &["h@a.test"]), Rights::NONE);
        assert_eq!(of(1, "b.test"), Rights::NONE);
        assert_eq!(of(1, "a.test"), Rights::LOOKUP | Rights::READ);
        assert_eq!(of(7, "a.test"), Rights::LOOKUP);
        assert_eq!(of(300, "b.test"), Rights::INSERT);
        let everybody = Reader {
            account: AccountId(300),
            domain: "a.test".into(),
            groups: Arc::default(),
        };
        assert_eq!(acls.rights_of(MailboxId(1), &everybody), Rights::NONE);
    }
}
