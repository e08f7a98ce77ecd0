//! The commands, one method each: is it in order, and what does it lead to.
//!
//! Not here: the lines' syntax (`command`), framing and answers (`session`).

use bytes::BytesMut;
use envelope::{BodyType, Domain, Reply};
use sasl::{Exchange, Offer, Step};

use super::{Begin, Pending, Phase, Session};
use crate::limits::{
    IDLE_COMMANDS_MAX, OVERSIZE_BYTES_MAX, SURPLUS_RECIPIENTS_MAX, UNKNOWN_COMMANDS_MAX,
};
use crate::server::answer::{self, fixed};
use crate::server::command::{self, Line, Verb};
use crate::server::event::{CloseReason, Event, Hello, HelloVerb};
use crate::server::{AuthOffer, Role, xclient};

impl Session {
    pub(super) fn handle_command(&mut self, line: Line<'_>, input: &BytesMut) -> Option<Event> {
        let international = matches!(
            line.verb,
            Verb::Mail | Verb::Rcpt | Verb::Vrfy | Verb::Expn | Verb::Unknown
        );
        if !international && !line.argument.is_ascii() {
            self.fail(&fixed::malformed_line());
            return None;
        }
        if !matches!(line.verb, Verb::Rcpt | Verb::Data | Verb::Bdat | Verb::Quit) {
            self.counts.idle += 1;
            if self.counts.idle > IDLE_COMMANDS_MAX {
                self.give_up();
                return None;
            }
        }
        if self.receiving.is_some() {
            let allowed = matches!(
                line.verb,
                Verb::Bdat | Verb::Burl | Verb::Noop | Verb::Rset | Verb::Quit | Verb::Unknown
            );
            if !allowed {
                self.fail(&fixed::within_chunks());
                return None;
            }
        }
        match line.verb {
            Verb::Helo | Verb::Ehlo | Verb::Lhlo => return self.hello(line),
            Verb::Mail => return self.mail(line.argument),
            Verb::Rcpt => return self.rcpt(line.argument),
            Verb::Data => return self.data(line.argument),
            Verb::Bdat => return self.bdat(line.argument),
            Verb::Burl => return self.burl(line.argument),
            Verb::Auth => return self.auth(line.argument),
            Verb::StartTls => return self.starttls(line.argument, input),
            Verb::Vrfy | Verb::Expn => return self.inquiry(line),
            Verb::XClient => return self.xclient(line.argument),
            Verb::Etrn => return self.etrn(line.argument),
            Verb::Atrn => return self.atrn(line.argument),
            Verb::Rset | Verb::Quit if !line.argument.is_empty() => {
                self.fail(&fixed::no_argument());
            }
            Verb::Rset => {
                self.transaction = None;
                self.receiving = None;
                self.write(&fixed::ok());
                return Some(Event::Reset);
            }
            Verb::Quit => {
                self.write(&fixed::bye());
                self.phase = Phase::Closing(CloseReason::Quit);
            }
            Verb::Noop => self.write(&fixed::ok()),
            Verb::Help => self.write(&fixed::help()),
            Verb::NotImplemented => self.fail(&fixed::not_implemented()),
            Verb::Unknown => self.unknown(),
        }
        None
    }

    fn unknown(&mut self) {
        self.counts.unknown += 1;
        if self.counts.unknown > UNKNOWN_COMMANDS_MAX {
            self.give_up();
        } else {
            self.write(&fixed::unknown());
        }
    }

    fn hello(&mut self, line: Line<'_>) -> Option<Event> {
        let verb = match (line.verb, self.config.role) {
            (Verb::Lhlo, Role::Lmtp) => HelloVerb::Lhlo,
            (Verb::Helo, Role::Mx | Role::Submission) => HelloVerb::Helo,
            (Verb::Ehlo, Role::Mx | Role::Submission) => HelloVerb::Ehlo,
            // RFC 2033 §4.1: HELO and EHLO are not LMTP's, nor LHLO SMTP's.
            _ => {
                self.unknown();
                return None;
            }
        };
        // Any name is taken that can be written down: evidence adds up elsewhere.
        let name = line.argument;
        let valid = !name.is_empty()
            && name.len() <= envelope::limits::DOMAIN_BYTES_MAX
            && name.bytes().all(|b| b.is_ascii_graphic());
        if !valid {
            self.fail(&fixed::hello_name());
            return None;
        }
        self.transaction = None;
        let hello = Hello {
            verb,
            name: name.to_owned(),
            domain: Domain::parse_or_literal(name).ok(),
        };
        self.pending = Some(Pending::Hello(hello.clone()));
        Some(Event::Hello(hello))
    }

    fn mail(&mut self, argument: &str) -> Option<Event> {
        let out_of_order = if self.config.atrn {
            // RFC 2645 §5: nothing but what leads to ATRN.
            Some(fixed::not_implemented())
        } else if self.hello.is_none() {
            Some(fixed::hello_first())
        } else if self.config.auth_required && !self.authenticated {
            let plain = self.config.auth == AuthOffer::OverTls && !self.tls;
            Some(if plain {
                fixed::tls_first()
            } else {
                fixed::auth_first()
            })
        } else if self.transaction.is_some() {
            Some(fixed::nested_mail())
        } else {
            None
        };
        if let Some(reply) = out_of_order {
            self.fail(&reply);
            return None;
        }
        match command::parse_mail(argument, &self.config, self.tls) {
            Ok(mail) => {
                self.pending = Some(Pending::Mail {
                    smtputf8: mail.smtputf8,
                    binary: mail.body == BodyType::BinaryMime,
                    prdr: mail.prdr,
                });
                Some(Event::Mail(mail))
            }
            Err(reply) => {
                self.fail(&reply);
                None
            }
        }
    }

    fn rcpt(&mut self, argument: &str) -> Option<Event> {
        let Some(transaction) = &mut self.transaction else {
            self.fail(&fixed::mail_first());
            return None;
        };
        if transaction.recipients >= self.config.recipients_max {
            self.write(&fixed::too_many_recipients());
            self.counts.surplus_recipients += 1;
            if self.counts.surplus_recipients > SURPLUS_RECIPIENTS_MAX {
                self.give_up();
            }
            return None;
        }
        match command::parse_rcpt(argument, transaction.smtputf8, &self.config.wishes) {
            Ok(rcpt) => {
                self.pending = Some(Pending::Rcpt);
                Some(Event::Rcpt(rcpt))
            }
            Err(reply) => {
                transaction.refused = true;
                self.fail(&reply);
                None
            }
        }
    }

    /// Why data cannot come now.
    fn data_out_of_order(&self) -> Option<Reply> {
        match &self.transaction {
            None => Some(fixed::mail_first()),
            Some(t) if t.recipients > 0 => None,
            // RFC 2033 §4.2, RFC 2920 §3.1: all refused, but the client went on.
            Some(t) if t.refused && self.config.role != Role::Lmtp => {
                Some(fixed::no_valid_recipient())
            }
            Some(_) => Some(fixed::no_recipient()),
        }
    }

    fn data(&mut self, argument: &str) -> Option<Event> {
        if !argument.is_empty() {
            self.fail(&fixed::no_argument());
            return None;
        }
        if let Some(reply) = self.data_out_of_order() {
            self.fail(&reply);
            return None;
        }
        if self.transaction.as_ref().is_some_and(|t| t.binary) {
            self.fail(&fixed::binary_needs_chunks());
            return None;
        }
        self.pending = Some(Pending::DataStart(Begin::Data));
        Some(Event::DataStart)
    }

    fn bdat(&mut self, argument: &str) -> Option<Event> {
        let Some((size, last)) = command::parse_bdat(argument) else {
            // What follows is data of a size that we don't know.
            self.write(&fixed::bad_chunk());
            self.phase = Phase::Closing(CloseReason::Desynchronised);
            return None;
        };
        if size > self.config.size_max.saturating_add(OVERSIZE_BYTES_MAX) {
            self.write(&fixed::too_big());
            self.phase = Phase::Closing(CloseReason::Desynchronised);
            return None;
        }
        if self.receiving.is_some() {
            self.begin_chunk(size, last);
            return None;
        }
        if let Some(reply) = self.data_out_of_order() {
            self.phase = Phase::DiscardChunk(size, Box::new(reply));
            return None;
        }
        self.pending = Some(Pending::DataStart(Begin::Chunk(size, last)));
        Some(Event::DataStart)
    }

    /// RFC 4468 §3.1, §3.3.
    fn burl(&mut self, argument: &str) -> Option<Event> {
        let parsed = if !self.config.burl {
            Err(fixed::not_implemented())
        } else if !self.authenticated {
            Err(fixed::auth_first())
        } else {
            command::parse_burl(argument).ok_or_else(fixed::bad_url)
        };
        let out_of_order = match &self.receiving {
            Some(_) => None,
            None => self.data_out_of_order(),
        };
        match (parsed, out_of_order) {
            (Err(reply), _) | (Ok(_), Some(reply)) => {
                self.fail(&reply);
                None
            }
            (Ok((url, last)), None) if self.receiving.is_some() => {
                self.pending = Some(Pending::Url(last));
                Some(Event::Burl(url.to_owned()))
            }
            (Ok((url, last)), None) => {
                self.pending = Some(Pending::DataStart(Begin::Url(url.to_owned(), last)));
                Some(Event::DataStart)
            }
        }
    }

    pub(super) fn offers_auth(&self) -> bool {
        match self.config.auth {
            AuthOffer::Never => false,
            AuthOffer::OverTls => self.tls,
            AuthOffer::Always => true,
        }
    }

    /// What is offered now.
    pub(super) fn offered(&self) -> Offer {
        if self.offers_auth() {
            self.offer.clone()
        } else {
            Offer::nothing()
        }
    }

    /// RFC 4954 §4.
    fn auth(&mut self, argument: &str) -> Option<Event> {
        let mut words = argument.split([' ', '\t']).filter(|word| !word.is_empty());
        let refusal = if self.config.auth == AuthOffer::Never {
            Some(fixed::not_implemented())
        } else if !self.offers_auth() {
            Some(fixed::auth_needs_tls())
        } else if self.hello != Some(HelloVerb::Ehlo)
            || self.authenticated
            || self.transaction.is_some()
        {
            Some(fixed::auth_not_now())
        } else if argument.is_empty() {
            Some(fixed::argument_needed())
        } else {
            None
        };
        if let Some(reply) = refusal {
            self.fail(&reply);
            return None;
        }
        let mechanism = words
            .next()
            .and_then(|name| self.offer.find(name.as_bytes()));
        let initial = words.next();
        match mechanism {
            None => {
                self.fail(&fixed::unknown_mechanism());
                None
            }
            Some(_) if words.next().is_some() => {
                self.fail(&Reply::enhanced(501, (5, 5, 4), "too many arguments"));
                None
            }
            Some(mechanism) => {
                let initial = initial.map(str::as_bytes);
                let (exchange, step) = Exchange::start(mechanism, initial, &self.offer);
                self.phase = Phase::Auth(Box::new(exchange));
                self.handle_auth_step(step)
            }
        }
    }

    pub(super) fn handle_auth_step(&mut self, step: Step) -> Option<Event> {
        if let Step::Ask(question) = step {
            self.pending = Some(Pending::Auth);
            return Some(Event::Auth(question));
        }
        self.take_auth_step(step);
        None
    }

    pub(super) fn take_auth_step(&mut self, step: Step) {
        match step {
            Step::Challenge(text) => self.write(&Reply::new(334, None, &text)),
            Step::Done => {
                self.phase = Phase::Command;
                self.authenticated = true;
                self.logged_in = true;
                self.write(&fixed::logged_in());
            }
            Step::Failed(failure) => {
                self.phase = Phase::Command;
                self.fail(&answer::auth_failure(failure));
            }
            // No mechanism asks twice without a line in between.
            Step::Ask(_) => {
                self.phase = Phase::Command;
                self.fail(&answer::auth_failure(sasl::Failure::Refused));
            }
        }
    }

    fn starttls(&mut self, argument: &str, input: &BytesMut) -> Option<Event> {
        if !self.config.starttls {
            self.fail(&fixed::not_implemented());
        } else if self.tls || self.transaction.is_some() {
            self.fail(&fixed::tls_not_now());
        } else if !argument.is_empty() {
            self.fail(&fixed::no_argument());
        } else if !input.is_empty() {
            // RFC 3207 §4: nothing may follow before the handshake. Somebody in
            // the middle wants his words taken for the client's.
            self.phase = Phase::Closing(CloseReason::PipelinedStartTls);
        } else {
            self.write(&fixed::start_tls());
            return Some(Event::StartTls);
        }
        None
    }

    fn atrn(&mut self, argument: &str) -> Option<Event> {
        let parsed = if !self.config.atrn {
            Err(fixed::not_implemented())
        } else if self.hello.is_none() {
            Err(fixed::hello_first())
        } else if !self.authenticated {
            // RFC 2645 §5.2.1 (MUST)
            Err(fixed::auth_first())
        } else {
            command::parse_atrn(argument)
        };
        match parsed {
            Ok(domains) => {
                self.pending = Some(Pending::Atrn);
                Some(Event::Atrn(domains))
            }
            Err(reply) => {
                self.fail(&reply);
                None
            }
        }
    }

    fn etrn(&mut self, argument: &str) -> Option<Event> {
        let parsed = if !self.config.etrn {
            Err(fixed::not_implemented())
        } else if self.hello.is_none() {
            Err(fixed::hello_first())
        } else if self.transaction.is_some() {
            // RFC 1985 §5.2: not within a transaction.
            Err(fixed::nested_mail())
        } else {
            command::parse_etrn(argument)
        };
        match parsed {
            Ok(domain) => {
                self.pending = Some(Pending::Etrn);
                Some(Event::Etrn(domain))
            }
            Err(reply) => {
                self.fail(&reply);
                None
            }
        }
    }

    fn xclient(&mut self, argument: &str) -> Option<Event> {
        let parsed = if !self.xclient {
            Err(fixed::not_implemented())
        } else if self.transaction.is_some() {
            Err(fixed::nested_mail())
        } else if argument.is_empty() {
            Err(fixed::argument_needed())
        } else {
            xclient::parse(argument)
        };
        match parsed {
            Ok(said) => {
                self.pending = Some(Pending::XClient);
                Some(Event::XClient(said))
            }
            Err(reply) => {
                self.fail(&reply);
                None
            }
        }
    }

    fn inquiry(&mut self, line: Line<'_>) -> Option<Event> {
        let inquiry = match command::parse_inquiry(line.argument) {
            Ok(inquiry) => inquiry,
            Err(reply) => {
                self.fail(&reply);
                return None;
            }
        };
        self.pending = Some(Pending::Inquiry);
        Some(match line.verb {
            Verb::Vrfy => Event::Verify(inquiry),
            _ => Event::Expand(inquiry),
        })
    }
}
