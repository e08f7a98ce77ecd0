//! Lists in order, broken ones, silent ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use runtime::Runtime;
use settings::NameList;

use super::super::testing::{Zone, ip, stranger};
use super::super::{Action, Asked, Check, Evidence};
use super::{List, query};
use crate::limits::{LIST_KEPT, LIST_SILENCES_MAX};

const CLIENT: &str = "203.0.113.9";

/// A list that has its test entries as they must be.
fn sound() -> Zone {
    Zone::default().host("2.0.0.127.bl.test", &["127.0.0.2"])
}

fn list(setting: &str, zone: Zone, runtime: &Runtime) -> (List, Arc<Zone>) {
    let zone = Arc::new(zone);
    let setting = NameList::parse(setting).expect("a list");
    (List::new(setting, zone.clone(), runtime), zone)
}

/// What is found about a client: words and points.
async fn found(list: &List, client: &str) -> Option<(String, i32)> {
    let (session, evidence) = (stranger(client), Evidence::default());
    let asked = Asked {
        session: &session,
        logged_in: false,
        hello: None,
        sender: None,
        recipient: None,
        evidence: &evidence,
    };
    let verdict = list.check(asked).await;
    assert_eq!(verdict.action, Action::Pass, "a listing is evidence");
    let finding = verdict.findings.into_iter().next()?;
    assert_eq!(finding.name, "listed");
    Some((finding.detail, finding.points))
}

#[tokio::test]
async fn a_listing_brings_its_points_and_is_asked_for_once() {
    let runtime = Runtime::for_tests();
    let zone = sound().host("9.113.0.203.bl.test", &["127.0.0.4"]);
    let (list, zone) = list("bl.test*7", zone, &runtime);
    assert_eq!(found(&list, CLIENT).await, None, "not before it was tried");
    assert!(list.probe().await);
    let asked = zone.asked.load(Ordering::SeqCst);
    let listed = Some(("bl.test says 127.0.0.4".to_owned(), 7));
    assert_eq!(found(&list, CLIENT).await, listed);
    assert_eq!(found(&list, CLIENT).await, listed);
    assert_eq!(found(&list, "203.0.113.8").await, None);
    assert_eq!(found(&list, "203.0.113.8").await, None);
    assert_eq!(zone.asked.load(Ordering::SeqCst), asked + 2);
    runtime.advance(LIST_KEPT);
    assert_eq!(found(&list, CLIENT).await, listed);
    assert_eq!(zone.asked.load(Ordering::SeqCst), asked + 3);
}

#[tokio::test]
async fn only_codes_that_are_named_count_and_a_list_of_good_ones_speaks_for_them() {
    let runtime = Runtime::for_tests();
    let zone = sound()
        .host("9.113.0.203.bl.test", &["127.0.0.1", "127.0.0.10"])
        .host("8.113.0.203.bl.test", &["127.0.0.10", "127.0.1.3"]);
    let (list, _) = list("bl.test=127.0.0.2-127.0.0.4|127.0.1.3*-5", zone, &runtime);
    assert!(list.probe().await);
    assert_eq!(found(&list, CLIENT).await, None);
    let good = Some(("bl.test says 127.0.1.3".to_owned(), -5));
    assert_eq!(found(&list, "203.0.113.8").await, good);
}

/// THREATS 31: a list that is broken must not refuse all mail.
#[tokio::test]
async fn threat_31_a_list_that_refuses_us_or_lists_everybody_is_off() {
    let runtime = Runtime::for_tests();
    let refused = "127.255.255.254";
    for (zone, why) in [
        (Zone::default(), "127.0.0.2 is missing"),
        (
            sound().host("1.0.0.127.bl.test", &["127.0.0.2"]),
            "lists 127.0.0.1",
        ),
        (
            Zone::default().host("2.0.0.127.bl.test", &[refused]),
            "refuses to answer",
        ),
        (
            Zone::default().host("2.0.0.127.bl.test", &["192.0.2.80"]),
            "no code",
        ),
        (Zone::default().broken("2.0.0.127.bl.test"), "SERVFAIL"),
    ] {
        let zone = zone.host("9.113.0.203.bl.test", &["127.0.0.2"]);
        let (list, _) = list("bl.test", zone, &runtime);
        assert!(!list.probe().await, "{why}");
        let off = list.off().expect("off");
        assert!(off.contains(why), "{off}");
        assert_eq!(found(&list, CLIENT).await, None, "{why}");
    }
    // And so is one that begins to be like that.
    for broken in [refused, "192.0.2.80"] {
        let zone = sound()
            .host("9.113.0.203.bl.test", &["127.0.0.2"])
            .host("8.113.0.203.bl.test", &[broken]);
        let (list, _) = list("bl.test", zone, &runtime);
        assert!(list.probe().await);
        assert!(found(&list, CLIENT).await.is_some());
        assert_eq!(found(&list, "203.0.113.8").await, None);
        assert_eq!(found(&list, CLIENT).await, None, "off");
        // Until its test entries are right again.
        assert!(list.probe().await);
        assert!(found(&list, CLIENT).await.is_some());
    }
}

#[tokio::test]
async fn silence_finds_nothing_and_enough_of_it_turns_the_list_off() {
    let runtime = Runtime::for_tests();
    let mut zone = sound();
    for last in 1..=LIST_SILENCES_MAX {
        zone = zone.broken(&format!("{last}.2.0.192.bl.test"));
    }
    let (list, zone) = list("bl.test", zone, &runtime);
    assert!(list.probe().await);
    for last in 1..=LIST_SILENCES_MAX {
        assert_eq!(list.off(), None);
        assert_eq!(found(&list, &format!("192.0.2.{last}")).await, None);
    }
    assert!(list.off().is_some());
    let asked = zone.asked.load(Ordering::SeqCst);
    assert_eq!(found(&list, CLIENT).await, None);
    assert_eq!(
        zone.asked.load(Ordering::SeqCst),
        asked,
        "nobody waits for it"
    );
}

#[test]
fn rfc_5782_section_2_questions() {
    assert_eq!(query(ip("192.0.2.99"), "bl.test"), "99.2.0.192.bl.test");
    let v6 = "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test";
    assert_eq!(query(ip("2001:db8::567:89ab"), "bl.test"), v6);
}
