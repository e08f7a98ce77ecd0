//! Messages by BDAT (RFC 3030), and servers that only say that they take them so.

use super::gate::{Places, gated, one};
use super::*;

const MAIL: (&str, &str) = ("MAIL FROM:<a@us.example>", "250 ok\r\n");
const RCPT: (&str, &str) = ("RCPT TO:<b@x.example>", "250 ok\r\n");

/// Takes a small message by BDAT.
fn takes_chunks() -> Script {
    let last = ("BDAT 20 LAST", "250 2.0.0 queued\r\n");
    vec![HELLO, CHUNKS, MAIL, RCPT, last, QUIT]
}

/// Takes one by DATA, though it offers more.
fn takes_data() -> Script {
    let mut script = willing();
    script[1] = CHUNKS;
    script
}

/// A message that is read in pieces, as the queue's are.
struct InPieces(Bytes);

impl Message for InPieces {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64) -> BoxFuture<'_, std::io::Result<Bytes>> {
        let start = usize::try_from(offset).unwrap();
        let end = self.0.len().min(start + 50_000);
        Box::pin(std::future::ready(Ok(self.0.slice(start..end))))
    }
}

/// Some hundred kilobytes.
fn long() -> InPieces {
    let mut text = String::from("Subject: long\r\n\r\n");
    for n in 0..4_000 {
        text.push_str(&format!(".{n:060}\r\n"));
    }
    InPieces(Bytes::from(text))
}

/// A message to these by these scripts, a connection each.
async fn sent(
    scripts: Vec<Script>,
    to: &[&str],
    message: &dyn Message,
) -> (Report, Vec<String>, Vec<String>) {
    let runtime = Runtime::new();
    let server = Server::start(&runtime, local("127.0.0.1"), scripts);
    let places = Places::of(9);
    let ports = gated(&runtime, &places);
    let route = Route {
        host: server.address.ip().to_string(),
        port: server.address.port(),
        protocol: Protocol::Smtp,
        tls: TlsPolicy::Opportunistic,
        credentials: None,
    };
    let to = envelope(to);
    let report = deliver_to_hosts(&ports, &[route], Patience::Usual, &to, message).await;
    (report, server.said(), places.heard())
}

fn count(said: &[String], verb: &str) -> usize {
    said.iter().filter(|line| line.starts_with(verb)).count()
}

#[tokio::test]
async fn rfc_3030_a_small_message_costs_one_wait() {
    let script = vec![
        HELLO,
        CHUNKS,
        (MAIL.0, "<wait>"),
        (RCPT.0, "<wait>"),
        ("BDAT 20 LAST", "250 ok\r\n250 ok\r\n250 2.0.0 queued\r\n"),
        QUIT,
    ];
    let (report, said, heard) = sent(vec![script], &["b@x.example"], &message()).await;
    assert_eq!(codes(&report), [250]);
    // Nothing is stuffed.
    assert!(said.contains(&"Subject: x\r\n\r\n.dot\r\n".to_owned()));
    assert!(heard.contains(&"chunks taken".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn rfc_3030_a_longer_message_starts_with_the_commands_and_goes_on_in_chunks() {
    let long = long();
    let script = vec![
        HELLO,
        CHUNKS,
        (MAIL.0, "<wait>"),
        (RCPT.0, "<wait>"),
        ("BDAT 16384", "250 ok\r\n250 ok\r\n250 16384\r\n"),
        ("BDAT", "250 ok\r\n"),
        ("BDAT", "250 ok\r\n"),
        ("BDAT", "250 2.0.0 queued\r\n"),
    ];
    let (report, said, _) = sent(vec![script], &["b@x.example"], &long).await;
    assert_eq!(codes(&report), [250], "{:?}", count(&said, "BDAT"));
    let lasts = said.iter().filter(|line| line.ends_with(" LAST"));
    assert_eq!(lasts.count(), 1);
    let content: Vec<&str> = said
        .split(|line| line.starts_with("BDAT"))
        .skip(1)
        .map(|behind| behind[0].as_str())
        .collect();
    assert_eq!(content.concat().as_bytes(), &long.0[..]);
}

#[tokio::test]
async fn bad_input_bdat_that_is_not_known_is_data_at_once_and_from_then_on() {
    for answer in [
        "500 5.5.1 what\r\n",
        "501 what\r\n",
        "502 what\r\n",
        "503 bad\r\n",
        "504 no\r\n",
        "354 go\r\n",
    ] {
        let lies = vec![HELLO, CHUNKS, MAIL, RCPT, ("?BDAT", answer)];
        let runtime = Runtime::new();
        let mut twice = takes_data();
        let quit = twice.pop().unwrap();
        twice.extend(takes_data().drain(2..6));
        twice.push(quit);
        let server = Server::start(&runtime, local("127.0.0.1"), vec![lies, twice]);
        let places = Places::of(9);
        let ports = gated(&runtime, &places);
        for _ in 0..2 {
            assert_eq!(codes(&one(&ports, &server).await), [250], "{answer}");
        }
        assert_eq!(count(&server.said(), "BDAT"), 1, "{:?}", server.said());
        assert_eq!(count(&server.said(), "DATA"), 2);
        let heard = places.heard();
        assert_eq!(count(&heard, "unknown"), 1, "{heard:?}");
    }
}

/// Its answers to what was in the chunk are no answers to anything.
#[tokio::test]
async fn bad_input_content_that_is_read_as_commands_delivers_nothing() {
    let lies = vec![
        HELLO,
        CHUNKS,
        MAIL,
        RCPT,
        (
            "?BDAT",
            "500 what\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n",
        ),
    ];
    let no: Script = vec![("", "554 no more\r\n")];
    let (report, said, _) = sent(vec![lies, no], &["b@x.example"], &message()).await;
    assert_eq!(codes(&report), [-451], "{said:?}");
}

#[tokio::test]
async fn who_was_refused_is_not_asked_for_again_by_data() {
    let to = ["b@x.example", "c@x.example"];
    let lies = vec![
        HELLO,
        CHUNKS,
        MAIL,
        (RCPT.0, "550 5.1.1 no\r\n"),
        ("RCPT TO:<c@x.example>", "250 ok\r\n"),
        ("?BDAT", "502 5.5.1 what\r\n"),
    ];
    let data = vec![
        HELLO,
        CHUNKS,
        MAIL,
        ("RCPT TO:<c@x.example>", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        QUIT,
    ];
    let (report, _, _) = sent(vec![lies, data], &to, &message()).await;
    assert_eq!(codes(&report), [550, 250]);
}

#[tokio::test]
async fn bad_input_a_break_before_the_last_chunk_is_data_at_once() {
    let breaks = vec![HELLO, CHUNKS, MAIL, RCPT, ("?BDAT", "")];
    let (report, said, heard) = sent(vec![breaks, takes_data()], &["b@x.example"], &long()).await;
    assert_eq!(codes(&report), [250]);
    assert_eq!((count(&said, "BDAT"), count(&said, "DATA")), (1, 1));
    assert!(heard.contains(&"chunks lost".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn bad_input_a_break_behind_the_last_chunk_sends_nothing_twice() {
    let breaks = vec![HELLO, CHUNKS, MAIL, RCPT, ("BDAT 20 LAST", "")];
    let unheard = vec![
        HELLO,
        CHUNKS,
        (MAIL.0, "<wait>"),
        (RCPT.0, "<wait>"),
        ("BDAT 20 LAST", ""),
    ];
    for script in [breaks, unheard] {
        let (report, said, heard) =
            sent(vec![script, takes_data()], &["b@x.example"], &message()).await;
        let Outcome::Temporary(reason) = &report.outcomes[0] else {
            panic!("{report:?}");
        };
        let line = reason.reply.to_line();
        assert!(
            line.contains("connection lost") && line.contains("BDAT"),
            "{line}"
        );
        assert_eq!(count(&said, "MAIL"), 1);
        assert!(heard.contains(&"chunks lost".to_owned()), "{heard:?}");
    }
}

#[tokio::test]
async fn a_chunk_that_is_refused_in_the_middle_ends_it() {
    let full = "452 4.3.1 full\r\n";
    let script = vec![
        HELLO,
        CHUNKS,
        MAIL,
        RCPT,
        ("BDAT 16384", "250 ok\r\n"),
        ("BDAT", full),
        // Some were on their way, or none.
        ("BDAT", "503 5.5.1 no\r\n"),
        ("BDAT", "503 5.5.1 no\r\n"),
    ];
    let (report, said, heard) = sent(vec![script, takes_data()], &["b@x.example"], &long()).await;
    assert_eq!(codes(&report), [452]);
    assert_eq!(count(&said, "MAIL"), 1);
    assert!(heard.contains(&"chunks deferred".to_owned()), "{heard:?}");
    // What is refused for good is the server's word about the message.
    let script = vec![
        HELLO,
        CHUNKS,
        MAIL,
        RCPT,
        ("BDAT 20 LAST", "554 5.6.0 spam\r\n"),
    ];
    let (report, _, heard) = sent(vec![script, takes_data()], &["b@x.example"], &message()).await;
    assert_eq!(codes(&report), [554]);
    assert!(
        !heard.iter().any(|what| what.contains("chunks")),
        "{heard:?}"
    );
}

#[tokio::test]
async fn all_refused_while_the_chunk_was_on_its_way_and_the_connection_goes_on() {
    let runtime = Runtime::new();
    let mut script = takes_chunks();
    let quit = script.pop().unwrap();
    script.extend([
        MAIL,
        (RCPT.0, "550 5.1.1 no\r\n"),
        ("BDAT 20 LAST", "503 5.5.1 nobody\r\n"),
        quit,
    ]);
    let server = Server::start(&runtime, local("127.0.0.1"), vec![script, takes_chunks()]);
    let places = Places::of(9);
    let ports = gated(&runtime, &places);
    let mut all = Vec::new();
    for _ in 0..3 {
        all.extend(codes(&one(&ports, &server).await));
    }
    assert_eq!(all, [250, 550, 250]);
    assert_eq!(count(&places.heard(), "unknown"), 0);
}

/// What a server has said before a message goes there is seen before, so that nothing
/// is sent of which nobody knows what became of it.
#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_not_used() {
    let runtime = Runtime::new();
    let mut script = takes_chunks();
    script.truncate(4);
    script.push(("BDAT 20 LAST", "250 2.0.0 queued\r\n421 4.4.2 enough\r\n"));
    let server = Server::start(&runtime, local("127.0.0.1"), vec![script, takes_chunks()]);
    let ports = gated(&runtime, &Places::of(9));
    for _ in 0..2 {
        assert_eq!(codes(&one(&ports, &server).await), [250]);
    }
    assert_eq!(count(&server.said(), "EHLO"), 2);
}
