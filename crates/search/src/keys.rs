//! The keys of an index, behind [`mailstore::records::search_prefix`]:
//!
//! | key | then | holds |
//! |---|---|---|
//! | `h` | – | the head ([`crate::head`]) |
//! | `t` | segment (8 bytes) · the block's first term (4) | a block ([`search_index::Block`]) |
//!
//! All numbers are high byte first.

use envelope::AccountId;
use mailstore::records::search_prefix;
use search_index::Term;

const HEAD: u8 = b'h';
const BLOCK: u8 = b't';

pub(crate) fn head(account: AccountId) -> Vec<u8> {
    let mut key = search_prefix(account);
    key.push(HEAD);
    key
}

pub(crate) fn block(account: AccountId, segment: u64, first: Term) -> Vec<u8> {
    let mut key = segment_prefix(account, segment);
    key.extend_from_slice(&first.0.to_be_bytes());
    key
}

/// All blocks of a segment.
pub(crate) fn blocks(account: AccountId, segment: u64) -> (Vec<u8>, Vec<u8>) {
    let start = segment_prefix(account, segment);
    let end = engine::keys::end_of(&start);
    (start, end)
}

/// The blocks of a segment up to the one that may hold a term.
pub(crate) fn blocks_until(account: AccountId, segment: u64, term: Term) -> (Vec<u8>, Vec<u8>) {
    let start = segment_prefix(account, segment);
    let mut end = block(account, segment, term);
    end.push(0);
    (start, end)
}

/// Everything of an account's index.
pub(crate) fn all(account: AccountId) -> (Vec<u8>, Vec<u8>) {
    let start = search_prefix(account);
    let end = engine::keys::end_of(&start);
    (start, end)
}

fn segment_prefix(account: AccountId, segment: u64) -> Vec<u8> {
    let mut key = search_prefix(account);
    key.push(BLOCK);
    key.extend_from_slice(&segment.to_be_bytes());
    key
}
