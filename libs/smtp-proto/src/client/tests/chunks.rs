//! RFC 3030: the message by BDAT.

use super::*;
use crate::limits::CHUNK_BYTES;

fn ready() -> Peer {
    Peer::ready(config(), "PIPELINING CHUNKING")
}

impl Peer {
    /// Begins; back comes what is said before anything of the message is.
    fn begin_chunks(&mut self, recipients: &[&str]) -> String {
        let chunking = true;
        self.client
            .begin(Transaction {
                chunking,
                ..message(recipients)
            })
            .unwrap();
        let said = self.said();
        let event = self.client.next_event(&mut self.input);
        let alone = said == "RSET\r\n";
        assert_eq!(event, (!alone).then_some(ClientEvent::SendStart));
        said
    }

    /// All of a small message.
    fn say_whole(&mut self, content: &[u8]) -> String {
        self.client.push_data(content);
        self.client.finish_data();
        self.said()
    }

    /// The start of a longer one.
    fn say_start(&mut self, content: &[u8]) -> String {
        self.client.push_data(content);
        self.client.hold_data();
        self.said()
    }
}

#[test]
fn rfc_3030_4_2_a_small_message_goes_with_the_commands() {
    let mut peer = ready();
    let to = ["b@x.example", "c@x.example"];
    assert!(!peer.begin_chunks(&to).contains("DATA"));
    assert_eq!(
        peer.say_whole(b"S: x\r\n\r\n.a\r\nb"),
        "BDAT 15 LAST\r\nS: x\r\n\r\n.a\r\nb\r\n"
    );
    assert_eq!(peer.client.stage(), Stage::Mail);
    let (said, event) = peer.hear("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n250 2.0.0 done\r\n");
    assert_eq!(said, "");
    assert_eq!(codes(event), [(550, Stage::Rcpt), (250, Stage::Final)]);
    // Nothing is open there.
    assert!(peer.begin_chunks(&to).starts_with("MAIL "));
}

#[test]
fn rfc_3030_2_what_is_longer_waits_for_the_answers_and_goes_in_chunks() {
    let mut peer = ready();
    peer.begin_chunks(&["b@x.example"]);
    assert_eq!(peer.say_start(b"S: x\r\n\r\n."), "BDAT 9\r\nS: x\r\n\r\n.");
    assert_eq!(peer.hear("250 ok\r\n250 ok\r\n").1, None);
    assert_eq!(peer.hear("250 9 octets\r\n").1, Some(ClientEvent::SendData));
    let piece = vec![b'y'; CHUNK_BYTES / 2 + 1];
    for _ in 0..4 {
        peer.client.push_data(&piece);
    }
    peer.client.finish_data();
    let said = peer.said();
    let chunk = 2 * piece.len();
    let (first, rest) = said.split_at(format!("BDAT {chunk}\r\n").len() + chunk);
    assert!(first.starts_with(&format!("BDAT {chunk}\r\ny")));
    assert!(rest.starts_with(&format!("BDAT {} LAST\r\ny", chunk + 2)));
    assert!(rest.ends_with("y\r\n"));
    assert_eq!(peer.hear("250 ok\r\n").1, None);
    let (_, event) = peer.hear("250 done\r\n");
    assert_eq!(codes(event), [(250, Stage::Final)]);
}

#[test]
fn the_last_chunk_is_not_empty() {
    let mut peer = ready();
    peer.begin_chunks(&["b@x.example"]);
    peer.say_start(b"S: x\r\n");
    peer.hear("250 ok\r\n250 ok\r\n250 ok\r\n");
    let mut whole = vec![b'y'; CHUNK_BYTES - 2];
    whole.extend_from_slice(b"\r\n");
    let said = peer.say_whole(&whole);
    assert!(said.starts_with(&format!("BDAT {CHUNK_BYTES} LAST\r\n")));
}

#[test]
fn data_where_chunks_are_not_offered_or_cannot_be_pipelined() {
    let chunking = true;
    for capabilities in ["CHUNKING", "PIPELINING"] {
        let mut peer = Peer::ready(config(), capabilities);
        let message = message(&["b@x.example"]);
        peer.client
            .begin(Transaction {
                chunking,
                ..message
            })
            .unwrap();
        let (_, event) = peer.hear("250 ok\r\n");
        assert_eq!(event, None);
        let (said, _) = peer.hear("250 ok\r\n");
        assert_eq!(said.contains("DATA"), capabilities == "CHUNKING");
        assert_eq!(peer.hear("354 go\r\n").1, Some(ClientEvent::SendData));
    }
    let lmtp = ClientConfig {
        protocol: Protocol::Lmtp,
        ..config()
    };
    let mut peer = Peer::ready(lmtp, "PIPELINING CHUNKING");
    let message = message(&["b@x.example"]);
    peer.client
        .begin(Transaction {
            chunking,
            ..message
        })
        .unwrap();
    assert!(peer.said().ends_with("DATA\r\n"));
}

/// RFC 2920 §3.1: the content goes with the last group of commands, not before.
#[test]
fn the_start_goes_behind_the_last_recipient() {
    let names: Vec<String> = (0..100).map(|n| format!("{n:060}@x.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut peer = ready();
    let chunking = true;
    peer.client
        .begin(Transaction {
            chunking,
            ..message(&names)
        })
        .unwrap();
    let mut said = peer.said();
    let mut answered = 0;
    loop {
        let (more, event) = peer.hear("250 ok\r\n");
        said.push_str(&more);
        answered += 1;
        match event {
            None => {}
            Some(ClientEvent::SendStart) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(said.matches("RCPT").count(), 100);
    assert!(answered > 1 && answered < 101, "{answered}");
    peer.say_whole(b"x\r\n");
    for _ in answered..101 {
        assert_eq!(peer.hear("250 ok\r\n").1, None);
    }
    let (_, event) = peer.hear("250 done\r\n");
    assert_eq!(codes(event), [(250, Stage::Final); 100]);
}

#[test]
fn nothing_more_goes_when_nobody_is_left() {
    for replies in [
        "250 ok\r\n550 5.1.1 no\r\n503 5.5.1 nobody\r\n",
        // It has swallowed it all the same.
        "250 ok\r\n550 5.1.1 no\r\n250 what\r\n",
    ] {
        let mut peer = ready();
        peer.begin_chunks(&["b@x.example"]);
        peer.say_start(b"S: x\r\n");
        let (said, event) = peer.hear(replies);
        assert_eq!(said, "");
        assert_eq!(codes(event), [(550, Stage::Rcpt)]);
        assert!(peer.client.is_ready());
        assert!(peer.client.begin(message(&["b@x.example"])).is_ok());
        assert!(peer.said().starts_with("RSET\r\n"));
    }
    let mut peer = ready();
    peer.begin_chunks(&["b@x.example"]);
    peer.say_whole(b"S: x\r\n");
    let (_, event) = peer.hear("550 5.7.1 not you\r\n503 no\r\n503 no\r\n");
    assert_eq!(codes(event), [(550, Stage::Mail)]);
}

/// RFC 3030 §2 (MUST): RSET behind a refused chunk. It goes alone: the answers of a server
/// that reads a chunk as commands must not be taken for those to the next transaction.
#[test]
fn rfc_3030_2_rset_behind_a_refused_chunk() {
    for (replies, next) in [
        ("250 ok\r\n250 ok\r\n250 ok\r\n", "MAIL "),
        ("250 ok\r\n250 ok\r\n452 4.3.1 full\r\n", "RSET\r\n"),
        ("250 ok\r\n250 ok\r\n554 5.6.0 spam\r\n", "RSET\r\n"),
        ("250 ok\r\n550 no\r\n503 nobody\r\n", "RSET\r\n"),
    ] {
        let mut peer = ready();
        peer.begin_chunks(&["b@x.example"]);
        peer.say_whole(b"x\r\n");
        let (_, event) = peer.hear(replies);
        assert_eq!(codes(event).len(), 1);
        let said = peer.begin_chunks(&["b@x.example"]);
        assert!(said.starts_with(next), "{replies}: {said}");
        if next == "RSET\r\n" {
            let (said, event) = peer.hear("250 ok\r\n");
            assert!(said.starts_with("MAIL "), "{said}");
            assert_eq!(event, Some(ClientEvent::SendStart));
        }
    }
}

/// What a server answers to content that it takes for commands makes nothing delivered.
#[test]
fn answers_to_content_are_no_answers_to_the_next_message() {
    let mut peer = ready();
    peer.begin_chunks(&["b@x.example"]);
    peer.say_whole(b"Received: x\r\nNOOP\r\nNOOP\r\nNOOP\r\n");
    let (_, event) = peer.hear("250 ok\r\n550 5.1.1 no\r\n503 5.5.1 nobody\r\n");
    assert_eq!(codes(event), [(550, Stage::Rcpt)]);
    peer.begin_chunks(&["c@x.example"]);
    let (said, event) = peer.hear("500 what\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n");
    assert_eq!(said, "");
    assert_eq!(codes(event), [(451, Stage::Reset)]);
    assert!(!peer.client.is_ready());
}

#[test]
fn a_server_that_does_not_know_bdat_is_not_spoken_to_any_more() {
    for code in [
        "354 go", "500 what", "501 what", "502 what", "503 what", "504 what",
    ] {
        for whole in [true, false] {
            let mut peer = ready();
            peer.begin_chunks(&["b@x.example", "c@x.example"]);
            match whole {
                true => peer.say_whole(b"x\r\n"),
                false => peer.say_start(b"x\r\n"),
            };
            let (said, event) = peer.hear(&format!("250 ok\r\n550 no\r\n250 ok\r\n{code}\r\n"));
            assert_eq!(said, "");
            let verdicts = codes(event);
            assert_eq!(verdicts[0], (550, Stage::Rcpt));
            assert_eq!(verdicts[1].1, Stage::Final);
            assert!(peer.client.bdat_unknown() && !peer.client.is_ready());
        }
    }
}

#[test]
fn a_chunk_in_the_middle_that_is_refused_is_the_last_one() {
    let mut peer = ready();
    peer.begin_chunks(&["b@x.example"]);
    peer.say_start(b"S: x\r\n");
    peer.hear("250 ok\r\n250 ok\r\n250 ok\r\n");
    let piece = vec![b'y'; CHUNK_BYTES];
    peer.client.push_data(&piece);
    peer.client.push_data(&piece);
    assert_eq!(peer.said().matches("BDAT").count(), 1);
    let (said, event) = peer.hear("452 4.3.1 full\r\n");
    assert_eq!(said, "");
    assert_eq!(codes(event), [(452, Stage::Final)]);
    assert!(!peer.client.is_ready());

    // All of it was on its way: the others are refused as well.
    let mut peer = ready();
    peer.begin_chunks(&["b@x.example"]);
    peer.say_start(b"S: x\r\n");
    peer.hear("250 ok\r\n250 ok\r\n250 ok\r\n");
    peer.client.push_data(&piece);
    peer.client.push_data(&piece);
    peer.client.finish_data();
    let (_, event) = peer.hear("452 4.3.1 full\r\n503 5.5.1 no\r\n");
    assert_eq!(codes(event), [(452, Stage::Final)]);
    assert!(peer.begin_chunks(&["b@x.example"]) == "RSET\r\n");
}

#[test]
fn a_421_says_at_what_it_was_though_the_content_is_on_its_way() {
    for (replies, stage) in [
        ("421 4.3.2 bye\r\n", Stage::Mail),
        ("250 ok\r\n421 4.3.2 bye\r\n", Stage::Rcpt),
        ("250 ok\r\n250 ok\r\n421 4.3.2 bye\r\n", Stage::Final),
    ] {
        let mut peer = ready();
        peer.begin_chunks(&["b@x.example"]);
        peer.say_whole(b"x\r\n");
        let (_, event) = peer.hear(replies);
        assert_eq!(codes(event), [(421, stage)]);
        assert!(!peer.client.is_ready());
    }
}

/// With BDAT the length decides where a message ends: nothing in it may be an end for
/// whoever reads it as lines.
#[test]
fn threat_01_bare_line_ends_do_not_go_out_by_bdat() {
    let mut peer = ready();
    peer.begin_chunks(&["b@x.example"]);
    let said = peer.say_whole(b"S: x\r\n\r\na\n.\nb\r.\rc\r\n.\r\nMAIL\r\n");
    let (line, content) = said.split_once("\r\n").unwrap();
    assert_eq!(line, format!("BDAT {} LAST", content.len()));
    let bare = content.replace("\r\n", "");
    assert!(!bare.contains(['\r', '\n']), "{content:?}");
}
