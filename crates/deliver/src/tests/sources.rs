//! Addresses of ours and their names.

use std::collections::BTreeSet;

use super::*;
use crate::limits::SOURCE_NAME_KEPT;
use crate::sources::{Source, Sources};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `192.0.2.1` and `2001:db8::1` have names that lead back, `2001:db8::2` has another's.
fn names() -> Names {
    let mut names = Names::default()
        .with_address("a.us.example", "192.0.2.1")
        .with_address("a.us.example", "2001:db8::1");
    for (address, name) in [
        ("192.0.2.1", "a.us.example."),
        ("2001:db8::1", "A.us.example"),
        ("2001:db8::2", "a.us.example"),
    ] {
        names.ptr.insert(ip(address), name);
    }
    names
}

#[tokio::test]
async fn practice_5_an_ipv6_source_is_used_only_while_its_names_agree() {
    let ports = ports(&Runtime::for_tests(), names(), options());
    let to = ip("2001:db8:ffff::25");
    let good = Sources::new(vec![ip("2001:db8::2"), ip("2001:db8::1")]);
    for host in ["one.example", "two.example", "three.example"] {
        let found = good.choose(&ports, host, to).await;
        let named = Source::Address(ip("2001:db8::1"), Some("a.us.example".into()));
        assert_eq!(found, named);
    }
    for bad in ["2001:db8::2", "2001:db8::3"] {
        let sources = Sources::new(vec![ip(bad), ip("192.0.2.1")]);
        assert_eq!(sources.choose(&ports, "mx.example", to).await, Source::None);
    }
}

#[tokio::test]
async fn practice_5_ehlo_is_the_name_of_the_source() {
    let ports = ports(&Runtime::for_tests(), names(), options());
    let sources = Sources::new(vec![ip("192.0.2.1")]);
    let found = sources.choose(&ports, "mx.example", ip("192.0.2.99")).await;
    let named = Source::Address(ip("192.0.2.1"), Some("a.us.example".into()));
    assert_eq!(found, named);
    // Over IPv4 an address without a name is used all the same, with our usual one.
    let sources = Sources::new(vec![ip("192.0.2.7")]);
    let found = sources.choose(&ports, "mx.example", ip("192.0.2.99")).await;
    assert_eq!(found, Source::Address(ip("192.0.2.7"), None));
    // No address of that family, or this very machine: the system knows.
    for to in ["2001:db8::25", "127.0.0.1"] {
        let found = sources.choose(&ports, "mx.example", ip(to)).await;
        assert_eq!(found, Source::System);
    }
}

#[tokio::test]
async fn a_host_meets_the_same_of_several_addresses_and_hosts_are_spread() {
    let ports = ports(&Runtime::for_tests(), names(), options());
    let all: Vec<IpAddr> = (1..=4).map(|n| ip(&format!("192.0.2.{n}"))).collect();
    let sources = Sources::new(all);
    let mut met = BTreeSet::new();
    for n in 0..50 {
        let host = format!("mx{n}.example");
        let first = sources.choose(&ports, &host, ip("192.0.2.99")).await;
        assert_eq!(first, sources.choose(&ports, &host, ip("192.0.2.98")).await);
        if let Source::Address(ip, _) = first {
            met.insert(ip);
        }
    }
    assert_eq!(met.len(), 4);
}

/// Mail that goes from other addresses knows their names as well.
#[tokio::test]
async fn rules_choose_other_addresses_and_their_names_are_asked_for_once() {
    let runtime = Runtime::for_tests();
    let usual = ports(&runtime, names(), options());
    let others: Arc<[IpAddr]> = [ip("192.0.2.1")].into();
    let sending = usual.sending_from(&others);
    let to = ip("192.0.2.99");
    let choose = async |ports: &Ports| {
        let sources = &ports.options.sources;
        sources.choose(ports, "mx.example", to).await
    };
    let named = Source::Address(ip("192.0.2.1"), Some("a.us.example".into()));
    assert_eq!(choose(&usual).await, Source::System);
    assert_eq!(choose(&sending).await, named);
    // Another message finds the name known, though nobody answers any more.
    let mut silent = ports(&runtime, Names::default(), options());
    silent.options = Arc::clone(&usual.options);
    assert_eq!(choose(&silent.sending_from(&others)).await, named);
}

/// A name that is gone is noticed the next day, not before.
#[tokio::test]
async fn names_are_asked_for_once_a_day() {
    let runtime = Runtime::for_tests();
    let to = ip("2001:db8:ffff::25");
    let sources = Sources::new(vec![ip("2001:db8::1")]);
    let before = ports(&runtime, names(), options());
    let after = ports(&runtime, Names::default(), options());
    let usable =
        async |ports: &Ports| sources.choose(ports, "mx.example", to).await != Source::None;
    assert!(usable(&before).await && usable(&after).await);
    runtime.advance(SOURCE_NAME_KEPT);
    assert!(!usable(&after).await);
    assert!(!usable(&before).await, "as it was found");
    runtime.advance(SOURCE_NAME_KEPT);
    assert!(usable(&before).await);
}
