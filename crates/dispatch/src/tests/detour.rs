//! A server that does not like us, and the relay that it takes mail from.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::BytesMut;
use queue_model::Party;
use runtime::Task;
use runtime::net::{Conn, Listener};
use runtime::tls::ClientTls;

use super::transport::NoNames;
use super::*;
use deliver::TlsPolicy;

use crate::{Around, SmtpTransport};

const BLOCKED: &str = "554 5.7.1 blocked using zen.spamhaus.org";

/// A server that takes mail, or refuses a recipient for our reputation.
struct There {
    port: u16,
    taken: Arc<AtomicUsize>,
    refuses: Arc<AtomicBool>,
    _task: Task<()>,
}

impl There {
    fn start(runtime: &Runtime, refuses: bool) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let port = listener.local_addr().port();
        let taken = Arc::new(AtomicUsize::new(0));
        let refuses = Arc::new(AtomicBool::new(refuses));
        let (counts, refusing) = (Arc::clone(&taken), Arc::clone(&refuses));
        let task = runtime.spawn("a server with a list", async move {
            while let Ok(conn) = listener.accept().await {
                talk(conn, &counts, &refusing).await;
            }
        });
        Self {
            port,
            taken,
            refuses,
            _task: task,
        }
    }

    fn take_count(&self) -> usize {
        self.taken.swap(0, Ordering::AcqRel)
    }
}

async fn talk(mut conn: Conn, taken: &AtomicUsize, refuses: &AtomicBool) {
    let mut input = BytesMut::new();
    let mut in_data = false;
    let mut answer = "220 mx ESMTP\r\n".to_owned();
    loop {
        if conn.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        let line = loop {
            if let Some(at) = input.windows(2).position(|two| two == b"\r\n") {
                break input.split_to(at + 2);
            }
            if conn.read(&mut input).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        answer = match (in_data, line.split(' ').next().unwrap_or("")) {
            (true, ".") => {
                in_data = false;
                taken.fetch_add(1, Ordering::AcqRel);
                "250 2.0.0 taken\r\n".into()
            }
            (true, _) => String::new(),
            (_, "RCPT") if line.contains("nobody") => "550 5.1.1 nobody\r\n".into(),
            (_, "RCPT") if refuses.load(Ordering::Acquire) => format!("{BLOCKED}\r\n"),
            (_, "DATA") => {
                in_data = true;
                "354 go\r\n".into()
            }
            _ => "250 ok\r\n".into(),
        };
        if line == "QUIT" {
            let _ = conn.write_all(b"221 bye\r\n").await;
            return;
        }
    }
}

/// Everybody's detour is this one.
struct By(Around, TlsPolicy);

impl Routes for By {
    fn relay_lifetime_ms(&self, _: &Domain) -> Option<u64> {
        None
    }

    fn way(&self, _: &Domain) -> Option<Way> {
        Some(Way::Usual)
    }

    fn way_of<'a>(&'a self, _: &'a Domain, _: &'a queue::Message) -> BoxFuture<'a, Way> {
        Box::pin(std::future::ready(Way::Usual))
    }

    fn routes(&self, _: &Site) -> Vec<deliver::Route> {
        Vec::new()
    }

    fn depends_on_party(&self) -> bool {
        true
    }

    fn tls(&self, _: &Party) -> Option<TlsPolicy> {
        Some(self.1)
    }

    fn detour(&self, _: &Party) -> Option<Around> {
        Some(self.0.clone())
    }
}

/// A host on loopback.
fn over(port: u16) -> Around {
    Around::By(deliver::Route {
        host: "127.0.0.1".into(),
        port,
        protocol: deliver::Protocol::Smtp,
        tls: TlsPolicy::Never,
        credentials: None,
    })
}

fn ports_to(runtime: &Runtime, port: u16) -> deliver::Ports {
    let mut options = deliver::Options::new("us.example");
    options.port = port;
    options.allow_networks = vec![settings::Network::parse("127.0.0.0/8").expect("a network")];
    deliver::Ports {
        transcripts: deliver::Transcripts::default(),
        runtime: runtime.clone(),
        dns: Arc::new(NoNames),
        opportunistic: ClientTls::opportunistic().expect("made"),
        verified: None,
        gate: None,
        kept: None,
        sts: None,
        tls_reports: None,
        options: Arc::new(options),
    }
}

fn loopback() -> Site {
    Site::Domain(Domain::parse_or_literal("[127.0.0.1]").expect("an address"))
}

async fn send(transport: &SmtpTransport, site: &Site, to: &[&str]) -> Vec<u16> {
    let mut envelope = Envelope::new(ReversePath::Null);
    envelope.recipients = to
        .iter()
        .map(|to| Recipient::new(address(&format!("{to}@[127.0.0.1]"))))
        .collect();
    let message = deliver::MessageBytes(Bytes::from_static(TEXT));
    let report = transport.deliver(site, &envelope, &message).await;
    let codes = report.outcomes.iter().map(|outcome| outcome.reply().code);
    codes.collect()
}

#[tokio::test]
async fn what_a_site_refuses_for_our_reputation_makes_a_detour() {
    let runtime = Runtime::new();
    let (site, relay) = (There::start(&runtime, true), There::start(&runtime, false));
    let routes = By(over(relay.port), TlsPolicy::Opportunistic);
    let transport = SmtpTransport::new(ports_to(&runtime, site.port), None, Arc::new(routes));
    let there = loopback();
    let send = async |to: &[&str]| send(&transport, &there, to).await;
    // Only what is about us makes it: a mailbox that is not there is not asked for elsewhere.
    assert_eq!(send(&["nobody"]).await, [550]);
    assert!(transport.detours().is_empty());
    assert_eq!(send(&["nobody", "bob"]).await, [550, 250]);
    assert_eq!((site.take_count(), relay.take_count()), (0, 1));
    let known = transport.detours();
    assert!(known.len() == 1 && known[0].said == BLOCKED, "{known:?}");
    // The others go by it at once, as does the count of connections.
    site.refuses.store(false, Ordering::Release);
    assert_eq!(send(&["bob"]).await, [250]);
    assert_eq!((site.take_count(), relay.take_count()), (0, 1));
    let party = transport.party(&there).await;
    assert_eq!(party, Some(Party::of_host("127.0.0.1", relay.port)));
}

/// The same servers may like another address of ours.
#[tokio::test]
async fn a_detour_may_be_another_address_of_ours() {
    let runtime = Runtime::new();
    let site = There::start(&runtime, true);
    // To loopback the system chooses the address; what is asked for twice is seen.
    let sources: Arc<[IpAddr]> = [[127, 0, 0, 9].into()].into();
    let routes = By(Around::From(sources), TlsPolicy::Opportunistic);
    let transport = SmtpTransport::new(ports_to(&runtime, site.port), None, Arc::new(routes));
    assert_eq!(send(&transport, &loopback(), &["bob"]).await, [554]);
    assert_eq!(transport.detours().len(), 1);
    site.refuses.store(false, Ordering::Release);
    assert_eq!(send(&transport, &loopback(), &["bob"]).await, [250]);
    let party = transport.party(&loopback()).await;
    assert_eq!(party, transport.party(&loopback()).await);
    assert_eq!(transport.detours().len(), 1, "it goes on");
}

#[tokio::test]
async fn what_the_operator_demands_of_a_sites_tls_is_demanded() {
    let runtime = Runtime::new();
    let site = There::start(&runtime, false);
    for (tls, code) in [
        (TlsPolicy::Opportunistic, 250),
        (TlsPolicy::Required, 400),
        (TlsPolicy::Verified, 400),
    ] {
        let routes = By(over(1), tls);
        let ports = ports_to(&runtime, site.port);
        let transport = SmtpTransport::new(ports, None, Arc::new(routes));
        let said = send(&transport, &loopback(), &["bob"]).await;
        assert_eq!(said[0] / 100, code / 100, "{tls:?}: {said:?}");
    }
    assert_eq!(site.take_count(), 1, "in the clear to nobody who may not");
}
