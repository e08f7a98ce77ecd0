//! Checks the directory: every record can be read, and they agree.
//!
//! One snapshot, read in pages; memory does not grow with the directory.

use crate::alias::address_of;
use crate::error::DirectoryError;
use crate::keys::{self, SHARD};
use crate::limits::SCAN_PAGE;
use crate::record::account::AccountRecord;
use crate::record::address::AddressRecord;
use crate::record::app_passwords::AppPasswords;
use crate::record::credentials::Credentials;
use crate::record::domain::DomainRecord;
use crate::record::head::Head;
use crate::record::key::Key;
use crate::record::send_as::{Grant, SendAs};
use crate::store::Directory;
use engine::check::{Checker, Repair, Report, Severity};
use engine::{Order, Snapshot, Versioned};
use envelope::{AccountId, Domain};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use wire::codec::{DecodeError, Reader};

/// Something about the directory that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A key that this program does not write.
    StrangeKey(Vec<u8>),
    /// A record does not decode.
    Damaged(Kind, Vec<u8>, DecodeError),
    /// The directory's head is missing although there are accounts.
    NoHead,
    /// The head would give this account's id again.
    NextAccount(AccountId),
    /// The account that answers for the system is gone.
    NoAdministrator(AccountId),
    /// An account or alias of a domain that is not there.
    NoDomain(Vec<u8>, String),
    /// Nothing leads to an account: its address has no record, or another's.
    NoAddress(AccountId, Vec<u8>),
    /// An address leads to an account that is not there.
    NoAccount(AccountId, Vec<u8>),
    /// An account can't be found by its bare name.
    NoName(AccountId, Vec<u8>),
    /// A bare name of an account that is not there or has another.
    StrayName(Vec<u8>),
    /// A password of an account that is not there.
    StrayCredentials(AccountId),
    /// Application passwords of an account that is not there.
    StrayAppPasswords(AccountId),
    /// Grants of an account that is not there.
    StraySendAs(AccountId),
    /// An account may send in the name of a domain that is not there.
    GrantWithoutDomain(AccountId, Domain),
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The directory's own.
    Head,
    /// A domain.
    Domain,
    /// What an address leads to.
    Address,
    /// An account.
    Account,
    /// A password.
    Credentials,
    /// A bare login name.
    Name,
    /// Application passwords.
    AppPasswords,
    /// Grants to send as others.
    SendAs,
    /// The key of made-up salts.
    Key,
}

impl Kind {
    /// What the kind is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Domain => "domain",
            Self::Address => "address",
            Self::Account => "account",
            Self::Credentials => "password",
            Self::Name => "login name",
            Self::AppPasswords => "application passwords",
            Self::SendAs => "send-as",
            Self::Key => "key",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = engine::check::key_text;
        match self {
            Self::StrangeKey(key) => write!(f, "the key {} is none of the directory", text(key)),
            Self::Damaged(kind, key, why) => {
                write!(
                    f,
                    "the {} record {} is damaged: {why}",
                    kind.name(),
                    text(key)
                )
            }
            Self::NoHead => write!(f, "the directory's head is missing"),
            Self::NextAccount(id) => write!(f, "the head would give the id {id} again"),
            Self::NoAdministrator(id) => {
                write!(f, "account {id}, which answers for the system, is gone")
            }
            Self::NoDomain(key, domain) => {
                write!(
                    f,
                    "the record {} is of the domain {domain}, which is not there",
                    text(key)
                )
            }
            Self::NoAddress(id, key) => {
                write!(
                    f,
                    "nothing leads to account {id}: {} is missing or another's",
                    text(key)
                )
            }
            Self::NoAccount(id, key) => {
                write!(
                    f,
                    "the address {} leads to account {id}, which is not there",
                    text(key)
                )
            }
            Self::NoName(id, key) => {
                write!(f, "account {id} has no login name {}", text(key))
            }
            Self::StrayName(key) => write!(f, "the login name {} is nobody's", text(key)),
            Self::StrayCredentials(id) => write!(f, "a password of account {id}, which is gone"),
            Self::StrayAppPasswords(id) => {
                write!(f, "application passwords of account {id}, which is gone")
            }
            Self::StraySendAs(id) => write!(f, "grants of account {id}, which is gone"),
            Self::GrantWithoutDomain(id, domain) => {
                write!(
                    f,
                    "account {id} may send in the name of the domain {domain}, which is not there"
                )
            }
        }
    }
}

impl Finding {
    /// The finding as everybody tells it.
    #[must_use]
    pub fn report(&self) -> Report {
        use Severity::{Leftover, Lost, Wrong};
        let (checker, severity, repair, means) = match self {
            Self::StrangeKey(_) => (
                Checker::KeyKnown,
                Leftover,
                Repair::SetAside,
                "nothing that this program knows of; was the store used by a newer one?",
            ),
            Self::Damaged(Kind::Head, ..) | Self::NoHead => (
                Checker::RecordReadable,
                Wrong,
                Repair::Rebuild,
                "no account can be added, and mail to postmaster waits",
            ),
            Self::Damaged(Kind::Domain, ..) => (
                Checker::RecordReadable,
                Wrong,
                Repair::Rebuild,
                "mail to the domain waits at its senders; a repair forgets its administrator, catch-all and quota",
            ),
            Self::Damaged(Kind::Address, ..) => (
                Checker::RecordReadable,
                Wrong,
                Repair::Rebuild,
                "mail to the address waits at its senders; a repair mends an account's address, an alias must be added again",
            ),
            Self::Damaged(Kind::Account, ..) => (
                Checker::RecordReadable,
                Wrong,
                Repair::Rebuild,
                "the person can't log in and mail waits; a repair forgets whether the account was an administrator's or turned off",
            ),
            Self::Damaged(Kind::Credentials, ..) => (
                Checker::RecordReadable,
                Lost,
                Repair::SetAside,
                "the person can't log in until a new password is set",
            ),
            Self::Damaged(Kind::Name, ..) | Self::NoName(..) | Self::StrayName(_) => (
                Checker::DirectoryAgrees,
                Wrong,
                Repair::Rebuild,
                "the person can log in with the full address only",
            ),
            Self::Damaged(Kind::AppPasswords, ..) => (
                Checker::RecordReadable,
                Lost,
                Repair::SetAside,
                "the person's application passwords are gone; new ones must be made",
            ),
            Self::Damaged(Kind::SendAs, ..) => (
                Checker::RecordReadable,
                Lost,
                Repair::SetAside,
                "the account's mail in others' names is put off; after a repair grant it again",
            ),
            Self::Damaged(Kind::Key, ..) => (
                Checker::RecordReadable,
                Wrong,
                Repair::Rebuild,
                "nobody can log in by SCRAM; a repair lets a new key be drawn",
            ),
            Self::NextAccount(_) => (
                Checker::DirectoryAgrees,
                Wrong,
                Repair::Rebuild,
                "no account can be added",
            ),
            Self::NoAdministrator(_) => (
                Checker::DirectoryAgrees,
                Wrong,
                Repair::Rebuild,
                "mail to postmaster is refused",
            ),
            Self::NoDomain(..) => (
                Checker::DirectoryAgrees,
                Wrong,
                Repair::Rebuild,
                "mail to the address is refused; a repair adds the domain again",
            ),
            Self::NoAddress(..) => (
                Checker::DirectoryAgrees,
                Wrong,
                Repair::Rebuild,
                "the person gets no mail and can't log in",
            ),
            Self::NoAccount(..) => (
                Checker::DirectoryAgrees,
                Wrong,
                Repair::Rebuild,
                "mail to the address is refused",
            ),
            Self::GrantWithoutDomain(..) => (
                Checker::DirectoryAgrees,
                Leftover,
                Repair::SetAside,
                "nothing, until somebody adds the domain again",
            ),
            Self::StrayCredentials(_) | Self::StrayAppPasswords(_) | Self::StraySendAs(_) => (
                Checker::DirectoryAgrees,
                Leftover,
                Repair::SetAside,
                "nothing; it takes up space",
            ),
        };
        let (account, key) = self.place();
        Report {
            checker,
            severity,
            repair,
            account: account.map(|id| id.0),
            key: Some(key),
            what: self.to_string(),
            means,
        }
    }

    fn place(&self) -> (Option<AccountId>, Vec<u8>) {
        match self {
            Self::StrangeKey(key) | Self::NoDomain(key, _) | Self::StrayName(key) => {
                (None, key.clone())
            }
            Self::Damaged(_, key, _) => (keys::split_account(key), key.clone()),
            Self::NoHead => (None, keys::head()),
            Self::NextAccount(id) | Self::NoAdministrator(id) => (Some(*id), keys::head()),
            Self::NoAddress(id, key) | Self::NoAccount(id, key) | Self::NoName(id, key) => {
                (Some(*id), key.clone())
            }
            Self::StrayCredentials(id) => (Some(*id), keys::credentials(*id)),
            Self::StrayAppPasswords(id) => (Some(*id), keys::app_passwords(*id)),
            Self::StraySendAs(id) | Self::GrantWithoutDomain(id, _) => {
                (Some(*id), keys::send_as(*id))
            }
        }
    }
}

impl Directory {
    /// Checks the directory, as of one snapshot.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn fsck(&self) -> Result<Vec<Finding>, DirectoryError> {
        let engine = self.inner.engine.clone();
        let work = move || {
            let mut findings = Vec::new();
            check(&*engine.snapshot(SHARD), &mut |finding| {
                findings.push(finding);
            })?;
            Ok(findings)
        };
        self.inner.runtime.blocking(work).await
    }

    /// The ids of all accounts, whether their records can be read or not.
    ///
    /// # Errors
    /// The engine cannot read.
    pub async fn account_ids(&self) -> Result<Vec<AccountId>, DirectoryError> {
        let engine = Arc::clone(&self.inner.engine);
        let work = move || {
            let mut ids = Vec::new();
            let (start, end) = keys::accounts();
            for_each(&*engine.snapshot(SHARD), start, &end, &mut |key, _| {
                ids.extend(keys::split_account(&key));
                Ok(())
            })?;
            Ok(ids)
        };
        self.inner.runtime.blocking(work).await
    }

    /// Forgets what memory holds of records: somebody wrote them behind the
    /// directory's back.
    pub fn refresh(&self) {
        self.inner.cache.clear();
        self.inner.census.forget();
    }
}

pub(crate) fn check(
    snapshot: &dyn Snapshot,
    tell: &mut dyn FnMut(Finding),
) -> Result<(), DirectoryError> {
    let mut largest = AccountId(0);
    let start = engine::keys::directory();
    let end = engine::keys::end_of(&start);
    for_each(snapshot, start, &end, &mut |key, record| {
        let Some(kind) = kind_of(&key) else {
            tell(Finding::StrangeKey(key));
            return Ok(());
        };
        if kind == Kind::Account {
            largest = keys::split_account(&key).unwrap_or(largest);
        }
        if let Err(why) = check_record(snapshot, kind, &key, &record, tell)? {
            tell(Finding::Damaged(kind, key, why));
        }
        Ok(())
    })?;
    check_head(snapshot, largest, tell)
}

/// The kind of record that a key is written for.
pub(crate) fn kind_of(key: &[u8]) -> Option<Kind> {
    let rest = key.get(2..)?;
    match key.get(1)? {
        b'h' if rest.is_empty() => Some(Kind::Head),
        b'k' if rest.is_empty() => Some(Kind::Key),
        b'd' => domain_of(key).map(|_| Kind::Domain),
        b'm' => address_of(key).map(|_| Kind::Address),
        b'a' => keys::split_account(key).map(|_| Kind::Account),
        b'p' => keys::split_account(key).map(|_| Kind::Credentials),
        b'w' => keys::split_account(key).map(|_| Kind::AppPasswords),
        b's' => keys::split_account(key).map(|_| Kind::SendAs),
        b'n' => {
            let (local, domain) = keys::split_address(key)?;
            let parsed = Domain::parse(domain).ok()?;
            (!local.is_empty() && parsed.as_str() == domain).then_some(Kind::Name)
        }
        _ => None,
    }
}

/// The domain whose record lies under this key.
pub(crate) fn domain_of(key: &[u8]) -> Option<Domain> {
    let name = core::str::from_utf8(key.get(2..)?).ok()?;
    let domain = Domain::parse(name).ok()?;
    (domain.as_str() == name).then_some(domain)
}

fn check_record(
    snapshot: &dyn Snapshot,
    kind: Kind,
    key: &[u8],
    record: &Versioned,
    tell: &mut dyn FnMut(Finding),
) -> Result<Result<(), DecodeError>, DirectoryError> {
    let value = &record.value;
    Ok(match kind {
        Kind::Head => Head::decode(value).map(drop),
        Kind::Key => Key::decode(value).map(drop),
        Kind::Domain => DomainRecord::decode(value).map(drop),
        Kind::Address => match AddressRecord::decode(value) {
            Ok(address) => {
                check_address(snapshot, key, &address, tell)?;
                Ok(())
            }
            Err(error) => Err(error),
        },
        Kind::Account => match AccountRecord::decode(value) {
            Ok(account) => {
                check_account(snapshot, key, &account, tell)?;
                Ok(())
            }
            Err(error) => Err(error),
        },
        Kind::Credentials => {
            if let Some(id) = keys::split_account(key)
                && snapshot.get(&keys::account(id))?.is_none()
            {
                tell(Finding::StrayCredentials(id));
                return Ok(Ok(()));
            }
            Credentials::decode(value).map(drop)
        }
        Kind::AppPasswords => {
            if let Some(id) = keys::split_account(key)
                && snapshot.get(&keys::account(id))?.is_none()
            {
                tell(Finding::StrayAppPasswords(id));
                return Ok(Ok(()));
            }
            AppPasswords::decode(value).map(drop)
        }
        Kind::SendAs => match SendAs::decode(value) {
            Ok(all) => {
                check_grants(snapshot, key, &all, tell)?;
                Ok(())
            }
            Err(error) => Err(error),
        },
        Kind::Name => match named(value) {
            Ok(id) => {
                if !has_name(snapshot, id, key)? {
                    tell(Finding::StrayName(key.to_vec()));
                }
                Ok(())
            }
            Err(error) => Err(error),
        },
    })
}

fn check_grants(
    snapshot: &dyn Snapshot,
    key: &[u8],
    all: &SendAs,
    tell: &mut dyn FnMut(Finding),
) -> Result<(), DirectoryError> {
    let Some(id) = keys::split_account(key) else {
        return Ok(());
    };
    if snapshot.get(&keys::account(id))?.is_none() {
        tell(Finding::StraySendAs(id));
        return Ok(());
    }
    let domains: BTreeSet<&Domain> = all.0.iter().map(Grant::domain).collect();
    for domain in domains {
        if snapshot.get(&keys::domain(domain))?.is_none() {
            tell(Finding::GrantWithoutDomain(id, domain.clone()));
        }
    }
    Ok(())
}

/// The account that a login name's record names.
pub(crate) fn named(record: &[u8]) -> Result<AccountId, DecodeError> {
    let mut reader = Reader::new(record);
    let id = AccountId(reader.varint()?);
    reader.finish()?;
    Ok(id)
}

/// True if the account is there and this is its name's key. An account that
/// can't be read may have it.
fn has_name(snapshot: &dyn Snapshot, id: AccountId, key: &[u8]) -> Result<bool, DirectoryError> {
    let stored = snapshot.get(&keys::account(id))?;
    Ok(stored.is_some_and(|stored| {
        AccountRecord::decode(&stored.value)
            .map_or(true, |record| keys::name(&record.address) == key)
    }))
}

fn check_address(
    snapshot: &dyn Snapshot,
    key: &[u8],
    address: &AddressRecord,
    tell: &mut dyn FnMut(Finding),
) -> Result<(), DirectoryError> {
    if let Some((domain, _)) = keys::split_address(key)
        && let Ok(parsed) = Domain::parse(domain)
        && snapshot.get(&keys::domain(&parsed))?.is_none()
    {
        tell(Finding::NoDomain(key.to_vec(), domain.to_owned()));
    }
    if let AddressRecord::Account(id) = address {
        let stored = snapshot.get(&keys::account(*id))?;
        let is_its = stored.is_some_and(|stored| {
            AccountRecord::decode(&stored.value)
                .map_or(true, |record| keys::address(&record.address) == key)
        });
        if !is_its {
            tell(Finding::NoAccount(*id, key.to_vec()));
        }
    }
    Ok(())
}

fn check_account(
    snapshot: &dyn Snapshot,
    key: &[u8],
    account: &AccountRecord,
    tell: &mut dyn FnMut(Finding),
) -> Result<(), DirectoryError> {
    let Some(id) = keys::split_account(key) else {
        return Ok(());
    };
    let address = keys::address(&account.address);
    let leads = match snapshot.get(&address)? {
        // Told by itself when it can't be read.
        Some(stored) => AddressRecord::decode(&stored.value)
            .map_or(true, |leads| leads == AddressRecord::Account(id)),
        None => false,
    };
    if !leads {
        tell(Finding::NoAddress(id, address));
    }
    let name = keys::name(&account.address);
    let known = match snapshot.get(&name)? {
        Some(stored) => named(&stored.value).map_or(true, |named| named == id),
        None => false,
    };
    if !known {
        tell(Finding::NoName(id, name));
    }
    Ok(())
}

fn check_head(
    snapshot: &dyn Snapshot,
    largest: AccountId,
    tell: &mut dyn FnMut(Finding),
) -> Result<(), DirectoryError> {
    let Some(stored) = snapshot.get(&keys::head())? else {
        if largest.0 > 0 {
            tell(Finding::NoHead);
        }
        return Ok(());
    };
    let Ok(head) = Head::decode(&stored.value) else {
        return Ok(());
    };
    if head.next_account <= largest {
        tell(Finding::NextAccount(largest));
    }
    if let Some(id) = head.administrator
        && snapshot.get(&keys::account(id))?.is_none()
    {
        tell(Finding::NoAdministrator(id));
    }
    Ok(())
}

/// Calls `f` with each pair of a range, a page at a time.
pub(crate) fn for_each(
    snapshot: &dyn Snapshot,
    mut start: Vec<u8>,
    end: &[u8],
    f: &mut dyn FnMut(Vec<u8>, Versioned) -> Result<(), DirectoryError>,
) -> Result<(), DirectoryError> {
    loop {
        let page = snapshot.scan(&start, end, Order::Ascending, SCAN_PAGE)?;
        let more = page.len() == SCAN_PAGE;
        if let Some((last, _)) = page.last() {
            start.clone_from(last);
            start.push(0);
        }
        for (key, record) in page {
            f(key, record)?;
        }
        if !more {
            return Ok(());
        }
    }
}
