//! The SMTP transport, to a server on loopback.

use super::*;
use crate::{SmartHost, SmtpTransport};
use bytes::BytesMut;
use resolver::{AddressAnswer, MxAnswer, TemporaryError};
use runtime::Task;
use runtime::net::{Conn, Listener};
use runtime::tls::ClientTls;

/// Only literal addresses are used.
pub(super) struct NoNames;

impl deliver::Dns for NoNames {
    fn mx<'a>(&'a self, _: &'a Domain) -> BoxFuture<'a, Result<MxAnswer, TemporaryError>> {
        Box::pin(std::future::ready(Ok(MxAnswer::NoMx)))
    }

    fn addresses<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<AddressAnswer, TemporaryError>> {
        Box::pin(std::future::ready(Ok(AddressAnswer::None)))
    }
}

/// The lines that a server heard, by connection.
pub(super) type Heard = Arc<Mutex<Vec<Vec<String>>>>;

/// A server that offers STARTTLS and cannot do it.
fn broken_tls(runtime: &Runtime) -> (u16, Heard, Task<()>) {
    let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let port = listener.local_addr().port();
    let heard = Heard::default();
    let log = Arc::clone(&heard);
    let task = runtime.spawn("a server without TLS", async move {
        while let Ok(conn) = listener.accept().await {
            log.lock().push(Vec::new());
            talk(conn, &log).await;
        }
    });
    (port, heard, task)
}

pub(super) async fn talk(mut conn: Conn, log: &Mutex<Vec<Vec<String>>>) {
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
                "250 2.0.0 taken\r\n".into()
            }
            (true, _) => String::new(),
            (_, "EHLO") => "250-mx\r\n250 STARTTLS\r\n".into(),
            (_, "DATA") => {
                in_data = true;
                "354 go\r\n".into()
            }
            (_, "STARTTLS") => "220 go\r\n".into(),
            (_, "RCPT") if line.contains("<nobody@") => "550 5.1.1 nobody\r\n".into(),
            _ => "250 ok\r\n".into(),
        };
        let ends = line == "STARTTLS";
        if let Some(lines) = log.lock().last_mut() {
            lines.push(line);
        }
        if ends {
            let _ = conn.write_all(answer.as_bytes()).await;
            // Behind the client's first words, or it would be an injection.
            let _ = conn.read(&mut input).await;
            let _ = conn.write_all(b"this is no TLS").await;
            return;
        }
    }
}

#[tokio::test]
async fn after_a_failed_handshake_a_site_gets_clear_text_at_once() {
    let runtime = Runtime::new();
    let (port, heard, _server) = broken_tls(&runtime);
    let ports = deliver::Ports {
        transcripts: deliver::Transcripts::default(),
        runtime: runtime.clone(),
        dns: Arc::new(NoNames),
        opportunistic: ClientTls::opportunistic().expect("made"),
        verified: None,
        gate: None,
        kept: None,
        sts: None,
        tls_reports: None,
        options: Arc::new(deliver::Options::new("us.example")),
    };
    let transport = SmtpTransport::new(
        ports,
        Some(SmartHost::new("127.0.0.1", port, None)),
        Arc::new(crate::NoRoutes),
    );
    let mut envelope = Envelope::new(ReversePath::Null);
    envelope.recipients = vec![Recipient::new(address("bob@there.test"))];
    let message = deliver::MessageBytes(Bytes::from_static(TEXT));
    for tls_failed in [true, false] {
        let report = transport
            .deliver(&Site::SmartHost, &envelope, &message)
            .await;
        assert!(report.outcomes[0].is_delivered(), "{report:?}");
        assert_eq!((report.tls_failed, report.tls), (tls_failed, false));
    }
    let heard = heard.lock().clone();
    assert_eq!(heard.len(), 3, "a handshake, its clear text, clear text");
    let asks_for_tls = |lines: &Vec<String>| lines.iter().any(|line| line == "STARTTLS");
    let asked: Vec<bool> = heard.iter().map(asks_for_tls).collect();
    assert_eq!(asked, [true, false, false]);
}

/// Tags senders, and remembers what it was told.
#[derive(Default)]
struct Tagging(Mutex<Vec<String>>);

impl crate::Senders for Tagging {
    fn leaves_as<'a>(&'a self, sender: &'a Address) -> BoxFuture<'a, Option<Address>> {
        let tagged = format!("prvs=1={sender}");
        Box::pin(async move { Some(address(&tagged)) })
    }

    fn refused<'a>(
        &'a self,
        sender: &'a Address,
        recipient: &'a Address,
        reply: &'a Reply,
    ) -> BoxFuture<'a, ()> {
        let line = format!("{sender} {recipient} {}", reply.code);
        Box::pin(async move { self.0.lock().push(line) })
    }
}

#[tokio::test]
async fn senders_leave_with_a_tag_and_refusals_are_told_of_the_sender_as_it_was() {
    let runtime = Runtime::new();
    let (port, heard, _server) = broken_tls(&runtime);
    let ports = deliver::Ports {
        transcripts: deliver::Transcripts::default(),
        runtime: runtime.clone(),
        dns: Arc::new(NoNames),
        opportunistic: ClientTls::opportunistic().expect("made"),
        verified: None,
        gate: None,
        kept: None,
        sts: None,
        tls_reports: None,
        options: Arc::new(deliver::Options::new("us.example")),
    };
    let senders = Arc::new(Tagging::default());
    let transport = SmtpTransport::new(
        ports,
        Some(SmartHost::new("127.0.0.1", port, None)),
        Arc::new(crate::NoRoutes),
    )
    .with_senders(senders.clone());
    let mut envelope = Envelope::new(ReversePath::Address(address("ann@us.test")));
    envelope.recipients = ["bob@there.test", "nobody@there.test"]
        .map(|to| Recipient::new(address(to)))
        .to_vec();
    let message = deliver::MessageBytes(Bytes::from_static(TEXT));
    let report = transport
        .deliver(&Site::SmartHost, &envelope, &message)
        .await;
    assert!(report.outcomes[0].is_delivered(), "{report:?}");
    assert_eq!(*senders.0.lock(), ["ann@us.test nobody@there.test 550"]);
    // Reports have no sender.
    envelope.reverse_path = ReversePath::Null;
    transport
        .deliver(&Site::SmartHost, &envelope, &message)
        .await;
    let heard = heard.lock().concat();
    let mail = |line: &&String| line.starts_with("MAIL");
    let mails: Vec<_> = heard.iter().filter(mail).collect();
    assert_eq!(mails, ["MAIL FROM:<prvs=1=ann@us.test>", "MAIL FROM:<>"]);
    assert_eq!(senders.0.lock().len(), 1);
}
