//! The fields that we put in front of a message.
//!
//! For a mailbox: Return-Path, Delivered-To, X-Original-To where it differs,
//! Received. For the queue: Delivered-To where an address of ours led elsewhere,
//! Received. RFC 5321 §4.4, RFC 9228, RFC 3848.
//!
//! Domains stand in them as A-labels: a message that came without SMTPUTF8 must
//! not need it because of us (RFC 6531 §3.7.3).

use crate::facts::Facts;
use crate::limits::REASON_CHARS_MAX;
use bytes::Bytes;
use envelope::{Address, Domain, ReversePath};
use mime::{DateTime, format_date};
use policy::Role;
use policy::check::IpRev;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The trace field of a transaction, with CRLF, under the fields that checks want.
pub(crate) fn received(
    hostname: &str,
    facts: &Facts,
    smtputf8: bool,
    id: &str,
    only_recipient: Option<&Address>,
    at: DateTime,
) -> String {
    let mut out = facts.evidence.header();
    out.push_str("Received: from ");
    if facts.session.role == Role::Submission {
        // Where users are is nobody's business; the trace has it.
        out.push_str("authenticated-client");
    } else {
        let name = facts.evidence.iprev().and_then(IpRev::name);
        write_from(&mut out, &facts.helo, name, facts.session.client_ip);
    }
    let protocol = facts.protocol(smtputf8);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\r\n\tby {hostname} (Posthouse) with {protocol} id {id}"
    );
    if let Some(tls) = &facts.tls {
        let _ = write!(out, "\r\n\t({})", comment(tls));
    }
    if let Some(recipient) = only_recipient {
        let _ = write!(out, "\r\n\tfor <{}>", recipient.to_wire());
    }
    let _ = write!(out, ";\r\n\t{}\r\n", format_date(at));
    out
}

/// `helo (name [192.0.2.1])` with the name that leads back to the address, where
/// there is one; the address in HELO's place where that was no name.
fn write_from(out: &mut String, helo: &str, name: Option<&str>, ip: IpAddr) {
    let literal = Domain::from_ip(ip.to_canonical());
    let name = name.map(comment).filter(|name| !name.contains(' '));
    // Writing to a String cannot fail.
    let _ = match (Domain::parse_or_literal(helo), name) {
        (Ok(helo), Some(name)) => write!(out, "{} ({name} {literal})", helo.to_ascii()),
        (Ok(helo), None) => write!(out, "{} ({literal})", helo.to_ascii()),
        (Err(_), Some(name)) => write!(out, "{literal} ({name} {literal})"),
        (Err(_), None) => write!(out, "{literal}"),
    };
}

fn comment(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_graphic() && !"()\\".contains(c) {
                c
            } else {
                ' '
            }
        })
        .collect()
}

/// The trace field of a message of our own making.
pub(crate) fn received_from_ourselves(hostname: &str, id: &str, at: DateTime) -> String {
    format!(
        "Received: by {hostname} (Posthouse) id {id};\r\n\t{}\r\n",
        format_date(at)
    )
}

/// What stands in front of a message in a mailbox. `inner` are the fields that
/// it got on the way to here.
pub(crate) fn for_mailbox(
    reverse_path: &ReversePath,
    account: &Address,
    recipient: &Address,
    inner: &[u8],
) -> Bytes {
    let sender = reverse_path.address().map(Address::to_wire);
    let mut out = format!(
        "Return-Path: <{}>\r\nDelivered-To: {}\r\n",
        sender.unwrap_or_default(),
        account.to_wire()
    );
    if recipient != account {
        let _ = write!(out, "X-Original-To: {}\r\n", recipient.to_wire());
    }
    let mut out = out.into_bytes();
    out.extend_from_slice(inner);
    out.into()
}

/// What stands in front of a message that an address of ours sends on. `inner`
/// are the fields that it got on the way to here.
pub(crate) fn for_forward(recipient: &Address, inner: &[u8]) -> Bytes {
    let mut out = format!("Delivered-To: {}\r\n", recipient.to_wire()).into_bytes();
    out.extend_from_slice(inner);
    out.into()
}

/// The fields of a message that goes into Junk because it was refused.
pub(crate) fn with_reason(reason: &str, inner: &[u8]) -> Bytes {
    let reason: String = comment(reason).chars().take(REASON_CHARS_MAX).collect();
    let mut out = format!("X-Posthouse-Refused: {}\r\n", reason.trim()).into_bytes();
    out.extend_from_slice(inner);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Session;

    const AT: DateTime = DateTime {
        unix_seconds: 1_171_494_123,
        zone_minutes: 0,
    };

    fn facts(role: Role, helo: &str) -> Facts {
        Facts {
            session: Session {
                role,
                client_ip: "192.0.2.1".parse().expect("an address"),
                server_ip: "198.51.100.25".parse().expect("an address"),
                identity: None,
                local_user: None,
            },
            session_id: "s1".into(),
            helo: helo.into(),
            extended: true,
            tls: None,
            evidence: Default::default(),
        }
    }

    #[test]
    fn received_as_rfc_5321_section_4_4_has_it() {
        let bob = Address::parse("bob@demo.test").expect("valid");
        let field = received(
            "mx.demo.test",
            &facts(Role::Mx, "far.test"),
            false,
            "x1",
            Some(&bob),
            AT,
        );
        assert_eq!(
            field,
            "Received: from far.test ([192.0.2.1])\r\n\tby mx.demo.test (Posthouse) with ESMTP id x1\
             \r\n\tfor <bob@demo.test>;\r\n\tWed, 14 Feb 2007 23:02:03 +0000\r\n"
        );
    }

    #[test]
    fn threat_10_what_a_client_says_cannot_add_fields_or_comments() {
        for helo in ["a) (b", "x\r\nEvil: y", "a b", "\u{202e}evil", ""] {
            let field = received("mx", &facts(Role::Mx, helo), false, "x", None, AT);
            assert!(
                field.starts_with("Received: from [192.0.2.1]\r\n\tby mx "),
                "{field}"
            );
        }
        let mut tls = facts(Role::Mx, "far.test");
        tls.tls = Some("TLSv1.3 (x)\r\ny".into());
        let field = received("mx", &tls, false, "x", None, AT);
        assert!(
            field.contains("with ESMTPS id x\r\n\t(TLSv1.3  x   y)"),
            "{field}"
        );
    }

    #[test]
    fn protocols_are_those_of_rfc_3848_and_6531() {
        let mut facts = facts(Role::Mx, "x");
        assert_eq!(facts.protocol(true), "UTF8SMTP");
        facts.tls = Some("TLSv1.3".into());
        assert_eq!(facts.protocol(true), "UTF8SMTPS");
        facts.session.role = Role::Lmtp;
        assert_eq!(facts.protocol(false), "LMTPS");
        facts.session.role = Role::Submission;
        facts.session.identity = Some(directory::Identity {
            account: envelope::AccountId(1),
            address: Address::parse("a@b.test").expect("valid"),
            admin: false,
            app_password: None,
        });
        assert_eq!(facts.protocol(false), "ESMTPSA");
        facts.tls = None;
        assert_eq!(facts.protocol(false), "ESMTPA");
        let field = received("mx", &facts, false, "x", None, AT);
        assert!(!field.contains("192.0.2.1"), "{field}");
    }

    #[test]
    fn domains_are_a_labels_where_the_local_part_is_ascii() {
        let parse = |text| Address::parse(text).expect("valid");
        let (bob, jo) = (
            parse("bob@b\u{fc}cher.test"),
            parse("j\u{f6}@b\u{fc}cher.test"),
        );
        let field = received("mx", &facts(Role::Mx, "x"), false, "x", Some(&bob), AT);
        assert!(field.contains("for <bob@xn--bcher-kva.test>;"), "{field}");
        let sender = ReversePath::Address(bob.clone());
        let prefix = for_mailbox(&sender, &bob, &parse("x@b\u{fc}cher.test"), b"");
        assert_eq!(
            &prefix[..],
            b"Return-Path: <bob@xn--bcher-kva.test>\r\nDelivered-To: bob@xn--bcher-kva.test\r\n\
              X-Original-To: x@xn--bcher-kva.test\r\n"
        );
        assert!(for_forward(&bob, b"").is_ascii());
        // Such a local part comes with SMTPUTF8 only.
        let field = received("mx", &facts(Role::Mx, "x"), true, "x", Some(&jo), AT);
        assert!(field.contains("for <j\u{f6}@b\u{fc}cher.test>;"), "{field}");
    }

    #[test]
    fn a_mailbox_prefix_names_both_addresses_only_where_they_differ() {
        let bob = Address::parse("bob@demo.test").expect("valid");
        let team = Address::parse("team@demo.test").expect("valid");
        let same = for_mailbox(&ReversePath::Null, &bob, &bob, b"R: x\r\n");
        assert_eq!(
            &same[..],
            b"Return-Path: <>\r\nDelivered-To: bob@demo.test\r\nR: x\r\n"
        );
        let other = for_mailbox(&ReversePath::Null, &bob, &team, b"");
        assert!(other.ends_with(b"X-Original-To: team@demo.test\r\n"));
    }
}
