//! A whole POP3 session: any split of the client's bytes gives the same events
//! and output, which is lines; and a message as RETR and TOP send it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pop3_proto::limits::OUTPUT_BYTES;
use pop3_proto::{Config, Event, LoginRefusal, Maildrop, Message, Session, Stuffer, TlsState};

struct Shell {
    session: Session,
    messages: u32,
    knob: u8,
    seen: Vec<String>,
    out: Vec<u8>,
    closed: bool,
}

impl Shell {
    fn send(&mut self, piece: &[u8]) {
        self.session.handle_input(piece);
        loop {
            let event = self.session.poll_event();
            let output = self.session.take_output();
            assert!(output.len() <= OUTPUT_BYTES + 4_096, "output without bound");
            self.out.extend_from_slice(&output);
            match event {
                Some(event) => self.handle(event),
                None if output.is_empty() => return,
                None => {}
            }
        }
    }

    fn handle(&mut self, event: Event) {
        assert!(!self.closed, "an event behind the last one");
        let text = format!("{event:?}");
        let choice = fuzz::hash(&text, self.knob) % 8;
        match event {
            Event::StartTls => self.session.tls_started(),
            Event::Login(_) if choice == 0 => {
                self.session
                    .refuse_login(LoginRefusal::Credentials, "wrong\r\nline");
            }
            Event::Login(question) => {
                assert!(!self.session.is_logged_in());
                self.session.answer_login(fuzz::answer(&question));
            }
            Event::Open => {
                assert!(!self.session.is_logged_in());
                let message = |uid| Message {
                    uid,
                    size: u64::from(uid) * 11,
                };
                self.session
                    .accept_login(Maildrop::new(7, (1..=self.messages).map(message)));
            }
            Event::Fetch(_) if choice == 0 => self.session.message_refused("gone\n"),
            Event::Fetch(fetch) => {
                assert!((1..=self.messages).contains(&fetch.uid));
                self.session.message_begins(fetch);
                self.out.extend_from_slice(&self.session.take_output());
                self.session.message_ended();
            }
            Event::Update(uids) => {
                assert!(uids.is_sorted_by(|a, b| a < b));
                self.session.updated(choice != 0);
            }
            Event::Close(_) => self.closed = true,
        }
        self.seen.push(text);
    }
}

fn run<'a>(config: &Config, knob: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> Shell {
    let messages = if knob & 4 != 0 { 4_000 } else { 3 };
    let session = Session::new(config.clone());
    let mut shell = Shell {
        session,
        messages,
        knob,
        seen: Vec::new(),
        out: Vec::new(),
        closed: false,
    };
    shell.send(b"");
    for piece in pieces {
        shell.send(piece);
    }
    shell
}

fn sent<'a>(lines: Option<u64>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut stuffer = Stuffer::new(lines);
    let mut out = Vec::new();
    for piece in pieces {
        stuffer.push(piece, &mut out);
    }
    stuffer.finish(&mut out);
    out
}

/// What a client makes of a message that was sent.
fn received(sent: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut lines = sent.split_inclusive(|&byte| byte == b'\n');
    for line in lines.by_ref() {
        if line == b".\r\n" {
            break;
        }
        out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    assert_eq!(lines.next(), None, "something behind the lone dot");
    out
}

fn check_message(data: &[u8], lines: Option<u64>, seed: u8) {
    let message = mime::normalise_line_ends(data);
    let whole = sent(lines, [&*message]);
    assert_eq!(sent(lines, fuzz::pieces(&message, seed)), whole);
    let got = received(&whole);
    match lines {
        None => assert!(got == *message || got == [&*message, b"\r\n"].concat()),
        Some(_) => assert!(message.starts_with(&got) || got == [&*message, b"\r\n"].concat()),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob, seed])) = fuzz::knobs::<2>(data) else {
        return;
    };
    let data = &fuzz::expand(data);
    let tls = fuzz::pick(
        &[TlsState::Unavailable, TlsState::Offered, TlsState::Active],
        knob >> 4,
    );
    let config = Config {
        hostname: "pop.example".to_owned(),
        tls,
        plaintext_login: knob & 2 != 0,
        timestamp: (knob & 4 != 0).then(|| "<1.2@pop.example>".to_owned()),
        expire_days: (knob & 8 != 0).then_some(30),
    };
    let whole = run(&config, knob, [data.as_slice()]);
    fuzz::assert_lines(&whole.out);
    let split = run(&config, knob, fuzz::pieces(data, seed));
    // Commands behind STLS are told by lying in the same piece.
    if tls != TlsState::Offered {
        assert_eq!(split.seen, whole.seen);
        assert_eq!(split.out, whole.out);
    }
    check_message(data, None, seed);
    check_message(data, Some(u64::from(knob) % 5), seed);
});
