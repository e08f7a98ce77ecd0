//! Bounce Address Tag Validation: draft-levine-smtp-batv-01.
//!
//! `ann@us.test` sends as `prvs=KDDDSSSSSS=ann@us.test`: K is the key's number (always 0: it
//! is tried which one fits), DDD the last three digits of the day on which it ends, SSSSSS
//! six hexadecimal digits of the code. Only who made a tag checks it.

use envelope::{Address, LocalPart};
use subtle::ConstantTimeEq as _;

use crate::limits::BATV_DAYS;
use crate::{Day, Key, TooLong, Unproven, strip_prefix};

const DAYS: u64 = 1000;

/// The sender with its tag.
///
/// # Errors
/// It does not fit: the sender goes without.
pub fn tag(key: &Key, sender: &Address, day: Day) -> Result<Address, TooLong> {
    let local = sender.local().as_str();
    let ends = format!("0{:03}", (day.0 + BATV_DAYS) % DAYS);
    let code = code(key, &ends, local, sender);
    let content = format!("prvs={ends}{code}={local}");
    let local = LocalPart::from_content(&content).map_err(|_| TooLong)?;
    Address::new(local, sender.domain().clone()).map_err(|_| TooLong)
}

/// The sender without its tag; none if it has none.
///
/// # Errors
/// The tag is not ours, or its time is over.
#[must_use]
pub fn untag(keys: &[Key], address: &Address, day: Day) -> Option<Result<Address, Unproven>> {
    let rest = strip_prefix(address.local().as_str(), "prvs=")?;
    let (tag, local) = rest.split_once('=')?;
    Some(proven(keys, address, tag, local, day))
}

fn proven(
    keys: &[Key],
    address: &Address,
    tag: &str,
    local: &str,
    day: Day,
) -> Result<Address, Unproven> {
    let (ends, said) = tag.split_at_checked(4).ok_or(Unproven::Forged)?;
    let said = said.to_ascii_lowercase();
    let is_ours = |key: &Key| -> bool {
        let right = code(key, ends, local, address);
        right.as_bytes().ct_eq(said.as_bytes()).into()
    };
    if !keys.iter().any(is_ours) {
        return Err(Unproven::Forged);
    }
    let end: u64 = ends.parse().map_err(|_| Unproven::Forged)?;
    let left = (end + DAYS - day.0 % DAYS) % DAYS;
    // A day more is a clock of ours that was set back.
    if left > BATV_DAYS + 1 {
        return Err(Unproven::Expired);
    }
    let local = LocalPart::from_content(local).map_err(|_| Unproven::Forged)?;
    Address::new(local, address.domain().clone()).map_err(|_| Unproven::Forged)
}

fn code(key: &Key, ends: &str, local: &str, address: &Address) -> String {
    let mac = key.mac("prvs", &[ends, local, &address.domain().to_ascii()]);
    mac.iter()
        .take(3)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Day = Day(20_998);

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    fn back(text: &str, day: Day) -> Option<Result<String, Unproven>> {
        let untagged = untag(&[key(2), key(1)], &address(text), day)?;
        Some(untagged.map(|address| address.to_string()))
    }

    #[test]
    fn a_tag_comes_off_with_the_sub_address_kept_and_golden_text() {
        let sender = address("ann+list@us.test");
        let tagged = tag(&key(1), &sender, TODAY).expect("it fits").to_string();
        assert_eq!(tagged, "prvs=00059f918a=ann+list@us.test");
        let original = Some(Ok("ann+list@us.test".to_owned()));
        assert_eq!(back(&tagged, TODAY), original);
        assert_eq!(back(&tagged.replace("prvs", "PRVS"), TODAY), original);
        assert_eq!(back(&tagged, Day(TODAY.0 + BATV_DAYS)), original);
        assert_eq!(
            back(&tagged, Day(TODAY.0 + BATV_DAYS + 1)),
            Some(Err(Unproven::Expired))
        );
        assert_eq!(back("ann@us.test", TODAY), None);
        assert_eq!(back("prvs=ann@us.test", TODAY), None);
    }

    #[test]
    fn threat_11_a_tag_of_somebody_else_is_none() {
        let sender = address("ann@us.test");
        let tagged = tag(&key(1), &sender, TODAY).expect("it fits").to_string();
        for forged in [
            tagged.replace("ann", "eve"),
            tagged.replace("us.test", "other.test"),
            tagged.replace("=0005", "=0006"),
            "prvs=0005000000=ann@us.test".into(),
            "prvs==ann@us.test".into(),
            "prvs=é00=ann@us.test".into(),
        ] {
            assert_eq!(
                back(&forged, TODAY),
                Some(Err(Unproven::Forged)),
                "{forged}"
            );
        }
        let long = address(&format!("{}@us.test", "a".repeat(50)));
        assert_eq!(tag(&key(1), &long, TODAY), Err(TooLong));
    }
}
