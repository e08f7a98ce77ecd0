//! XCLIENT: a mail proxy says who its client is (Postfix's XCLIENT_README).
//!
//! Names and values are taken apart here. Not here: from whom it is believed.
//! LOGIN is not offered: nobody is logged in on somebody else's word.

use core::net::IpAddr;

use envelope::{Reply, dsn};

/// What is offered.
pub(super) const ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO DESTADDR DESTPORT";

/// What a proxy says about its client; what it leaves out stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XClient {
    /// ADDR; `Some(None)`: the proxy does not know it.
    pub address: Option<Option<IpAddr>>,
    /// DESTADDR: whom the client has called.
    pub destination: Option<IpAddr>,
}

/// XCLIENT's argument.
pub(super) fn parse(argument: &str) -> Result<XClient, Reply> {
    let mut found = XClient::default();
    let words = argument.split([' ', '\t']).filter(|word| !word.is_empty());
    for (name, value) in words.map(|word| word.split_once('=').unwrap_or((word, ""))) {
        let value = dsn::xtext_decode(value).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| malformed(name))?;
        match name.to_ascii_uppercase().as_str() {
            "ADDR" if is_unknown(&value) => found.address = Some(None),
            "ADDR" => found.address = Some(Some(ip(&value).ok_or_else(|| malformed(name))?)),
            "DESTADDR" if is_unknown(&value) => {}
            "DESTADDR" => found.destination = Some(ip(&value).ok_or_else(|| malformed(name))?),
            // We ask for names ourselves, and the next hello says the rest.
            "NAME" | "PORT" | "PROTO" | "HELO" | "DESTPORT" => {}
            _ => return Err(malformed(name)),
        }
    }
    Ok(found)
}

fn is_unknown(value: &str) -> bool {
    ["[UNAVAILABLE]", "[TEMPUNAVAIL]"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// `192.0.2.1`, or `IPV6:2001:db8::1`.
fn ip(value: &str) -> Option<IpAddr> {
    let six = value
        .get(..5)
        .is_some_and(|head| head.eq_ignore_ascii_case("IPV6:"));
    let ip: IpAddr = if six { &value[5..] } else { value }.parse().ok()?;
    (ip.is_ipv6() == six).then(|| ip.to_canonical())
}

fn malformed(name: &str) -> Reply {
    let name: String = name
        .chars()
        .filter(char::is_ascii_graphic)
        .take(20)
        .collect();
    Reply::enhanced(501, (5, 5, 4), &format!("malformed XCLIENT {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_postfix_and_nginx_write_them() {
        let address = |text: &str| parse(text).map(|found| found.address);
        let ip = |text: &str| Ok(Some(Some(text.parse().expect("an address"))));
        assert_eq!(address("ADDR=192.0.2.7 NAME=far.test"), ip("192.0.2.7"));
        assert_eq!(
            address("addr=IPV6:2001:db8::7 PROTO=ESMTP"),
            ip("2001:db8::7")
        );
        assert_eq!(address("ADDR=[UNAVAILABLE]"), Ok(Some(None)));
        assert_eq!(address("HELO=far.test PORT=4"), Ok(None));
        let both = parse("ADDR=192.0.2.7 DESTADDR=203.0.113.1 DESTPORT=25").expect("valid");
        assert_eq!(both.destination, "203.0.113.1".parse().ok());
        for bad in [
            "ADDR=2001:db8::7",
            "ADDR=IPV6:192.0.2.7",
            "ADDR=far.test",
            "ADDR=",
            "ADDR",
            "LOGIN=alice",
            "ADDR=192.0.2.7+0",
        ] {
            assert_eq!(parse(bad).expect_err(bad).code, 501, "{bad}");
        }
    }
}
