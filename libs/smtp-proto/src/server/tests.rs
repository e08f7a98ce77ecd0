//! Dialogues with a session, and its properties.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::BytesMut;
use envelope::{EnhancedStatus, Reply};
use proptest::prelude::*;
use sasl::scram::{Hash, Salt, Verifier};
use sasl::{Answer, Offer, Question, Secret};

use super::*;

/// A shell that says yes to everything but recipients named `nobody` and the
/// password `wrong`, and notes what it sees.
struct Shell {
    session: Session,
    input: BytesMut,
    seen: Vec<String>,
    out: String,
    content: Vec<u8>,
    recipients: usize,
    closed: Option<CloseReason>,
    refuse_data: bool,
    prdr: bool,
    /// What URLs name, here in pieces of three octets.
    urls: Vec<(&'static str, &'static [u8])>,
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

impl Shell {
    fn new(config: Config, tls: bool) -> Self {
        let mut session = Session::new(Arc::new(config), tls);
        session.greet();
        let mut shell = Self {
            session,
            input: BytesMut::new(),
            seen: vec![],
            out: String::new(),
            content: vec![],
            recipients: 0,
            closed: None,
            refuse_data: false,
            prdr: false,
            urls: vec![],
        };
        shell.send(b"");
        shell.out.clear();
        shell
    }

    fn mx() -> Self {
        Self::new(Config::new(Role::Mx, "mx.example.org"), false)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.closed.is_none() {
            let Some(event) = self.session.next_event(&mut self.input) else {
                break;
            };
            self.handle(event);
        }
        let out = self.session.take_output();
        self.out.push_str(core::str::from_utf8(&out).unwrap());
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::DataChunk(chunk) => {
                assert!(!chunk.is_empty());
                self.content.extend_from_slice(&chunk);
                return;
            }
            Event::Auth(Question::Salt(_)) => self.session.answer_auth(salt()),
            Event::Auth(Question::Proof(ref proof)) => match proof.check(&pencil()) {
                Some(signature) => self.session.answer_auth(Answer::Signature(signature)),
                None => {
                    let refusal = Reply::enhanced(535, (5, 7, 8), "wrong");
                    self.session.reply(&refusal);
                }
            },
            Event::Auth(Question::Password(ref credentials))
                if credentials.password.expose() == "wrong" =>
            {
                self.session.reply(&Reply::enhanced(535, (5, 7, 8), "no"));
            }
            Event::Mail(ref mail) => {
                self.prdr = mail.prdr;
                self.recipients = 0;
                self.content.clear();
                self.session.accept();
            }
            Event::Rcpt(ref rcpt) if rcpt.path.to_string().starts_with("nobody") => {
                self.session
                    .reply(&Reply::enhanced(550, (5, 1, 1), "no such user"));
            }
            Event::Rcpt(_) => {
                self.recipients += 1;
                self.session.accept();
            }
            Event::DataStart if self.refuse_data => {
                self.session
                    .reply(&Reply::enhanced(451, (4, 3, 0), "not now"));
            }
            Event::Burl(ref url) => {
                self.seen.push(format!("{event:?}"));
                return self.fetch(url);
            }
            Event::DataEnd { size } => {
                assert_eq!(size, self.content.len() as u64);
                if self.recipients > 1 && (self.session.role() == Role::Lmtp || self.prdr) {
                    let replies: Vec<Reply> = (0..self.recipients)
                        .map(|n| Reply::new(if n == 1 { 452 } else { 250 }, None, "x"))
                        .collect();
                    self.session
                        .reply_each(&replies, &Reply::new(250, None, "whole"));
                } else {
                    self.session.accept();
                }
            }
            Event::Verify(_) | Event::Expand(_) => self.session.reply(&Reply::new(252, None, "?")),
            Event::StartTls => self.session.tls_started(),
            Event::Close(reason) => self.closed = Some(reason),
            Event::Reset | Event::DataAborted(_) | Event::LoggedIn => {}
            Event::Hello(_)
            | Event::Auth(_)
            | Event::DataStart
            | Event::XClient(_)
            | Event::Etrn(_)
            | Event::Atrn(_) => {
                self.session.accept();
            }
        }
        self.seen.push(format!("{event:?}"));
    }

    fn fetch(&mut self, url: &str) {
        let found = self.urls.iter().find(|(name, _)| *name == url);
        let Some(&(_, octets)) = found else {
            self.session
                .reply(&Reply::enhanced(554, (5, 6, 6), "no such message"));
            return self.take_url(&mut BytesMut::new());
        };
        self.session.accept_url(octets.len() as u64);
        self.take_url(&mut BytesMut::new());
        for piece in octets.chunks(3) {
            // More than was promised is left alone.
            let mut piece = BytesMut::from(&[piece, b"QUIT\r\n"].concat()[..]);
            let sent = piece.len() - 6;
            let mut own = piece.split_to(sent);
            self.take_url(&mut own);
        }
        let mut surplus = BytesMut::from(&b"QUIT\r\n"[..]);
        self.take_url(&mut surplus);
        assert_eq!(surplus.len(), 6);
    }

    fn take_url(&mut self, octets: &mut BytesMut) {
        while let Some(event) = self.session.take_url(octets) {
            self.handle(event);
        }
    }

    /// Sends one line, gives back the reply's code, and its enhanced code if any.
    fn say(&mut self, line: &str) -> String {
        self.out.clear();
        self.send(format!("{line}\r\n").as_bytes());
        let last = self.out.lines().last().unwrap_or("");
        let mut words = last.split(' ');
        let code = words.next().unwrap_or("");
        match words.next().and_then(EnhancedStatus::parse) {
            Some(enhanced) => format!("{code} {enhanced}"),
            None => code.to_owned(),
        }
    }

    /// Each line with its expected reply.
    fn dialogue(&mut self, lines: &[(&str, &str)]) {
        for (line, want) in lines {
            assert_eq!(self.say(line), *want, "{line}");
        }
    }

    fn transaction(&mut self) {
        self.dialogue(&[
            ("EHLO c.example", "250"),
            ("MAIL FROM:<a@b.example>", "250 2.1.0"),
            ("RCPT TO:<c@d.example>", "250 2.1.5"),
        ]);
    }
}

mod auth_and_tls;
mod bdat;
mod burl;
mod hostile;
mod lmtp;
mod transactions;

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"EHLO x.example\r\n",
        b"HELO y\r\n",
        b"MAIL FROM:<a@b.example>\r\n",
        b"MAIL FROM:<> SIZE=5\r\n",
        b"RCPT TO:<c@d.example>\r\n",
        b"RCPT TO:<nobody@d.example>\r\n",
        b"DATA\r\n",
        b"a\r\n.\r\n",
        b"..x\r\n",
        b"\r\n.\r\n",
        b".\r\n",
        b"\n.\n",
        b"BDAT 5\r\n",
        b"12345",
        b"BDAT 3 LAST\r\na\rb",
        b"BDAT 0 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"AUTH PLAIN\r\n",
        b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n",
        b"*\r\n",
        b"BDAT x\r\n",
        b"XYZ\r\n",
        b"\0",
        b"\r",
        b"\n",
        b"VRFY a\r\n",
        b"RCPT TO:<\xc3\xa9@d.example>\r\n",
        b"\xff",
        b"AUTH LOGIN dGlt\r\n",
        b"BURL imap://a/b/;UID=1 LAST\r\n",
        b"BURL imap://a/b/;UID=2\r\n",
        b"HELP\r\n",
        b"MAIL FROM:<\xc3\xa9@x.example> SMTPUTF8\r\n",
    ];
    prop::collection::vec(prop::sample::select(words), 0..25).prop_map(|words| words.concat())
}

fn run(bytes: &[u8], cuts: &[usize]) -> Shell {
    let mut config = Config::new(Role::Mx, "mx.example.org");
    config.auth = AuthOffer::Always;
    config.burl = true;
    let mut shell = Shell::new(config, false);
    shell.urls = vec![("imap://a/b/;UID=1", b"x\r\n.\r\ny")];
    let mut at = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        let cut = cut.clamp(at, bytes.len());
        shell.send(&bytes[at..cut]);
        at = cut;
    }
    shell
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(bytes in pieces(), mut cuts in prop::collection::vec(0usize..300, 0..8)) {
        cuts.sort_unstable();
        let whole = run(&bytes, &[]);
        for cuts in [cuts, (0..bytes.len()).collect()] {
            let split = run(&bytes, &cuts);
            prop_assert_eq!(&split.seen, &whole.seen);
            prop_assert_eq!(&split.out, &whole.out);
        }
        prop_assert!(!whole.out.replace("\r\n", "").contains(['\r', '\n']));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>, hello: bool) {
        let prefix: &[u8] = if hello { b"EHLO x\r\n" } else { b"" };
        run(&[prefix, &bytes].concat(), &[bytes.len() / 2]);
    }
}
