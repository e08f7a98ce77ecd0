//! Application passwords: one for each device or program, good for some services
//! and perhaps for some time, removed without touching the others.
//!
//! They are drawn by us: 20 letters and digits, 100 bits. So a quick keyed
//! hash is enough, and checking all of an account's costs next to nothing beside
//! the one argon2id computation that a wrong password costs in any case.
//!
//! SCRAM sends a salt before it knows which of an account's passwords the client
//! has. Therefore all of them have the salt and the iteration count of the first
//! that the account got, and a proof is checked against each.

use crate::changes::{Changes, version_of};
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{
    APP_PASSWORD_GROUPS, APP_PASSWORD_LABEL_BYTES_MAX, APP_PASSWORDS_MAX, CONFLICTS_MAX,
    HASH_BYTES, SALT_BYTES,
};
use crate::login::Service;
use crate::record::app_passwords::{AppPassword, AppPasswords};
use crate::record::credentials::Credentials;
use crate::store::{Directory, Inner, decode, decode_listed};
use engine::{Batch, CommitNo};
use envelope::{AccountId, Address};
use sasl::Secret;
use sasl::scram::{self, Hash, Proof, Verifier};
use subtle::ConstantTimeEq;

/// Letters and digits that nobody takes for others.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What an application password is made with.
#[derive(Debug, Clone)]
pub struct NewAppPassword {
    /// What it is called, within its account.
    pub label: String,
    /// What it is good for.
    pub services: Vec<Service>,
    /// Until when, in milliseconds since 1970; `None` for ever.
    pub expires_ms: Option<u64>,
    /// Good for CRAM-MD5 and APOP too; then it is stored so that it can be read back.
    pub for_digests: bool,
}

/// What SCRAM keys of an account's passwords are derived with.
#[derive(Debug, Clone)]
pub(crate) struct ScramSalts(Vec<(Hash, Vec<u8>, u32)>);

impl ScramSalts {
    /// Those of a password that is there; new ones for what is missing.
    fn of(inner: &Inner, present: &[Verifier]) -> Self {
        let salts = Hash::ALL.into_iter().map(|hash| {
            let kept = present.iter().find(|verifier| verifier.hash == hash);
            match kept {
                Some(verifier) => (hash, verifier.salt.clone(), verifier.iterations),
                None => {
                    let mut salt = vec![0; SALT_BYTES];
                    inner.runtime.fill_random(&mut salt);
                    (hash, salt, inner.options.scram_iterations)
                }
            }
        });
        Self(salts.collect())
    }

    /// The keys of a prepared password.
    pub(crate) fn derive(&self, password: &Secret) -> Vec<Verifier> {
        let salts = self.0.iter();
        salts
            .map(|(hash, salt, iterations)| scram::derive(*hash, password, salt, *iterations))
            .collect()
    }
}

impl Directory {
    /// Makes an application password: the password itself is given back, once.
    ///
    /// # Errors
    /// No such account, a label that is in use, empty, too long or holds control
    /// characters, no service, a time that is over, too many, for digests where
    /// those are off, or the store's.
    pub async fn app_password_add(
        &self,
        address: &Address,
        new: NewAppPassword,
    ) -> Result<(AppPassword, Secret), DirectoryError> {
        let inner = &self.inner;
        let label = new.label.trim();
        if label.is_empty()
            || label.len() > APP_PASSWORD_LABEL_BYTES_MAX
            || label.chars().any(char::is_control)
        {
            return Err(DirectoryError::Label);
        }
        let now = inner.runtime.now().unix_ms;
        if new.services.is_empty() || new.expires_ms.is_some_and(|at| at <= now) {
            return Err(DirectoryError::NeverGood);
        }
        let key = inner.options.sealing.as_ref().filter(|_| new.for_digests);
        if new.for_digests && key.is_none() {
            return Err(DirectoryError::NoDigests);
        }
        let mut services = new.services;
        services.sort_unstable();
        services.dedup();
        let secret = draw(inner);
        let mut salt = [0; SALT_BYTES];
        inner.runtime.fill_random(&mut salt);
        let _changing = inner.changing.lock().await;
        for _ in 0..CONFLICTS_MAX {
            let (id, _, account_version) = inner.read_account(address).await?;
            let (mut all, version) = inner.fresh_app_passwords(id).await?;
            if all.0.iter().any(|other| other.label == label) {
                return Err(DirectoryError::LabelTaken(label.to_owned()));
            }
            if all.0.len() >= APP_PASSWORDS_MAX {
                return Err(DirectoryError::TooManyAppPasswords);
            }
            let (salts, credentials_version) = inner.scram_salts(id, &all).await?;
            let scram = inner.derive_scram(salts, &secret).await?;
            let made = AppPassword {
                label: label.to_owned(),
                services: services.clone(),
                created_ms: now,
                expires_ms: new.expires_ms,
                salt,
                hash: hashed(&salt, &secret),
                scram,
                sealed: key.map(|key| key.seal(&inner.runtime, id, label, &secret)),
            };
            all.0.push(made.clone());
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::account(id), account_version);
            changes.expect(keys::credentials(id), credentials_version);
            changes.expect(keys::app_passwords(id), version);
            changes.put(keys::app_passwords(id), all.encode());
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok((made, secret));
            }
        }
        Err(DirectoryError::Contended)
    }

    /// An account's application passwords, in the order in which they were made.
    ///
    /// # Errors
    /// No such account, or the store's.
    pub async fn app_password_list(
        &self,
        address: &Address,
    ) -> Result<Vec<AppPassword>, DirectoryError> {
        let (id, ..) = self.inner.read_account(address).await?;
        Ok(self.inner.fresh_app_passwords(id).await?.0.0)
    }

    /// Removes an application password: nobody logs in with it from this commit on.
    ///
    /// # Errors
    /// No such account, no such password, or the store's.
    pub async fn app_password_remove(
        &self,
        address: &Address,
        label: &str,
    ) -> Result<(), DirectoryError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        for _ in 0..CONFLICTS_MAX {
            let (id, ..) = inner.read_account(address).await?;
            let (mut all, version) = inner.fresh_app_passwords(id).await?;
            let before = all.0.len();
            all.0.retain(|password| password.label != label);
            if all.0.len() == before {
                return Err(DirectoryError::NoSuchAppPassword(label.to_owned()));
            }
            let key = keys::app_passwords(id);
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(key.clone(), version);
            if all.0.is_empty() {
                changes.delete(key);
            } else {
                changes.put(key, all.encode());
            }
            changes.finish(inner);
            if inner.submit(batch).await? {
                return Ok(());
            }
        }
        Err(DirectoryError::Contended)
    }
}

impl Inner {
    /// The application passwords that are good for a service now. A damaged record
    /// is told and leaves the account's own password.
    pub(crate) async fn app_passwords(
        &self,
        id: AccountId,
        service: Service,
    ) -> Result<Vec<AppPassword>, DirectoryError> {
        let mut all = self.all_app_passwords(id).await?;
        let now = self.runtime.now().unix_ms;
        all.0.retain(|password| {
            password.services.contains(&service)
                && password.expires_ms.is_none_or(|expires| now < expires)
        });
        Ok(all.0)
    }

    pub(crate) async fn all_app_passwords(
        &self,
        id: AccountId,
    ) -> Result<AppPasswords, DirectoryError> {
        let key = keys::app_passwords(id);
        let record = self.record(key.clone()).await?;
        let all = record.and_then(|record| decode_listed(&key, &record, AppPasswords::decode));
        Ok(all.unwrap_or_default())
    }

    async fn fresh_app_passwords(
        &self,
        id: AccountId,
    ) -> Result<(AppPasswords, Option<CommitNo>), DirectoryError> {
        let key = keys::app_passwords(id);
        let record = self.fresh(key.clone()).await?;
        let version = version_of(record.as_ref());
        let all = decode(&key, record, AppPasswords::decode)?.unwrap_or_default();
        Ok((all, version))
    }

    /// The salts of an account's passwords, with the version of its credentials.
    async fn scram_salts(
        &self,
        id: AccountId,
        all: &AppPasswords,
    ) -> Result<(ScramSalts, Option<CommitNo>), DirectoryError> {
        let key = keys::credentials(id);
        let record = self.fresh(key.clone()).await?;
        let version = version_of(record.as_ref());
        let credentials = decode(&key, record, Credentials::decode)?;
        let own = credentials.map(|credentials| credentials.scram);
        let present = own
            .filter(|scram| !scram.is_empty())
            .or_else(|| all.scram());
        Ok((ScramSalts::of(self, &present.unwrap_or_default()), version))
    }

    /// The salts that an account's new password gets, with the version of the
    /// application passwords that say so; new ones where there are none of those.
    pub(crate) async fn new_password_salts(
        &self,
        id: AccountId,
    ) -> Result<(ScramSalts, Option<CommitNo>), DirectoryError> {
        let (all, version) = self.fresh_app_passwords(id).await?;
        let present = all.scram().unwrap_or_default();
        Ok((ScramSalts::of(self, &present), version))
    }

    /// New salts, for an account that has no password yet.
    pub(crate) fn new_scram_salts(&self) -> ScramSalts {
        ScramSalts::of(self, &[])
    }

    async fn derive_scram(
        &self,
        salts: ScramSalts,
        password: &Secret,
    ) -> Result<Vec<Verifier>, DirectoryError> {
        if !self.options.scram {
            return Ok(Vec::new());
        }
        let password = password.clone();
        self.hashes.run(move || salts.derive(&password)).await
    }
}

/// The password among `all` that this is; each is looked at.
pub(crate) fn find<'a>(all: &'a [AppPassword], password: &Secret) -> Option<&'a AppPassword> {
    let mut found = None;
    for one in all {
        let right: bool = hashed(&one.salt, password).ct_eq(&one.hash).into();
        found = found.or(right.then_some(one));
    }
    found
}

/// The password among `all` that a proof is of, with our signature.
pub(crate) fn find_proven<'a>(
    all: &'a [AppPassword],
    proof: &Proof,
) -> Option<(&'a AppPassword, Vec<u8>)> {
    let mut found = None;
    for one in all {
        let verifier = one
            .scram
            .iter()
            .find(|verifier| verifier.hash == proof.hash);
        let signature = verifier.and_then(|verifier| proof.check(verifier));
        found = found.or(signature.map(|signature| (one, signature)));
    }
    found
}

fn hashed(salt: &[u8; SALT_BYTES], password: &Secret) -> [u8; HASH_BYTES] {
    let mut key = [0; 32];
    key[..SALT_BYTES].copy_from_slice(salt);
    *blake3::keyed_hash(&key, password.expose().as_bytes()).as_bytes()
}

/// Groups of four, to be typed from a screen.
fn draw(inner: &Inner) -> Secret {
    let mut random = [0; 4 * APP_PASSWORD_GROUPS];
    inner.runtime.fill_random(&mut random);
    let letters: Vec<u8> = random
        .iter()
        .map(|byte| ALPHABET[usize::from(byte & 31)])
        .collect();
    let groups: Vec<&str> = letters
        .chunks(4)
        .filter_map(|group| core::str::from_utf8(group).ok())
        .collect();
    Secret::new(groups.join("-"))
}
