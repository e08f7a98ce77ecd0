//! The same message again, because the client lost our reply.
//!
//! Same door, client (account, or address), envelope and body (with its Message-ID) within an
//! hour: answered 250 without a second copy. A message without a Message-ID is
//! never taken for a resend. In memory only: after a restart a resend makes a
//! second copy, which is better than none.

use crate::facts::Facts;
use crate::limits::{RESEND_ENTRIES, RESEND_TIME};
use blobs::BlobId;
use envelope::Envelope;
use quick_cache::sync::Cache;
use runtime::{Monotonic, Runtime};

pub(crate) struct Resends {
    runtime: Runtime,
    seen: Cache<[u8; 32], (String, Monotonic)>,
}

impl Resends {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            seen: Cache::new(RESEND_ENTRIES),
        }
    }

    /// The name under which the same message was accepted a short while ago.
    pub(crate) fn find(&self, fingerprint: &[u8; 32]) -> Option<String> {
        let (id, until) = self.seen.get(fingerprint)?;
        (self.runtime.monotonic() < until).then_some(id)
    }

    pub(crate) fn remember(&self, fingerprint: [u8; 32], id: String) {
        let until = self.runtime.monotonic().after(RESEND_TIME);
        self.seen.insert(fingerprint, (id, until));
    }
}

/// What is the same when a message is sent again; the Message-ID is a part of the body.
pub(crate) fn fingerprint(facts: &Facts, envelope: &Envelope, blob: BlobId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[facts.session.role as u8]);
    match &facts.session.identity {
        Some(identity) => hasher.update(&identity.account.0.to_be_bytes()),
        None => hasher.update(
            facts
                .session
                .client_ip
                .to_canonical()
                .to_string()
                .as_bytes(),
        ),
    };
    for field in [&envelope.encode()[..], &blob.0] {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    *hasher.finalize().as_bytes()
}
