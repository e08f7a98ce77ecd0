//! CRAM-MD5 and APOP: for application passwords that were made for it, and nothing else.

use super::{AuthFailure, Caller, Identity};
use crate::store::Inner;
use sasl::{Digest, Secret};

/// Random bytes of a challenge.
const CHALLENGE_BYTES: usize = 16;

impl Inner {
    /// RFC 2195 §2: of the form of a Message-ID, never given twice.
    pub(super) fn challenge(&self) -> String {
        let mut random = [0; CHALLENGE_BYTES];
        self.runtime.fill_random(&mut random);
        let number = u128::from_be_bytes(random);
        format!("<{number:032x}.{}@posthouse>", self.runtime.now().unix_ms)
    }

    pub(super) async fn check_digest(
        &self,
        digest: &Digest,
        caller: Caller,
    ) -> Result<Identity, AuthFailure> {
        let began = self.runtime.monotonic();
        let account = self.find_login(&digest.login).await?;
        let attempt = self.begin(began, account, &digest.login, caller)?;
        let mut used = None;
        if let (Some(id), Some(key)) = (account, &self.options.sealing) {
            for one in self.app_passwords(id, caller.service).await? {
                let Some(sealed) = &one.sealed else {
                    continue;
                };
                match key.open(id, &one.label, sealed) {
                    Some(password) if digest.check(&password) => used = Some(one.label),
                    Some(_) => {}
                    None => {
                        tracing::error!(account = %id, label = one.label, "an application password was sealed with another key and cannot be read; make a new one");
                    }
                }
            }
        }
        // Every digest differs. They all count as the same wrong password: a program
        // that tries this before PLAIN is no guesser, and these passwords are not to
        // be guessed. The delay hides what was there to check.
        let tried = Secret::from("a digest");
        let account = account.filter(|_| used.is_some());
        let mut identity = self.admit(account, &attempt, &tried).await?;
        identity.app_password = used;
        Ok(identity)
    }
}
