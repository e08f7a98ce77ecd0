//! The server's side of a connection.

use crate::command::{self, Command, Fault, is_foreign};
use crate::event::{CloseReason, Event, Fetch, LoginRefusal};
use crate::limits::{
    AUTH_LINE_BYTES_MAX, BAD_COMMANDS_MAX, FAILED_LOGINS_MAX, LINE_BYTES_MAX, OUTPUT_BYTES,
};
use crate::listing::{Kind, Listing};
use crate::maildrop::{Maildrop, Message};
use crate::stuffer::Stuffer;
use lang::Lang;
use memchr::memchr;
use sasl::{
    Answer, Credentials, Digest, DigestKind, Exchange, Failure, Offer, Question, Secret, Step,
};
use std::mem;

/// Whether the connection is private, or may become so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsState {
    /// There is no certificate.
    Unavailable,
    /// STLS is offered.
    Offered,
    /// It is on.
    Active,
}

/// How a session begins.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name in the greeting.
    pub hostname: String,
    /// Whether the connection is private.
    pub tls: TlsState,
    /// Passwords are taken without TLS (loopback, where it is allowed).
    pub plaintext_login: bool,
    /// What APOP makes a digest of, of the form `<…@…>` and never given twice;
    /// `None` where there is no APOP.
    pub timestamp: Option<String>,
    /// RFC 2449 §6.7: for so many days at least mail stays that was retrieved; `None` for ever.
    pub expire_days: Option<u32>,
}

#[derive(Debug)]
enum Phase {
    /// Waits for a command.
    Command,
    /// Waits for a line of an authentication exchange.
    Exchange(Exchange),
    /// Waits for the shell's answer to an exchange's question; USER and PASS have no exchange.
    Asked(Option<Exchange>),
    /// The login has succeeded; the shell is not told yet.
    Open,
    /// Waits for the shell's answer to an event.
    Login,
    Fetch,
    Update,
    /// Waits for the handshake.
    Tls,
    Closing(CloseReason),
    Closed,
}

/// A POP3 session. See the crate's text for how to drive it.
#[derive(Debug)]
pub struct Session {
    config: Config,
    offer: Offer,
    input: Vec<u8>,
    /// Bytes of `input` that were taken already.
    taken: usize,
    output: Vec<u8>,
    phase: Phase,
    user: Option<String>,
    maildrop: Option<Maildrop>,
    listing: Option<Listing>,
    bad_commands: u8,
    failed_logins: u8,
    spoken: bool,
    language: Lang,
}

impl Session {
    /// A session that greets.
    #[must_use]
    pub fn new(config: Config) -> Self {
        // RFC 1939 §7: the timestamp says that there is APOP.
        let timestamp = config.timestamp.as_ref();
        let timestamp = timestamp.map(|text| format!(" {text}")).unwrap_or_default();
        let greeting = format!(
            "+OK {} Posthouse POP3 ready{timestamp}\r\n",
            config.hostname
        );
        let output = greeting.into_bytes();
        Self {
            config,
            offer: Offer::passwords(),
            input: Vec::new(),
            taken: 0,
            output,
            phase: Phase::Command,
            user: None,
            maildrop: None,
            listing: None,
            bad_commands: 0,
            failed_logins: 0,
            spoken: false,
            language: Lang::En,
        }
    }

    /// Which mechanisms there are for this connection in its present state, where
    /// it is private enough for any; PLAIN and LOGIN unless said.
    pub fn set_offer(&mut self, offer: Offer) {
        self.offer = offer;
    }

    /// Takes what was read from the client.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        if matches!(self.phase, Phase::Closing(_) | Phase::Closed) {
            return;
        }
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.extend_from_slice(bytes);
    }

    /// The next thing that happened; `None` when output must be written or more
    /// input is needed.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            match &self.phase {
                Phase::Closing(reason) => {
                    let reason = *reason;
                    self.phase = Phase::Closed;
                    self.input = Vec::new();
                    self.taken = 0;
                    return Some(Event::Close(reason));
                }
                Phase::Open => {
                    self.phase = Phase::Login;
                    return Some(Event::Open);
                }
                Phase::Command | Phase::Exchange(_) => {}
                _ => return None,
            }
            self.continue_listing();
            if self.listing.is_some() || self.output.len() >= OUTPUT_BYTES {
                return None;
            }
            let Some(line) = self.next_line() else {
                if matches!(self.phase, Phase::Closing(_)) {
                    continue;
                }
                return None;
            };
            if let Some(event) = self.handle_line(&line) {
                return Some(event);
            }
        }
    }

    /// What is to be written now; empty when there is nothing. After it was
    /// written poll for events again: a long answer comes in pieces.
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    /// True while the client is logged in.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        self.maildrop.is_some()
    }

    /// True when not a byte of a command is waiting: an idle session.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.taken == self.input.len()
    }

    /// The handshake is done: everything said before is forgotten.
    pub fn tls_started(&mut self) {
        if matches!(self.phase, Phase::Tls) {
            self.config.tls = TlsState::Active;
            self.user = None;
            self.input.clear();
            self.taken = 0;
            self.phase = Phase::Command;
        }
    }

    /// Answers [`Event::Login`].
    pub fn answer_login(&mut self, answer: Answer) {
        match mem::replace(&mut self.phase, Phase::Command) {
            Phase::Asked(Some(mut exchange)) => {
                let step = exchange.answer(answer);
                self.take_step(exchange, step);
            }
            Phase::Asked(None) if answer == Answer::Accepted => self.phase = Phase::Open,
            Phase::Asked(None) => self.refuse_step(Failure::Refused),
            other => self.phase = other,
        }
    }

    /// Answers [`Event::Open`]: the client sees this maildrop.
    pub fn accept_login(&mut self, maildrop: Maildrop) {
        if matches!(self.phase, Phase::Login) {
            let (count, octets) = maildrop.totals();
            self.say(&format!(
                "+OK maildrop has {count} messages ({octets} octets)"
            ));
            self.maildrop = Some(maildrop);
            self.phase = Phase::Command;
        }
    }

    /// Answers [`Event::Login`] or [`Event::Open`] with a refusal.
    pub fn refuse_login(&mut self, refusal: LoginRefusal, text: &str) {
        if matches!(self.phase, Phase::Asked(_) | Phase::Login) {
            self.say(&format!("-ERR {} {}", refusal.code(), clean(text)));
            self.phase = Phase::Command;
            self.user = None;
            if refusal == LoginRefusal::Credentials {
                self.count_failed_login();
            }
        }
    }

    /// Answers [`Event::Fetch`]: the message follows. Write the output first.
    pub fn message_begins(&mut self, fetch: Fetch) {
        if matches!(self.phase, Phase::Fetch) {
            match fetch.lines {
                None => self.say(&format!("+OK {} octets", fetch.size)),
                Some(_) => self.say("+OK top of message follows"),
            }
        }
    }

    /// The message was written with its lone dot.
    pub fn message_ended(&mut self) {
        if matches!(self.phase, Phase::Fetch) {
            self.phase = Phase::Command;
        }
    }

    /// Answers [`Event::Fetch`] with a message that is in memory, piece behind piece: it goes out with
    /// what else there is to say.
    pub fn message_whole(&mut self, fetch: Fetch, pieces: &[&[u8]]) {
        if matches!(self.phase, Phase::Fetch) {
            self.message_begins(fetch);
            let mut stuffer = Stuffer::new(fetch.lines);
            for piece in pieces {
                stuffer.push(piece, &mut self.output);
            }
            stuffer.finish(&mut self.output);
            self.phase = Phase::Command;
        }
    }

    /// What the commands behind the present one ask for, as long as they are RETR and nothing else
    /// (RFC 2449 §6.6); `most` of them.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = Message> {
        let mut rest = &self.input[self.taken..];
        let lines = std::iter::from_fn(move || {
            let end = memchr(b'\n', rest)?;
            let (line, behind) = rest.split_at(end);
            rest = &behind[1..];
            Some(line.strip_suffix(b"\r").unwrap_or(line))
        });
        let wanted = lines.map_while(|line| match command::parse(line) {
            Ok(Command::Retr(number)) => self.maildrop.as_ref()?.message(number),
            _ => None,
        });
        wanted.take(most)
    }

    /// Answers [`Event::Fetch`]: the message cannot be given.
    pub fn message_refused(&mut self, text: &str) {
        if matches!(self.phase, Phase::Fetch) {
            self.say(&format!("-ERR {}", clean(text)));
            self.phase = Phase::Command;
        }
    }

    /// Answers [`Event::Update`].
    pub fn updated(&mut self, all_removed: bool) {
        if matches!(self.phase, Phase::Update) {
            // RFC 1939 §6: -ERR when some messages were not removed.
            self.say(if all_removed {
                "+OK bye"
            } else {
                "-ERR [SYS/TEMP] some deleted messages not removed"
            });
            self.phase = Phase::Closing(CloseReason::Quit);
        }
    }

    /// The next whole line without its end; closes on a line without end.
    fn next_line(&mut self) -> Option<Vec<u8>> {
        let pending = &self.input[self.taken..];
        if !self.spoken && pending.first() == Some(&command::TLS_HANDSHAKE) {
            self.phase = Phase::Closing(CloseReason::OtherProtocol);
            return None;
        }
        let in_exchange = matches!(self.phase, Phase::Exchange(_));
        let is_auth = pending
            .get(..5)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH "));
        let max = if in_exchange || is_auth {
            AUTH_LINE_BYTES_MAX
        } else {
            LINE_BYTES_MAX
        };
        let end = memchr(b'\n', &pending[..pending.len().min(max)]);
        let Some(end) = end else {
            if pending.len() >= max {
                self.say("-ERR line too long");
                self.phase = Phase::Closing(CloseReason::LineTooLong);
            }
            return None;
        };
        let line = &pending[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        self.taken += end + 1;
        self.spoken = true;
        Some(line)
    }

    fn handle_line(&mut self, line: &[u8]) -> Option<Event> {
        if let Phase::Exchange(mut exchange) = mem::replace(&mut self.phase, Phase::Command) {
            let step = exchange.handle_line(line);
            return self.handle_step(exchange, step);
        }
        if self.maildrop.is_none() && is_foreign(line) {
            self.phase = Phase::Closing(CloseReason::OtherProtocol);
            return None;
        }
        match command::parse(line) {
            Ok(Command::Quit) => self.quit(),
            Ok(Command::Capa) => self.capabilities(),
            Ok(Command::Lang(language)) => self.language(language),
            Ok(command) if self.maildrop.is_some() => self.in_transaction(&command),
            Ok(command) => self.in_authorization(command),
            Err(fault) => {
                self.say(match fault {
                    Fault::Unknown => "-ERR unknown command",
                    Fault::Arguments => "-ERR wrong arguments",
                });
                self.bad_commands += 1;
                if self.bad_commands >= BAD_COMMANDS_MAX {
                    self.phase = Phase::Closing(CloseReason::TooManyErrors);
                }
                None
            }
        }
    }

    fn in_authorization(&mut self, command: Command<'_>) -> Option<Event> {
        match command {
            Command::Stls => self.start_tls(),
            // RFC 6856 §2: messages are sent unchanged, asked or not.
            Command::Utf8 => self.refuse("+OK names and headers may be UTF-8"),
            Command::User(_) | Command::Pass(_) | Command::Apop(_) | Command::Auth(Some(_))
                if !self.may_log_in() =>
            {
                self.refuse("-ERR a login needs TLS: say STLS first")
            }
            Command::User(name) => {
                self.user = Some(name.to_owned());
                // The same for names that do not exist (RFC 1939 §13).
                self.refuse("+OK send PASS")
            }
            Command::Pass(password) => {
                let Some(login) = self.user.take() else {
                    return self.refuse("-ERR say USER first");
                };
                self.phase = Phase::Asked(None);
                Some(Event::Login(Question::Password(Credentials {
                    authorization: None,
                    login,
                    password: Secret::from(password),
                })))
            }
            Command::Apop(arguments) => self.apop(arguments),
            Command::Auth(None) => {
                self.say("+OK");
                for mechanism in self.offered().mechanisms() {
                    self.say(mechanism.name());
                }
                self.say(".");
                None
            }
            Command::Auth(Some((name, initial))) => match self.offer.find(name) {
                Some(mechanism) => {
                    let (exchange, step) = Exchange::start(mechanism, initial, &self.offer);
                    self.handle_step(exchange, step)
                }
                None => self.refuse("-ERR unknown authentication mechanism"),
            },
            _ => self.refuse("-ERR log in first"),
        }
    }

    /// RFC 1939 §7.
    fn apop(&mut self, arguments: &[u8]) -> Option<Event> {
        let Some(timestamp) = &self.config.timestamp else {
            return self.refuse("-ERR APOP is not available");
        };
        let Some(digest) = Digest::parse(DigestKind::Apop, timestamp, arguments) else {
            return self.refuse("-ERR wrong arguments");
        };
        self.phase = Phase::Asked(None);
        Some(Event::Login(Question::Digest(digest)))
    }

    fn handle_step(&mut self, exchange: Exchange, step: Step) -> Option<Event> {
        if let Step::Ask(question) = step {
            self.phase = Phase::Asked(Some(exchange));
            return Some(Event::Login(question));
        }
        self.take_step(exchange, step);
        None
    }

    fn take_step(&mut self, exchange: Exchange, step: Step) {
        match step {
            Step::Challenge(text) => {
                self.say(&format!("+ {text}"));
                self.phase = Phase::Exchange(exchange);
            }
            Step::Done => self.phase = Phase::Open,
            Step::Failed(failure) => self.refuse_step(failure),
            // No mechanism asks twice without a line in between.
            Step::Ask(_) => self.refuse_step(Failure::Refused),
        }
    }

    fn refuse_step(&mut self, failure: Failure) {
        // RFC 3206 §4: the credentials' fault, if anybody's.
        let code = match failure {
            Failure::Binding | Failure::Downgraded | Failure::Refused => "[AUTH] ",
            _ => "",
        };
        self.say(&format!("-ERR {code}{failure}"));
        if failure == Failure::Refused {
            self.count_failed_login();
        }
    }

    fn count_failed_login(&mut self) {
        self.failed_logins += 1;
        if self.failed_logins >= FAILED_LOGINS_MAX {
            self.phase = Phase::Closing(CloseReason::TooManyErrors);
        }
    }

    fn start_tls(&mut self) -> Option<Event> {
        match self.config.tls {
            TlsState::Unavailable => self.refuse("-ERR TLS is not available"),
            TlsState::Active => self.refuse("-ERR TLS is on already"),
            // RFC 2595 §4; commands behind STLS in the clear are an attack or
            // a broken client.
            TlsState::Offered if self.taken < self.input.len() => {
                self.phase = Phase::Closing(CloseReason::PipelinedStartTls);
                None
            }
            TlsState::Offered => {
                self.say("+OK begin TLS");
                self.phase = Phase::Tls;
                Some(Event::StartTls)
            }
        }
    }

    fn in_transaction(&mut self, command: &Command<'_>) -> Option<Event> {
        let Some(maildrop) = &mut self.maildrop else {
            return None;
        };
        let answer = match *command {
            Command::Noop => "+OK".to_owned(),
            Command::Stat => {
                let (count, octets) = maildrop.totals();
                format!("+OK {count} {octets}")
            }
            Command::List(Some(number)) => match maildrop.message(number) {
                Some(message) => format!("+OK {number} {}", message.size),
                None => NO_SUCH_MESSAGE.to_owned(),
            },
            Command::Uidl(Some(number)) => match maildrop.message(number) {
                Some(message) => format!("+OK {number} {}", maildrop.unique_id(message)),
                None => NO_SUCH_MESSAGE.to_owned(),
            },
            Command::List(None) => {
                let (count, octets) = maildrop.totals();
                self.listing = Some(Listing::new(Kind::Sizes));
                format!("+OK {count} messages ({octets} octets)")
            }
            Command::Uidl(None) => {
                self.listing = Some(Listing::new(Kind::UniqueIds));
                "+OK".to_owned()
            }
            Command::Retr(number) => return self.fetch(number, None),
            Command::Top(number, lines) => return self.fetch(number, Some(lines)),
            Command::Dele(number) => match maildrop.mark(number) {
                true => format!("+OK message {number} deleted"),
                false => NO_SUCH_MESSAGE.to_owned(),
            },
            Command::Rset => {
                maildrop.unmark_all();
                let (count, octets) = maildrop.totals();
                format!("+OK maildrop has {count} messages ({octets} octets)")
            }
            _ => "-ERR you are logged in already".to_owned(),
        };
        self.say(&answer);
        None
    }

    fn fetch(&mut self, number: u64, lines: Option<u64>) -> Option<Event> {
        let message = self
            .maildrop
            .as_ref()
            .and_then(|maildrop| maildrop.message(number));
        let Some(message) = message else {
            return self.refuse(NO_SUCH_MESSAGE);
        };
        self.phase = Phase::Fetch;
        Some(Event::Fetch(Fetch {
            uid: message.uid,
            size: message.size,
            lines,
        }))
    }

    fn quit(&mut self) -> Option<Event> {
        match &self.maildrop {
            Some(maildrop) => {
                let marked = maildrop.marked();
                self.phase = Phase::Update;
                Some(Event::Update(marked))
            }
            None => {
                self.say("+OK bye");
                self.phase = Phase::Closing(CloseReason::Quit);
                None
            }
        }
    }

    /// RFC 2449 §5 and §6.
    fn capabilities(&mut self) -> Option<Event> {
        self.say("+OK");
        for capability in [
            "TOP",
            "UIDL",
            "RESP-CODES",
            "AUTH-RESP-CODE",
            "PIPELINING",
            "UTF8 USER",
            "LANG",
        ] {
            self.say(capability);
        }
        if self.may_log_in() {
            self.say("USER");
            let offer = self.offered();
            if !offer.is_empty() {
                self.say(&format!("SASL {}", offer.names("")));
            }
        }
        // RFC 2449 §5: what there is before the login is told after it too.
        if self.config.tls == TlsState::Offered {
            self.say("STLS");
        }
        match self.config.expire_days {
            Some(days) => self.say(&format!("EXPIRE {days}")),
            None => self.say("EXPIRE NEVER"),
        }
        self.say("IMPLEMENTATION Posthouse");
        self.say(".");
        None
    }

    /// RFC 6856 §3.
    fn language(&mut self, language: Option<&str>) -> Option<Event> {
        match language {
            None => {
                self.say("+OK");
                self.say("i-default English");
                self.say("en English");
                self.say("zh-Hans 简体中文");
                self.say(".");
            }
            // §3.2: what the server prefers is what it speaks.
            Some("*" | "i-default") => self.speak(Lang::En, "+OK i-default"),
            Some(wanted) if wanted.eq_ignore_ascii_case("i-default") => {
                self.speak(Lang::En, "+OK i-default");
            }
            Some(wanted) => match Lang::from_tag(wanted) {
                Some(lang) => self.speak(lang, &format!("+OK {}", lang.tag())),
                None => self.say("-ERR that language is not spoken here"),
            },
        }
        None
    }

    fn speak(&mut self, language: Lang, line: &str) {
        self.language = language;
        self.say(line);
    }

    fn offered(&self) -> Offer {
        if self.may_log_in() {
            self.offer.clone()
        } else {
            Offer::nothing()
        }
    }

    fn may_log_in(&self) -> bool {
        self.config.tls == TlsState::Active || self.config.plaintext_login
    }

    fn refuse(&mut self, text: &str) -> Option<Event> {
        self.say(text);
        None
    }

    fn say(&mut self, line: &str) {
        let line = lang::pop3::line(line, self.language);
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn continue_listing(&mut self) {
        if let (Some(listing), Some(maildrop)) = (&mut self.listing, &self.maildrop)
            && listing.write(maildrop, &mut self.output)
        {
            self.listing = None;
        }
    }
}

const NO_SUCH_MESSAGE: &str = "-ERR no such message";

/// A text on one line.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
