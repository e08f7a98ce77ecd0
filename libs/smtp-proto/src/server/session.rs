//! One client's connection as the server sees it.
//!
//! Bytes go in ([`Session::next_event`]), events and output come out. An event
//! that asks for an answer stops the session until the answer is given, so that
//! pipelined commands (RFC 2920) are worked off in order and their replies leave
//! together. An error leaves the state as it was (RFC 5321 §4.1.4).
//!
//! | state | in order |
//! |---|---|
//! | greeted | hello, NOOP, HELP, VRFY, RSET, STARTTLS*, QUIT |
//! | hello said | + AUTH, MAIL, STARTTLS |
//! | MAIL accepted | + RCPT; not MAIL, AUTH, STARTTLS |
//! | RCPT accepted | + DATA, BDAT, BURL |
//! | BDAT or BURL begun | BDAT, BURL, NOOP, RSET, QUIT |
//!
//! Not here: time, sockets, TLS, who exists, who may relay.

use std::fmt::Write;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use envelope::Reply;
use memchr::memchr;
use sasl::{Answer, Exchange, Offer};

use super::answer::{self, fixed};
use super::command::{self, Line};
use super::event::{CloseReason, Event, Hello, HelloVerb};
use super::receiving::{Progress, Receiving};
use super::{Config, Role, WishOffers, xclient};
use crate::data::Framing;
use crate::limits::{
    AUTH_LINE_BYTES_MAX, BAD_COMMANDS_MAX, COMMAND_LINE_BYTES_MAX, REFUSED_RECIPIENTS_MAX,
    SKIPPED_LINE_BYTES_MAX,
};

mod commands;

#[derive(Debug)]
enum Phase {
    Command,
    /// An overlong line is being skipped; octets so far.
    SkipLine(usize),
    Auth(Box<Exchange>),
    /// `receiving` takes the octets.
    Data,
    /// `receiving` takes the octets of a URL, which the shell has.
    Url,
    /// The octets of a BDAT chunk that nobody wants, and what to say then.
    DiscardChunk(u64, Box<Reply>),
    Closing(CloseReason),
}

/// What the shell has to answer.
#[derive(Debug)]
enum Pending {
    Hello(Hello),
    Auth,
    Mail {
        smtputf8: bool,
        binary: bool,
        prdr: bool,
    },
    Rcpt,
    DataStart(Begin),
    /// BURL; it is the last piece.
    Url(bool),
    DataEnd,
    Inquiry,
    XClient,
    Etrn,
    Atrn,
}

/// How a message begins.
#[derive(Debug)]
enum Begin {
    /// DATA
    Data,
    /// BDAT: the chunk's size, and whether it is the last.
    Chunk(u64, bool),
    /// BURL: what it names, and whether it is the last piece.
    Url(String, bool),
}

/// Why there is no command line to work off.
enum NoLine {
    /// The session skips a line now, or closes.
    PhaseChanged,
    /// Octets that no command has.
    Malformed,
}

#[derive(Debug, Default)]
struct Transaction {
    smtputf8: bool,
    /// BODY=BINARYMIME
    binary: bool,
    prdr: bool,
    recipients: usize,
    refused: bool,
}

#[derive(Debug, Default)]
struct Counts {
    unknown: u32,
    bad: u32,
    idle: u32,
    refused_recipients: u32,
    surplus_recipients: u32,
}

/// The server's machine.
#[derive(Debug)]
pub struct Session {
    /// What it is for this client.
    config: Arc<Config>,
    /// What it is for everybody.
    listener: Arc<Config>,
    tls: bool,
    authenticated: bool,
    /// [`Event::LoggedIn`] is due.
    logged_in: bool,
    offer: Offer,
    /// XCLIENT is taken from this client.
    xclient: bool,
    /// ETRN is offered to it.
    etrn: bool,
    /// In seconds since 1970.
    now: i64,
    hello: Option<HelloVerb>,
    transaction: Option<Transaction>,
    receiving: Option<Box<Receiving>>,
    phase: Phase,
    /// [`Event::Burl`] is due.
    url: Option<(String, bool)>,
    pending: Option<Pending>,
    counts: Counts,
    out: Vec<u8>,
}

impl Session {
    /// A session on a new connection; `tls`: it is encrypted from the start.
    /// Nothing is written yet: [`Session::greet`] or [`Session::close`].
    #[must_use]
    pub fn new(config: Arc<Config>, tls: bool) -> Self {
        Self {
            listener: Arc::clone(&config),
            config,
            tls,
            authenticated: false,
            logged_in: false,
            offer: Offer::passwords(),
            xclient: false,
            etrn: false,
            now: 0,
            hello: None,
            transaction: None,
            receiving: None,
            phase: Phase::Command,
            url: None,
            pending: None,
            counts: Counts::default(),
            out: Vec::new(),
        }
    }

    /// Which mechanisms there are for this connection in its present state, where
    /// [`AuthOffer`](super::AuthOffer) allows any; PLAIN and LOGIN unless said.
    pub fn set_offer(&mut self, offer: Offer) {
        self.offer = offer;
    }

    /// XCLIENT is offered: the client is a proxy that is believed.
    pub fn allow_xclient(&mut self) {
        self.xclient = true;
    }

    /// DSN and these wishes are offered to this client, whatever the listener offers, or else
    /// what that does. Tell it before a hello is answered.
    pub fn offer_wishes(&mut self, wishes: Option<WishOffers>) {
        self.config = match wishes {
            Some(wishes) => Arc::new(Config {
                dsn: true,
                wishes,
                ..Config::clone(&self.listener)
            }),
            None => Arc::clone(&self.listener),
        };
    }

    /// DSN is offered to this client.
    #[must_use]
    pub fn offers_dsn(&self) -> bool {
        self.config.dsn
    }

    /// Whether ETRN is offered to this client.
    pub fn allow_etrn(&mut self, allowed: bool) {
        self.etrn = allowed;
    }

    /// The time, in seconds since 1970: tell it before a hello is answered where
    /// FUTURERELEASE is offered.
    pub fn set_now(&mut self, unix_seconds: i64) {
        self.now = unix_seconds;
    }

    /// Writes the greeting.
    pub fn greet(&mut self) {
        let greeting = answer::greeting(&self.config);
        self.write(&greeting);
    }

    /// Writes `reply` (mostly 421 or 554) and ends the session, whatever it does.
    pub fn close(&mut self, reply: &Reply) {
        self.write(reply);
        self.pending = None;
        self.phase = Phase::Closing(CloseReason::Refused);
    }

    /// The handshake behind [`Event::StartTls`] is done. RFC 3207 §4.2: nothing
    /// that was said before counts.
    pub fn tls_started(&mut self) {
        self.tls = true;
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.url = None;
        self.hello = None;
        self.authenticated = false;
        self.transaction = None;
    }

    /// What the listener is for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.config.role
    }

    /// The connection is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// AUTH was accepted.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// A message is being received or waits for its answer.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.receiving.is_some()
    }

    /// A transaction is going on.
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Output that waits to be written.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.out.len()
    }

    /// Takes the output; write it when [`Session::next_event`] has nothing more.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }

    /// Works off `input` up to the next event. `None`: more input is needed, or
    /// an answer is.
    pub fn next_event(&mut self, input: &mut BytesMut) -> Option<Event> {
        while self.pending.is_none() {
            if core::mem::take(&mut self.logged_in) {
                return Some(Event::LoggedIn);
            }
            if let Some((url, last)) = self.url.take() {
                self.pending = Some(Pending::Url(last));
                return Some(Event::Burl(url));
            }
            match &mut self.phase {
                Phase::Closing(reason) => return Some(Event::Close(*reason)),
                // The client's octets wait meanwhile.
                Phase::Url => return None,
                Phase::Data => match self.receive(input) {
                    Some(event) => return Some(event),
                    None if matches!(self.phase, Phase::Data) => return None,
                    None => {}
                },
                Phase::DiscardChunk(left, reply) => {
                    let taken = usize::try_from(*left).map_or(input.len(), |n| n.min(input.len()));
                    input.advance(taken);
                    *left -= taken as u64;
                    if *left > 0 {
                        return None;
                    }
                    let reply = core::mem::replace(reply.as_mut(), fixed::ok());
                    self.phase = Phase::Command;
                    self.fail(&reply);
                }
                Phase::SkipLine(_) => self.skip_line(input)?,
                Phase::Command | Phase::Auth(_) => {
                    let line = self.take_line(input)?;
                    if let Some(event) = self.handle_line(line, input) {
                        return Some(event);
                    }
                }
            }
        }
        None
    }

    /// Answers [`Event::Burl`] with yes: the URL names so many octets.
    pub fn accept_url(&mut self, size: u64) {
        if let Some(Pending::Url(last)) = self.pending {
            self.pending = None;
            let size_max = self.config.size_max;
            if let Some(receiving) = &mut self.receiving {
                let fits = receiving.size().saturating_add(size) <= size_max;
                if !fits {
                    receiving.refuse(fixed::too_big());
                }
                receiving.begin_chunk(if fits { size } else { 0 }, last);
                self.phase = Phase::Url;
            }
        }
    }

    /// Octets of the accepted URL are wanted, or their end is to be noticed: call
    /// [`Session::take_url`] until it gives nothing, then bring more if this still says so.
    #[must_use]
    pub fn wants_url(&self) -> bool {
        matches!(self.phase, Phase::Url)
    }

    /// Works off octets of the accepted URL up to the next event. Never more than
    /// [`Session::accept_url`] said are taken, and none is ever read as a command.
    pub fn take_url(&mut self, octets: &mut BytesMut) -> Option<Event> {
        if self.pending.is_none() && self.wants_url() {
            self.receive(octets)
        } else {
            None
        }
    }

    /// The accepted URL's octets end too early: `reply` is given, the message is over,
    /// [`Event::DataAborted`] follows by [`Session::take_url`].
    pub fn fail_url(&mut self, reply: Reply) {
        if let Some(receiving) = &mut self.receiving {
            receiving.refuse(reply);
            let last = receiving.is_last();
            receiving.begin_chunk(0, last);
        }
    }

    /// Answers [`Event::Auth`].
    pub fn answer_auth(&mut self, answer: Answer) {
        if let (Some(Pending::Auth), Phase::Auth(exchange)) = (&self.pending, &mut self.phase) {
            let step = exchange.answer(answer);
            self.pending = None;
            self.take_auth_step(step);
        }
    }

    /// Answers the last event with yes, in the usual words.
    pub fn accept(&mut self) {
        match self.pending {
            Some(Pending::Auth) => return self.answer_auth(Answer::Accepted),
            Some(Pending::Url(_)) => return self.accept_url(0),
            _ => {}
        }
        let reply = match &self.pending {
            Some(Pending::Hello(hello)) => {
                let state = answer::State {
                    tls: self.tls,
                    now: self.now,
                    auth: &self.offered(),
                };
                let mut reply = answer::hello(&self.config, hello, &state);
                if self.etrn && self.config.etrn && hello.verb != HelloVerb::Helo {
                    reply.lines.push("ETRN".to_owned());
                }
                // RFC 4468 §3.3: URLs with URLAUTH, for who may use them. A server's name would
                // say that those without it are taken.
                if self.config.burl && self.authenticated && hello.verb != HelloVerb::Helo {
                    reply.lines.push("BURL imap".to_owned());
                }
                if self.config.atrn && hello.verb != HelloVerb::Helo {
                    reply.lines.push("ATRN".to_owned());
                }
                if self.xclient && hello.verb != HelloVerb::Helo {
                    reply.lines.push(format!("XCLIENT {}", xclient::ATTRIBUTES));
                }
                reply
            }
            Some(Pending::XClient) => answer::greeting(&self.config),
            Some(Pending::Mail { .. }) => fixed::sender_ok(),
            Some(Pending::Rcpt) => fixed::recipient_ok(),
            Some(Pending::DataStart(_)) => fixed::go_ahead(),
            Some(
                Pending::Auth
                | Pending::Url(_)
                | Pending::DataEnd
                | Pending::Inquiry
                | Pending::Etrn
                | Pending::Atrn,
            )
            | None => fixed::ok(),
        };
        self.answer(&reply);
    }

    /// Answers the last event: 2yz is yes, 4yz and 5yz are no. (Data is accepted
    /// by [`Session::accept`] only.) In LMTP the answer to a message goes to
    /// each recipient.
    pub fn reply(&mut self, reply: &Reply) {
        self.answer(reply);
    }

    /// The answer to [`Event::DataEnd`] in LMTP, and where PRDR was asked for: one
    /// for each accepted recipient, in their order (RFC 2033 §4.2). With PRDR
    /// `whole` follows, which says whether anybody has it.
    pub fn reply_each(&mut self, replies: &[Reply], whole: &Reply) {
        let Some(Pending::DataEnd) = self.pending else {
            return;
        };
        let count = self.transaction.as_ref().map_or(0, |t| t.recipients);
        debug_assert_eq!(replies.len(), count, "one reply for each recipient");
        let missing = Reply::enhanced(451, (4, 3, 0), "no result for this recipient");
        for index in 0..count {
            self.write(replies.get(index).unwrap_or(&missing));
        }
        if self.transaction.as_ref().is_some_and(|t| t.prdr) {
            self.write(whole);
        }
        self.end_message(replies.iter().any(Reply::is_positive));
    }

    /// The rest of the message is read and thrown away, then `reply` is given
    /// and [`Event::DataAborted`] follows.
    pub fn discard_data(&mut self, reply: Reply) {
        if let Some(receiving) = &mut self.receiving {
            receiving.refuse(reply);
        }
    }

    fn answer(&mut self, reply: &Reply) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let yes = reply.is_positive();
        match pending {
            Pending::Hello(hello) => {
                if yes {
                    self.hello = Some(hello.verb);
                }
                self.write(reply);
            }
            // A yes is said by `answer_auth` alone.
            Pending::Auth => {
                self.phase = Phase::Command;
                self.fail(reply);
            }
            Pending::Mail {
                smtputf8,
                binary,
                prdr,
            } => {
                if yes {
                    self.transaction = Some(Transaction {
                        smtputf8,
                        binary,
                        prdr,
                        ..Transaction::default()
                    });
                }
                self.write(reply);
            }
            Pending::Rcpt => self.answer_recipient(reply),
            Pending::DataStart(begin) => self.answer_data_start(begin, reply),
            // A yes is said by `accept_url` alone.
            Pending::Url(last) => {
                if let Some(receiving) = &mut self.receiving {
                    receiving.refuse(reply.clone());
                    receiving.begin_chunk(0, last);
                    self.phase = Phase::Url;
                }
            }
            Pending::DataEnd => {
                let prdr = self.transaction.as_ref().filter(|t| t.prdr);
                match prdr.map(|t| t.recipients) {
                    // For each of them, and for all: 353 has promised it.
                    Some(recipients) => (0..=recipients).for_each(|_| self.write(reply)),
                    None => self.write_for_recipients(reply),
                }
                self.end_message(yes);
            }
            Pending::Inquiry | Pending::Etrn | Pending::Atrn => self.write(reply),
            Pending::XClient => {
                if yes {
                    self.begin_anew();
                }
                self.write(reply);
            }
        }
    }

    fn answer_recipient(&mut self, reply: &Reply) {
        self.write(reply);
        if let Some(transaction) = &mut self.transaction {
            if reply.is_positive() {
                transaction.recipients += 1;
                return;
            }
            transaction.refused = true;
        }
        self.counts.refused_recipients += 1;
        if self.counts.refused_recipients > REFUSED_RECIPIENTS_MAX {
            self.give_up();
        }
    }

    fn answer_data_start(&mut self, begin: Begin, reply: &Reply) {
        let yes = reply.is_intermediate() || reply.is_positive();
        if !yes {
            self.transaction = None;
        }
        match (begin, yes) {
            (Begin::Data, true) => {
                self.write(&fixed::go_ahead());
                self.begin_receiving(Framing::Dot);
            }
            (Begin::Data | Begin::Url(..), false) => self.write(reply),
            (Begin::Chunk(size, last), true) => {
                self.begin_receiving(Framing::Counted);
                self.begin_chunk(size, last);
            }
            (Begin::Chunk(size, _), false) => {
                self.phase = Phase::DiscardChunk(size, Box::new(reply.clone()));
            }
            (Begin::Url(url, last), true) => {
                self.begin_receiving(Framing::Counted);
                self.phase = Phase::Command;
                self.url = Some((url, last));
            }
        }
    }

    fn begin_receiving(&mut self, framing: Framing) {
        let binary = self.transaction.as_ref().is_some_and(|t| t.binary);
        let receiving = Receiving::new(framing, self.config.size_max, binary);
        self.receiving = Some(Box::new(receiving));
        self.phase = Phase::Data;
    }

    fn begin_chunk(&mut self, size: u64, last: bool) {
        if let Some(receiving) = &mut self.receiving {
            receiving.begin_chunk(size, last);
            self.phase = Phase::Data;
        }
    }

    fn end_message(&mut self, accepted: bool) {
        self.pending = None;
        self.transaction = None;
        self.receiving = None;
        if accepted {
            self.counts.idle = 0;
            self.counts.surplus_recipients = 0;
        }
    }

    fn receive(&mut self, input: &mut BytesMut) -> Option<Event> {
        let Some(receiving) = &mut self.receiving else {
            self.phase = Phase::Command;
            return None;
        };
        match receiving.take(input) {
            Progress::Starved => None,
            Progress::Chunk(chunk) => Some(Event::DataChunk(chunk)),
            Progress::Overflow => {
                self.write(&fixed::too_big());
                self.phase = Phase::Closing(CloseReason::Desynchronised);
                None
            }
            Progress::Ended => {
                self.phase = Phase::Command;
                if let Some((fault, reply)) = receiving.fault() {
                    if receiving.is_last() {
                        self.write_for_recipients(&reply);
                    } else {
                        self.write(&reply);
                    }
                    self.end_message(false);
                    return Some(Event::DataAborted(fault));
                }
                let size = receiving.size();
                if receiving.is_last() {
                    if self.transaction.as_ref().is_some_and(|t| t.prdr) {
                        self.write(&fixed::each_follows());
                    }
                    self.pending = Some(Pending::DataEnd);
                    return Some(Event::DataEnd { size });
                }
                let text = format!("{size} octets so far");
                self.write(&Reply::enhanced(250, (2, 0, 0), &text));
                None
            }
        }
    }

    /// Takes a line off the input, without its line end; `Err` for a line that
    /// is no command line at all.
    fn take_line(&mut self, input: &mut BytesMut) -> Option<Result<String, NoLine>> {
        let &first = input.first()?;
        let in_auth = matches!(self.phase, Phase::Auth(_));
        if !in_auth && command::is_other_protocol_octet(first, self.hello.is_none()) {
            self.phase = Phase::Closing(CloseReason::OtherProtocol);
            return Some(Err(NoLine::PhaseChanged));
        }
        let auth = in_auth
            || input
                .get(..5)
                .is_some_and(|head| head.eq_ignore_ascii_case(b"AUTH "));
        let max = if auth {
            AUTH_LINE_BYTES_MAX
        } else {
            COMMAND_LINE_BYTES_MAX
        };
        let Some(end) = memchr(b'\n', input) else {
            if input.len() >= max {
                self.phase = Phase::SkipLine(0);
                return Some(Err(NoLine::PhaseChanged));
            }
            return None;
        };
        if end >= max {
            self.phase = Phase::SkipLine(0);
            return Some(Err(NoLine::PhaseChanged));
        }
        let line = input.split_to(end + 1);
        // RFC 5321 §2.3.8: CRLF and nothing else. The line is over all the same,
        // or the client would wait for ever.
        let text = line
            .strip_suffix(b"\r\n")
            .and_then(|text| core::str::from_utf8(text).ok())
            .filter(|text| !text.chars().any(|c| c.is_control() && c != '\t'));
        Some(text.map(str::to_owned).ok_or(NoLine::Malformed))
    }

    fn skip_line(&mut self, input: &mut BytesMut) -> Option<()> {
        let end = memchr(b'\n', input);
        let taken = end.map_or(input.len(), |at| at + 1);
        input.advance(taken);
        let Phase::SkipLine(skipped) = &mut self.phase else {
            return None;
        };
        *skipped += taken;
        if *skipped > SKIPPED_LINE_BYTES_MAX {
            self.give_up();
            return Some(());
        }
        end?;
        self.phase = Phase::Command;
        self.fail(&fixed::line_too_long());
        Some(())
    }

    fn handle_line(&mut self, line: Result<String, NoLine>, input: &BytesMut) -> Option<Event> {
        let text = match line {
            Err(NoLine::PhaseChanged) => return None,
            Err(NoLine::Malformed) => {
                self.phase = Phase::Command;
                self.fail(&fixed::malformed_line());
                return None;
            }
            Ok(text) => text,
        };
        if let Phase::Auth(exchange) = &mut self.phase {
            let step = exchange.handle_line(text.as_bytes());
            return self.handle_auth_step(step);
        }
        if self.hello.is_none() && command::is_other_protocol(&text) {
            self.phase = Phase::Closing(CloseReason::OtherProtocol);
            return None;
        }
        self.handle_command(Line::parse(&text), input)
    }

    /// Writes an error of the client's and counts it.
    fn fail(&mut self, reply: &Reply) {
        self.counts.bad += 1;
        if self.counts.bad > BAD_COMMANDS_MAX {
            self.give_up();
        } else {
            self.write(reply);
        }
    }

    fn give_up(&mut self) {
        self.write(&fixed::too_many_errors());
        self.phase = Phase::Closing(CloseReason::TooManyErrors);
    }

    /// A reply to the whole message: once, or for each recipient in LMTP.
    fn write_for_recipients(&mut self, reply: &Reply) {
        let times = match self.config.role {
            Role::Lmtp => self.transaction.as_ref().map_or(1, |t| t.recipients),
            Role::Mx | Role::Submission => 1,
        };
        for _ in 0..times {
            self.write(reply);
        }
    }

    fn write(&mut self, reply: &Reply) {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "{reply}");
        self.out.extend_from_slice(text.as_bytes());
    }
}
