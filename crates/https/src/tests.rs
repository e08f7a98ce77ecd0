//! Over real connections, to a server that says what it is told to.

#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use resolver::Resolver;
use runtime::net::{Conn, Listener};
use runtime::tls::{ClientTls, ServerTls};
use runtime::{Runtime, Task};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Answer, BoxFuture, Content, Failure, Https, Posted, Wanted};

/// A server for one connection: what it heard is given when it ends.
struct Server {
    port: u16,
    heard: Task<Vec<u8>>,
}

/// Reads a request to the end of its body, unless `hasty`, and says `answer`.
async fn hear(conn: &mut Conn, answer: &str, hasty: bool) -> Vec<u8> {
    let mut heard = BytesMut::new();
    loop {
        let text = String::from_utf8_lossy(&heard).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let named = name.eq_ignore_ascii_case("content-length");
                named.then(|| value.trim().parse::<usize>().unwrap())
            });
            if hasty || heard.len() >= head.len() + 4 + length.unwrap_or(0) {
                break;
            }
        }
        if conn.read(&mut heard).await.unwrap() == 0 {
            break;
        }
    }
    conn.write_all(answer.as_bytes()).await.unwrap();
    conn.flush().await.unwrap();
    heard.to_vec()
}

fn serve(runtime: &Runtime, answer: &'static str, tls: Option<ServerTls>, hasty: bool) -> Server {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().port();
    let heard = runtime.spawn("server", async move {
        let mut conn = listener.accept().await.unwrap();
        if let Some(tls) = tls
            && conn.start_tls(&tls).await.is_err()
        {
            return Vec::new();
        }
        hear(&mut conn, answer, hasty).await
    });
    Server { port, heard }
}

fn https(runtime: &Runtime, tls: Option<ClientTls>) -> Https {
    let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
    Https::new(resolver, tls, runtime.clone())
}

fn posted<'a>(url: &'a str, fields: &'a [(&'a str, String)]) -> Posted<'a> {
    Posted {
        url,
        media_type: "text/plain",
        fields,
        answer_bytes_max: 16,
        timeout: Duration::from_secs(30),
    }
}

async fn post_clear(answer: &'static str, content: &dyn Content) -> (Answer, String) {
    let runtime = Runtime::new();
    let server = serve(&runtime, answer, None, false);
    let url = format!("http://user@127.0.0.1:{}/a/b?c=d", server.port);
    let fields = [("webhook-id", "7".to_owned())];
    let https = https(&runtime, None).clear_on_loopback();
    let answered = https.post(&posted(&url, &fields), content).await.unwrap();
    let heard = server.heard.join().await.unwrap();
    (answered, String::from_utf8(heard).unwrap())
}

#[tokio::test]
async fn what_is_posted_arrives_and_the_answer_is_bounded() {
    let answer = "HTTP/1.1 202 Accepted\r\nContent-Type: text/plain; charset=utf-8\r\n\
                  Retry-After: 120\r\nContent-Length: 40\r\n\r\nthanks\r\n\
                  0123456789012345678901234567890 ";
    let (answered, heard) = post_clear(answer, &Bytes::from_static(b"hello")).await;
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "hello");
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /a/b?c=d HTTP/1.1"));
    let head = head.to_ascii_lowercase();
    for line in [
        "content-type: text/plain",
        "content-length: 5",
        "webhook-id: 7",
    ] {
        assert!(head.lines().any(|have| have == line), "{line}: {head}");
    }
    assert!(head.contains("host: 127.0.0.1:"), "{head}");
    assert!(answered.is_success());
    assert_eq!((answered.status, answered.body.len()), (202, 16));
    assert_eq!(answered.retry_after, Some(Duration::from_secs(120)));
    assert_eq!(answered.words(100), "thanks");
}

/// Content of many parts.
struct Parts(u64);

impl Content for Parts {
    fn size(&self) -> u64 {
        self.0
    }

    fn read(&self, offset: u64) -> BoxFuture<'_, io::Result<Bytes>> {
        let part = usize::try_from(self.0 - offset).unwrap().min(7000);
        Box::pin(std::future::ready(Ok(Bytes::from(vec![b'x'; part]))))
    }
}

#[tokio::test]
async fn large_content_is_read_as_it_goes_and_nothing_is_a_body_too() {
    let done = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (answered, heard) = post_clear(done, &Parts(3_000_000)).await;
    assert_eq!(answered.status, 200);
    let (_, body) = heard.split_once("\r\n\r\n").unwrap();
    assert!(body.len() == 3_000_000 && body.bytes().all(|b| b == b'x'));
    let (answered, heard) = post_clear(done, &Bytes::new()).await;
    assert_eq!(answered.status, 200);
    assert!(
        heard.to_ascii_lowercase().contains("content-length: 0"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_server_may_answer_before_it_has_heard_all() {
    let runtime = Runtime::new();
    let answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = serve(&runtime, answer, None, true);
    let url = format!("http://127.0.0.1:{}/", server.port);
    let https = https(&runtime, None).clear_on_loopback();
    let answered = https.post(&posted(&url, &[]), &Parts(50_000_000)).await;
    // Whichever of the two comes first: the answer, or the end of the connection.
    match answered {
        Ok(answer) => assert_eq!(answer.status, 413),
        Err(Failure::Other(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

struct Broken;

impl Content for Broken {
    fn size(&self) -> u64 {
        100
    }

    fn read(&self, _: u64) -> BoxFuture<'_, io::Result<Bytes>> {
        Box::pin(std::future::ready(Err(io::Error::other(
            "the disk is gone",
        ))))
    }
}

#[tokio::test]
async fn content_that_cannot_be_read_is_never_sent_as_whole() {
    let runtime = Runtime::new();
    let done = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let server = serve(&runtime, done, None, false);
    let url = format!("http://127.0.0.1:{}/", server.port);
    let https = https(&runtime, None).clear_on_loopback();
    let failed = https.post(&posted(&url, &[]), &Broken).await.unwrap_err();
    assert!(failed.to_string().contains("the disk is gone"), "{failed}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\n\
                  Retry-After: Fri, 02 Jan 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
    let runtime = Runtime::for_tests();
    let server = serve(&runtime, answer, None, false);
    let url = format!("http://127.0.0.1:{}/", server.port);
    let https = https(&runtime, None).clear_on_loopback();
    let answered = https.post(&posted(&url, &[]), &Bytes::new()).await.unwrap();
    assert_eq!(answered.status, 307);
    let wait = answered.retry_after.unwrap();
    let day = Duration::from_secs(86_400);
    assert!(
        wait <= day && wait > day - Duration::from_secs(60),
        "{wait:?}"
    );
    assert!(!answered.is_success());
}

#[tokio::test]
async fn clear_text_goes_to_this_machine_alone_and_only_on_demand() {
    let runtime = Runtime::new();
    let asking = https(&runtime, None);
    for (https, url, why) in [
        (asking.clone(), "http://127.0.0.1:9/", "it is not https"),
        (asking.clone(), "ftp://127.0.0.1/", "it is not https"),
        (
            asking.clone().clear_on_loopback(),
            "http://192.0.2.1:9/",
            "which is not this machine",
        ),
        (
            asking.clone(),
            "https://127.0.0.1:9/",
            "this machine trusts no certificate authorities",
        ),
        (
            asking
                .clear_on_loopback()
                .within(Arc::new(|ip| !ip.is_loopback())),
            "http://127.0.0.1:9/",
            "where nothing is asked for",
        ),
    ] {
        let failed = https.post(&posted(url, &[]), &Bytes::new()).await;
        let said = failed.unwrap_err().to_string();
        assert!(said.contains(why), "{url}: {said}");
    }
}

fn certificate(name: &str) -> (ServerTls, CertificateDer<'static>) {
    #[derive(Debug)]
    struct Always(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Always {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let der = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = runtime::tls::provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![der.clone()], key);
    let tls = ServerTls::new(Arc::new(Always(Arc::new(certified)))).unwrap();
    (tls, der)
}

fn trusting(root: CertificateDer<'static>) -> ClientTls {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    ClientTls::verifying(roots).unwrap()
}

#[tokio::test]
async fn over_tls_the_certificate_must_be_good_for_the_name() {
    let runtime = Runtime::new();
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let (tls, root) = certificate("127.0.0.1");
    let server = serve(&runtime, answer, Some(tls), false);
    let url = format!("https://127.0.0.1:{}/", server.port);
    let https_of = |root| https(&runtime, Some(trusting(root)));
    let (https_there, said) = (https_of(root.clone()), posted(&url, &[]));
    let answered = https_there.post(&said, &Bytes::from_static(b"x")).await;
    assert_eq!(answered.unwrap().words(9), "ok");

    let (tls, other) = certificate("else.test");
    for root in [other, root] {
        let server = serve(&runtime, answer, Some(tls.clone()), false);
        let url = format!("https://127.0.0.1:{}/", server.port);
        let failed = https_of(root)
            .post(&posted(&url, &[]), &Bytes::from_static(b"x"))
            .await;
        assert!(matches!(failed, Err(Failure::Certificate(_))), "{failed:?}");
    }
}

#[tokio::test]
async fn a_document_is_read_and_one_that_is_too_large_is_none() {
    for (bytes_max, fits) in [(2, true), (1, false)] {
        let runtime = Runtime::new();
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; x=y\r\nContent-Length: 2\r\n\r\nok";
        let server = serve(&runtime, answer, None, false);
        let url = format!("http://127.0.0.1:{}/", server.port);
        let wanted = Wanted {
            url: &url,
            media_type: "text/plain",
            bytes_max,
            timeout: Duration::from_secs(30),
        };
        let got = https(&runtime, None).clear_on_loopback().get(&wanted).await;
        assert_eq!(got.is_ok(), fits);
        if let Ok(document) = got {
            assert_eq!(
                (document.media_type.as_str(), &document.body[..]),
                ("text/plain", &b"ok"[..])
            );
        }
    }
}
