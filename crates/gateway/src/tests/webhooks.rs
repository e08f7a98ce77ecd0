//! Servers on the web that take, refuse, and ask to be left alone.

use super::*;
use bytes::BytesMut;
use https::{Https, SigningKey};
use parking_lot::Mutex;
use resolver::Resolver;
use runtime::Task;
use runtime::net::Listener;
use settings::rules::Webhook;
use std::sync::Arc;

/// A server that answers one request on each connection, in turn, and keeps what it heard.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    _serving: Task<()>,
}

impl Server {
    fn start(runtime: &Runtime, answers: &'static [&'static str]) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let port = listener.local_addr().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = heard.clone();
        let serving = runtime.spawn("server", async move {
            for answer in answers.iter().cycle() {
                let mut conn = listener.accept().await.expect("accepts");
                let mut request = BytesMut::new();
                while !is_whole(&request) {
                    if conn.read(&mut request).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let request = String::from_utf8(request.to_vec()).expect("text");
                keep.lock().push(request);
                let answer = format!("HTTP/1.1 {answer}\r\nConnection: close\r\n");
                let answer = match answer.contains("\r\n\r\n") {
                    true => answer,
                    false => format!("{answer}Content-Length: 0\r\n\r\n"),
                };
                // It may have gone away.
                let _ = conn.write_all(answer.as_bytes()).await;
                let _ = conn.shutdown().await;
            }
        });
        Self {
            port,
            heard,
            _serving: serving,
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }

    fn hook(&self, secret: &str) -> Gateway {
        Gateway::Webhook(Webhook {
            url: format!("http://127.0.0.1:{}/in?a=b", self.port),
            secret_file: PathBuf::new(),
            secret: secret.into(),
            timeout: Duration::from_secs(30),
        })
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    field(head, "content-length").and_then(|n| n.parse().ok()) == Some(body.len())
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value)
}

/// A message of the queue.
struct Queued(&'static str);

impl Message for Queued {
    fn size(&self) -> u64 {
        TEXT.len() as u64
    }

    fn read(&self, offset: u64) -> deliver::BoxFuture<'_, std::io::Result<Bytes>> {
        // In two parts.
        let start = usize::try_from(offset).expect("small");
        let end = if start < 7 { 7 } else { TEXT.len() };
        Box::pin(std::future::ready(Ok(Bytes::from_static(
            &TEXT[start..end],
        ))))
    }

    fn queue_id(&self) -> Option<String> {
        Some(self.0.to_owned())
    }
}

fn gateways(runtime: &Runtime) -> Gateways {
    let resolver = Resolver::new(&["127.0.0.1:9".parse().expect("an address")]).expect("asks");
    let https = Https::new(resolver, None, runtime.clone()).clear_on_loopback();
    Gateways::new(runtime.clone(), "mail.here.test").with_https(https)
}

async fn report(
    gateways: &Gateways,
    hook: &Gateway,
    recipients: &[&str],
    id: &'static str,
) -> deliver::Report {
    let to = envelope(recipients);
    gateways.deliver("app", hook, &to, &Queued(id)).await
}

fn status(outcome: &Outcome) -> (u16, String) {
    (outcome.reply().code, outcome.reply().to_line())
}

#[tokio::test]
async fn each_recipient_is_posted_with_the_envelope_and_a_signature() {
    let runtime = Runtime::new();
    let took = "202 Accepted\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nticket 17";
    let server = Server::start(&runtime, vec_of(took));
    let gateways = gateways(&runtime);
    let hook = server.hook("plain secret");
    let to = ["Bob@there.test", "阿@there.test"];
    let told = report(&gateways, &hook, &to, "m1").await;
    assert!(told.outcomes.iter().all(Outcome::is_delivered), "{told:?}");
    assert_eq!(
        told.outcomes[0].reply().text(),
        "the server took it: ticket 17"
    );
    let again = report(&gateways, &hook, &to[..1], "m1").await;
    let other = report(&gateways, &hook, &to[..1], "m2").await;
    assert!(again.outcomes[0].is_delivered() && other.outcomes[0].is_delivered());
    let heard = server.heard();
    let (head, body) = heard[0].split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("POST /in?a=b HTTP/1.1\r\n"), "{head}");
    let text = std::str::from_utf8(TEXT).expect("text");
    assert_eq!(
        body,
        format!("Return-Path: <ann@here.test>\r\nDelivered-To: Bob@there.test\r\n{text}")
    );
    let of = |at: usize, name: &str| field(&heard[at], name).unwrap_or_default().to_owned();
    assert_eq!(of(0, "content-type"), "message/rfc822");
    assert_eq!(of(0, "posthouse-sender"), "ann@here.test");
    assert_eq!(of(0, "posthouse-recipient"), "Bob@there.test");
    assert_eq!(of(1, "posthouse-recipient"), "%E9%98%BF@there.test");
    // The name is of message and recipient, whatever the attempt.
    assert_eq!(of(0, "webhook-id"), of(2, "webhook-id"));
    assert_eq!(
        of(0, "idempotency-key"),
        format!("\"{}\"", of(0, "webhook-id"))
    );
    assert!(of(0, "webhook-id").starts_with("m1-"));
    assert_ne!(of(0, "webhook-id"), of(1, "webhook-id"));
    assert_ne!(of(0, "webhook-id"), of(3, "webhook-id"));
    // A receiver with the secret makes the same signature.
    let key = SigningKey::parse("plain secret").expect("a key");
    let seconds = of(0, "webhook-timestamp").parse().expect("a number");
    let mut signing = key.sign(&of(0, "webhook-id"), seconds);
    signing.update(body.as_bytes());
    assert_eq!(of(0, "webhook-signature"), signing.finish());
}

/// The same answer always.
fn vec_of(answer: &'static str) -> &'static [&'static str] {
    Box::leak(Box::new([answer]))
}

#[tokio::test]
async fn its_status_says_what_becomes_of_the_message() {
    for (answer, code, words) in [
        ("200 OK", 250, "2.0.0 the server took it"),
        ("204 No Content", 250, "2.0.0"),
        ("301 Moved", 451, "4.3.0 it answers 301"),
        ("400 Bad", 550, "5.3.0 it answers 400"),
        ("401 Who", 451, "4.3.0 it answers 401"),
        ("403 No", 451, "4.3.0 it answers 403"),
        ("404 Where", 451, "4.3.0 it answers 404"),
        ("408 Slow", 451, "4.3.2 it answers 408"),
        ("413 Large", 550, "5.3.4 it answers 413"),
        (
            "422 Unprocessable\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n\r\n\r\nno such ticket\n",
            550,
            "5.3.0 it answers 422: no such ticket",
        ),
        ("429 Many", 451, "4.3.2 it answers 429"),
        ("500 Oops", 451, "4.3.0 it answers 500"),
        ("503 Away", 451, "4.3.0 it answers 503"),
    ] {
        let runtime = Runtime::new();
        let server = Server::start(&runtime, vec_of(answer));
        let told = report(
            &gateways(&runtime),
            &server.hook(""),
            &["bob@there.test"],
            "m",
        )
        .await;
        let (said, line) = status(&told.outcomes[0]);
        assert_eq!(said, code, "{answer}: {line}");
        assert!(line.contains(words), "{answer}: {line}");
        assert_eq!(field(&server.heard()[0], "webhook-signature"), None);
    }
}

#[tokio::test]
async fn who_is_not_there_delays() {
    let runtime = Runtime::new();
    let server = Server::start(&runtime, &[]);
    let hook = server.hook("");
    drop(server);
    let told = report(&gateways(&runtime), &hook, &["bob@there.test"], "m").await;
    let (code, line) = status(&told.outcomes[0]);
    assert!(
        code == 451
            && line.contains("4.4.1")
            && line.contains("127.0.0.1:")
            && !line.contains("a=b"),
        "{line}"
    );
    // Without anybody who posts.
    let gateways = Gateways::new(runtime, "mail.here.test");
    let told = report(&gateways, &hook, &["bob@there.test"], "m").await;
    assert_eq!(status(&told.outcomes[0]).0, 451);
    let bad = Gateway::Webhook(Webhook {
        secret: "whsec_!".into(),
        url: "http://127.0.0.1:9/".into(),
        secret_file: PathBuf::new(),
        timeout: Duration::from_secs(1),
    });
    let told = report(&gateways, &bad, &["bob@there.test"], "m").await;
    assert_eq!(status(&told.outcomes[0]).0, 451);
}

#[tokio::test]
async fn one_recipient_that_is_refused_holds_nobody_up() {
    let runtime = Runtime::new();
    let answers = &["500 Oops", "422 Never", "200 OK"];
    let server = Server::start(&runtime, answers);
    let to = ["a@there.test", "b@there.test", "c@there.test"];
    let told = report(&gateways(&runtime), &server.hook(""), &to, "m").await;
    let codes: Vec<u16> = told.outcomes.iter().map(|o| status(o).0).collect();
    assert_eq!((codes, told.retry_after), (vec![451, 550, 250], None));
}

#[tokio::test]
async fn who_asks_to_be_left_alone_is() {
    let runtime = Runtime::for_tests();
    let answers = &["503 Away\r\nRetry-After: 600", "200 OK"];
    let server = Server::start(&runtime, answers);
    let (gateways, hook) = (gateways(&runtime), server.hook(""));
    let told = report(&gateways, &hook, &["a@there.test", "b@there.test"], "m").await;
    assert_eq!(told.retry_after, Some(Duration::from_secs(600)));
    assert_eq!(told.outcomes.len(), 2);
    assert!(
        status(&told.outcomes[1])
            .1
            .contains("left alone for 600 seconds"),
        "{told:?}"
    );
    runtime.advance(Duration::from_secs(300));
    let told = report(&gateways, &hook, &["c@there.test"], "n").await;
    assert!(
        told.retry_after
            .is_some_and(|left| left <= Duration::from_secs(300))
    );
    assert_eq!(server.heard().len(), 1);
    runtime.advance(Duration::from_secs(301));
    let told = report(&gateways, &hook, &["c@there.test"], "n").await;
    assert!(told.outcomes[0].is_delivered() && told.retry_after.is_none());
    assert_eq!(server.heard().len(), 2);
}
