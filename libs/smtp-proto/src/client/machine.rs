//! One connection to a server: [`Client`].
//!
//! | state | waits for |
//! |---|---|
//! | `Greeting` … `Auth` | the server's answers, one after the other |
//! | `Ready` | the shell: begin or quit |
//! | `Transaction` | replies to MAIL, RCPT, DATA; several on the way with PIPELINING; to the first chunk too |
//! | `Content` | the shell: the message |
//! | `Final` | the reply to the message, or (LMTP) one for each recipient |
//! | `Quitting`, `Dead` | the end |
//!
//! Where PIPELINING and CHUNKING are offered, the start of the message goes out as a chunk
//! behind MAIL and RCPT, before they are answered (RFC 3030 §4.2 lets it): a whole message,
//! where it is small, so that it costs one round trip. What is longer goes on when somebody
//! is there to have it and the server has taken the first chunk. A server that does not
//! know BDAT reads what is in a chunk as commands: so behind a chunk that was
//! not taken nothing is said but RSET, alone, and what is answered to it is no yes unless
//! the chunk was read over: a header field, which comes first, is no command.

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
use crate::limits::{CHUNK_BYTES, PIPELINE_BYTES_MAX};

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

/// Whether a transaction may still be open at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    /// None is.
    Needless,
    /// RSET goes with the next commands.
    Due,
    /// RSET goes alone: if its answer is no, the server reads a chunk as commands.
    Alone,
}

/// How far a message is that goes by BDAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunks {
    /// It goes by DATA.
    Unused,
    /// Nothing of it was asked for.
    Due,
    /// Some of it has gone.
    Begun,
    /// The server has said no to one.
    Refused,
    /// The server does not know BDAT.
    Unknown,
}

/// The client's machine.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    capabilities: Capabilities,
    parser: ReplyParser,
    state: State,
    tls: bool,
    reset: Reset,
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
    chunks: Chunks,
    /// Content that is not yet announced.
    chunk: Vec<u8>,
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
            reset: Reset::Needless,
            only_asks: false,
            transaction: None,
            verdicts: Vec::new(),
            accepted: VecDeque::new(),
            to_send: VecDeque::new(),
            sent: VecDeque::new(),
            authenticated: false,
            encoder: DataEncoder::new(Framing::Dot),
            chunks: Chunks::Unused,
            chunk: Vec::new(),
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
            State::Content => Stage::Final,
            State::Quitting => Stage::Quit,
            // All of a short message may have gone before MAIL was answered.
            State::Transaction | State::Final => match (self.sent.front(), self.state) {
                (Some(&(step, _)), _) => stage_of(step),
                (None, State::Final) => Stage::Final,
                (None, _) => Stage::Mail,
            },
        }
    }

    /// Some of the transaction's message went by BDAT.
    #[must_use]
    pub fn sent_chunks(&self) -> bool {
        !matches!(self.chunks, Chunks::Unused | Chunks::Due)
    }

    /// BDAT was not known, or not as what it is, for a message that was to be had: DATA may
    /// be, over another connection.
    #[must_use]
    pub fn bdat_unknown(&self) -> bool {
        self.chunks == Chunks::Unknown
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
        if self.reset != Reset::Needless {
            self.to_send.push_back(Step::Rset);
        }
        self.to_send.push_back(Step::Mail);
        self.to_send.extend((0..count).map(Step::Rcpt));
        self.chunk.clear();
        self.chunks = Chunks::Unused;
        if self.may_chunk() && !self.only_asks {
            self.chunks = Chunks::Due;
        } else if !self.only_asks {
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

    /// Encodes a piece of the message to the output, or to the next chunk.
    pub fn push_data(&mut self, content: &[u8]) {
        if self.state != State::Content {
            return;
        }
        if self.chunks == Chunks::Unused {
            self.encoder.encode(content, &mut self.out);
            return;
        }
        // What is full goes before more comes, so that the last chunk is never an empty one.
        if self.chunk.len() >= CHUNK_BYTES {
            self.write_chunk("");
            self.sent.push_back((Step::Chunk, 0));
        }
        self.encoder.encode(content, &mut self.chunk);
    }

    /// More of the message follows behind its start, when [`ClientEvent::SendData`] asks for it.
    pub fn hold_data(&mut self) {
        if self.state != State::Content {
            return;
        }
        if !self.chunk.is_empty() {
            self.write_chunk("");
            self.sent.push_back((Step::Chunk, 0));
        }
        self.state = State::Transaction;
        self.after_step();
    }

    /// The message is complete.
    pub fn finish_data(&mut self) {
        if self.state != State::Content {
            return;
        }
        if self.chunks == Chunks::Unused {
            self.encoder.finish(&mut self.out);
        } else {
            self.encoder.finish(&mut self.chunk);
            self.write_chunk(" LAST");
        }
        self.expect_final();
    }

    fn write_chunk(&mut self, last: &str) {
        self.write(format_args!("BDAT {}{last}", self.chunk.len()));
        self.out.append(&mut self.chunk);
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
                    self.end_by(
                        &reply,
                        self.sent.front().map_or(Stage::Final, |s| stage_of(s.0)),
                    );
                } else if let Some((step, _)) = self.sent.pop_front() {
                    self.handle_step(step, reply);
                }
            }
            State::Content => match self.sent.pop_front() {
                Some((step, _)) if !last_word => self.handle_step(step, reply),
                Some((step, _)) => self.end_by(&reply, stage_of(step)),
                // The server has heard enough of the message.
                None => self.end_by(&reply, Stage::Final),
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

    /// Without PIPELINING each chunk would wait for the answer to the one before it.
    fn may_chunk(&self) -> bool {
        let wanted = self.transaction.as_ref().is_some_and(|t| t.chunking);
        let offered = self.capabilities.chunking && self.capabilities.pipelining;
        wanted && offered && self.config.protocol == Protocol::Smtp
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
            if step == Step::Rset && self.reset == Reset::Alone {
                return;
            }
        }
        // Not when MAIL was refused: then everybody has a verdict.
        let wanted = self.verdicts.iter().any(Option::is_none);
        if self.chunks == Chunks::Due && wanted && !self.sent.is_empty() {
            self.chunks = Chunks::Begun;
            self.encoder = DataEncoder::new(Framing::Counted);
            self.state = State::Content;
            self.events.push_back(ClientEvent::SendStart);
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
                self.end_by(&Reply::enhanced(451, (4, 5, 0), &text), Stage::Reset);
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
                self.begin_content();
                return;
            }
            Step::Data => self.settle_accepted(&reply, Stage::Data),
            Step::Chunk if reply.is_positive() => {}
            Step::Chunk => {
                if self.refuse_chunk(&reply) {
                    return;
                }
                // The chunks behind it, and the last one, are refused as well.
                self.settle_accepted(&reply, Stage::Final);
                if self.state == State::Content {
                    // RFC 3030 §2 (MUST NOT): no chunk goes behind it.
                    self.end_by(&reply, Stage::Final);
                    return;
                }
            }
            Step::Final if self.sent_chunks() && !reply.is_positive() => {
                if self.refuse_chunk(&reply) {
                    return;
                }
                self.settle_accepted(&reply, Stage::Final);
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

    /// Whether that was the end: a server that was to have the message does not know BDAT,
    /// so that it takes what was in the chunk for commands, and answers them.
    fn refuse_chunk(&mut self, reply: &Reply) -> bool {
        self.chunks = Chunks::Refused;
        let unknown = !self.accepted.is_empty() && is_not_understood(reply);
        if unknown {
            self.chunks = Chunks::Unknown;
            self.end_by(reply, Stage::Final);
        }
        unknown
    }

    /// Goes on behind a reply: more to send, more of the message, or the end.
    fn after_step(&mut self) {
        if self.state == State::Content {
            return;
        }
        let nobody = self.accepted.is_empty() && self.sent.is_empty();
        if nobody && self.to_send.front() == Some(&Step::Data) {
            self.to_send.clear();
        }
        self.send_next();
        if !self.sent.is_empty() || self.state == State::Content {
            return;
        }
        if self.state == State::Transaction && self.chunks == Chunks::Begun {
            self.begin_content();
            return;
        }
        self.finish_transaction();
    }

    fn begin_content(&mut self) {
        if !self.accepted.is_empty() {
            if self.chunks == Chunks::Unused {
                self.encoder = DataEncoder::new(Framing::Dot);
            }
            self.state = State::Content;
            self.events.push_back(ClientEvent::SendData);
        } else if self.chunks == Chunks::Unused {
            // RFC 2920 §3.1: DATA was on its way before all were refused; an
            // empty message ends it, whatever the server makes of that.
            self.state = State::Content;
            self.encoder = DataEncoder::new(Framing::Dot);
            self.encoder.finish(&mut self.out);
            self.expect_final();
        } else {
            self.finish_transaction();
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
        self.reset = match self.state {
            _ if self.chunks == Chunks::Refused => Reset::Alone,
            State::Final => Reset::Needless,
            _ => Reset::Due,
        };
        self.state = State::Ready;
        self.report();
    }

    /// The server ends the conversation, perhaps in the middle of the message.
    fn end_by(&mut self, reply: &Reply, stage: Stage) {
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

fn stage_of(step: Step) -> Stage {
    match step {
        Step::Rset => Stage::Reset,
        Step::Mail => Stage::Mail,
        Step::Rcpt(_) => Stage::Rcpt,
        Step::Data => Stage::Data,
        Step::Chunk | Step::Final => Stage::Final,
    }
}

/// What is answered to BDAT by a server that does not know it, or not what it is: that the
/// command is unknown or does not fit here (RFC 5321 §4.2.1), or something to be continued.
fn is_not_understood(reply: &Reply) -> bool {
    matches!(reply.code, 300..=399 | 500..=504)
}
