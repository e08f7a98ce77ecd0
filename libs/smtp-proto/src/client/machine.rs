//! One connection to a server: [`Client`].
//!
//! | state | waits for |
//! |---|---|
//! | `Greeting` … `Auth` | the server's answers, one after the other |
//! | `Ready` | the shell: begin or quit |
//! | `Transaction` | replies to MAIL, RCPT, DATA; several on the way with PIPELINING |
//! | `Content` | the shell: the message |
//! | `Final` | the reply to the message, or (LMTP) one for each recipient |
//! | `Quitting`, `Dead` | the end |

use std::collections::VecDeque;
use std::fmt::Write;

use bytes::BytesMut;
use envelope::{Address, Reply};

use super::lines;
use super::{
    Capabilities, ClientConfig, ClientEvent, Failure, Protocol, ReplyParser, Stage, StartTls,
    Transaction, Unsupported, Verdict,
};
use crate::data::{DataEncoder, Framing};
use crate::limits::PIPELINE_BYTES_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Auth,
    Ready,
    Transaction,
    Content,
    Final,
    Quitting,
    Dead,
}

/// A command whose reply is still to come, or that is still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    Chunk,
    Final,
}

/// The client's machine.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    capabilities: Capabilities,
    parser: ReplyParser,
    state: State,
    tls: bool,
    /// A transaction may still be open at the server.
    needs_reset: bool,
    /// The transaction ends behind RCPT: nothing is sent.
    only_asks: bool,
    transaction: Option<Transaction>,
    /// By recipient: what is known.
    verdicts: Vec<Option<Verdict>>,
    /// Accepted at RCPT, in their order; waiting for the final reply.
    accepted: VecDeque<usize>,
    to_send: VecDeque<Step>,
    /// With the octets of the command.
    sent: VecDeque<(Step, usize)>,
    authenticated: bool,
    encoder: DataEncoder,
    auth_lines: VecDeque<String>,
    events: VecDeque<ClientEvent>,
    out: Vec<u8>,
}

impl Client {
    /// A machine for a new connection; `tls`: it is encrypted from the start.
    #[must_use]
    pub fn new(config: ClientConfig, tls: bool) -> Self {
        Self {
            config,
            capabilities: Capabilities::default(),
            parser: ReplyParser::default(),
            state: State::Greeting,
            tls,
            needs_reset: false,
            only_asks: false,
            transaction: None,
            verdicts: Vec::new(),
            accepted: VecDeque::new(),
            to_send: VecDeque::new(),
            sent: VecDeque::new(),
            authenticated: false,
            encoder: DataEncoder::new(Framing::Dot),
            auth_lines: VecDeque::new(),
            events: VecDeque::new(),
            out: Vec::new(),
        }
    }

    /// What the server offers, once it has said hello.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The connection is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Another transaction can begin.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// What is waited for; it says how long to wait (RFC 5321 §4.5.3.2).
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.state {
            State::Greeting => Stage::Greeting,
            State::Ehlo | State::Helo | State::Ready | State::Dead => Stage::Hello,
            State::StartTls | State::Handshake => Stage::StartTls,
            State::Auth => Stage::Auth,
            State::Content | State::Final => Stage::Final,
            State::Quitting => Stage::Quit,
            State::Transaction => match self.sent.front().map(|&(step, _)| step) {
                Some(Step::Rset) => Stage::Reset,
                Some(Step::Mail) | None => Stage::Mail,
                Some(Step::Rcpt(_)) => Stage::Rcpt,
                Some(Step::Data) => Stage::Data,
                Some(Step::Chunk | Step::Final) => Stage::Final,
            },
        }
    }

    /// Takes the output; write it whenever there is some.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }

    /// Works off `input` up to the next event; `None`: more input is needed.
    pub fn next_event(&mut self, input: &mut BytesMut) -> Option<ClientEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if matches!(self.state, State::Dead | State::Handshake) {
                return None;
            }
            match self.parser.next_reply(input) {
                Ok(None) => return None,
                Ok(Some(reply)) => self.handle_reply(reply, !input.is_empty()),
                Err(error) => self.fail(error.into()),
            }
        }
    }

    /// The handshake behind [`ClientEvent::StartTls`] is done; all that was said
    /// before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self) {
        self.tls = true;
        self.capabilities = Capabilities::default();
        self.say_hello();
    }

    /// Begins a transaction; the client must be ready.
    ///
    /// # Errors
    /// The server cannot take it; the client stays ready.
    pub fn begin(&mut self, transaction: Transaction) -> Result<(), Unsupported> {
        if let (Some(limit @ 1..), Some(size)) = (self.capabilities.size, transaction.size)
            && size > limit
        {
            return Err(Unsupported::Size(limit));
        }
        let international = transaction.smtputf8
            || transaction
                .recipients
                .iter()
                .any(|r| r.address.needs_smtputf8())
            || transaction
                .reverse_path
                .address()
                .is_some_and(Address::needs_smtputf8);
        if international && !self.capabilities.smtputf8 {
            return Err(Unsupported::SmtpUtf8);
        }
        let count = transaction.recipients.len();
        self.transaction = Some(Transaction {
            smtputf8: international,
            ..transaction
        });
        self.verdicts = vec![None; count];
        self.accepted.clear();
        if core::mem::replace(&mut self.needs_reset, true) {
            self.to_send.push_back(Step::Rset);
        }
        self.to_send.push_back(Step::Mail);
        self.to_send.extend((0..count).map(Step::Rcpt));
        if !self.uses_chunks() && !self.only_asks {
            self.to_send.push_back(Step::Data);
        }
        self.state = State::Transaction;
        self.send_next();
        Ok(())
    }

    /// Begins a transaction that ends with the answers to RCPT: what the server
    /// says about each recipient, without a message.
    ///
    /// # Errors
    /// As [`Client::begin`].
    pub fn ask(&mut self, transaction: Transaction) -> Result<(), Unsupported> {
        self.only_asks = true;
        self.begin(transaction)
            .inspect_err(|_| self.only_asks = false)
    }

    /// Encodes a piece of the message to the output.
    pub fn push_data(&mut self, content: &[u8]) {
        if self.state != State::Content {
            return;
        }
        if !self.uses_chunks() {
            self.encoder.encode(content, &mut self.out);
            return;
        }
        let mut chunk = Vec::new();
        self.encoder.encode(content, &mut chunk);
        if !chunk.is_empty() {
            self.write(format_args!("BDAT {}", chunk.len()));
            self.out.extend_from_slice(&chunk);
            self.sent.push_back((Step::Chunk, 0));
        }
    }

    /// The message is complete.
    pub fn finish_data(&mut self) {
        if self.state != State::Content {
            return;
        }
        if self.uses_chunks() {
            let mut chunk = Vec::new();
            self.encoder.finish(&mut chunk);
            self.write(format_args!("BDAT {} LAST", chunk.len()));
            self.out.extend_from_slice(&chunk);
        } else {
            self.encoder.finish(&mut self.out);
        }
        self.expect_final();
    }

    /// Says QUIT; [`ClientEvent::Closed`] follows, or the connection's end.
    pub fn quit(&mut self) {
        self.write(format_args!("QUIT"));
        self.state = State::Quitting;
    }

    /// What is known about each recipient when the connection breaks.
    #[must_use]
    pub fn abandon(&mut self) -> Vec<Option<Verdict>> {
        self.state = State::Dead;
        core::mem::take(&mut self.verdicts)
    }

    fn handle_reply(&mut self, reply: Reply, more_input: bool) {
        // RFC 5321 §3.8: 421 may come at any time, and is the last word.
        let last_word = reply.code == 421;
        match self.state {
            State::Transaction | State::Final if !self.sent.is_empty() => {
                if last_word {
                    self.end_by(&reply);
                } else if let Some((step, _)) = self.sent.pop_front() {
                    self.handle_step(step, reply);
                }
            }
            // The server has heard enough of the message.
            State::Content => match self.sent.pop_front() {
                Some((step, _)) if !last_word => self.handle_step(step, reply),
                _ => self.end_by(&reply),
            },
            _ if last_word => self.refused(reply),
            State::Greeting if reply.is_positive() => self.say_hello(),
            State::Ehlo if reply.is_positive() => {
                self.capabilities = Capabilities::parse(&reply);
                self.after_hello();
            }
            State::Ehlo if reply.is_permanent() && self.config.protocol == Protocol::Smtp => {
                // RFC 5321 §3.2: a server without extensions.
                let hello = core::mem::take(&mut self.config.hello);
                self.write(format_args!("HELO {hello}"));
                self.config.hello = hello;
                self.state = State::Helo;
            }
            State::Helo if reply.is_positive() => {
                self.capabilities = Capabilities::default();
                self.after_hello();
            }
            State::StartTls if reply.is_positive() && more_input => self.fail(Failure::Injection),
            State::StartTls if reply.is_positive() => {
                self.state = State::Handshake;
                self.events.push_back(ClientEvent::StartTls);
            }
            State::StartTls if self.config.starttls == StartTls::IfOffered => self.after_tls(),
            State::Auth => self.handle_auth(reply),
            State::Quitting => {
                self.state = State::Dead;
                self.events.push_back(ClientEvent::Closed);
            }
            State::Ready | State::Transaction | State::Final => self.fail(Failure::Unasked(reply)),
            _ => self.refused(reply),
        }
    }

    fn say_hello(&mut self) {
        let verb = match self.config.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        let hello = core::mem::take(&mut self.config.hello);
        self.write(format_args!("{verb} {hello}"));
        self.config.hello = hello;
        self.state = State::Ehlo;
    }

    fn after_hello(&mut self) {
        let offered = self.capabilities.starttls;
        match self.config.starttls {
            _ if self.tls => self.after_tls(),
            StartTls::Never => self.after_tls(),
            StartTls::IfOffered | StartTls::Required if offered => {
                self.write(format_args!("STARTTLS"));
                self.state = State::StartTls;
            }
            StartTls::IfOffered => self.after_tls(),
            StartTls::Required => self.fail(Failure::NoStartTls),
        }
    }

    fn after_tls(&mut self) {
        let Some(credentials) = &self.config.credentials else {
            self.ready();
            return;
        };
        if !self.tls && !self.config.auth_in_clear {
            self.fail(Failure::NoAuth);
            return;
        }
        let base64 = |text: &str| wire::base64::encode(text.as_bytes());
        let (login, password) = (&credentials.login, credentials.password.expose());
        if self.capabilities.auth_plain {
            let identity = credentials.authorization.as_deref().unwrap_or("");
            let response = base64(&format!("{identity}\0{login}\0{password}"));
            self.write(format_args!("AUTH PLAIN {response}"));
        } else if self.capabilities.auth_login {
            self.auth_lines.extend([base64(login), base64(password)]);
            self.write(format_args!("AUTH LOGIN"));
        } else {
            self.fail(Failure::NoAuth);
            return;
        }
        self.state = State::Auth;
    }

    fn handle_auth(&mut self, reply: Reply) {
        if reply.is_positive() {
            self.authenticated = true;
            self.ready();
            return;
        }
        match self.auth_lines.pop_front() {
            Some(line) if reply.is_intermediate() => self.write(format_args!("{line}")),
            _ => self.refused(reply),
        }
    }

    fn ready(&mut self) {
        self.auth_lines.clear();
        self.state = State::Ready;
        self.events.push_back(ClientEvent::Ready);
    }

    fn uses_chunks(&self) -> bool {
        self.config.chunking && self.capabilities.chunking && self.config.protocol == Protocol::Smtp
    }

    /// Sends what may be sent: with PIPELINING as much as the window takes, else
    /// one command.
    fn send_next(&mut self) {
        while let Some(&step) = self.to_send.front() {
            let line = self.line_of(step);
            let octets = line.len() + 2;
            let on_the_way: usize = self.sent.iter().map(|&(_, octets)| octets).sum();
            let fits = self.capabilities.pipelining && on_the_way + octets <= PIPELINE_BYTES_MAX;
            if !fits && !self.sent.is_empty() {
                return;
            }
            self.to_send.pop_front();
            self.sent.push_back((step, octets));
            self.write(format_args!("{line}"));
        }
    }

    fn line_of(&self, step: Step) -> String {
        match (step, &self.transaction) {
            (Step::Rset, _) => "RSET".to_owned(),
            (Step::Mail, Some(transaction)) => {
                lines::mail(&self.capabilities, transaction, self.authenticated)
            }
            (Step::Rcpt(index), Some(transaction)) => {
                lines::rcpt(&self.capabilities, transaction, index)
            }
            _ => "DATA".to_owned(),
        }
    }

    fn handle_step(&mut self, step: Step, reply: Reply) {
        match step {
            Step::Rset if reply.is_positive() => {}
            Step::Rset => {
                // What it would say to MAIL now is about us, not about the message.
                let text = format!("the server refused RSET: {}", reply.to_line());
                self.end_by(&Reply::enhanced(451, (4, 5, 0), &text));
                return;
            }
            Step::Mail if reply.is_positive() => {}
            Step::Mail => {
                self.settle_all(&reply, Stage::Mail);
                self.to_send.clear();
            }
            Step::Rcpt(index) if self.only_asks && reply.is_positive() => {
                let stage = Stage::Rcpt;
                self.verdicts[index].get_or_insert(Verdict { reply, stage });
            }
            Step::Rcpt(index) => {
                if reply.is_positive() && self.verdicts[index].is_none() {
                    self.accepted.push_back(index);
                } else {
                    self.settle(index, reply, Stage::Rcpt);
                }
            }
            Step::Data if reply.is_intermediate() => {
                self.begin_content(Framing::Dot);
                return;
            }
            Step::Data => self.settle_accepted(&reply, Stage::Data),
            Step::Chunk if reply.is_positive() => return,
            // The chunks behind it, and the last one, are refused as well.
            Step::Chunk => {
                self.settle_accepted(&reply, Stage::Final);
                if self.state == State::Content {
                    self.end_by(&reply);
                    return;
                }
            }
            Step::Final => match self.config.protocol {
                Protocol::Smtp => self.settle_accepted(&reply, Stage::Final),
                // RFC 2033 §4.2: in the order of the accepted recipients.
                Protocol::Lmtp => {
                    if let Some(index) = self.accepted.pop_front() {
                        self.settle(index, reply, Stage::Final);
                    }
                }
            },
        }
        self.after_step();
    }

    /// Goes on behind a reply: more to send, data by chunks, or the end.
    fn after_step(&mut self) {
        if self.accepted.is_empty() && self.to_send.front() == Some(&Step::Data) {
            // Nobody wants it.
            self.to_send.clear();
        }
        self.send_next();
        if !self.sent.is_empty() {
            return;
        }
        if self.state == State::Transaction && !self.accepted.is_empty() && self.uses_chunks() {
            self.begin_content(Framing::Counted);
            return;
        }
        self.finish_transaction();
    }

    fn begin_content(&mut self, framing: Framing) {
        self.encoder = DataEncoder::new(framing);
        self.state = State::Content;
        if self.accepted.is_empty() {
            // RFC 2920 §3.1: DATA was on its way before all were refused; an
            // empty message ends it, whatever the server makes of that.
            self.encoder.finish(&mut self.out);
            self.expect_final();
        } else {
            self.events.push_back(ClientEvent::SendData);
        }
    }

    fn expect_final(&mut self) {
        self.state = State::Final;
        let replies = match self.config.protocol {
            Protocol::Smtp => 1,
            Protocol::Lmtp => self.accepted.len(),
        };
        let last = core::iter::repeat_n((Step::Final, 0), replies);
        self.sent.extend(last);
        if self.sent.is_empty() {
            self.finish_transaction();
        }
    }

    fn finish_transaction(&mut self) {
        // A message that was answered leaves no transaction behind, but RFC 3030 §2
        // (MUST): behind a refused chunk nobody knows, so RSET.
        let refused = |v: &Verdict| v.stage == Stage::Final && !v.reply.is_positive();
        let chunk_refused = self.uses_chunks() && self.verdicts.iter().flatten().any(refused);
        self.needs_reset = self.state != State::Final || chunk_refused;
        self.state = State::Ready;
        self.report();
    }

    /// The server ends the conversation, perhaps in the middle of the message.
    fn end_by(&mut self, reply: &Reply) {
        let stage = self.stage();
        self.settle_all(reply, stage);
        self.state = State::Dead;
        self.report();
    }

    fn report(&mut self) {
        self.sent.clear();
        self.to_send.clear();
        self.accepted.clear();
        self.only_asks = false;
        self.transaction = None;
        let missing = || Verdict {
            reply: Reply::enhanced(
                451,
                (4, 5, 0),
                "the server gave no answer for this recipient",
            ),
            stage: Stage::Final,
        };
        let verdicts = core::mem::take(&mut self.verdicts)
            .into_iter()
            .map(|verdict| verdict.unwrap_or_else(missing))
            .collect();
        self.events.push_back(ClientEvent::Finished(verdicts));
    }

    /// The last word about a recipient. A yes counts only behind the whole
    /// message: a server that is out of step must not make it delivered.
    fn settle(&mut self, index: usize, reply: Reply, stage: Stage) {
        let delivered = reply.is_positive() && self.state == State::Final;
        let reply = if delivered || reply.is_temporary() || reply.is_permanent() {
            reply
        } else {
            let text = format!("the server is out of step: {}", reply.to_line());
            Reply::enhanced(451, (4, 5, 0), &text)
        };
        self.verdicts[index].get_or_insert(Verdict { reply, stage });
    }

    fn settle_accepted(&mut self, reply: &Reply, stage: Stage) {
        while let Some(index) = self.accepted.pop_front() {
            self.settle(index, reply.clone(), stage);
        }
    }

    fn settle_all(&mut self, reply: &Reply, stage: Stage) {
        for index in 0..self.verdicts.len() {
            self.settle(index, reply.clone(), stage);
        }
    }

    fn refused(&mut self, reply: Reply) {
        let stage = self.stage();
        self.fail(Failure::Refused(Verdict { reply, stage }));
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Dead;
        self.events.push_back(ClientEvent::Failed(failure));
    }

    fn write(&mut self, line: std::fmt::Arguments<'_>) {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "{line}");
        debug_assert!(!text.contains(['\r', '\n']), "one line at a time");
        text.push_str("\r\n");
        self.out.extend_from_slice(text.as_bytes());
    }
}
