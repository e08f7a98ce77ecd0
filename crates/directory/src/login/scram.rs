//! SCRAM's two questions: a login's salt, and whether a proof is right.
//!
//! A login that does not exist, or has no keys, gets a salt that is made up from
//! the name and a key of the installation: always the same, and like any other.
//! Salts must not tell who exists by being equal either: that is why an alias is
//! no login here, and why a bare name that does not exist shares the salt of one
//! of its full forms, as one that exists does.

use super::names::ScramLogin;
use super::{AuthFailure, Identity, throttle};
use crate::changes::Changes;
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{CONFLICTS_MAX, SALT_BYTES};
use crate::record::key::Key;
use crate::store::{Inner, decode};
use engine::Batch;
use sasl::scram::{self, Hash, Proof, Salt, ScramName, Verifier};
use std::net::IpAddr;

/// Random bytes of our part of a nonce; a multiple of three, so that base64 needs no filling.
const NONCE_BYTES: usize = 18;

impl Inner {
    pub(super) async fn salt(&self, name: &ScramName, peer: IpAddr) -> Result<Salt, AuthFailure> {
        let login = self.find_scram_login(&name.login).await?;
        let claim = throttle::Claim::new(login.account, &name.login);
        self.throttle
            .check(peer, &claim)
            .map_err(|reason| AuthFailure::Banned { reason })?;
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
        peer: IpAddr,
    ) -> Result<(Identity, Vec<u8>), AuthFailure> {
        let login = self.find_scram_login(&proof.login).await?;
        let claim = throttle::Claim::new(login.account, &proof.login);
        self.throttle
            .check(peer, &claim)
            .map_err(|reason| AuthFailure::Banned { reason })?;
        let (is_real, verifier) = self.verifier(&login, proof.hash).await?;
        let signature = proof.check(&verifier).filter(|_| is_real);
        let account = login.account.filter(|_| signature.is_some());
        let identity = self
            .admit(account, peer, &claim, &proof.fingerprint())
            .await?;
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
        let real = stored.and_then(|(_, credentials)| {
            let mut verifiers = credentials.scram.into_iter();
            verifiers.find(|verifier| verifier.hash == hash)
        });
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
