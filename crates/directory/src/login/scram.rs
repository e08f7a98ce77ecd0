//! SCRAM's two questions: a login's salt, and whether a proof is right.
//!
//! A login that does not exist, or has no keys, gets a salt that is made up from
//! the name and a key of the installation: always the same, and like any other.
//! Salts must not tell who exists by being equal either: that is why an alias is
//! no login here, and why a bare name that does not exist shares the salt of one
//! of its full forms, as one that exists does.

use super::names::ScramLogin;
use super::{AuthFailure, Caller, Identity};
use crate::app_password;
use crate::changes::Changes;
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{CONFLICTS_MAX, SALT_BYTES};
use crate::record::key::Key;
use crate::store::{Inner, decode};
use engine::Batch;
use sasl::scram::{self, Hash, Proof, Salt, ScramName, Verifier};

/// Random bytes of our part of a nonce; a multiple of three, so that base64 needs no filling.
const NONCE_BYTES: usize = 18;

impl Inner {
    pub(super) async fn salt(&self, name: &ScramName, caller: Caller) -> Result<Salt, AuthFailure> {
        let began = self.runtime.monotonic();
        let login = self.find_scram_login(&name.login).await?;
        self.begin(began, login.account, &name.login, caller)?;
        let (_, verifier) = self.verifier(&login, name.hash).await?;
        let mut nonce = [0; NONCE_BYTES];
        self.runtime.fill_random(&mut nonce);
        Ok(Salt {
            salt: verifier.salt,
            iterations: verifier.iterations,
            nonce: wire::base64::encode(&nonce),
        })
    }

    /// The keys are read again: a password that changed since the salt was given
    /// makes the proof wrong.
    pub(super) async fn check_proof(
        &self,
        proof: &Proof,
        caller: Caller,
    ) -> Result<(Identity, Vec<u8>), AuthFailure> {
        let began = self.runtime.monotonic();
        let login = self.find_scram_login(&proof.login).await?;
        let attempt = self.begin(began, login.account, &proof.login, caller)?;
        let app_passwords = match login.account {
            Some(id) => self.app_passwords(id, caller.service).await?,
            None => Vec::new(),
        };
        let (is_real, verifier) = self.verifier(&login, proof.hash).await?;
        let by_own = proof.check(&verifier).filter(|_| is_real);
        let by_other = app_password::find_proven(&app_passwords, proof);
        let (signature, label) = match (by_own, by_other) {
            (Some(signature), _) => (Some(signature), None),
            (None, Some((used, signature))) => (Some(signature), Some(used.label.clone())),
            (None, None) => (None, None),
        };
        let account = login.account.filter(|_| signature.is_some());
        let tried = proof.fingerprint();
        let mut identity = self.admit(account, &attempt, &tried).await?;
        identity.app_password = label;
        Ok((identity, signature.unwrap_or_default()))
    }

    /// The login's keys, or made-up ones.
    async fn verifier(
        &self,
        login: &ScramLogin,
        hash: Hash,
    ) -> Result<(bool, Verifier), DirectoryError> {
        let key = self.made_up_key().await?;
        let iterations = self.options.scram_iterations;
        let made_up = scram::made_up(hash, &key.0, &login.name, SALT_BYTES, iterations);
        let stored = match login.account {
            Some(id) => self.credentials(id).await?,
            None => None,
        };
        let mut scram = stored.map(|(_, credentials)| credentials.scram);
        if let (Some(id), None) = (login.account, &scram) {
            // No password of its own: its application passwords have a salt all the same.
            scram = self.all_app_passwords(id).await?.scram();
        }
        let real = scram.and_then(|scram| scram.into_iter().find(|keys| keys.hash == hash));
        Ok((real.is_some(), real.unwrap_or(made_up)))
    }

    /// The installation's key, drawn when it is first needed.
    pub(crate) async fn made_up_key(&self) -> Result<Key, DirectoryError> {
        for _ in 0..CONFLICTS_MAX {
            let record = self.record(keys::key()).await?;
            if let Some(key) = decode(&keys::key(), record, Key::decode)? {
                return Ok(key);
            }
            let mut bytes = [0; 32];
            self.runtime.fill_random(&mut bytes);
            let key = Key(bytes);
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::key(), None);
            changes.put(keys::key(), key.encode());
            changes.finish(self);
            if self.submit(batch).await? {
                return Ok(key);
            }
        }
        Err(DirectoryError::Contended)
    }
}
