//! Addresses, domains, paths, DSN parameters, status codes and replies:
//! what is written is read as the same value.
#![no_main]

use envelope::dsn::{parse_envid, xtext_decode, xtext_encode};
use envelope::timestamp::{format_rfc3339, parse_rfc3339};
use envelope::{
    Address, Domain, EnhancedStatus, LocalPart, Notify, OriginalRecipient, Reply, ReversePath, path,
};
use libfuzzer_sys::fuzz_target;

fn is_clean(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn check_domain(domain: &Domain) {
    let again = Domain::parse_or_literal(domain.as_str());
    assert_eq!(again.as_ref(), Ok(domain), "a domain's own form");
    let ascii = domain.to_ascii();
    assert!(ascii.is_ascii() && ascii.len() <= 255);
    assert_eq!(
        Domain::parse_or_literal(&ascii).as_ref(),
        Ok(domain),
        "{ascii}"
    );
    assert!(is_clean(domain.as_str()));
    if let Some(ip) = domain.literal_ip() {
        assert_eq!(&Domain::from_ip(ip), domain);
    }
}

fn check_address(address: &Address) {
    let text = address.to_string();
    assert!(is_clean(&text) && text.len() <= 254);
    assert_eq!(Address::parse(&text).as_ref(), Ok(address));
    assert_eq!(address.to_ascii().is_none(), address.needs_smtputf8());
    if let Some(ascii) = address.to_ascii() {
        assert!(ascii.is_ascii());
        // A-labels may make it longer than a path may be.
        let again = Address::parse(&ascii);
        assert!(
            ascii.len() > 254 || again.as_ref() == Ok(address),
            "{ascii}"
        );
    }
    // Equal keys mean equal look-ups: making one of a key must not change it.
    let local = LocalPart::from_content(&address.local().to_key());
    if let Ok(local) = local {
        assert_eq!(local.to_key(), address.local().to_key());
    }
    assert_eq!(
        address.local().is_ascii(),
        address.local().to_key().is_ascii()
    );
    check_domain(address.domain());
    let (bracketed, behind) = (format!("<{text}> X"), " X");
    let reverse = path::parse_reverse(&bracketed).expect("our own writing");
    assert_eq!(reverse.path, ReversePath::Address(address.clone()));
    assert_eq!((reverse.rest, reverse.had_route), (behind, false));
}

fn check_paths(text: &str) {
    if let Ok(parsed) = path::parse_reverse(text) {
        assert!(text.ends_with(parsed.rest));
        let _ = parsed.path.address().map(check_address);
    }
    if let Ok(parsed) = path::parse_forward(text) {
        assert!(text.ends_with(parsed.rest));
        if let path::ForwardPath::Address(address) = &parsed.path {
            check_address(address);
        }
    }
}

fn check_dsn(text: &str) {
    if is_clean(text) {
        assert_eq!(xtext_decode(&xtext_encode(text)).as_deref(), Some(text));
    }
    assert!(xtext_decode(text).is_none_or(|decoded| is_clean(&decoded)));
    if let Some(id) = parse_envid(text) {
        assert_eq!(parse_envid(&xtext_encode(&id)), Some(id));
    }
    if let Some(orcpt) = OriginalRecipient::parse(text) {
        assert_eq!(OriginalRecipient::parse(&orcpt.to_string()), Some(orcpt));
    }
    if let Some(notify) = Notify::parse(text) {
        assert_eq!(Notify::parse(&notify.to_string()), Some(notify));
    }
    if let Some(status) = EnhancedStatus::parse(text) {
        assert_eq!(EnhancedStatus::parse(&status.to_string()), Some(status));
    }
}

fn check_moment(text: &str) {
    if let Some(moment) = parse_rfc3339(text) {
        let written = format_rfc3339(moment);
        let again = parse_rfc3339(&written).expect("our own writing");
        assert_eq!(format_rfc3339(again), written);
        // A zone may lead out of the years that are written.
        assert!(again == moment || written.starts_with("0000-") || written.starts_with("9999-"));
    }
}

fn check_reply(text: &str) {
    let reply = Reply::enhanced(550, (5, 1, 1), text).to_string();
    fuzz::assert_lines(reply.as_bytes());
    let lines = reply.split_terminator("\r\n").count();
    for (at, line) in reply.split_terminator("\r\n").enumerate() {
        let head = if at + 1 == lines {
            "550 5.1.1 "
        } else {
            "550-5.1.1 "
        };
        assert!(line.starts_with(head) && is_clean(line));
    }
}

fuzz_target!(|text: &str| {
    let _ = Address::parse(text).as_ref().map(check_address);
    let _ = Domain::parse_or_literal(text).as_ref().map(check_domain);
    if let Ok(local) = LocalPart::parse(text) {
        assert_eq!(LocalPart::parse(&local.to_string()).as_ref(), Ok(&local));
    }
    if let Ok(local) = LocalPart::from_content(text) {
        assert_eq!(local.as_str(), text);
        assert_eq!(LocalPart::parse(&local.to_string()).as_ref(), Ok(&local));
    }
    check_paths(text);
    check_dsn(text);
    check_moment(text);
    check_reply(text);
});
