//! Dialogues with a server that is a list of replies.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use bytes::BytesMut;
use envelope::{Address, ByMode, Notify, OriginalRecipient, ValidSince};
use proptest::prelude::*;

use super::*;

mod chunks;

struct Peer {
    client: Client,
    input: BytesMut,
}

impl Peer {
    fn new(config: ClientConfig) -> Self {
        Self {
            client: Client::new(config, false),
            input: BytesMut::new(),
        }
    }

    /// The server says `text`; back come what the client says and its event.
    fn hear(&mut self, text: &str) -> (String, Option<ClientEvent>) {
        self.input.extend_from_slice(text.as_bytes());
        let event = self.client.next_event(&mut self.input);
        (self.said(), event)
    }

    fn said(&mut self) -> String {
        String::from_utf8(self.client.take_output()).unwrap()
    }

    /// Up to Ready, with these capabilities.
    fn ready(config: ClientConfig, capabilities: &str) -> Self {
        let mut peer = Self::new(config);
        let (said, event) = peer.hear("220 mx.example ESMTP\r\n");
        assert!(said == "EHLO us.example\r\n" || said == "LHLO us.example\r\n");
        assert_eq!(event, None);
        let lines: Vec<String> = capabilities
            .split_whitespace()
            .map(|word| format!("250-{word}\r\n"))
            .collect();
        let hello = format!(
            "250-mx.example hi\r\n{}250 HELP\r\n",
            lines.concat().replace('_', " ")
        );
        assert_eq!(peer.hear(&hello), (String::new(), Some(ClientEvent::Ready)));
        peer
    }

    fn begin(&mut self, recipients: &[&str]) -> String {
        self.client.begin(message(recipients)).unwrap();
        self.said()
    }
}

fn message(recipients: &[&str]) -> Transaction {
    Transaction {
        reverse_path: ReversePath::parse("a@us.example").unwrap(),
        recipients: recipients
            .iter()
            .map(|r| Recipient::new(Address::parse(r).unwrap()))
            .collect(),
        size: Some(100),
        eight_bit: false,
        smtputf8: false,
        ret: None,
        envid: None,
        wishes: OnwardWishes::default(),
        chunking: false,
    }
}

fn config() -> ClientConfig {
    ClientConfig::new("us.example")
}

fn codes(event: Option<ClientEvent>) -> Vec<(u16, Stage)> {
    match event {
        Some(ClientEvent::Finished(verdicts)) => verdicts
            .into_iter()
            .map(|verdict| (verdict.reply.code, verdict.stage))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_command_at_a_time_without_pipelining() {
    let mut peer = Peer::ready(config(), "");
    assert_eq!(
        peer.begin(&["b@x.example", "c@x.example"]),
        "MAIL FROM:<a@us.example>\r\n"
    );
    assert_eq!(peer.hear("250 ok\r\n").0, "RCPT TO:<b@x.example>\r\n");
    assert_eq!(peer.hear("550 5.1.1 no\r\n").0, "RCPT TO:<c@x.example>\r\n");
    assert_eq!(peer.hear("250 ok\r\n").0, "DATA\r\n");
    assert_eq!(peer.hear("354 go\r\n").1, Some(ClientEvent::SendData));
    peer.client.push_data(b"S: x\r\n\r\n.dot\r\n");
    peer.client.finish_data();
    assert_eq!(peer.said(), "S: x\r\n\r\n..dot\r\n.\r\n");
    let (_, event) = peer.hear("250 2.0.0 queued\r\n");
    assert_eq!(codes(event), [(550, Stage::Rcpt), (250, Stage::Final)]);
    assert!(peer.client.is_ready());
    // No RSET behind a message that was answered.
    assert_eq!(peer.begin(&["b@x.example"]), "MAIL FROM:<a@us.example>\r\n");
}

#[test]
fn rfc_2920_all_at_once_with_pipelining() {
    let mut peer = Peer::ready(config(), "PIPELINING SIZE_1000 8BITMIME");
    assert_eq!(
        peer.begin(&["b@x.example", "c@x.example"]),
        "MAIL FROM:<a@us.example> SIZE=100\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n"
    );
    let (said, event) = peer.hear("250 ok\r\n250 ok\r\n452 4.5.3 many\r\n354 go\r\n");
    assert_eq!((said.as_str(), event), ("", Some(ClientEvent::SendData)));
    peer.client.finish_data();
    let (_, event) = peer.hear("451 4.0.0 later\r\n");
    assert_eq!(codes(event), [(451, Stage::Final), (452, Stage::Rcpt)]);
}

#[test]
fn a_question_ends_behind_rcpt_and_leaves_no_transaction() {
    for capabilities in ["PIPELINING", "SIZE_100000"] {
        let mut peer = Peer::ready(config(), capabilities);
        peer.client
            .ask(message(&["b@x.example", "c@x.example"]))
            .unwrap();
        let mut said = peer.said();
        let mut event = None;
        for reply in ["250 ok\r\n", "250 2.1.5 ok\r\n", "550 5.1.1 no\r\n"] {
            let (more, next) = peer.hear(reply);
            said.push_str(&more);
            event = next;
        }
        assert!(said.ends_with("RCPT TO:<c@x.example>\r\n"), "{said}");
        assert_eq!(codes(event), [(250, Stage::Rcpt), (550, Stage::Rcpt)]);
        // The next one begins anew, and is a message.
        assert!(peer.begin(&["b@x.example"]).starts_with("RSET\r\n"));
    }
}

#[test]
fn rfc_2920_3_1_no_more_on_its_way_than_a_window_takes() {
    let mut peer = Peer::ready(config(), "PIPELINING");
    let names: Vec<String> = (0..500)
        .map(|n| format!("{n:060}@a-rather-long-domain.example"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut waiting: VecDeque<String> = VecDeque::new();
    let (mut said, mut recipients, mut groups) = (peer.begin(&names), 0, 0);
    loop {
        groups += usize::from(said.lines().count() > 1);
        waiting.extend(said.split_inclusive("\r\n").map(str::to_owned));
        let on_the_way: usize = waiting.iter().map(String::len).sum();
        assert!(
            on_the_way <= crate::limits::PIPELINE_BYTES_MAX,
            "{on_the_way}"
        );
        let answered = waiting.pop_front().unwrap();
        if answered == "DATA\r\n" {
            break;
        }
        recipients += usize::from(answered.starts_with("RCPT"));
        said = peer.hear("250 ok\r\n").0;
    }
    assert_eq!((recipients, waiting.len()), (500, 0));
    assert!(groups > 0, "they do go together");
    assert_eq!(peer.hear("354 go\r\n").1, Some(ClientEvent::SendData));
}

#[test]
fn rfc_2920_3_1_data_on_its_way_when_all_were_refused() {
    let mut peer = Peer::ready(config(), "PIPELINING");
    peer.begin(&["b@x.example"]);
    let (said, event) = peer.hear("250 ok\r\n550 no\r\n354 go\r\n");
    assert_eq!((said.as_str(), event), (".\r\n", None));
    let (_, event) = peer.hear("250 queued\r\n");
    assert_eq!(codes(event), [(550, Stage::Rcpt)]);

    peer.begin(&["b@x.example"]);
    let (said, event) = peer.hear("550 bad sender\r\n503 no\r\n503 no\r\n");
    assert_eq!(said, "");
    assert_eq!(codes(event), [(550, Stage::Mail)]);
    // That transaction may still be open there.
    assert!(peer.begin(&["b@x.example"]).starts_with("RSET\r\nMAIL"));
    let (_, event) = peer.hear("500 what\r\n");
    assert_eq!(codes(event), [(451, Stage::Reset)]);
    assert!(!peer.client.is_ready());
}

/// DATA waits for room in the window: those whose answers are still to come may be accepted.
#[test]
fn a_refusal_does_not_end_what_others_may_still_be_accepted_for() {
    let mut peer = Peer::ready(config(), "PIPELINING");
    // A window is full with these, so that DATA does not go with the last of them.
    let name = format!("{}@x.example", "b".repeat(42));
    let line = format!("RCPT TO:<{name}>\r\n");
    assert_eq!(crate::limits::PIPELINE_BYTES_MAX % line.len(), 0);
    let names = vec![name.as_str(); 2 * crate::limits::PIPELINE_BYTES_MAX / line.len()];
    let mut said = peer.begin(&names);
    said.push_str(&peer.hear("250 ok\r\n").0);
    for _ in 1..names.len() {
        said.push_str(&peer.hear("550 no\r\n").0);
    }
    assert_eq!(said.matches(&line).count(), names.len());
    said.push_str(&peer.hear("250 ok\r\n").0);
    assert!(said.ends_with("DATA\r\n"), "{said}");
    assert_eq!(peer.hear("354 go\r\n").1, Some(ClientEvent::SendData));
}

#[test]
fn rfc_2033_4_2_a_reply_for_each_recipient() {
    let lmtp = ClientConfig {
        protocol: Protocol::Lmtp,
        ..config()
    };
    let mut peer = Peer::ready(lmtp, "PIPELINING");
    peer.begin(&["b@x.example", "c@x.example", "d@x.example"]);
    peer.hear("250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n");
    peer.client.finish_data();
    assert_eq!(peer.hear("250 ok\r\n").1, None);
    let (_, event) = peer.hear("452 full\r\n");
    assert_eq!(
        codes(event),
        [(250, Stage::Final), (550, Stage::Rcpt), (452, Stage::Final)]
    );
}

#[test]
fn helo_where_ehlo_is_not_known() {
    let mut peer = Peer::new(config());
    peer.hear("220-mx\r\n220 hi\r\n");
    assert_eq!(peer.hear("502 what\r\n").0, "HELO us.example\r\n");
    assert_eq!(peer.hear("250 hi\r\n").1, Some(ClientEvent::Ready));
    assert_eq!(*peer.client.capabilities(), Capabilities::default());
}

#[test]
fn a_refusal_outside_a_transaction_fails() {
    let mut peer = Peer::new(config());
    let (_, event) = peer.hear("554 5.7.1 go away\r\n");
    let Some(ClientEvent::Failed(Failure::Refused(verdict))) = event else {
        panic!()
    };
    assert_eq!((verdict.reply.code, verdict.stage), (554, Stage::Greeting));
    let mut peer = Peer::ready(config(), "");
    let (_, event) = peer.hear("421 4.4.2 idle\r\n");
    assert!(matches!(
        event,
        Some(ClientEvent::Failed(Failure::Refused(_)))
    ));
    let mut peer = Peer::ready(config(), "");
    let (_, event) = peer.hear("250 ok\r\n");
    assert!(matches!(
        event,
        Some(ClientEvent::Failed(Failure::Unasked(_)))
    ));
}

#[test]
fn a_421_ends_the_transaction_for_those_without_a_verdict() {
    let mut peer = Peer::ready(config(), "");
    peer.begin(&["b@x.example", "c@x.example"]);
    peer.hear("250 ok\r\n");
    peer.hear("550 no\r\n");
    let (_, event) = peer.hear("421 bye\r\n");
    assert_eq!(codes(event), [(550, Stage::Rcpt), (421, Stage::Rcpt)]);
    assert!(!peer.client.is_ready());
}

#[test]
fn a_reply_within_the_message_is_the_last_word() {
    let mut peer = Peer::ready(config(), "PIPELINING");
    peer.begin(&["b@x.example"]);
    peer.hear("250 ok\r\n250 ok\r\n354 go\r\n");
    peer.client.push_data(b"a\r\n");
    let (_, event) = peer.hear("552 too big\r\n");
    assert_eq!(codes(event), [(552, Stage::Final)]);
    assert!(!peer.client.is_ready());
}

/// A server (or a proxy) that is out of step with us never makes a message
/// count as delivered that it cannot have.
#[test]
fn only_the_answer_to_the_whole_message_is_a_success() {
    // 2yz to DATA.
    let mut peer = Peer::ready(config(), "");
    peer.begin(&["b@x.example"]);
    peer.hear("250 ok\r\n");
    peer.hear("250 ok\r\n");
    let (_, event) = peer.hear("250 ok\r\n");
    assert_eq!(codes(event), [(451, Stage::Data)]);

    // 2yz before the message was said to its end.
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        let mut config = config();
        config.protocol = protocol;
        let mut peer = Peer::ready(config, "PIPELINING");
        peer.begin(&["b@x.example"]);
        peer.hear("250 ok\r\n250 ok\r\n354 go\r\n");
        peer.client.push_data(b"x\r\n");
        let (_, event) = peer.hear("250 queued\r\n");
        assert_eq!(codes(event), [(451, Stage::Final)]);
        assert!(!peer.client.is_ready());
    }

    // What is neither yes nor no.
    let mut peer = Peer::ready(config(), "PIPELINING");
    peer.begin(&["b@x.example", "c@x.example"]);
    peer.hear("250 ok\r\n334 what\r\n250 ok\r\n354 go\r\n");
    peer.client.finish_data();
    let (_, event) = peer.hear("354 go\r\n");
    assert_eq!(codes(event), [(451, Stage::Rcpt), (451, Stage::Final)]);
}

#[test]
fn rfc_3207_starttls() {
    let mut peer = Peer::new(config());
    peer.hear("220 mx\r\n");
    assert_eq!(
        peer.hear("250-mx\r\n250-SMTPUTF8\r\n250 STARTTLS\r\n").0,
        "STARTTLS\r\n"
    );
    assert_eq!(peer.hear("220 go\r\n").1, Some(ClientEvent::StartTls));
    peer.client.tls_started();
    assert_eq!(peer.said(), "EHLO us.example\r\n");
    assert!(!peer.client.capabilities().smtputf8);
    assert_eq!(
        peer.hear("250-mx\r\n250 STARTTLS\r\n"),
        (String::new(), Some(ClientEvent::Ready))
    );
    assert!(peer.client.is_tls());
}

#[test]
fn a_refused_starttls_is_no_end_unless_tls_is_required() {
    for (starttls, goes_on) in [(StartTls::IfOffered, true), (StartTls::Required, false)] {
        let mut peer = Peer::new(ClientConfig {
            starttls,
            ..config()
        });
        peer.hear("220 mx\r\n");
        peer.hear("250-mx\r\n250 STARTTLS\r\n");
        let (_, event) = peer.hear("454 not now\r\n");
        assert_eq!(event == Some(ClientEvent::Ready), goes_on);
    }
    let mut peer = Peer::new(ClientConfig {
        starttls: StartTls::Required,
        ..config()
    });
    peer.hear("220 mx\r\n");
    let (_, event) = peer.hear("250 mx\r\n");
    assert_eq!(event, Some(ClientEvent::Failed(Failure::NoStartTls)));
}

#[test]
fn threat_02_response_injection_behind_starttls_is_refused() {
    let mut peer = Peer::new(config());
    peer.hear("220 mx\r\n");
    peer.hear("250-mx\r\n250 STARTTLS\r\n");
    let (_, event) = peer.hear("220 go\r\n250 evil\r\n");
    assert_eq!(event, Some(ClientEvent::Failed(Failure::Injection)));
}

fn with_login() -> ClientConfig {
    ClientConfig {
        starttls: StartTls::Never,
        credentials: Some(Credentials {
            authorization: None,
            login: "tim".into(),
            password: "tanstaaftanstaaf".into(),
        }),
        auth_in_clear: true,
        ..config()
    }
}

#[test]
fn rfc_4954_auth_plain_and_login() {
    let mut peer = Peer::new(with_login());
    peer.hear("220 mx\r\n");
    assert_eq!(
        peer.hear("250-mx\r\n250 AUTH LOGIN PLAIN\r\n").0,
        "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n"
    );
    assert_eq!(peer.hear("235 ok\r\n").1, Some(ClientEvent::Ready));
    // RFC 4954 §5
    assert_eq!(
        peer.begin(&["b@x.example"]),
        "MAIL FROM:<a@us.example> AUTH=<>\r\n"
    );

    let mut peer = Peer::new(with_login());
    peer.hear("220 mx\r\n");
    assert_eq!(
        peer.hear("250-mx\r\n250 AUTH=LOGIN\r\n").0,
        "AUTH LOGIN\r\n"
    );
    assert_eq!(peer.hear("334 VXNlcm5hbWU6\r\n").0, "dGlt\r\n");
    assert_eq!(
        peer.hear("334 UGFzc3dvcmQ6\r\n").0,
        "dGFuc3RhYWZ0YW5zdGFhZg==\r\n"
    );
    let (_, event) = peer.hear("535 5.7.8 wrong\r\n");
    let Some(ClientEvent::Failed(Failure::Refused(verdict))) = event else {
        panic!()
    };
    assert_eq!((verdict.reply.code, verdict.stage), (535, Stage::Auth));
}

#[test]
fn a_password_does_not_go_out_in_the_clear() {
    let mut peer = Peer::new(ClientConfig {
        auth_in_clear: false,
        ..with_login()
    });
    peer.hear("220 mx\r\n");
    let (said, event) = peer.hear("250-mx\r\n250 AUTH PLAIN\r\n");
    assert_eq!(
        (said.as_str(), event),
        ("", Some(ClientEvent::Failed(Failure::NoAuth)))
    );
}

#[test]
fn smtputf8_and_a_labels() {
    let mut peer = Peer::ready(config(), "8BITMIME SIZE_50");
    assert_eq!(
        peer.client.begin(message(&["b@x.example"])),
        Err(Unsupported::Size(50))
    );
    let small = |recipient| Transaction {
        size: None,
        ..message(&[recipient])
    };
    assert_eq!(
        peer.client.begin(small("é@x.example")),
        Err(Unsupported::SmtpUtf8)
    );
    peer.client.begin(small("b@é.example")).unwrap();
    peer.hear("250 ok\r\n");
    let mut peer = Peer::ready(config(), "PIPELINING 8BITMIME SMTPUTF8");
    assert_eq!(
        peer.begin(&["b@é.example"]),
        "MAIL FROM:<a@us.example>\r\nRCPT TO:<b@xn--9ca.example>\r\nDATA\r\n"
    );
    let mut peer = Peer::ready(config(), "PIPELINING 8BITMIME SMTPUTF8");
    assert_eq!(
        peer.begin(&["é@é.example"]),
        "MAIL FROM:<a@us.example> BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<é@é.example>\r\nDATA\r\n"
    );
}

#[test]
fn rfc_3461_parameters_go_where_dsn_is_offered() {
    let mut transaction = message(&["b@x.example"]);
    transaction.ret = Some(Ret::Hdrs);
    transaction.envid = Some("a=b".into());
    transaction.recipients[0].notify = Notify::Never;
    transaction.recipients[0].orcpt = OriginalRecipient::parse("rfc822;c@x.example");
    let mut peer = Peer::ready(config(), "PIPELINING DSN");
    peer.client.begin(transaction.clone()).unwrap();
    assert_eq!(
        peer.said(),
        "MAIL FROM:<a@us.example> RET=HDRS ENVID=a+3Db\r\n\
         RCPT TO:<b@x.example> NOTIFY=NEVER ORCPT=rfc822;c@x.example\r\nDATA\r\n"
    );
    let mut peer = Peer::ready(config(), "PIPELINING");
    peer.client.begin(transaction).unwrap();
    assert!(!peer.said().contains("NOTIFY"));
}

#[test]
fn wishes_go_where_they_are_offered() {
    let mut transaction = message(&["b@x.example"]);
    transaction.wishes = OnwardWishes {
        require_tls: true,
        deliver_by: Some((
            -7,
            DeliverBy {
                by_ms: 0,
                mode: ByMode::Notify,
                trace: true,
            },
        )),
        priority: Priority::new(3),
        hold_seconds: Some(90),
    };
    transaction.recipients[0].valid_since = ValidSince::parse("2014-04-03T23:01:00Z;R");
    let mut peer = Peer::ready(
        config(),
        "PIPELINING REQUIRETLS DELIVERBY_30 MT-PRIORITY RRVS FUTURERELEASE_900_2030-01-01T00:00:00Z",
    );
    assert_eq!(peer.client.capabilities().deliver_by, Some(30));
    assert_eq!(peer.client.capabilities().hold, Some(900));
    peer.client.begin(transaction.clone()).unwrap();
    assert_eq!(
        peer.said(),
        "MAIL FROM:<a@us.example> REQUIRETLS BY=-7;NT MT-PRIORITY=3 HOLDFOR=90\r\n\
         RCPT TO:<b@x.example> RRVS=2014-04-03T23:01:00Z;R\r\nDATA\r\n"
    );
    let mut peer = Peer::ready(config(), "PIPELINING");
    peer.client.begin(transaction).unwrap();
    assert_eq!(
        peer.said(),
        "MAIL FROM:<a@us.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n"
    );
}

#[test]
fn replies_are_bounded_and_checked() {
    let parse = |text: &str| ReplyParser::default().next_reply(&mut BytesMut::from(text));
    let reply = parse("550-5.7.1 one\r\n550-5.7.1 two\r\n550 three\n")
        .unwrap()
        .unwrap();
    assert_eq!(reply.enhanced.unwrap().to_string(), "5.7.1");
    assert_eq!(reply.lines, ["one", "two", "three"]);
    assert_eq!(parse("250\r\n").unwrap().unwrap().code, 250);
    let odd = parse("550 4.2.2 full\r\n").unwrap().unwrap();
    assert_eq!(odd.enhanced.unwrap().to_string(), "4.2.2");
    assert_eq!(parse("250-a\r\n").unwrap(), None);
    assert_eq!(parse("250-a\r\n251 b\r\n"), Err(ReplyError::CodesDiffer));
    for text in [
        "hello\r\n",
        "25\r\n",
        "\r\n",
        "099 x\r\n",
        "600 x\r\n",
        "2500 x\r\n",
        "HTTP/1.1 200 OK\r\n",
    ] {
        assert!(matches!(parse(text), Err(ReplyError::Syntax(_))), "{text}");
    }
    assert_eq!(parse(&"x".repeat(5000)), Err(ReplyError::LineTooLong));
    assert_eq!(parse(&"250-a\r\n".repeat(200)), Err(ReplyError::TooLong));
    let reply = parse("550 a\x1b[31m\u{7}\r\n").unwrap().unwrap();
    assert_eq!(reply.lines, ["a?[31m?"]);
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        words in prop::collection::vec(prop::sample::select(vec![
            "220 mx\r\n", "250-mx\r\n250-PIPELINING\r\n250 SIZE 0\r\n", "250 ok\r\n", "550 5.1.1 no\r\n", "354 go\r\n",
            "421 bye\r\n", "250-", "x", "\r\n", "452 4.5.3 many\n", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n", "503 no\r\n",
        ]), 0..12),
        chunking: bool,
        whole: bool,
        mut cuts in prop::collection::vec(0usize..150, 0..6),
    ) {
        cuts.sort_unstable();
        let text = words.concat();
        let run = |cuts: &[usize]| {
            let mut peer = Peer::new(config());
            let (mut seen, mut said, mut at) = (Vec::new(), String::new(), 0);
            for &cut in cuts.iter().chain([&text.len()]) {
                let cut = cut.clamp(at, text.len());
                peer.input.extend_from_slice(&text.as_bytes()[at..cut]);
                at = cut;
                while let Some(event) = peer.client.next_event(&mut peer.input) {
                    match event {
                        ClientEvent::Ready => {
                            let message = message(&["b@x.example", "c@x.example"]);
                            peer.client.begin(Transaction { chunking, ..message }).unwrap();
                        }
                        ClientEvent::SendStart if !whole => {
                            peer.client.push_data(b".x\r\n");
                            peer.client.hold_data();
                        }
                        ClientEvent::SendStart | ClientEvent::SendData => {
                            peer.client.push_data(b".x\r\n");
                            peer.client.finish_data();
                        }
                        _ => {}
                    }
                    seen.push(event);
                }
                said.push_str(&peer.said());
            }
            (seen, said)
        };
        let ones: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(run(&cuts), run(&[]));
        prop_assert_eq!(run(&ones), run(&[]));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let mut peer = Peer::ready(config(), "PIPELINING");
        peer.begin(&["b@x.example"]);
        peer.input.extend_from_slice(&bytes);
        while peer.client.next_event(&mut peer.input).is_some() {}
    }
}
