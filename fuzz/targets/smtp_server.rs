//! A whole SMTP or LMTP session: any split of the client's bytes gives the same
//! events and output; events come in a legal order; output is lines.
#![no_main]

use std::sync::Arc;

use bytes::BytesMut;
use envelope::Reply;
use libfuzzer_sys::fuzz_target;
use smtp_proto::server::{AuthOffer, Config, Event, Role, Session, WishOffers};

/// Answers by what the event says, so that a split changes nothing.
struct Shell {
    session: Session,
    input: BytesMut,
    knob: u8,
    seen: Vec<String>,
    out: Vec<u8>,
    content: Vec<u8>,
    recipients: usize,
    prdr: bool,
    closed: bool,
}

impl Shell {
    fn new(config: Config, tls: bool, knob: u8) -> Self {
        let mut session = Session::new(Arc::new(config), tls);
        session.greet();
        session.allow_etrn(true);
        if knob & 2 != 0 {
            session.allow_xclient();
        }
        Self {
            session,
            input: BytesMut::new(),
            knob,
            seen: Vec::new(),
            out: Vec::new(),
            content: Vec::new(),
            recipients: 0,
            prdr: false,
            closed: false,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while !self.closed {
            let left = self.input.len();
            let Some(event) = self.session.next_event(&mut self.input) else {
                break;
            };
            assert!(self.input.len() <= left);
            self.handle(event);
        }
        self.out.extend_from_slice(&self.session.take_output());
    }

    fn handle(&mut self, event: Event) {
        if let Event::Burl(url) = &event {
            return self.fetch(url.clone());
        }
        if let Event::DataChunk(chunk) = &event {
            assert!(!chunk.is_empty() && self.session.is_receiving());
            self.content.extend_from_slice(chunk);
            return;
        }
        let text = format!("{event:?}");
        let choice = fuzz::hash(&text, self.knob) % 8;
        let refusal = match choice {
            0 => Some(Reply::enhanced(550, (5, 7, 1), "no")),
            1 => Some(Reply::enhanced(451, (4, 3, 0), "not now")),
            _ => None,
        };
        match event {
            Event::Hello(_) | Event::XClient(_) => self.forget(),
            Event::Mail(ref mail) => {
                self.forget();
                self.prdr = mail.prdr;
            }
            Event::Rcpt(_) => {
                assert!(self.session.is_in_transaction());
                self.recipients += usize::from(refusal.is_none());
            }
            Event::DataStart => {
                assert!(self.recipients > 0, "DATA without a recipient");
                self.content.clear();
            }
            Event::DataEnd { size } => {
                assert!(self.recipients > 0 && size == self.content.len() as u64);
                assert_whole_lines(&self.content);
            }
            Event::Auth(_) => assert!(!self.session.is_authenticated()),
            Event::LoggedIn => assert!(self.session.is_authenticated()),
            _ => {}
        }
        self.answer(&event, refusal);
        self.seen.push(text);
    }

    fn answer(&mut self, event: &Event, refusal: Option<Reply>) {
        match event {
            Event::StartTls => self.session.tls_started(),
            Event::Close(_) => self.closed = true,
            Event::Reset | Event::DataAborted(_) => self.forget(),
            Event::LoggedIn => {}
            Event::Auth(question) if refusal.is_none() => {
                self.session.answer_auth(fuzz::answer(question));
            }
            Event::DataEnd { .. } if self.session.role() == Role::Lmtp || self.prdr => {
                let refusal = refusal.unwrap_or_else(|| Reply::new(250, None, "yes"));
                let replies = vec![refusal; self.recipients];
                self.session.reply_each(&replies, &replies[0]);
                self.forget();
            }
            _ => match refusal {
                Some(reply) => self.session.reply(&reply),
                None => self.session.accept(),
            },
        }
        if let Event::DataEnd { .. } = event {
            self.forget();
        }
    }

    /// A URL is the octets that it names; a third of them name nothing.
    fn fetch(&mut self, url: String) {
        let mut octets = BytesMut::from(url.as_bytes());
        self.seen.push(format!("Burl {url:?}"));
        match fuzz::hash(&url, self.knob) % 3 {
            0 => self.session.reply(&Reply::enhanced(554, (5, 6, 6), "no")),
            1 => self.session.accept_url(octets.len() as u64),
            _ => self.session.accept_url(octets.len() as u64 + 1),
        }
        for _ in 0..2 {
            while let Some(event) = self.session.take_url(&mut octets) {
                self.handle(event);
            }
            if self.session.wants_url() {
                self.session.fail_url(Reply::enhanced(451, (4, 3, 0), "torn"));
            }
        }
        assert!(!self.session.wants_url());
    }

    fn forget(&mut self) {
        self.recipients = 0;
        self.content.clear();
    }
}

fn assert_whole_lines(content: &[u8]) {
    assert!(content.is_empty() || content.ends_with(b"\r\n"));
}

fn run<'a>(config: &Config, knob: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> Shell {
    let mut shell = Shell::new(config.clone(), knob & 8 != 0, knob);
    shell.send(b"");
    for piece in pieces {
        shell.send(piece);
    }
    shell
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob, seed])) = fuzz::knobs::<2>(data) else {
        return;
    };
    let data = &fuzz::expand(data);
    let role = fuzz::pick(&[Role::Mx, Role::Submission, Role::Lmtp, Role::Mx], knob);
    let mut config = Config::new(role, "mx.example.org");
    config.auth = fuzz::pick(
        &[AuthOffer::Always, AuthOffer::OverTls, AuthOffer::Never],
        knob >> 4,
    );
    config.starttls = knob & 4 != 0;
    config.dsn = seed & 1 == 1;
    config.prdr = seed & 2 != 0;
    config.binary_mime = seed & 4 != 0;
    config.etrn = seed & 8 != 0;
    config.burl = seed & 64 != 0;
    config.require_tls = seed & 16 != 0;
    config.wishes = WishOffers {
        hold_seconds_max: (seed & 32 != 0).then_some(86_400),
        deliver_by: true,
        priority: true,
        valid_since: true,
    };
    config.recipients_max = 20;
    config.size_max = 10_000;
    let whole = run(&config, knob, [data.as_slice()]);
    fuzz::assert_lines(&whole.out);
    // Each reply is short, and each needs two octets of input or more (BDAT's
    // last octet and the recipients of LMTP and PRDR aside).
    let each = role == Role::Lmtp || config.prdr;
    assert!(whole.out.len() <= 1_000 + 500 * (data.len() + 1) * if each { 21 } else { 1 });
    let split = run(&config, knob, fuzz::pieces(data, seed));
    // Commands behind STARTTLS are told by lying in the same piece: RFC 3207 §6.
    if !config.starttls {
        assert_eq!(split.seen, whole.seen);
        assert_eq!(split.out, whole.out);
        assert_eq!(split.closed, whole.closed);
    }
});
