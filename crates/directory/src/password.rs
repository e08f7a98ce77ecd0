//! Hashing passwords: argon2id (RFC 9106), one computation per core at most.
//!
//! A computation takes 19 MiB and some ten milliseconds. A bounded number of
//! logins waits for its turn; the next one is sent away with a temporary error,
//! so that a flood of logins costs neither memory nor the other sessions' time.

use crate::app_password::ScramSalts;
use crate::changes::Changes;
use crate::error::DirectoryError;
use crate::keys;
use crate::limits::{
    ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, ARGON2_RESERVED_BLOCKS, HASH_BYTES, HASH_WAITING_MAX,
    SALT_BYTES,
};
use crate::record::credentials::{Cost, Credentials, PasswordHash, Stored};
use crate::store::Inner;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use engine::{Batch, CommitNo};
use envelope::AccountId;
use runtime::Runtime;
use sasl::Secret;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// The line in front of the cores.
pub(crate) struct HashLine {
    runtime: Runtime,
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// Computations so far.
    #[cfg(test)]
    computed: AtomicUsize,
}

/// A place in the line; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HashLine {
    pub(crate) fn new(runtime: &Runtime, at_once: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let at_once = if at_once == 0 { cores } else { at_once };
        Self {
            runtime: runtime.clone(),
            turns: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(AtomicUsize::new(0)),
            #[cfg(test)]
            computed: AtomicUsize::new(0),
        }
    }

    #[cfg(test)]
    pub(crate) fn computed(&self) -> usize {
        self.computed.load(Ordering::Relaxed)
    }

    /// Runs `work` on the blocking pool when its turn comes.
    ///
    /// # Cancel safety
    /// A dropped caller gives its place back; work that began keeps its turn
    /// until it ends.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DirectoryError> {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.waiting));
        if ahead >= HASH_WAITING_MAX {
            return Err(DirectoryError::Busy);
        }
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| DirectoryError::Busy)?;
        #[cfg(test)]
        self.computed.fetch_add(1, Ordering::Relaxed);
        let hashing = self.runtime.blocking(move || {
            let made = work();
            drop(turn);
            made
        });
        let made = hashing.await;
        drop(place);
        Ok(made)
    }
}

impl Inner {
    /// Everything that is stored of the password of a new account.
    pub(crate) async fn hash_new_password(
        &self,
        password: &Secret,
    ) -> Result<Credentials, DirectoryError> {
        self.hash_password(password, self.new_scram_salts()).await
    }

    /// Everything that is stored of a password.
    pub(crate) async fn hash_password(
        &self,
        password: &Secret,
        salts: ScramSalts,
    ) -> Result<Credentials, DirectoryError> {
        let password =
            sasl::prepare::prepare(password.expose()).ok_or(DirectoryError::UnusablePassword)?;
        let cost = self.options.cost;
        let mut salt = [0u8; SALT_BYTES];
        self.runtime.fill_random(&mut salt);
        let scram_on = self.options.scram;
        let set_ms = self.runtime.now().unix_ms;
        self.hashes
            .run(move || {
                let hash = argon2id(cost, &password, &salt);
                let hash = hash.ok_or(DirectoryError::UnusablePassword)?;
                let scram = scram_on.then(|| salts.derive(&password));
                Ok(Credentials {
                    set_ms,
                    password: Stored::Argon2id(PasswordHash {
                        cost,
                        salt: salt.to_vec(),
                        hash: hash.to_vec(),
                    }),
                    scram: scram.unwrap_or_default(),
                })
            })
            .await?
    }

    /// Whether `password` is the stored one. Without a stored one, and beside an
    /// imported one, the same work is done; without one the answer is no.
    pub(crate) async fn check_password(
        &self,
        stored: Option<Stored>,
        password: &Secret,
    ) -> Result<bool, DirectoryError> {
        let prepared = sasl::prepare::prepare(password.expose());
        let (own, imported) = match stored {
            Some(Stored::Argon2id(own)) => (Some(own), None),
            Some(Stored::Imported(imported)) => (None, Some(imported)),
            None => (None, None),
        };
        let exists = own.is_some() && prepared.is_some();
        // Others hashed what was typed.
        let typed = password.clone();
        let password = prepared.unwrap_or_else(|| Secret::from("-"));
        let cost = self.options.cost;
        let own = own.unwrap_or_else(|| PasswordHash {
            cost,
            salt: vec![0; SALT_BYTES],
            hash: vec![0; HASH_BYTES],
        });
        self.hashes
            .run(move || {
                let hash = argon2id(own.cost, &password, &own.salt);
                let equal = hash.is_some_and(|hash| hash.ct_eq(&own.hash).into());
                match imported {
                    Some(imported) => imported.check(typed.expose()),
                    None => exists && equal,
                }
            })
            .await
    }

    /// Puts our own form in the place of an imported hash that was found right.
    /// That it does not come to it harms nothing: the next login tries again.
    pub(crate) async fn replace_imported(
        &self,
        id: AccountId,
        (version, stored): (CommitNo, Credentials),
        password: &Secret,
    ) {
        let replaced = async {
            let (salts, salts_version) = self.new_password_salts(id).await?;
            let mut credentials = self.hash_password(password, salts).await?;
            credentials.set_ms = stored.set_ms;
            let mut batch = Batch::new();
            let mut changes = Changes::new(&mut batch);
            changes.expect(keys::credentials(id), Some(version));
            changes.expect(keys::app_passwords(id), salts_version);
            changes.put(keys::credentials(id), credentials.encode());
            changes.finish(self);
            self.submit(batch).await
        };
        match replaced.await {
            Ok(true) => tracing::info!(account = %id, "an imported password hash was replaced"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(account = %id, %error, "an imported password hash was not replaced");
            }
        }
    }
}

/// `None` when the cost is out of bounds (a damaged record) or the salt is too short.
fn argon2id(cost: Cost, password: &Secret, salt: &[u8]) -> Option<[u8; HASH_BYTES]> {
    if cost.memory_kib > ARGON2_MEMORY_KIB_MAX || cost.passes > ARGON2_PASSES_MAX {
        return None;
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(HASH_BYTES)).ok()?;
    let mut hash = [0; HASH_BYTES];
    // Larger than any threshold of the allocator, so that it comes from the system and goes back to it at once: a
    // smaller block would raise glibc's threshold and stay with the process. What is not touched is no memory.
    let mut blocks = Vec::with_capacity(params.block_count().max(ARGON2_RESERVED_BLOCKS));
    blocks.resize(params.block_count(), Block::new());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut hash, &mut blocks)
        .ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the reference implementation's own test list (`test.c`, version 0x13, argon2id, t=2, m=2^16, p=1).
    #[test]
    fn argon2id_agrees_with_the_reference_implementation() {
        let cost = Cost {
            memory_kib: 1 << 16,
            passes: 2,
            lanes: 1,
        };
        let hash = argon2id(cost, &Secret::from("password"), b"somesalt").expect("valid cost");
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
        );
    }

    #[test]
    fn a_record_that_asks_for_too_much_is_not_obeyed() {
        let cost = Cost {
            memory_kib: ARGON2_MEMORY_KIB_MAX + 1,
            ..Cost::default()
        };
        assert!(argon2id(cost, &Secret::from("x"), b"somesalt").is_none());
    }

    #[tokio::test]
    async fn the_waiting_line_is_bounded() {
        let runtime = Runtime::for_tests();
        let line = HashLine::new(&runtime, 1);
        let held = Arc::clone(&line.turns).acquire_owned().await.expect("open");
        let mut waiting: Vec<_> = (0..HASH_WAITING_MAX)
            .map(|n| Box::pin(line.run(move || n)))
            .collect();
        for run in &mut waiting {
            assert!(futures_poll(run).is_none());
        }
        assert!(matches!(line.run(|| 0).await, Err(DirectoryError::Busy)));
        waiting.pop();
        assert!(futures_poll(&mut Box::pin(line.run(|| 0))).is_none());
        drop(held);
        assert_eq!(waiting.remove(0).await.expect("its turn came"), 0);
    }

    fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
