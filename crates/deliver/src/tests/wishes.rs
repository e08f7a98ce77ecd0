//! What senders demand of the way: REQUIRETLS, DELIVERBY, RRVS.

use super::sessions::self_signed_for;
use super::*;
use envelope::{ByMode, DeliverBy, TlsWish, ValidSince};

fn demanding() -> Envelope {
    let mut envelope = envelope(&["b@x.example"]);
    envelope.tls = TlsWish::Required;
    envelope
}

/// A server with TLS; what it offers behind it.
pub(super) fn encrypted(offer: &'static str) -> Script {
    vec![
        HELLO,
        ("EHLO", "250-mx\r\n250 STARTTLS\r\n"),
        ("STARTTLS", "220 go\r\n<tls>"),
        ("EHLO", offer),
        ("MAIL", "250 ok\r\n"),
        ("RCPT", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        QUIT,
    ]
}

/// Delivers by REQUIRETLS to a server of this certificate name.
async fn by_required_tls(script: Script, name: &str) -> (Report, Vec<String>) {
    let runtime = Runtime::new();
    let (tls, root) = self_signed_for(name);
    let server = Server::start_with(&runtime, local("127.0.0.1"), vec![script], Some(tls));
    let mut ports = ports(&runtime, Names::default(), options());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    ports.verified = Some(ClientTls::verifying(roots).unwrap());
    let target = Target {
        tls: TlsPolicy::Verified,
        ..target(&server)
    };
    let report = deliver_smtp(&ports, &target, &demanding(), &message()).await;
    (report, server.said())
}

fn status(report: &Report) -> String {
    let reply = report.outcomes[0].reply();
    format!("{} {}", reply.code, reply.enhanced.unwrap())
}

#[tokio::test]
async fn rfc_8689_4_2_1_requiretls_goes_over_verified_tls_to_who_offers_it() {
    let (report, said) =
        by_required_tls(encrypted("250-mx\r\n250 REQUIRETLS\r\n"), "mx.example").await;
    assert_eq!(codes(&report), [250], "{said:?}");
    assert_eq!(said[2], "EHLO us.example");
    assert_eq!(said[3], "MAIL FROM:<a@us.example> REQUIRETLS");
}

#[tokio::test]
async fn rfc_8689_4_2_1_without_the_offer_or_tls_it_comes_back_with_5_7_30() {
    let without_offer = encrypted("250 mx\r\n");
    let (report, said) = by_required_tls(without_offer, "mx.example").await;
    assert_eq!(status(&report), "550 5.7.30");
    assert!(
        !said.iter().any(|line| line.starts_with("MAIL")),
        "{said:?}"
    );
    let (report, said) = by_required_tls(willing(), "mx.example").await;
    assert_eq!(status(&report), "550 5.7.30");
    assert!(
        !said.iter().any(|line| line.starts_with("MAIL")),
        "{said:?}"
    );
    // A certificate that is somebody else's may be put right: it waits.
    let (report, _) =
        by_required_tls(encrypted("250-mx\r\n250 REQUIRETLS\r\n"), "else.example").await;
    assert_eq!(status(&report), "451 4.7.5");
    assert!(matches!(report.outcomes[0], Outcome::Temporary(_)));
}

#[tokio::test]
async fn threat_03_requiretls_is_never_met_by_tls_that_was_not_verified() {
    let runtime = Runtime::new();
    let (tls, _) = self_signed_for("mx.example");
    let script = encrypted("250-mx\r\n250 REQUIRETLS\r\n");
    let server = Server::start_with(&runtime, local("127.0.0.1"), vec![script], Some(tls));
    let ports = ports(&runtime, Names::default(), options());
    let report = deliver_smtp(&ports, &target(&server), &demanding(), &message()).await;
    assert_eq!(status(&report), "550 5.7.30");
    assert!(report.tls && !server.said().iter().any(|line| line.starts_with("MAIL")));
}

async fn by(hello: &'static str, seconds: u64, mode: ByMode) -> (Report, Vec<String>) {
    let runtime = Runtime::new();
    let mut script = willing();
    script[1] = ("EHLO", hello);
    let server = Server::start(&runtime, local("127.0.0.1"), vec![script]);
    let ports = ports(&runtime, Names::default(), options());
    let mut to = envelope(&["b@x.example"]);
    to.deliver_by = Some(DeliverBy {
        by_ms: runtime.now().unix_ms + seconds * 1000 + 999,
        mode,
        trace: false,
    });
    let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
    (report, server.said())
}

#[tokio::test]
async fn rfc_2852_the_time_that_is_left_goes_on_and_a_demand_only_to_who_knows_it() {
    let (report, said) = by("250-mx\r\n250 DELIVERBY 60\r\n", 3000, ByMode::Return).await;
    assert_eq!(codes(&report), [250]);
    let left = said[1]
        .split_once("BY=")
        .and_then(|(_, by)| by.strip_suffix(";R"));
    let left: u64 = left.and_then(|left| left.parse().ok()).unwrap();
    assert!((2990..=3000).contains(&left), "{said:?}");

    let (report, _) = by("250-mx\r\n250 DELIVERBY 4000\r\n", 3000, ByMode::Return).await;
    assert_eq!(status(&report), "554 5.4.7");
    let (report, said) = by("250 mx\r\n", 3000, ByMode::Return).await;
    assert_eq!(status(&report), "554 5.3.3");
    assert!(!said.iter().any(|line| line.starts_with("MAIL")));
    let (report, said) = by("250 mx\r\n", 3000, ByMode::Notify).await;
    assert_eq!(
        (codes(&report), &said[1][..]),
        (vec![250], "MAIL FROM:<a@us.example>")
    );
}

#[tokio::test]
async fn rfc_7293_5_2_a_recipient_that_cannot_be_tested_is_named_only_where_it_may() {
    let runtime = Runtime::new();
    let server = Server::start(&runtime, local("127.0.0.1"), vec![willing()]);
    let ports = ports(&runtime, Names::default(), options());
    let mut to = envelope(&["c@x.example", "b@x.example"]);
    to.recipients[0].valid_since = ValidSince::parse("2014-04-03T23:01:00Z;R");
    to.recipients[1].valid_since = ValidSince::parse("2014-04-03T23:01:00Z;C");
    let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
    assert_eq!(status(&report), "550 5.7.19");
    assert_eq!(codes(&report), [-550, 250]);
    assert_eq!(server.said()[2], "RCPT TO:<b@x.example>");
}

#[tokio::test]
async fn rfc_4865_a_hold_goes_on_to_who_keeps_it_and_waits_elsewhere() {
    for (offer, taken) in [
        (
            "250-mx\r\n250 FUTURERELEASE 7200 2030-01-01T00:00:00Z\r\n",
            true,
        ),
        (
            "250-mx\r\n250 FUTURERELEASE 600 2030-01-01T00:00:00Z\r\n",
            false,
        ),
        ("250 mx\r\n", false),
    ] {
        let runtime = Runtime::new();
        let mut script = willing();
        script[1] = ("EHLO", offer);
        let server = Server::start(&runtime, local("127.0.0.1"), vec![script]);
        let ports = ports(&runtime, Names::default(), options());
        let mut to = envelope(&["b@x.example"]);
        to.hold_until_ms = Some(runtime.now().unix_ms + 3_600_000);
        let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
        let said = server.said();
        if taken {
            assert_eq!(codes(&report), [250]);
            let held = said[1].split_once("HOLDFOR=").unwrap().1;
            let held: u64 = held.parse().unwrap();
            assert!((3590..=3600).contains(&held), "{held}");
        } else {
            assert_eq!(codes(&report), [-451]);
            let left = report.retry_after.unwrap();
            assert!(left > Duration::from_secs(3590), "{left:?}");
            assert!(!said.iter().any(|line| line.starts_with("MAIL")));
        }
    }
}
