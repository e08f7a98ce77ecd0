//! What others may know of an account's records without knowing their form:
//! backup copies records as they are, and asks here what they need beside them.

use crate::email::EmailRecord;
use crate::error::RecordError;
use crate::keys::{self, Chain};
use blobs::{BlobId, Owner};
use bytes::Bytes;
use engine::{ReadError, Snapshot};
use envelope::AccountId;
use wire::codec::Writer;

/// A body that a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyUse {
    /// The body.
    pub blob: BlobId,
    /// Its octets.
    pub size: u64,
    /// Who is linked to it.
    pub owner: Owner,
}

/// The body that a record of an account names; none if it names none.
///
/// # Errors
/// It is an email's record and does not decode.
pub fn body_of(key: &[u8], record: &Bytes) -> Result<Option<BodyUse>, RecordError> {
    let Some((account, email)) = keys::account_of(key).zip(keys::email_key(key)) else {
        return Ok(None);
    };
    let record = EmailRecord::decode(record).map_err(|error| RecordError::Damaged(email, error))?;
    Ok(Some(BodyUse {
        blob: record.blob,
        size: record.blob_size,
        owner: Owner::Email(account, email.0),
    }))
}

/// Begins the keys of an account's index of texts, which `search` owns and knows the rest of. All of them can
/// be thrown away.
#[must_use]
pub fn search_prefix(account: AccountId) -> Vec<u8> {
    keys::search(account)
}

/// True for a record that is made again by use and that no backup needs.
#[must_use]
pub fn is_left_out(key: &[u8]) -> bool {
    keys::is_search(key)
}

/// Stands for an account's state: while it stays the same, nothing that counts
/// has changed in the account's records. None if there is no such account.
///
/// Made of the head, which every change writes, of the roots, which
/// checkpoints and the reaper write, of the access keys, the ACLs, the annotations, the scripts, what was retrieved and which
/// emails joined threads. Whoever adds a record that can change without these adds
/// it here.
///
/// # Errors
/// The engine can't be read.
pub fn state_mark(
    snapshot: &dyn Snapshot,
    account: AccountId,
) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(head) = snapshot.get(&keys::head(account))? else {
        return Ok(None);
    };
    let mut mark = Writer::new();
    mark.varint(head.version.0).bytes(&head.value);
    for chain in [Chain::Latest, Chain::Base] {
        match snapshot.get(&keys::root(account, chain))? {
            Some(root) => mark.varint(root.version.0).bytes(&root.value),
            None => mark.varint(0),
        };
    }
    for beside in [
        keys::access_keys(account),
        keys::acls(account),
        keys::annotations(account),
        keys::scripts(account),
        keys::retrieved(account),
        keys::threads_head(account),
    ] {
        match snapshot.get(&beside)? {
            Some(record) => mark.varint(record.version.0),
            None => mark.varint(0),
        };
    }
    Ok(Some(mark.finish()))
}
