//! What was uploaded, for as long as somebody may still need it. RFC 8620 §6.1
//!
//! The octets lie in the journal and are named by no commit: an end of the server forgets them, and
//! the client uploads again. They are the account's that they were uploaded to.

use crate::Jmap;
use crate::limits::{UPLOAD_BYTES_SHARE, UPLOAD_KEPT, UPLOADS_KEPT_MAX};
use blobs::StagedBlob;
use envelope::AccountId;
use parking_lot::Mutex;
use runtime::Monotonic;
use std::collections::BTreeMap;

/// What all accounts have uploaded lately.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<BTreeMap<(AccountId, u64), Upload>>);

/// Octets of a client's.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) blob: StagedBlob,
    at: Monotonic,
}

impl Jmap {
    /// Keeps octets; gives the number that they have now. What is too old goes, and what is too
    /// much, the oldest first.
    pub(crate) fn keep_upload(&self, account: AccountId, blob: StagedBlob) -> u64 {
        let runtime = &self.shared.ports.runtime;
        let now = runtime.monotonic();
        let number = runtime.random_u64();
        let room = self
            .shared
            .config
            .message_bytes_max
            .saturating_mul(UPLOAD_BYTES_SHARE);
        let mut uploads = self.shared.uploads.0.lock();
        uploads.retain(|_, upload| now.since(upload.at) < UPLOAD_KEPT);
        uploads.insert((account, number), Upload { blob, at: now });
        loop {
            let own = || uploads.range((account, 0)..=(account, u64::MAX));
            let bytes: u64 = own().map(|(_, upload)| upload.blob.size).sum();
            if own().count() <= UPLOADS_KEPT_MAX && bytes <= room {
                return number;
            }
            let others = own().filter(|((_, other), _)| *other != number);
            let oldest = others
                .min_by_key(|(_, upload)| upload.at)
                .map(|(key, _)| *key);
            match oldest {
                Some(oldest) => drop(uploads.remove(&oldest)),
                None => return number,
            }
        }
    }

    pub(crate) fn upload(&self, account: AccountId, number: u64) -> Option<Upload> {
        let now = self.shared.ports.runtime.monotonic();
        let uploads = self.shared.uploads.0.lock();
        let upload = uploads.get(&(account, number))?;
        (now.since(upload.at) < UPLOAD_KEPT).then(|| upload.clone())
    }
}
