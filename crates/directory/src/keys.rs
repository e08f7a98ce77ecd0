//! Keys of the directory's space; all of them live in shard 0.
//!
//! | key | record |
//! |---|---|
//! | `D` `h` | [head](crate::record::head) |
//! | `D` `d` domain | [domain](crate::record::domain) |
//! | `D` `m` domain NUL local | [address](crate::record::address); local part folded |
//! | `D` `a` account, 8 bytes | [account](crate::record::account) |
//! | `D` `p` account, 8 bytes | [credentials](crate::record::credentials) |
//! | `D` `w` account, 8 bytes | [application passwords](crate::record::app_passwords) |
//! | `D` `s` account, 8 bytes | [grants to send as others](crate::record::send_as) |
//! | `D` `n` local NUL domain | account, varint: bare login names |
//! | `D` `k` | [key of made-up salts](crate::record::key) |
//!
//! Neither domains nor local parts can hold NUL, so no key is the start of
//! another domain's keys.

use engine::{ShardId, keys};
use envelope::{AccountId, Address, Domain};

/// Where the directory lives.
pub(crate) const SHARD: ShardId = ShardId(0);

pub(crate) fn head() -> Vec<u8> {
    tagged(b'h')
}

pub(crate) fn domain(domain: &Domain) -> Vec<u8> {
    let mut key = tagged(b'd');
    key.extend_from_slice(domain.as_str().as_bytes());
    key
}

pub(crate) fn domains() -> (Vec<u8>, Vec<u8>) {
    (tagged(b'd'), tagged(b'd' + 1))
}

pub(crate) fn address(address: &Address) -> Vec<u8> {
    local(address.domain(), &address.local().to_key())
}

/// The key of `local`, folded already, in `domain`.
pub(crate) fn local(domain: &Domain, local: &str) -> Vec<u8> {
    let mut key = addresses_of(domain).0;
    key.extend_from_slice(local.as_bytes());
    key
}

pub(crate) fn addresses_of(domain: &Domain) -> (Vec<u8>, Vec<u8>) {
    let mut start = tagged(b'm');
    start.extend_from_slice(domain.as_str().as_bytes());
    let mut end = start.clone();
    start.push(0);
    end.push(1);
    (start, end)
}

pub(crate) fn addresses() -> (Vec<u8>, Vec<u8>) {
    (tagged(b'm'), tagged(b'm' + 1))
}

/// Takes an address's key apart: domain and folded local part.
pub(crate) fn split_address(key: &[u8]) -> Option<(&str, &str)> {
    let text = core::str::from_utf8(key.get(2..)?).ok()?;
    text.split_once('\0')
}

pub(crate) fn account(id: AccountId) -> Vec<u8> {
    numbered(b'a', id)
}

pub(crate) fn accounts() -> (Vec<u8>, Vec<u8>) {
    (tagged(b'a'), tagged(b'a' + 1))
}

/// Takes an account's key apart.
pub(crate) fn split_account(key: &[u8]) -> Option<AccountId> {
    let bytes = key.get(2..)?.try_into().ok()?;
    Some(AccountId(u64::from_be_bytes(bytes)))
}

/// The account whose record a key of the directory names; none of other keys.
#[must_use]
pub fn account_of(key: &[u8]) -> Option<AccountId> {
    split_account(key).filter(|_| key.starts_with(&tagged(b'a')))
}

pub(crate) fn credentials(id: AccountId) -> Vec<u8> {
    numbered(b'p', id)
}

pub(crate) fn app_passwords(id: AccountId) -> Vec<u8> {
    numbered(b'w', id)
}

pub(crate) fn send_as(id: AccountId) -> Vec<u8> {
    numbered(b's', id)
}

pub(crate) fn all_send_as() -> (Vec<u8>, Vec<u8>) {
    (tagged(b's'), tagged(b's' + 1))
}

pub(crate) fn all_credentials() -> (Vec<u8>, Vec<u8>) {
    (tagged(b'p'), tagged(b'p' + 1))
}

/// The account whose credentials a key names; none of other keys.
pub(crate) fn credentials_of(key: &[u8]) -> Option<AccountId> {
    split_account(key).filter(|_| key.starts_with(&tagged(b'p')))
}

pub(crate) fn key() -> Vec<u8> {
    tagged(b'k')
}

pub(crate) fn name(address: &Address) -> Vec<u8> {
    let mut key = names_of(&address.local().to_key()).0;
    key.extend_from_slice(address.domain().as_str().as_bytes());
    key
}

pub(crate) fn names_of(local: &str) -> (Vec<u8>, Vec<u8>) {
    let mut start = tagged(b'n');
    start.extend_from_slice(local.as_bytes());
    let mut end = start.clone();
    start.push(0);
    end.push(1);
    (start, end)
}

fn tagged(tag: u8) -> Vec<u8> {
    let mut key = keys::directory();
    key.push(tag);
    key
}

fn numbered(tag: u8, id: AccountId) -> Vec<u8> {
    let mut key = tagged(tag);
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_documented_bytes() {
        let bob = Address::parse("Bob@Example.ORG").expect("valid");
        assert_eq!(head(), b"Dh");
        assert_eq!(domain(bob.domain()), b"Ddexample.org");
        assert_eq!(address(&bob), b"Dmexample.org\0bob");
        assert_eq!(account(AccountId(258)), b"Da\0\0\0\0\0\0\x01\x02");
        assert_eq!(account_of(&account(AccountId(258))), Some(AccountId(258)));
        assert_eq!(account_of(&credentials(AccountId(258))), None);
        assert_eq!(credentials(AccountId(1)), b"Dp\0\0\0\0\0\0\0\x01");
        assert_eq!(app_passwords(AccountId(1)), b"Dw\0\0\0\0\0\0\0\x01");
        assert_eq!(send_as(AccountId(1)), b"Ds\0\0\0\0\0\0\0\x01");
        assert_eq!(key(), b"Dk");
        assert_eq!(name(&bob), b"Dnbob\0example.org");
        assert_eq!(split_address(&address(&bob)), Some(("example.org", "bob")));
        assert_eq!(
            split_account(&account(AccountId(258))),
            Some(AccountId(258))
        );
    }

    #[test]
    fn a_domain_range_holds_no_other_domain() {
        let (start, end) = addresses_of(&Domain::parse("a.test").expect("valid"));
        let other = address(&Address::parse("x@a.test2").expect("valid"));
        assert!(!(start <= other && other < end));
    }
}
