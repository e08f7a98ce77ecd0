//! The crate's rules by example, its golden bytes, its properties.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::*;

fn domain(text: &str) -> String {
    Domain::parse(text).unwrap().to_string()
}

#[test]
fn domains_are_normalised() {
    assert_eq!(domain("Example.ORG"), "example.org");
    assert_eq!(domain("XN--BCHER-KVA.example"), "bücher.example");
    assert_eq!(domain("BÜCHER.Example"), "bücher.example");
    // Decomposed: u and a combining diaeresis.
    assert_eq!(domain("bu\u{308}cher.example"), "bücher.example");
    assert_eq!(domain("例子.测试"), "例子.测试");
    assert_eq!(domain("straße.example"), "straße.example");
    assert_eq!(domain("localhost"), "localhost");
    assert_eq!(domain("my_host.example"), "my_host.example");
    assert_eq!(
        Domain::parse("例子.测试").unwrap().to_ascii(),
        "xn--fsqu00a.xn--0zwm56d"
    );
}

#[test]
fn domains_that_only_look_alike_are_refused() {
    for text in [
        "\u{212a}oeln.example", // the Kelvin sign
        "b\u{212a}ücher.example",
        "exam\u{17f}ple.org",   // ſ
        "büche\u{17f}.example", // ſ beside a real U-label
        "ｅｘａｍｐｌｅ.org",   // full width
        "example。org",         // ideographic full stop
        "b\u{130}ber.example",  // İ
        "ex\u{ad}ample.org",    // soft hyphen
        "ex\u{200b}ample.org",  // zero width space
        "xn--example.org",
        "xn--xn--ccccccccccccccccckc-cer.example",
        "xn--.org",
        "exa\u{fffd}mple.org",
    ] {
        assert!(Domain::parse(text).is_err(), "{text}");
    }
}

#[test]
fn texts_that_are_not_domains_are_refused() {
    for text in [
        "",
        ".",
        "a..b",
        ".a",
        "a.",
        "-a.b",
        "a-.b",
        "a b.c",
        "a\0b.c",
        "a/b.c",
        "[1.2.3.4]",
        "1.2.3.4",
        "a@b",
        "a,b",
        "a.b\r\n",
        "a%b.c",
        "(c)a.b",
    ] {
        assert!(Domain::parse(text).is_err(), "{text}");
    }
    let label = "a".repeat(63);
    assert!(Domain::parse(&format!("{label}.org")).is_ok());
    assert_eq!(
        Domain::parse(&format!("{label}a.org")),
        Err(DomainError::TooLong)
    );
    assert!(Domain::parse(&[label.as_str(); 4].join(".")).is_err());
}

#[test]
fn address_literals() {
    let address = Address::parse("a@[192.0.2.1]").unwrap();
    assert_eq!(
        address.domain().literal_ip(),
        Some("192.0.2.1".parse().unwrap())
    );
    let address = Address::parse("a@[ipv6:2001:DB8::1]").unwrap();
    assert_eq!(address.to_string(), "a@[IPv6:2001:db8::1]");
    assert_eq!(Address::parse("a@[IPv6:2001:db8:0::1]").unwrap(), address);
    for text in [
        "a@[]",
        "a@[1.2.3]",
        "a@[1.2.3.4",
        "a@[x:y]",
        "a@[::1]",
        "a@1.2.3.4]",
    ] {
        assert!(Address::parse(text).is_err(), "{text}");
    }
}

#[test]
fn local_parts_and_their_quoting() {
    let shown = |text: &str| Address::parse(text).unwrap().to_string();
    assert_eq!(shown("\"ab\"@x.org"), "ab@x.org");
    assert_eq!(shown("\"a b\"@x.org"), "\"a b\"@x.org");
    assert_eq!(shown("\"a\\\"b\"@x.org"), "\"a\\\"b\"@x.org");
    assert_eq!(shown("\"a@b\"@x.org"), "\"a@b\"@x.org");
    assert_eq!(shown("\"a..b\"@x.org"), "\"a..b\"@x.org");
    assert_eq!(shown("用户@例子.测试"), "用户@例子.测试");
    assert_eq!(shown("a+b%c!d@x.org"), "a+b%c!d@x.org");
    for text in [
        "@x.org",
        "\"\"@x.org",
        ".a@x.org",
        "a.@x.org",
        "a..b@x.org",
        "a b@x.org",
        "a\"b@x.org",
        "\"a\"b@x.org",
        "\"a@x.org",
        "a@b@x.org",
        "a\r\n@x.org",
        "\"a\\\r\"@x.org",
        "\"a\0\"@x.org",
        "<a@x.org>",
        "@r:a@x.org",
        "a",
        "a@",
        "a\u{202e}b@x.org",
        "\u{212a}@x.org",
        "a\u{2028}@x.org",
        "a\u{85}@x.org",
        "a,b@x.org",
        "a@x.org ",
        " a@x.org",
        "a(c)@x.org",
    ] {
        assert!(Address::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn addresses_are_equal_by_exact_local_part_and_domain() {
    let parse = |text: &str| Address::parse(text).unwrap();
    assert_eq!(parse("a@EXAMPLE.org"), parse("a@example.org"));
    assert_ne!(parse("A@example.org"), parse("a@example.org"));
    assert_eq!(parse("A@example.org").to_key(), "a@example.org");
    assert_eq!(parse("Ünü@example.org").to_key(), "ünü@example.org");
    assert_eq!(parse("u\u{308}@example.org").to_key(), "ü@example.org");
    // ſ is no s, and a dotless i is no i.
    assert_eq!(parse("\u{17f}@example.org").to_key(), "\u{17f}@example.org");
    assert_eq!(parse("\u{131}@example.org").to_key(), "\u{131}@example.org");
    assert_eq!(
        parse("a@bücher.example").to_ascii().unwrap(),
        "a@xn--bcher-kva.example"
    );
    assert_eq!(
        parse("a@bücher.example").to_wire(),
        "a@xn--bcher-kva.example"
    );
    assert_eq!(parse("ü@bücher.example").to_wire(), "ü@bücher.example");
    assert_eq!(parse("ü@bücher.example").to_ascii(), None);
}

#[test]
fn limits_count_bytes() {
    let local = |n: usize| Address::parse(&format!("{}@x.org", "a".repeat(n)));
    assert!(local(64).is_ok());
    assert_eq!(
        local(65),
        Err(AddressError::LocalPart(LocalPartError::TooLong))
    );
    assert!(Address::parse(&format!("{}@x.org", "用".repeat(22))).is_err());
    let long = format!("{0}.{0}.{0}.org", "a".repeat(63));
    assert!(Address::parse(&format!("{}@{long}", "a".repeat(58))).is_ok());
    assert_eq!(
        Address::parse(&format!("{}@{long}", "a".repeat(59))),
        Err(AddressError::TooLong)
    );
}

#[test]
fn paths_and_source_routes() {
    let parsed = path::parse_reverse("<> SIZE=1").unwrap();
    assert_eq!((parsed.path, parsed.rest), (ReversePath::Null, " SIZE=1"));
    let parsed = path::parse_forward("<\"a>b\"@x.org>").unwrap();
    assert_eq!(parsed.path.to_string(), "\"a>b\"@x.org");
    for (text, route, want) in [
        ("<@a.org,@b.org:u@c.org>", true, "u@c.org"),
        ("<@[IPv6:::1]:u@c.org>", true, "u@c.org"),
        ("<PostMaster>", false, "postmaster"),
        ("<u@c.org>", false, "u@c.org"),
    ] {
        let parsed = path::parse_forward(text).unwrap();
        assert_eq!(parsed.had_route, route, "{text}");
        assert_eq!(parsed.path.to_string(), want);
    }
    for text in [
        "<>",
        "u@c.org",
        "<u@c.org",
        "<@a.org>",
        "<@a.org:>",
        "<@:u@c.org>",
        "<@a.org@b.org:u@c.org>",
        "<@a.org,b.org:u@c.org>",
        "< u@c.org>",
        "<\"u@c.org>",
        "<@a.org:postmaster>",
        "<@a.org:@b.org:u@c.org>",
    ] {
        assert!(path::parse_forward(text).is_err(), "{text}");
    }
    assert!(path::parse_reverse("<@a.org:>").is_err());
}

#[test]
fn replies_on_the_wire() {
    let reply = Reply::enhanced(550, (5, 1, 1), "no such user\nask your postmaster");
    assert_eq!(
        reply.to_string(),
        "550-5.1.1 no such user\r\n550 5.1.1 ask your postmaster\r\n"
    );
    assert!(reply.is_permanent() && !reply.is_temporary() && !reply.is_positive());
    assert_eq!(Reply::new(354, None, "go on").to_string(), "354 go on\r\n");
    assert_eq!(Reply::new(250, None, "").to_string(), "250 \r\n");
    let forged = Reply {
        code: 250,
        enhanced: None,
        lines: vec!["a\r\n250 b".into()],
    };
    assert_eq!(forged.to_string(), "250 a??250 b\r\n");
}

#[test]
fn enhanced_status_codes() {
    let status = EnhancedStatus::parse("5.7.26").unwrap();
    assert_eq!((status.class, status.subject, status.detail), (5, 7, 26));
    assert_eq!(status.to_string(), "5.7.26");
    for text in [
        "", "5", "5.1", "3.1.1", "5.1.1.1", "5.1.1000", "5..1", "5.+1.1", "05.1.1",
    ] {
        assert_eq!(EnhancedStatus::parse(text), None, "{text}");
    }
}

#[test]
fn dsn_parameters() {
    assert_eq!(Notify::parse("never"), Some(Notify::Never));
    let both = Notify::parse("DELAY,failure").unwrap();
    assert!(both.on_failure() && both.on_delay() && !both.on_success());
    assert_eq!(both.to_string(), "FAILURE,DELAY");
    for text in ["", "NEVER,FAILURE", "SUCCESS,", "x"] {
        assert_eq!(Notify::parse(text), None, "{text}");
    }
    let orcpt = OriginalRecipient::parse("RFC822;a+2Bb@x.org").unwrap();
    assert_eq!(orcpt.address, "a+b@x.org");
    assert_eq!(orcpt.to_string(), "rfc822;a+2Bb@x.org");
    for text in [
        "rfc822",
        "rfc822;",
        ";a",
        "rfc822;a+0D+0Ab",
        "rfc822;a+2b",
        "rfc822;a+",
    ] {
        assert_eq!(OriginalRecipient::parse(text), None, "{text}");
    }
    assert_eq!(dsn::parse_envid("QQ+3D314").as_deref(), Some("QQ=314"));
    assert_eq!(dsn::parse_envid(&"a".repeat(101)), None);
}

// Found by the fuzzer `envelope_text`: the envelope of such mail was stored and
// could not be read again.
#[test]
fn a_domain_is_read_in_its_own_form() {
    for name in ["xn--bce1kxr.example", "xn--i3a.example"] {
        let domain = Domain::parse(name).expect("a domain");
        assert_eq!(Domain::parse(domain.as_str()), Ok(domain.clone()), "{name}");
        assert_eq!(domain.to_ascii(), name);
    }
    let address = Address::parse("a@xn--bce1kxr.example").expect("an address");
    let envelope = Envelope {
        recipients: vec![Recipient::new(address)],
        ..full()
    };
    assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
}

#[test]
fn a_record_with_undefined_bits_or_unclean_text_is_refused() {
    for damaged in [
        &b"\x01\x88\x00"[..],
        b"\x01\x08\x01\x07a@x.org\x20",
        b"\x01\x48\x02\r\n\x00",
        b"\x01\x08\x01\x07a@x.org\x10\x02a\n\x01b",
        b"\x01\x08\x01\x07a@x.org\x10\x01a\x02b\r",
    ] {
        assert!(Envelope::decode(damaged).is_err(), "{damaged:?}");
    }
}

fn full() -> Envelope {
    Envelope {
        reverse_path: ReversePath::parse("a@x.org").unwrap(),
        recipients: vec![
            Recipient::new(Address::parse("\"b c\"@y.org").unwrap()),
            Recipient {
                address: Address::parse("d@[192.0.2.1]").unwrap(),
                notify: Notify::parse("SUCCESS,DELAY").unwrap(),
                orcpt: OriginalRecipient::parse("rfc822;d@z.org"),
                valid_since: None,
            },
        ],
        body: BodyType::EightBitMime,
        smtputf8: true,
        ret: Some(Ret::Hdrs),
        envid: Some("id".into()),
        ..Envelope::new(ReversePath::Null)
    }
}

/// With everything that version 1 has not.
fn wishing() -> Envelope {
    let mut envelope = full();
    envelope.tls = TlsWish::Required;
    envelope.hold_until_ms = Some(300);
    envelope.deliver_by = Some(DeliverBy {
        by_ms: 400,
        mode: ByMode::Return,
        trace: true,
    });
    envelope.priority = Priority::new(-9);
    envelope.recipients[1].valid_since = ValidSince::parse("1970-01-01T00:01:00Z;R");
    envelope
}

#[test]
fn golden_envelope_version_2() {
    let golden = [
        &b"\x02\x65\x07a@x.org\x02id\x02\x0b\"b c\"@y.org\x00\x0dd@[192.0.2.1]\x1b\x06rfc822\x07d@z.org"[..],
        b"\x3d\xac\x02\x90\x03\x03\x00\x00\x02\0\0\0\0\0\0\0\x3c",
    ]
    .concat();
    assert_eq!(wishing().encode(), golden);
    assert_eq!(Envelope::decode(&golden).unwrap(), wishing());
    for end in 0..golden.len() {
        assert!(Envelope::decode(&golden[..end]).is_err(), "{end}");
    }
    let mut only_tls = Envelope::new(ReversePath::Null);
    only_tls.tls = TlsWish::NotNeeded;
    assert_eq!(only_tls.encode(), b"\x02\x08\x00\x02");
    assert_eq!(Envelope::decode(b"\x02\x08\x00\x02").unwrap(), only_tls);
    for damaged in [
        // Nothing that needs version 2, both ways; unknown bits; a mode; a priority.
        &b"\x02\x08\x00\x00"[..],
        b"\x02\x08\x00\x20",
        b"\x02\x08\x00\x03",
        b"\x02\x08\x00\x41",
        b"\x02\x08\x00\x08\x01\x04",
        b"\x02\x08\x00\x10\x13",
    ] {
        assert!(Envelope::decode(damaged).is_err(), "{damaged:?}");
    }
}

#[test]
fn golden_envelope() {
    let golden = b"\x01\x65\x07a@x.org\x02id\x02\x0b\"b c\"@y.org\x00\x0dd@[192.0.2.1]\x1b\x06rfc822\x07d@z.org";
    assert_eq!(full().encode(), golden);
    assert_eq!(Envelope::decode(golden).unwrap(), full());
    let null = Envelope::new(ReversePath::Null);
    assert_eq!(null.encode(), b"\x01\x08\x00");
    assert_eq!(Envelope::decode(b"\x01\x08\x00").unwrap(), null);
    assert!(Envelope::decode(b"\x03\x08\x00").is_err());
    assert!(Envelope::decode(b"\x01\x08\xff\xff\xff\x7f").is_err());
}

proptest! {
    #[test]
    fn garbage_never_panics(text: String, bytes: Vec<u8>) {
        let _ = Domain::parse(&text);
        let _ = path::parse_reverse(&text);
        let _ = path::parse_forward(&format!("<{text}>"));
        let _ = OriginalRecipient::parse(&text);
        let _ = Envelope::decode(&bytes);
        let shown = Reply::new(250, None, &text).to_string();
        let lines = shown.matches("\r\n").count();
        prop_assert_eq!(shown.matches(['\r', '\n']).count(), 2 * lines);
    }

    #[test]
    fn an_address_survives_being_written_and_read(
        local in "[ -~ü用ſ]{1,20}", name in "[a-zü例A-Z0-9-]{1,12}\\.[a-zä]{2,5}",
    ) {
        let Ok(local) = LocalPart::from_content(&local) else { return Ok(()) };
        let Ok(domain) = Domain::parse(&name) else { return Ok(()) };
        let address = Address::new(local, domain).unwrap();
        prop_assert_eq!(Address::parse(&address.to_string()).unwrap(), address.clone());
        // Both forms of a domain are one domain.
        let ascii = address.domain().to_ascii();
        prop_assert!(ascii.is_ascii());
        prop_assert_eq!(&Domain::parse(&ascii).unwrap(), address.domain());
        let envelope = Envelope { recipients: vec![Recipient::new(address)], ..full() };
        prop_assert_eq!(Envelope::decode(&envelope.encode()).unwrap(), envelope);
    }

    #[test]
    fn xtext_there_and_back(text in "[^\\p{Cc}]{0,30}") {
        let encoded = dsn::xtext_encode(&text);
        prop_assert_eq!(dsn::xtext_decode(&encoded).unwrap(), text);
    }
}

#[test]
fn wishes_with_a_part_told_or_not_offered() {
    let parse = |text| Notify::parse(text).unwrap();
    for (wish, rest, failures) in [
        ("SUCCESS", "NEVER", "NEVER"),
        ("SUCCESS,FAILURE", "FAILURE", ""),
        ("SUCCESS,DELAY", "DELAY", "NEVER"),
        ("FAILURE,DELAY", "FAILURE,DELAY", ""),
        ("NEVER", "NEVER", "NEVER"),
    ] {
        assert_eq!(parse(wish).without_success().to_string(), rest, "{wish}");
        assert_eq!(parse(wish).failures_only().to_string(), failures, "{wish}");
    }
    assert_eq!(Notify::Default.without_success(), Notify::Default);
    assert_eq!(Notify::Default.failures_only(), Notify::Default);
}
