//! Dialogues, and the machine under any split of its input.

use super::*;
use limits::{AUTH_LINE_BYTES_MAX, BAD_COMMANDS_MAX, FAILED_LOGINS_MAX, LINE_BYTES_MAX};
use proptest::prelude::*;
use sasl::scram::{Hash, Salt, Verifier};
use sasl::{Answer, Offer, Question, Secret};

fn config() -> Config {
    Config {
        hostname: "pop.demo.test".into(),
        tls: TlsState::Offered,
        plaintext_login: true,
        timestamp: None,
        expire_days: None,
    }
}

fn maildrop() -> Maildrop {
    let message = |uid, size| Message { uid, size };
    Maildrop::new(0x65, [message(3, 120), message(7, 200), message(9, 20)])
}

/// A shell that answers every event; collects output and events.
struct Shell {
    session: Session,
    said: String,
    events: Vec<String>,
    closed: Option<CloseReason>,
}

impl Shell {
    fn new(config: Config) -> Self {
        let mut shell = Self {
            session: Session::new(config),
            said: String::new(),
            events: Vec::new(),
            closed: None,
        };
        shell.drain();
        shell
    }

    fn logged_in() -> Self {
        let mut shell = Self::new(config());
        shell.send(b"USER bob\r\nPASS secret\r\n");
        shell.said.clear();
        shell.events.clear();
        shell
    }

    fn send(&mut self, bytes: &[u8]) {
        self.session.handle_input(bytes);
        self.drain();
    }

    /// Sends a line and gives what was answered.
    fn ask(&mut self, line: &str) -> String {
        self.said.clear();
        self.send(format!("{line}\r\n").as_bytes());
        std::mem::take(&mut self.said)
    }

    fn drain(&mut self) {
        loop {
            let event = self.session.poll_event();
            let output = self.session.take_output();
            self.said
                .push_str(&String::from_utf8(output.clone()).expect("text"));
            match event {
                Some(event) => self.answer(event),
                None if output.is_empty() => break,
                None => {}
            }
        }
    }

    fn answer(&mut self, event: Event) {
        self.events.push(format!("{event:?}"));
        match event {
            Event::StartTls => self.session.tls_started(),
            Event::Login(Question::Password(who)) if who.password.expose() == "secret" => {
                self.session.answer_login(Answer::Accepted);
            }
            Event::Login(Question::Salt(_)) => self.session.answer_login(salt()),
            Event::Login(Question::Proof(proof)) if proof.check(&pencil()).is_some() => {
                let signature = proof.check(&pencil()).expect("right");
                self.session.answer_login(Answer::Signature(signature));
            }
            Event::Login(Question::Digest(digest)) if digest.check(&Secret::from("tanstaaf")) => {
                self.session.answer_login(Answer::Accepted);
            }
            Event::Open => self.session.accept_login(maildrop()),
            Event::Login(_) => {
                self.session
                    .refuse_login(LoginRefusal::Credentials, "wrong");
            }
            Event::Fetch(fetch) => {
                self.session.message_begins(fetch);
                let mut out = self.session.take_output();
                let mut stuffer = Stuffer::new(fetch.lines);
                stuffer.push(b"A: b\r\n\r\n.dot\r\nend\r\n", &mut out);
                stuffer.finish(&mut out);
                self.said.push_str(&String::from_utf8(out).expect("text"));
                self.session.message_ended();
            }
            Event::Update(uids) => self.session.updated(uids != [9]),
            Event::Close(reason) => self.closed = Some(reason),
        }
    }
}

#[test]
fn a_session_as_rfc_1939_section_10_shows_it() {
    let mut shell = Shell::new(config());
    assert_eq!(shell.said, "+OK pop.demo.test Posthouse POP3 ready\r\n");
    assert_eq!(shell.ask("USER mrose"), "+OK send PASS\r\n");
    assert_eq!(
        shell.ask("PASS secret"),
        "+OK maildrop has 3 messages (340 octets)\r\n"
    );
    assert_eq!(shell.ask("STAT"), "+OK 3 340\r\n");
    assert_eq!(
        shell.ask("LIST"),
        "+OK 3 messages (340 octets)\r\n1 120\r\n2 200\r\n3 20\r\n.\r\n"
    );
    assert_eq!(
        shell.ask("RETR 1"),
        "+OK 120 octets\r\nA: b\r\n\r\n..dot\r\nend\r\n.\r\n"
    );
    assert_eq!(shell.ask("DELE 1"), "+OK message 1 deleted\r\n");
    assert_eq!(shell.ask("DELE 1"), "-ERR no such message\r\n");
    assert_eq!(shell.ask("RETR 1"), "-ERR no such message\r\n");
    assert_eq!(shell.ask("STAT"), "+OK 2 220\r\n");
    assert_eq!(
        shell.ask("UIDL"),
        "+OK\r\n2 0000006500000007\r\n3 0000006500000009\r\n.\r\n"
    );
    assert_eq!(shell.ask("UIDL 2"), "+OK 2 0000006500000007\r\n");
    assert_eq!(
        shell.ask("TOP 2 1"),
        "+OK top of message follows\r\nA: b\r\n\r\n..dot\r\n.\r\n"
    );
    assert_eq!(
        shell.ask("RSET"),
        "+OK maildrop has 3 messages (340 octets)\r\n"
    );
    assert_eq!(shell.ask("DELE 2"), "+OK message 2 deleted\r\n");
    assert_eq!(shell.ask("NOOP"), "+OK\r\n");
    assert_eq!(shell.ask("QUIT"), "+OK bye\r\n");
    assert!(shell.events.contains(&"Update([7])".to_owned()));
    assert_eq!(shell.closed, Some(CloseReason::Quit));
}

#[test]
fn what_comes_next_is_known_and_a_whole_message_goes_out_with_the_rest() {
    let mut session = Shell::logged_in().session;
    session.handle_input(b"RETR 1\r\nRETR 3\r\nretr 2\r\nNOOP\r\nRETR 1\r\nRET");
    let uids = |session: &Session, most| -> Vec<u32> {
        session.upcoming(most).map(|message| message.uid).collect()
    };
    let Some(Event::Fetch(fetch)) = session.poll_event() else {
        panic!("RETR is a fetch");
    };
    assert_eq!((fetch.uid, uids(&session, 9)), (3, vec![9, 7]));
    assert_eq!(uids(&session, 1), [9]);
    session.message_whole(fetch, &[b"A: b\r\n", b"\r\n.dot"]);
    let Some(Event::Fetch(fetch)) = session.poll_event() else {
        panic!("the next is one too");
    };
    assert_eq!((fetch.uid, uids(&session, 9)), (9, vec![7]));
    session.message_refused("gone");
    assert_eq!(
        session.take_output(),
        b"+OK 120 octets\r\nA: b\r\n\r\n..dot\r\n.\r\n-ERR gone\r\n"
    );
    // What is none is not answered as one.
    session.message_whole(fetch, &[b"x"]);
    assert!(session.take_output().is_empty());
}

#[test]
fn numbers_that_are_not_there() {
    let mut shell = Shell::logged_in();
    for line in [
        "RETR 0",
        "RETR 4",
        "LIST 0",
        "LIST 18446744073709551616",
        "UIDL 9",
        "DELE 0",
        "TOP 4 0",
    ] {
        assert_eq!(shell.ask(line), "-ERR no such message\r\n", "{line}");
    }
}

#[test]
fn a_removal_that_failed_is_told() {
    let mut shell = Shell::logged_in();
    assert_eq!(
        shell.ask("DELE 3\r\nQUIT"),
        "+OK message 3 deleted\r\n-ERR [SYS/TEMP] some deleted messages not removed\r\n"
    );
}

#[test]
fn capabilities_are_those_of_the_state() {
    let mut shell = Shell::new(Config {
        plaintext_login: false,
        ..config()
    });
    let before = shell.ask("CAPA");
    assert!(
        before.starts_with("+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n"),
        "{before}"
    );
    assert!(before.ends_with(".\r\n") && before.contains("\r\nSTLS\r\n"));
    assert!(
        !before.contains("\r\nUSER") && !before.contains("SASL"),
        "{before}"
    );
    assert_eq!(shell.ask("STLS"), "+OK begin TLS\r\n");
    let after = shell.ask("CAPA");
    assert!(
        after.contains("\r\nUSER\r\nSASL PLAIN LOGIN\r\n"),
        "{after}"
    );
    assert!(!after.contains("STLS"), "{after}");
    assert_eq!(shell.ask("STLS"), "-ERR TLS is on already\r\n");
}

/// RFC 2449 §5.
#[test]
fn what_is_offered_before_the_login_is_told_after_it() {
    let mut shell = Shell::new(config());
    let before = shell.ask("CAPA");
    assert!(before.contains("\r\nSTLS\r\n"), "{before}");
    shell.send(b"USER bob\r\nPASS secret\r\n");
    assert_eq!(shell.ask("CAPA"), before);
}

/// RFC 1939 §3.
#[test]
fn every_command_is_refused_in_the_wrong_state() {
    let mut shell = Shell::new(config());
    for line in [
        "STAT", "LIST", "UIDL", "RETR 1", "TOP 1 0", "DELE 1", "RSET", "NOOP",
    ] {
        assert_eq!(shell.ask(line), "-ERR log in first\r\n", "{line}");
    }
    let mut shell = Shell::logged_in();
    for line in [
        "USER bob",
        "PASS secret",
        "APOP bob 0",
        "AUTH",
        "AUTH PLAIN",
        "STLS",
        "UTF8",
    ] {
        let answer = shell.ask(line);
        assert_eq!(answer, "-ERR you are logged in already\r\n", "{line}");
    }
}

#[test]
fn rfc_2449_section_6_7_expire() {
    for (expire_days, told) in [(None, "EXPIRE NEVER"), (Some(30), "EXPIRE 30")] {
        let mut shell = Shell::new(Config {
            expire_days,
            ..config()
        });
        let said = shell.ask("CAPA");
        assert!(said.contains(&format!("\r\n{told}\r\n")), "{said}");
    }
}

#[test]
fn rfc_1939_section_7_apop() {
    let timestamp = "<1896.697170952@dbc.mtview.ca.us>";
    let with_apop = |plaintext_login| Config {
        plaintext_login,
        timestamp: Some(timestamp.into()),
        ..config()
    };
    let mut shell = Shell::new(with_apop(true));
    assert!(
        shell.said.ends_with(&format!(" {timestamp}\r\n")),
        "{}",
        shell.said
    );
    let right = "APOP mrose c4c9334bac560ecc979e58001b3e22fb";
    for wrong in [
        "APOP",
        "APOP mrose",
        "APOP mrose x",
        "APOP  c4c9334bac560ecc979e58001b3e22fb",
    ] {
        let answer = shell.ask(wrong);
        assert_eq!(answer, "-ERR wrong arguments\r\n", "{wrong}");
    }
    let other = shell.ask("APOP mrose c4c9334bac560ecc979e58001b3e22fc");
    assert!(other.starts_with("-ERR [AUTH] "), "{other}");
    assert!(shell.ask(right).starts_with("+OK maildrop has 3 messages"));
    // Where it is not on, and where passwords are not taken.
    let mut shell = Shell::new(config());
    assert_eq!(shell.ask(right), "-ERR APOP is not available\r\n");
    let mut shell = Shell::new(with_apop(false));
    assert_eq!(
        shell.ask(right),
        "-ERR a login needs TLS: say STLS first\r\n"
    );
}

#[test]
fn without_tls_no_password_is_taken() {
    let mut shell = Shell::new(Config {
        plaintext_login: false,
        ..config()
    });
    for line in ["USER bob", "PASS secret", "AUTH PLAIN AGJvYgBzZWNyZXQ="] {
        assert_eq!(
            shell.ask(line),
            "-ERR a login needs TLS: say STLS first\r\n"
        );
    }
    assert!(shell.events.is_empty());
}

/// NO STARTTLS: what was said in the clear never counts behind STLS.
#[test]
fn threat_02_commands_behind_stls_end_the_session_and_the_user_is_forgotten() {
    let mut shell = Shell::new(config());
    shell.send(b"STLS\r\nUSER eve\r\n");
    assert_eq!(shell.closed, Some(CloseReason::PipelinedStartTls));
    let mut shell = Shell::new(config());
    shell.send(b"USER eve\r\nSTLS\r\n");
    assert_eq!(shell.ask("PASS secret"), "-ERR say USER first\r\n");
}

#[test]
fn auth_plain_with_and_without_initial_response() {
    let mut shell = Shell::new(config());
    assert_eq!(shell.ask("AUTH"), "+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n");
    assert_eq!(
        shell.ask("AUTH CRAM-MD5"),
        "-ERR unknown authentication mechanism\r\n"
    );
    assert_eq!(shell.ask("AUTH PLAIN"), "+ \r\n");
    assert_eq!(
        shell.ask("*"),
        "-ERR authentication cancelled by the client\r\n"
    );
    assert_eq!(shell.ask("AUTH plain"), "+ \r\n");
    assert_eq!(shell.ask("AGJvYgB3cm9uZw=="), "-ERR [AUTH] wrong\r\n");
    assert_eq!(
        shell.ask("AUTH PLAIN ="),
        "-ERR malformed authentication message\r\n"
    );
    assert!(
        shell
            .ask("AUTH PLAIN AGJvYgBzZWNyZXQ=")
            .starts_with("+OK maildrop")
    );
    assert_eq!(shell.ask("USER x"), "-ERR you are logged in already\r\n");
}

#[test]
fn a_password_has_spaces_and_needs_a_user() {
    let mut shell = Shell::new(config());
    assert_eq!(shell.ask("PASS secret"), "-ERR say USER first\r\n");
    shell.ask("USER bob");
    assert_eq!(shell.ask("PASS  se cret "), "-ERR [AUTH] wrong\r\n");
    assert!(
        !shell.events[0].contains("se cret"),
        "hidden: {}",
        shell.events[0]
    );
    assert_eq!(shell.ask("STAT"), "-ERR log in first\r\n");
}

#[test]
fn errors_are_counted() {
    let mut shell = Shell::new(config());
    for _ in 0..BAD_COMMANDS_MAX - 1 {
        assert_eq!(shell.ask("XYZZY"), "-ERR unknown command\r\n");
    }
    assert_eq!(shell.closed, None);
    shell.ask("RETR");
    assert_eq!(shell.closed, Some(CloseReason::TooManyErrors));
    assert_eq!(shell.ask("NOOP"), "");
    let mut shell = Shell::new(config());
    for _ in 0..FAILED_LOGINS_MAX {
        shell.send(b"USER bob\r\nPASS wrong\r\n");
    }
    assert_eq!(shell.closed, Some(CloseReason::TooManyErrors));
}

#[test]
fn threat_04_other_protocols_get_no_answer() {
    for hello in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-x\r\n",
        b"220 mx.far.test ESMTP\r\n",
        b"* OK IMAP4rev1\r\n",
        b"+OK POP3\r\n",
    ] {
        let mut shell = Shell::new(config());
        shell.said.clear();
        shell.send(hello);
        assert_eq!(
            (shell.closed, shell.said.as_str()),
            (Some(CloseReason::OtherProtocol), "")
        );
    }
}

#[test]
fn a_line_without_end_is_cut_off() {
    let mut shell = Shell::new(config());
    shell.send(&vec![b'a'; LINE_BYTES_MAX]);
    assert_eq!(shell.closed, Some(CloseReason::LineTooLong));
    let mut shell = Shell::new(config());
    shell.send(b"AUTH PLAIN ");
    shell.send(&vec![b'A'; AUTH_LINE_BYTES_MAX - 12]);
    assert_eq!(shell.closed, None);
    shell.send(b"AAAAAAAA");
    assert_eq!(shell.closed, Some(CloseReason::LineTooLong));
}

#[test]
fn a_long_listing_comes_in_pieces() {
    let messages = (1..=100_000).map(|uid| Message { uid, size: 1 });
    let mut session = Session::new(config());
    session.handle_input(b"USER bob\r\nPASS x\r\nUIDL\r\nNOOP\r\n");
    let mut lines = 0;
    let mut last = Vec::new();
    loop {
        match session.poll_event() {
            Some(Event::Login(_)) => session.answer_login(Answer::Accepted),
            Some(Event::Open) => session.accept_login(Maildrop::new(1, messages.clone())),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        let output = session.take_output();
        if output.is_empty() {
            break;
        }
        assert!(output.len() < limits::OUTPUT_BYTES + 4_096);
        lines += output.iter().filter(|&&byte| byte == b'\n').count();
        last = output;
    }
    // Greeting, USER, PASS, UIDL's first and last line, NOOP.
    assert_eq!(lines, 100_000 + 6);
    assert!(last.ends_with(b".\r\n+OK\r\n"));
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    const LINES: [&[u8]; 20] = [
        b"USER bob",
        b"PASS secret",
        b"PASS wrong",
        b"AUTH PLAIN",
        b"AGJvYgBzZWNyZXQ=",
        b"STAT",
        b"LIST",
        b"UIDL",
        b"LIST 2",
        b"RETR 1",
        b"TOP 2 1",
        b"DELE 3",
        b"RSET",
        b"NOOP",
        b"CAPA",
        b"XYZZY",
        b"",
        b"*",
        b"QUIT",
        b"\xff\0",
    ];
    const ENDS: [&[u8]; 2] = [b"\r\n", b"\n"];
    let line = proptest::sample::select(&LINES[..]);
    let end = proptest::sample::select(&ENDS[..]);
    proptest::collection::vec((line, end), 0..14).prop_map(|lines| {
        lines
            .into_iter()
            .flat_map(|(line, end)| [line, end].concat())
            .collect()
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events_and_output(input in lines(), piece in 1usize..30) {
        let mut whole = Shell::new(config());
        whole.send(&input);
        let mut split = Shell::new(config());
        for part in input.chunks(piece) { split.send(part); }
        prop_assert_eq!(whole.events, split.events);
        prop_assert_eq!(whole.said, split.said);
        prop_assert_eq!(whole.closed, split.closed);
    }

    #[test]
    fn garbage_never_panics(input: Vec<u8>, more: Vec<u8>, logged_in: bool) {
        let mut shell = if logged_in { Shell::logged_in() } else { Shell::new(config()) };
        shell.send(&input);
        shell.send(b"\r\n");
        shell.send(&more);
    }
}

/// What the example of RFC 5802 §5 stores.
fn pencil() -> Verifier {
    let salt = [
        0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a, 0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76,
    ];
    sasl::scram::derive(Hash::Sha1, &Secret::from("pencil"), &salt, 4096)
}

fn salt() -> Answer {
    let verifier = pencil();
    Answer::Salt(Salt {
        salt: verifier.salt,
        iterations: verifier.iterations,
        nonce: "3rfcNHYJY1ZVvWVs7j".into(),
    })
}

/// RFC 5802 §5 over RFC 5034 §4.
#[test]
fn scram_ends_with_an_empty_line() {
    const FIRST: &str = "biwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM";
    const LAST: &str = "Yz1iaXdzLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdMM3JmY05IWUpZMVpWdldWczdqLHA9djBYOHYzQnoyVDBDSkdiSlF5RjBYK0hJNFRzPQ==";
    let mut shell = Shell::new(config());
    let offer = Offer::passwords().with_scram(Vec::new());
    shell.session.set_offer(offer);
    shell.send(b"CAPA\r\n");
    let names = "SASL SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN\r\n";
    assert!(shell.said.contains(names), "{}", shell.said);
    shell.said.clear();
    shell.send(format!("AUTH SCRAM-SHA-1 {FIRST}\r\n{LAST}\r\n*\r\nSTAT\r\n").as_bytes());
    assert!(
        shell
            .said
            .ends_with("-ERR authentication cancelled by the client\r\n-ERR log in first\r\n"),
        "{}",
        shell.said
    );
    assert!(!shell.events.iter().any(|event| event == "Open"));
    let wrong = LAST.replace("djBY", "djBZ");
    shell.send(format!("AUTH SCRAM-SHA-1\r\n{FIRST}\r\n{wrong}\r\n").as_bytes());
    assert!(
        shell.said.ends_with("-ERR [AUTH] wrong\r\n"),
        "{}",
        shell.said
    );
    shell.said.clear();
    shell.send(format!("AUTH SCRAM-SHA-1\r\n{FIRST}\r\n{LAST}\r\n\r\nSTAT\r\n").as_bytes());
    assert!(
        shell
            .said
            .contains("+ dj1ybUY5cHFWOFM3c3VBb1pXamE0ZEpSa0ZzS1E9\r\n+OK maildrop"),
        "{}",
        shell.said
    );
    assert!(shell.session.is_logged_in());
    shell = Shell::new(config());
    shell.send(format!("AUTH SCRAM-SHA-1 {FIRST}\r\n").as_bytes());
    assert!(
        shell
            .said
            .ends_with("-ERR unknown authentication mechanism\r\n")
    );
}

#[test]
fn rfc_6856_utf8_and_languages() {
    let mut shell = Shell::new(config());
    assert_eq!(shell.ask("UTF8"), "+OK names and headers may be UTF-8\r\n");
    assert_eq!(
        shell.ask("LANG"),
        "+OK\r\ni-default English\r\nen English\r\nzh-Hans 简体中文\r\n.\r\n"
    );
    assert_eq!(shell.ask("LANG EN"), "+OK en\r\n");
    assert_eq!(shell.ask("LANG en-GB"), "+OK en\r\n");
    assert_eq!(shell.ask("LANG *"), "+OK i-default\r\n");
    assert!(shell.ask("LANG uga").starts_with("-ERR "));
    // §2: not in the transaction state.
    let mut shell = Shell::logged_in();
    assert!(shell.ask("UTF8").starts_with("-ERR "));
    assert_eq!(shell.ask("LANG i-default"), "+OK i-default\r\n");
    // Texts for people change; what programs read does not.
    let stat = shell.ask("STAT");
    assert_eq!(shell.ask("DELE 99"), "-ERR no such message\r\n");
    assert_eq!(shell.ask("LANG zh-CN"), "+OK zh-Hans\r\n");
    assert_eq!(shell.ask("DELE 99"), "-ERR 没有这封邮件\r\n");
    assert_eq!(shell.ask("STAT"), stat);
    assert_eq!(shell.ask("LANG tlh"), "-ERR 不支持这种语言\r\n");
    assert!(shell.ask("CAPA").contains("\r\nUIDL\r\n"));
    assert_eq!(shell.ask("LANG en"), "+OK en\r\n");
    assert_eq!(shell.ask("DELE 99"), "-ERR no such message\r\n");
}
