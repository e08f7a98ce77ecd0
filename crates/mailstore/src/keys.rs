//! The keys of an account, behind `A` and its number (8 bytes, high byte first):
//!
//! | key | then | holds |
//! |---|---|---|
//! | `a` | – | who else may do what ([`crate::acl`]) |
//! | `b` | as `c` | the base: a checkpoint at the log's floor |
//! | `c` `k` | chunk (4 bytes) · generation (8) | keywords of the table, [`crate::limits::KEYWORDS_PER_RECORD`] a record |
//! | `c` `m` | mailbox (4) · generation (8) | a mailbox's record |
//! | `c` `p` | mailbox (4) · page (4) · generation (8) | a page of entries |
//! | `c` `r` | – | the root of the latest finished checkpoint |
//! | `e` | email (8) | an email's immutable record |
//! | `h` | – | the head |
//! | `i` | page (8) | what lists show of [`crate::limits::LIST_EMAILS`] emails ([`crate::lists`]) |
//! | `j` | page (8) | what they are sorted and threaded by |
//! | `l` | modseq (8) | an entry of the log |
//! | `f` | – | filter scripts ([`crate::scripts`]) |
//! | `n` | – | annotations ([`crate::annotations`]) |
//! | `r` | – | what was retrieved of the inbox, and when ([`crate::retrieved`]) |
//! | `s` | what [`crate::records::search_prefix`]'s owner says | the index of texts, which `search` owns |
//! | `t` | `h`; `k` key (16); `p` page (8) | which emails belong together ([`crate::threads`]) |
//! | `u` | – | what URLs are authorized by ([`crate::access_keys`]) |
//! | `v` | mailbox (4) · reader's account (8) | what another has read of it ([`crate::seen_by`]) |
//!
//! All numbers are high byte first, so that keys sort by them. A part's
//! generation is the modseq of the checkpoint that wrote it: the newest that is
//! not above the root's counts, an empty value means the part is gone.
//!
//! Base and log above the floor are the account; everything under `c`, `i`, `j` and `s` can
//! be thrown away.

use crate::lists::ListKind;
use envelope::AccountId;
use mailbox_model::{EmailId, MailboxId, ModSeq, ThreadKey};

const ACLS: u8 = b'a';
const BASE: u8 = b'b';
const CHECKPOINT: u8 = b'c';
const EMAIL: u8 = b'e';
const SCRIPTS: u8 = b'f';
const HEAD: u8 = b'h';
const LIST: u8 = b'i';
const SORT_KEYS: u8 = b'j';
const LOG: u8 = b'l';
const ANNOTATIONS: u8 = b'n';
const RETRIEVED: u8 = b'r';
const SEARCH: u8 = b's';
const THREADS: u8 = b't';
const ACCESS: u8 = b'u';
const SEEN_BY: u8 = b'v';
const KEYWORDS: u8 = b'k';
const MAILBOX: u8 = b'm';
const PAGE: u8 = b'p';
const ROOT: u8 = b'r';
const THREADS_HEAD: u8 = b'h';
const THREAD_KEY: u8 = b'k';
const THREAD_PAGE: u8 = b'p';

/// Bytes before what [`crate::keys`] says of a key.
const PREFIX: usize = 9;

/// The two checkpoints of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    /// At the log's floor: it stands for the log that is gone.
    Base,
    /// The latest, which can be thrown away.
    Latest,
}

impl Chain {
    fn kind(self) -> u8 {
        match self {
            Self::Base => BASE,
            Self::Latest => CHECKPOINT,
        }
    }
}

/// A part of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    Keywords(u32),
    Mailbox(MailboxId),
    Page(MailboxId, u32),
}

fn key(account: AccountId, kind: u8) -> Vec<u8> {
    let mut key = engine::keys::account(account.0);
    key.push(kind);
    key
}

/// The account that a key belongs to.
pub(crate) fn account_of(key: &[u8]) -> Option<AccountId> {
    let id = key.get(1..PREFIX)?.try_into().ok()?;
    Some(AccountId(u64::from_be_bytes(id)))
}

/// Everything of an account.
pub(crate) fn all(account: AccountId) -> (Vec<u8>, Vec<u8>) {
    let start = engine::keys::account(account.0);
    let mut end = start.clone();
    end.push(0xff);
    (start, end)
}

pub(crate) fn head(account: AccountId) -> Vec<u8> {
    key(account, HEAD)
}

pub(crate) fn root(account: AccountId, chain: Chain) -> Vec<u8> {
    let mut key = key(account, chain.kind());
    key.push(ROOT);
    key
}

pub(crate) fn log(account: AccountId, modseq: ModSeq) -> Vec<u8> {
    let mut key = key(account, LOG);
    key.extend_from_slice(&modseq.0.to_be_bytes());
    key
}

/// The log up to `last`.
pub(crate) fn log_until(account: AccountId, last: ModSeq) -> (Vec<u8>, Vec<u8>) {
    (key(account, LOG), log(account, last.next()))
}

/// The change that a key of the log names.
pub(crate) fn modseq_of(key: &[u8]) -> Option<ModSeq> {
    let modseq = key.get(PREFIX + 1..)?.try_into().ok()?;
    Some(ModSeq(u64::from_be_bytes(modseq)))
}

/// What lies between the ranges that are written: nothing, in a sound store.
pub(crate) fn gaps(account: AccountId) -> Vec<(Vec<u8>, Vec<u8>)> {
    let start = engine::keys::account(account.0);
    let end = engine::keys::end_of(&start);
    let mut head_end = head(account);
    head_end.push(0);
    let mut scripts_end = scripts(account);
    scripts_end.push(0);
    let mut annotations_end = annotations(account);
    annotations_end.push(0);
    let mut access_end = access_keys(account);
    access_end.push(0);
    let mut retrieved_end = retrieved(account);
    retrieved_end.push(0);
    let mut acls_end = acls(account);
    acls_end.push(0);
    vec![
        (start, acls(account)),
        (acls_end, key(account, BASE)),
        (key(account, CHECKPOINT + 1), key(account, EMAIL)),
        (key(account, EMAIL + 1), scripts(account)),
        (scripts_end, key(account, HEAD)),
        (head_end, key(account, LIST)),
        (key(account, SORT_KEYS + 1), key(account, LOG)),
        (key(account, LOG + 1), annotations(account)),
        (annotations_end, retrieved(account)),
        (retrieved_end, search(account)),
        (key(account, THREADS + 1), access_keys(account)),
        (access_end, key(account, SEEN_BY)),
        (key(account, SEEN_BY + 1), end),
    ]
}

/// The log after `after`.
pub(crate) fn log_after(account: AccountId, after: ModSeq) -> (Vec<u8>, Vec<u8>) {
    (log(account, after.next()), key(account, LOG + 1))
}

pub(crate) fn email(account: AccountId, email: EmailId) -> Vec<u8> {
    let mut key = key(account, EMAIL);
    key.extend_from_slice(&email.0.to_be_bytes());
    key
}

/// All email records.
pub(crate) fn emails(account: AccountId) -> (Vec<u8>, Vec<u8>) {
    (key(account, EMAIL), key(account, EMAIL + 1))
}

/// The email that a key of [`emails`] names.
pub(crate) fn email_of(key: &[u8]) -> Option<EmailId> {
    let id = key.get(PREFIX + 1..)?.try_into().ok()?;
    Some(EmailId(u64::from_be_bytes(id)))
}

pub(crate) fn list(account: AccountId, kind: ListKind, page: u64) -> Vec<u8> {
    let (mut key, _) = lists(account, kind);
    key.extend_from_slice(&page.to_be_bytes());
    key
}

pub(crate) fn annotations(account: AccountId) -> Vec<u8> {
    key(account, ANNOTATIONS)
}

pub(crate) fn scripts(account: AccountId) -> Vec<u8> {
    key(account, SCRIPTS)
}

pub(crate) fn retrieved(account: AccountId) -> Vec<u8> {
    key(account, RETRIEVED)
}

pub(crate) fn access_keys(account: AccountId) -> Vec<u8> {
    key(account, ACCESS)
}

/// Begins the keys of the index of texts.
pub(crate) fn search(account: AccountId) -> Vec<u8> {
    key(account, SEARCH)
}

/// True for a key of the index of texts.
pub(crate) fn is_search(key: &[u8]) -> bool {
    key.first() == Some(&(engine::keys::Space::Account as u8)) && key.get(PREFIX) == Some(&SEARCH)
}

/// All that is kept of threads.
pub(crate) fn threads(account: AccountId) -> (Vec<u8>, Vec<u8>) {
    (key(account, THREADS), key(account, THREADS + 1))
}

pub(crate) fn threads_head(account: AccountId) -> Vec<u8> {
    let mut key = key(account, THREADS);
    key.push(THREADS_HEAD);
    key
}

pub(crate) fn thread_key(account: AccountId, of: &ThreadKey) -> Vec<u8> {
    let mut key = key(account, THREADS);
    key.push(THREAD_KEY);
    key.extend_from_slice(of);
    key
}

/// True for a key that [`thread_key`] made.
pub(crate) fn is_thread_key(key: &[u8]) -> bool {
    key.get(PREFIX + 1) == Some(&THREAD_KEY) && key.len() == PREFIX + 2 + size_of::<ThreadKey>()
}

pub(crate) fn thread_page(account: AccountId, page: u64) -> Vec<u8> {
    let mut key = key(account, THREADS);
    key.push(THREAD_PAGE);
    key.extend_from_slice(&page.to_be_bytes());
    key
}

/// The page that a key of [`threads`] names.
pub(crate) fn page_of_threads(key: &[u8]) -> Option<u64> {
    let (&THREAD_PAGE, page) = key.get(PREFIX + 1..)?.split_first()? else {
        return None;
    };
    Some(u64::from_be_bytes(page.try_into().ok()?))
}

pub(crate) fn acls(account: AccountId) -> Vec<u8> {
    key(account, ACLS)
}

pub(crate) fn seen_by(account: AccountId, mailbox: MailboxId, reader: AccountId) -> Vec<u8> {
    let mut key = key(account, SEEN_BY);
    key.extend_from_slice(&mailbox.0.to_be_bytes());
    key.extend_from_slice(&reader.0.to_be_bytes());
    key
}

/// What all readers have read.
pub(crate) fn seen_by_all(account: AccountId) -> (Vec<u8>, Vec<u8>) {
    (key(account, SEEN_BY), key(account, SEEN_BY + 1))
}

/// True for a key of [`seen_by_all`] that names a mailbox and a reader.
pub(crate) fn is_seen_by(key: &[u8]) -> bool {
    key.len() == PREFIX + 1 + 4 + 8
}

/// All pages of lists of a kind.
pub(crate) fn lists(account: AccountId, kind: ListKind) -> (Vec<u8>, Vec<u8>) {
    let letter = match kind {
        ListKind::Listings => LIST,
        ListKind::SortKeys => SORT_KEYS,
    };
    (key(account, letter), key(account, letter + 1))
}

/// The page that a key of [`lists`] names.
pub(crate) fn page_of_list(key: &[u8]) -> Option<u64> {
    let page = key.get(PREFIX + 1..)?.try_into().ok()?;
    Some(u64::from_be_bytes(page))
}

/// The email whose record any key of an account names; none of other records.
pub(crate) fn email_key(key: &[u8]) -> Option<EmailId> {
    email_of(key).filter(|_| key.get(PREFIX) == Some(&EMAIL))
}

pub(crate) fn part(account: AccountId, chain: Chain, part: Part, generation: ModSeq) -> Vec<u8> {
    let mut key = key(account, chain.kind());
    match part {
        Part::Keywords(chunk) => {
            key.push(KEYWORDS);
            key.extend_from_slice(&chunk.to_be_bytes());
        }
        Part::Mailbox(mailbox) => {
            key.push(MAILBOX);
            key.extend_from_slice(&mailbox.0.to_be_bytes());
        }
        Part::Page(mailbox, page) => {
            key.push(PAGE);
            key.extend_from_slice(&mailbox.0.to_be_bytes());
            key.extend_from_slice(&page.to_be_bytes());
        }
    }
    key.extend_from_slice(&generation.0.to_be_bytes());
    key
}

/// All parts of a chain's checkpoints, without the root.
pub(crate) fn parts(account: AccountId, chain: Chain) -> (Vec<u8>, Vec<u8>) {
    (key(account, chain.kind()), root(account, chain))
}

/// Behind every key of a chain.
pub(crate) fn end_of_chain(account: AccountId, chain: Chain) -> Vec<u8> {
    key(account, chain.kind() + 1)
}

/// The part and the generation that a key of [`parts`] names.
pub(crate) fn part_of(key: &[u8]) -> Option<(Part, ModSeq)> {
    let (kind, rest) = key.get(PREFIX + 1..)?.split_first()?;
    let (ids, generation) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    let number = |at: usize| {
        let bytes = ids.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    let (part, len) = match *kind {
        KEYWORDS => (Part::Keywords(number(0)?), 4),
        MAILBOX => (Part::Mailbox(MailboxId(number(0)?)), 4),
        PAGE => (Part::Page(MailboxId(number(0)?), number(4)?), 8),
        _ => return None,
    };
    let generation = u64::from_be_bytes(generation.try_into().ok()?);
    (ids.len() == len).then_some((part, ModSeq(generation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_back_and_lie_before_the_root() {
        let account = AccountId(7);
        for chain in [Chain::Base, Chain::Latest] {
            for p in [
                Part::Keywords(3),
                Part::Mailbox(MailboxId(9)),
                Part::Page(MailboxId(9), 4),
            ] {
                let key = part(account, chain, p, ModSeq(77));
                assert_eq!(part_of(&key), Some((p, ModSeq(77))));
                let (start, end) = parts(account, chain);
                assert!(start <= key && key < end);
            }
            assert_eq!(part_of(&root(account, chain)), None);
        }
        assert!(root(account, Chain::Base) < parts(account, Chain::Latest).0);
        let key = email(account, EmailId(5));
        assert_eq!(email_of(&key), Some(EmailId(5)));
        assert_eq!(email_key(&key), Some(EmailId(5)));
        assert_eq!(account_of(&key), Some(account));
        assert_eq!(email_key(&log(account, ModSeq(5))), None);
    }

    #[test]
    fn the_log_is_cut_behind_its_floor() {
        let account = AccountId(7);
        let (start, end) = log_until(account, ModSeq(5));
        assert!(start <= log(account, ModSeq(1)) && log(account, ModSeq(5)) < end);
        assert_eq!(end, log_after(account, ModSeq(5)).0);
    }
}
