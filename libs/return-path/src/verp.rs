//! Variable envelope return paths: a list's address for notifications that says whom the
//! message was for, whatever the notification says.
//!
//! `list-bounces@us.test` is `list-bounces+CODE=ann=far.test@us.test` for `ann@far.test`:
//! the form of D. J. Bernstein's proposal of 1997, with a code in front, so that nobody
//! can have members of a list removed.

use envelope::{Address, Domain, LocalPart};

use crate::code::is_proven;
use crate::{Key, TooLong, Unproven};

/// The list's address for what is sent to `recipient`. `separator` is what parts
/// sub-addresses here.
///
/// # Errors
/// It does not fit: notifications have to say themselves whom they are about.
pub fn address_for(
    key: &Key,
    bounces: &Address,
    separator: char,
    recipient: &Address,
) -> Result<Address, TooLong> {
    let (local, host) = (recipient.local().as_str(), recipient.domain().to_ascii());
    let base = bounces.local().as_str();
    let code = key.code("VERP", &[&bounces.to_key(), local, &host]);
    let content = format!("{base}{separator}{code}={local}={host}");
    let local = LocalPart::from_content(&content).map_err(|_| TooLong)?;
    Address::new(local, bounces.domain().clone()).map_err(|_| TooLong)
}

/// Whom a message was for whose notification came to this address; none if it is no
/// such address of `bounces`.
///
/// # Errors
/// It was not made here.
#[must_use]
pub fn recipient(
    keys: &[Key],
    bounces: &Address,
    separator: char,
    address: &Address,
) -> Option<Result<Address, Unproven>> {
    if address.domain() != bounces.domain() {
        return None;
    }
    let rest = crate::strip_prefix(address.local().as_str(), bounces.local().as_str())?;
    let rest = rest.strip_prefix(separator)?;
    let (code, rest) = rest.split_once('=')?;
    let (local, host) = rest.rsplit_once('=')?;
    Some(proven(keys, bounces, code, local, host))
}

fn proven(
    keys: &[Key],
    bounces: &Address,
    code: &str,
    local: &str,
    host: &str,
) -> Result<Address, Unproven> {
    if !is_proven(keys, "VERP", &[&bounces.to_key(), local, host], code) {
        return Err(Unproven::Forged);
    }
    let local = LocalPart::from_content(local).map_err(|_| Unproven::Forged)?;
    let domain = Domain::parse_or_literal(host).map_err(|_| Unproven::Forged)?;
    Address::new(local, domain).map_err(|_| Unproven::Forged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    #[test]
    fn the_address_says_whom_the_message_was_for_and_nobody_else_can_say_it() {
        let (key, bounces) = (Key::new([1; 32]), address("list-bounces@us.test"));
        let keys = [key.clone()];
        let back = |text: &str| recipient(&keys, &bounces, '+', &address(text));
        for member in ["ann@far.test", "a=b@far.test", "ann+x@far.test"] {
            let there = address_for(&key, &bounces, '+', &address(member)).expect("it fits");
            assert_eq!(back(&there.to_string()), Some(Ok(address(member))));
            let forged = there.to_string().replace("far.test", "other.test");
            assert_eq!(back(&forged), Some(Err(Unproven::Forged)));
            // Another list's is not this one's.
            let other = address("news-bounces@us.test");
            let moved = there.to_string().replace("list-", "news-");
            let moved = recipient(&keys, &other, '+', &address(&moved));
            assert_eq!(moved, Some(Err(Unproven::Forged)));
        }
        for none in [
            "list-bounces@us.test",
            "list-bounces+x@us.test",
            "list-bounces+a=b@us.test",
        ] {
            assert_eq!(back(none), None, "{none}");
        }
        let long = address(&format!("{}@far.test", "a".repeat(40)));
        assert_eq!(address_for(&key, &bounces, '+', &long), Err(TooLong));
    }
}
