//! Which body a record needs, whoever the record belongs to.

use blobs::{BlobId, Owner};
use bytes::Bytes;
use engine::keys::Space;

/// A body that a record names.
pub(crate) struct Needed {
    pub(crate) blob: BlobId,
    pub(crate) size: u64,
    pub(crate) owner: Owner,
}

/// The body that a record names; the error says in words why that is not known.
pub(crate) fn body_of(key: &[u8], value: &Bytes) -> Result<Option<Needed>, String> {
    let of_queue = |(blob, size, owner)| Needed { blob, size, owner };
    match key.first() {
        Some(&space) if space == Space::Account as u8 => mailstore::records::body_of(key, value)
            .map(|found| found.map(|body| of_queue((body.blob, body.size, body.owner))))
            .map_err(|error| error.to_string()),
        Some(&space) if space == Space::Queue as u8 => queue::body_of(key, value)
            .map(|found| found.map(of_queue))
            .map_err(|error| format!("a message of the queue is damaged: {error}")),
        Some(&space) if space == Space::Intake as u8 => intake::body_of(key, value)
            .map(|found| found.map(of_queue))
            .map_err(|error| format!("a message on its way in is damaged: {error}")),
        _ => Ok(None),
    }
}
