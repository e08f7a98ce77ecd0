//! A connection to a hostile server: any split of its replies gives the same
//! events and commands; each recipient gets one verdict, and none counts as
//! delivered before the whole message was sent.
#![no_main]

use bytes::BytesMut;
use envelope::{Address, Recipient, ReversePath};
use libfuzzer_sys::fuzz_target;
use sasl::{Credentials, Secret};
use smtp_proto::client::{
    Client, ClientConfig, ClientEvent, Protocol, ReplyParser, Stage, StartTls, Transaction,
};
use smtp_proto::limits::REPLY_LINES_MAX;

const RECIPIENTS: [&str; 3] = ["b@x.example", "\"c d\"@y.example", "é@münchen.example"];
const CONTENT: &[u8] = b"Subject: x\r\n\r\n.dot\r\nbare\nend";

struct Shell {
    client: Client,
    input: BytesMut,
    knob: u8,
    recipients: usize,
    rounds: usize,
    /// The start of it went with the commands.
    started: bool,
    sent_all: bool,
    over: bool,
    seen: Vec<String>,
    out: Vec<u8>,
}

impl Shell {
    fn new(config: ClientConfig, knob: u8) -> Self {
        Self {
            client: Client::new(config, false),
            input: BytesMut::new(),
            knob,
            recipients: 0,
            rounds: 0,
            started: false,
            sent_all: false,
            over: false,
            seen: Vec::new(),
            out: Vec::new(),
        }
    }

    fn hear(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
        while let Some(event) = self.client.next_event(&mut self.input) {
            self.handle(&event);
            self.seen.push(format!("{event:?}"));
        }
        self.out.extend_from_slice(&self.client.take_output());
    }

    fn handle(&mut self, event: &ClientEvent) {
        assert!(!self.over, "an event behind the last one");
        match event {
            ClientEvent::StartTls => self.client.tls_started(),
            ClientEvent::Ready => self.begin(),
            ClientEvent::SendStart if self.knob & 8 != 0 => {
                self.client.push_data(self.halves().0);
                self.client.hold_data();
                self.started = true;
            }
            ClientEvent::SendStart | ClientEvent::SendData => {
                let (first, second) = self.halves();
                if !self.started {
                    self.client.push_data(first);
                }
                self.client.push_data(second);
                self.client.finish_data();
                self.sent_all = true;
            }
            ClientEvent::Finished(verdicts) => {
                assert_eq!(verdicts.len(), self.recipients, "one verdict each");
                for verdict in verdicts {
                    let yes = verdict.reply.is_positive();
                    assert!(!yes || (self.sent_all && verdict.stage == Stage::Final));
                    assert!(yes || verdict.reply.is_temporary() || verdict.reply.is_permanent());
                }
                if self.client.is_ready() {
                    self.begin();
                }
            }
            ClientEvent::Closed | ClientEvent::Failed(_) => self.over = true,
        }
    }

    fn halves(&self) -> (&'static [u8], &'static [u8]) {
        CONTENT.split_at(usize::from(self.knob) % CONTENT.len())
    }

    fn begin(&mut self) {
        self.rounds += 1;
        self.started = false;
        self.sent_all = false;
        let count = 1 + usize::from(self.knob >> 6);
        let transaction = Transaction {
            reverse_path: ReversePath::parse("a@us.example").expect("an address"),
            recipients: RECIPIENTS
                .iter()
                .take(count)
                .map(|text| Recipient::new(Address::parse(text).expect("an address")))
                .collect(),
            size: Some(CONTENT.len() as u64),
            eight_bit: self.knob & 1 == 1,
            smtputf8: false,
            ret: None,
            envid: None,
            wishes: smtp_proto::client::OnwardWishes::default(),
            chunking: self.knob & 16 != 0,
        };
        self.recipients = transaction.recipients.len();
        if self.rounds > 3 || self.client.begin(transaction).is_err() {
            self.client.quit();
        }
    }
}

fn run<'a>(config: &ClientConfig, knob: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> Shell {
    let mut shell = Shell::new(config.clone(), knob);
    for piece in pieces {
        shell.hear(piece);
    }
    shell
}

/// Replies alone: bounded, and read again as they are written.
fn check_replies(data: &[u8]) {
    let (mut parser, mut input) = (ReplyParser::default(), BytesMut::from(data));
    while let Ok(Some(reply)) = parser.next_reply(&mut input) {
        assert!(reply.lines.len() <= REPLY_LINES_MAX);
        let written = reply.to_string();
        fuzz::assert_lines(written.as_bytes());
        let again = ReplyParser::default().next_reply(&mut BytesMut::from(written.as_bytes()));
        if let Ok(Some(again)) = again {
            assert_eq!(again.code, reply.code);
            assert_eq!(again.enhanced, reply.enhanced);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob, seed])) = fuzz::knobs::<2>(data) else {
        return;
    };
    let data = &fuzz::expand(data);
    check_replies(data);
    let mut config = ClientConfig::new("us.example");
    config.protocol = fuzz::pick(&[Protocol::Smtp, Protocol::Lmtp], knob >> 1);
    config.starttls = fuzz::pick(
        &[
            StartTls::Never,
            StartTls::IfOffered,
            StartTls::Never,
            StartTls::Required,
        ],
        knob >> 2,
    );
    config.auth_in_clear = true;
    config.credentials = (knob & 32 != 0).then(|| Credentials {
        authorization: None,
        login: "login".to_owned(),
        password: Secret::from("password"),
    });
    let whole = run(&config, knob, [data.as_slice()]);
    // What is sent is what we were given, encoded: lines all of it.
    let mut out = whole.out.clone();
    if whole.started && !whole.sent_all {
        // A chunk may end within a line; more of it was not asked for.
        out.extend_from_slice(b"\r\n");
    }
    fuzz::assert_lines(&out);
    assert!(whole.out.len() <= 8_192);
    let split = run(&config, knob, fuzz::pieces(data, seed));
    // Octets behind STARTTLS's reply are told by lying in the same piece.
    if config.starttls == StartTls::Never {
        assert_eq!(split.seen, whole.seen);
        assert_eq!(split.out, whole.out);
    }
});
