//! The Sender Rewriting Scheme (M. S. Wong and S. Benzon, 2003–2004), as the field has it.
//!
//! | sender of the forward | what was before |
//! |---|---|
//! | `SRS0=CODE=DD=far.test=ann@us` | `ann@far.test`; DD is the day, modulo 1024, in two letters |
//! | `SRS1=CODE=first.test==REST@us` | `SRS0=REST@first.test`, of the server that forwarded first |
//! | the same, with a code of ours | `SRS1=…=first.test==REST@second.test`: the ones between are left out |
//!
//! So an address does not grow with the servers, and only the first one looks at the day.
//! Codes are ours alone, so that they may be longer than the usual four letters.

use envelope::{Address, Domain, LocalPart};

use crate::code::{Key, LETTERS, is_proven};
use crate::limits::SRS_DAYS;
use crate::{Day, TooLong, Unproven, strip_prefix};

const DAYS: u64 = 1024;

/// What stands in the sender's place when its message goes on through an address of
/// `through`.
///
/// # Errors
/// It does not fit: the sender has to stay.
pub fn rewrite(
    key: &Key,
    sender: &Address,
    through: &Domain,
    day: Day,
) -> Result<Address, TooLong> {
    let local = sender.local().as_str();
    let host = sender.domain().to_ascii();
    let content = match rewritten_before(local) {
        Some(Before::First(rest)) => second(key, &host, rest),
        Some(Before::Second { host, rest }) => second(key, host, rest),
        None => {
            let stamp = stamp(day);
            let code = key.code("SRS0", &[&stamp, &host, local]);
            format!("SRS0={code}={stamp}={host}={local}")
        }
    };
    let local = LocalPart::from_content(&content).map_err(|_| TooLong)?;
    Address::new(local, through.clone()).map_err(|_| TooLong)
}

/// Whom a notification to this address is for; none if it is of another form. The
/// first key is the present one, others are those before it.
///
/// # Errors
/// Nobody: it is not one of ours, or too old.
#[must_use]
pub fn original(keys: &[Key], address: &Address, day: Day) -> Option<Result<Address, Unproven>> {
    let local = address.local().as_str();
    if let Some(rest) = strip_prefix(local, "SRS0=") {
        return Some(first_original(keys, rest, day));
    }
    let rest = strip_prefix(local, "SRS1=")?;
    Some(second_original(keys, rest))
}

enum Before<'a> {
    /// What is behind `SRS0`, its separator included.
    First(&'a str),
    /// What another server made of that.
    Second { host: &'a str, rest: &'a str },
}

/// Separators differ; what follows belongs to who made it.
fn rewritten_before(local: &str) -> Option<Before<'_>> {
    let parted = |rest: &str| rest.starts_with(['=', '+', '-']);
    if let Some(rest) = strip_prefix(local, "SRS0") {
        return (parted(rest) && rest.matches('=').count() >= 3).then_some(Before::First(rest));
    }
    let rest = strip_prefix(local, "SRS1").filter(|rest| parted(rest))?;
    let (_, rest) = rest.get(1..)?.split_once('=')?;
    let (host, rest) = rest.split_once('=')?;
    let whole = Domain::parse_or_literal(host).is_ok() && parted(rest);
    whole.then_some(Before::Second { host, rest })
}

fn second(key: &Key, host: &str, rest: &str) -> String {
    let code = key.code("SRS1", &[host, rest]);
    format!("SRS1={code}={host}={rest}")
}

fn first_original(keys: &[Key], rest: &str, day: Day) -> Result<Address, Unproven> {
    let mut fields = rest.splitn(4, '=');
    let mut field = || fields.next().ok_or(Unproven::Forged);
    let (code, stamped, host, local) = (field()?, field()?, field()?, field()?);
    if !is_proven(keys, "SRS0", &[stamped, host, local], code) {
        return Err(Unproven::Forged);
    }
    let then = stamped_day(stamped).ok_or(Unproven::Forged)?;
    let age = (day.0 % DAYS + DAYS - then) % DAYS;
    // A day ahead is a clock of ours that was set back.
    if age > SRS_DAYS && age != DAYS - 1 {
        return Err(Unproven::Expired);
    }
    whole(local, host)
}

fn second_original(keys: &[Key], rest: &str) -> Result<Address, Unproven> {
    let mut fields = rest.splitn(3, '=');
    let mut field = || fields.next().ok_or(Unproven::Forged);
    let (code, host, rest) = (field()?, field()?, field()?);
    if !is_proven(keys, "SRS1", &[host, rest], code) {
        return Err(Unproven::Forged);
    }
    whole(&format!("SRS0{rest}"), host)
}

fn whole(local: &str, host: &str) -> Result<Address, Unproven> {
    let local = LocalPart::from_content(local).map_err(|_| Unproven::Forged)?;
    let domain = Domain::parse_or_literal(host).map_err(|_| Unproven::Forged)?;
    Address::new(local, domain).map_err(|_| Unproven::Forged)
}

fn stamp(day: Day) -> String {
    let number = (day.0 % DAYS) as usize;
    [number >> 5, number & 31]
        .map(|five| char::from(LETTERS[five]))
        .iter()
        .collect()
}

fn stamped_day(stamp: &str) -> Option<u64> {
    let value = |letter: u8| {
        let letter = letter.to_ascii_uppercase();
        LETTERS.iter().position(|known| *known == letter)
    };
    match stamp.as_bytes() {
        [high, low] => Some((value(*high)? << 5 | value(*low)?) as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: Day = Day(20_000);

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    fn us() -> Domain {
        Domain::parse("us.test").expect("a domain")
    }

    fn rewritten(sender: &str) -> Address {
        rewrite(&key(1), &address(sender), &us(), TODAY).expect("it fits")
    }

    fn back(address: &Address, day: Day) -> Option<Result<String, Unproven>> {
        let original = original(&[key(1)], address, day)?;
        Some(original.map(|address| address.to_string()))
    }

    #[test]
    fn a_sender_comes_back_and_golden_text() {
        let there = rewritten("Ann@far.test");
        assert_eq!(there.to_string(), "SRS0=BNIMQO=RA=far.test=Ann@us.test");
        assert_eq!(back(&there, TODAY), Some(Ok("Ann@far.test".into())));
        assert_eq!(back(&address("ann@us.test"), TODAY), None);
        assert_eq!(back(&address("srs0@us.test"), TODAY), None);
    }

    #[test]
    fn what_makes_local_parts_awkward_survives() {
        for sender in [
            "a=b=c@far.test",
            "\"a b\"@far.test",
            "ann+list@far.test",
            "ann@[192.0.2.1]",
            "阿@far.test",
        ] {
            let there = rewritten(sender);
            assert_eq!(Address::parse(&there.to_string()), Ok(there.clone()));
            assert_eq!(back(&there, TODAY), Some(Ok(sender.into())));
        }
        // Names travel as A-labels.
        let there = rewritten("ann@bücher.example");
        assert!(there.to_string().contains("=xn--bcher-kva.example=ann@"));
    }

    #[test]
    fn case_on_the_way_does_not_matter() {
        let there = rewritten("Ann@far.test").to_string();
        let lower = address(&there.to_lowercase());
        assert_eq!(back(&lower, TODAY), Some(Ok("ann@far.test".into())));
        let upper = there.replace("SRS0", "srs0").replace("Ann", "ANN");
        assert_eq!(
            back(&address(&upper), TODAY),
            Some(Ok("ANN@far.test".into()))
        );
    }

    #[test]
    fn it_is_good_for_three_weeks_and_over_the_end_of_the_count() {
        for made in [20_000, 1024 * 20 - 5] {
            let there = rewrite(&key(1), &address("ann@far.test"), &us(), Day(made)).expect("fits");
            let after = |days| back(&there, Day(made + days));
            assert!(after(SRS_DAYS).expect("of the form").is_ok());
            assert_eq!(after(SRS_DAYS + 1), Some(Err(Unproven::Expired)));
            assert_eq!(after(500), Some(Err(Unproven::Expired)));
            assert!(back(&there, Day(made - 1)).expect("of the form").is_ok());
            assert_eq!(back(&there, Day(made - 2)), Some(Err(Unproven::Expired)));
        }
    }

    #[test]
    fn threat_11_what_nobody_of_us_made_goes_nowhere() {
        let there = rewritten("ann@far.test").to_string();
        for forged in [
            there.replace("ann@", "eve@"),
            there.replace("far.test", "victim.test"),
            there.replace("=RA=", "=RB="),
            "SRS0=AAAAAA=RA=far.test=ann@us.test".into(),
            "SRS0==RA=far.test=ann@us.test".into(),
            "SRS0=ann@us.test".into(),
            "SRS1=AAAAAA=first.test==X=RA=far.test=ann@us.test".into(),
            "SRS1=x@us.test".into(),
        ] {
            let said = back(&address(&forged), TODAY);
            assert_eq!(said, Some(Err(Unproven::Forged)), "{forged}");
        }
        // An SRS0 code is none of SRS1.
        let first = address("SRS0=ABCD=RA=far.test=ann@first.test");
        let there = rewrite(&key(1), &first, &us(), TODAY).expect("it fits");
        let original = original(&[key(2)], &there, TODAY);
        assert_eq!(original, Some(Err(Unproven::Forged)));
    }

    #[test]
    fn the_key_before_goes_on_for_what_it_made() {
        let there = rewritten("ann@far.test");
        let original = original(&[key(2), key(1)], &there, TODAY);
        assert_eq!(original, Some(Ok(address("ann@far.test"))));
    }

    #[test]
    fn servers_after_the_first_leave_out_those_between() {
        for first in [
            "SRS0=ABCD=RA=far.test=ann@first.test",
            "SRS0+ABCD=RA=far.test=ann@first.test",
        ] {
            let there = rewritten(first);
            assert!(there.local().as_str().contains("=first.test="));
            assert_eq!(back(&there, TODAY), Some(Ok(first.into())));
            // Another one behind us.
            let third = Domain::parse("third.test").expect("a domain");
            let further = rewrite(&key(3), &there, &third, TODAY).expect("it fits");
            let original = original(&[key(3)], &further, TODAY);
            assert_eq!(original, Some(Ok(address(first))));
            // The first looks at the day; we do not.
            assert_eq!(back(&there, Day(TODAY.0 + 500)), Some(Ok(first.into())));
        }
        // What only looks like it is a name like others.
        let there = rewritten("srs0-fan@far.test");
        assert_eq!(back(&there, TODAY), Some(Ok("srs0-fan@far.test".into())));
    }

    #[test]
    fn what_does_not_fit_stays() {
        let sender = address(&format!("{}@far.test", "a".repeat(42)));
        assert_eq!(rewrite(&key(1), &sender, &us(), TODAY), Err(TooLong));
        let sender = address(&format!("{}@far.test", "a".repeat(40)));
        assert!(rewrite(&key(1), &sender, &us(), TODAY).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(local in "(?i:srs[01])[=+-][ -~]{0,58}") {
            if let Ok(local) = LocalPart::from_content(&local) {
                let address = Address::new(local, us()).expect("short");
                if let Some(original) = original(&[key(1)], &address, TODAY) {
                    prop_assert!(original.is_err());
                }
                let _ = rewrite(&key(1), &address, &us(), TODAY);
            }
        }
    }
}
