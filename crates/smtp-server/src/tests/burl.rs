//! Messages by URL (RFC 4468).

use super::submission::logged_in;
use super::*;
use crate::{UrlOctets, UrlRefusal};
use bytes::Bytes;
use policy::primary::BoxFuture;

/// `imap://…/letter` is a letter of alice's, `imap://…/torn` one that breaks off.
#[derive(Debug)]
pub(super) struct Letters;

const LETTER: &str = "From: alice@demo.test\r\nSubject: by URL\r\n\r\n.\r\nQUIT\r\n";

struct Letter {
    pieces: Vec<&'static [u8]>,
    size: u64,
}

impl crate::Urls for Letters {
    fn open<'a>(
        &'a self,
        url: &'a str,
        account: AccountId,
    ) -> BoxFuture<'a, Result<Box<dyn UrlOctets>, UrlRefusal>> {
        let found = match url {
            _ if account != AccountId(1) => Err(UrlRefusal::Refused),
            "imap://mx/letter" => Ok(LETTER.len() as u64),
            "imap://mx/torn" => Ok(1000),
            "imap://mx/large" => Ok(100_001),
            "imap://mx/trouble" => Err(UrlRefusal::Trouble),
            "imap://else/letter" => Err(UrlRefusal::Elsewhere),
            "imap://mx/" => Err(UrlRefusal::Invalid("the URL names no message")),
            _ => Err(UrlRefusal::Refused),
        };
        let pieces = LETTER.as_bytes().chunks(7).rev().collect();
        Box::pin(async move {
            found.map(|size| Box::new(Letter { pieces, size }) as Box<dyn UrlOctets>)
        })
    }
}

impl UrlOctets for Letter {
    fn size(&self) -> u64 {
        self.size
    }

    fn next_piece(&mut self) -> BoxFuture<'_, Option<Bytes>> {
        let piece = self.pieces.pop().map(Bytes::from_static);
        Box::pin(async move { piece })
    }
}

const BEGIN: [(&str, &str); 2] = [
    ("MAIL FROM:<alice@demo.test>", "250 2.1.0"),
    ("RCPT TO:<bob@demo.test>", "250 2.1.5"),
];

#[tokio::test]
async fn a_message_of_the_server_is_submitted_without_its_octets() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    let hello = client.say("EHLO laptop").await;
    // RFC 5550 §3.1: what a submission server of that profile has.
    for offered in [
        "8BITMIME",
        "BINARYMIME",
        "BURL imap",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "PIPELINING",
    ] {
        let is_there = hello.lines().any(|line| line[4..].trim() == offered);
        assert!(is_there, "{offered}: {hello}");
    }
    assert!(
        hello.contains("SIZE ") && hello.contains("AUTH "),
        "{hello}"
    );
    client.dialogue(&BEGIN).await;
    client
        .dialogue(&[("BURL imap://mx/letter LAST", "250 2.0.0"), ("NOOP", "250")])
        .await;
    let inbox = world.inbox(2).await;
    let message = &inbox[0];
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("Subject: by URL") && head.contains("Message-ID: <"),
        "{message}"
    );
    assert_eq!(body, ".\r\nQUIT\r\n");
}

#[tokio::test]
async fn urls_and_chunks_make_one_message() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    client.dialogue(&BEGIN).await;
    client.dialogue(&[("BURL imap://mx/letter", "250")]).await;
    client.send("BDAT 6 LAST\r\nmore\r\n").await;
    assert!(client.hear().await.starts_with("250"));
    assert!(world.inbox(2).await[0].ends_with("QUIT\r\nmore\r\n"));
}

#[tokio::test]
async fn what_cannot_be_had_ends_the_message_and_not_the_session() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    for (url, reply) in [
        ("imap://mx/nothing", "554 5.6.6"),
        ("imap://mx/", "554 5.6.6"),
        ("imap://else/letter", "554 5.7.14"),
        ("imap://mx/trouble", "451 4.3.0"),
        ("imap://mx/torn", "451 4.3.0"),
    ] {
        for beginning in [None, Some("BURL imap://mx/letter")] {
            client.dialogue(&BEGIN).await;
            if let Some(beginning) = beginning {
                client.dialogue(&[(beginning, "250")]).await;
            }
            client
                .dialogue(&[
                    (&format!("BURL {url} LAST"), reply),
                    ("BURL imap://mx/letter LAST", "503 5.5.1"),
                ])
                .await;
        }
    }
    assert!(world.inbox(2).await.is_empty());
    client.dialogue(&BEGIN).await;
    client
        .dialogue(&[("BURL imap://mx/letter LAST", "250 2.0.0")])
        .await;
    assert_eq!(world.inbox(2).await.len(), 1);
}

#[tokio::test]
async fn the_size_limit_holds_for_urls() {
    let world = World::new().await;
    let config = Config::new(Role::Submission, "mx.demo.test", TlsMode::None);
    let config = config.with_plaintext_login().with_limits(100_000, 10);
    let mut client = world.connect(config, NEAR);
    client.hear().await;
    client
        .dialogue(&[
            ("EHLO laptop", "250"),
            (&plain_auth("alice@demo.test", "demo"), "235"),
        ])
        .await;
    client.dialogue(&BEGIN).await;
    client
        .dialogue(&[
            ("BURL imap://mx/large LAST", "552 5.3.4"),
            ("MAIL FROM:<alice@demo.test>", "250 2.1.0"),
        ])
        .await;
}
