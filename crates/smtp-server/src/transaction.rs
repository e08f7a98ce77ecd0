//! What the machine's events lead to: logins, senders, recipients, messages.

use std::net::{IpAddr, Ipv4Addr};

use directory::{AuthFailure, Caller, Identity, Service, Verdict};
use envelope::{
    Address, BodyType, DeliverBy, EnhancedStatus, Envelope, ForwardPath, LocalPart, Priority,
    Recipient, Reply, TlsWish,
};
use intake::{Facts, Receiving, Transaction};
use observe::Door;
use policy::Decision;
use policy::check::conduct::Offence;
use policy::check::{self, Refusal, Visitor};
use policy::limits::TRACED_OF_SESSION_MAX;
use policy::trace::Refused;
use runtime::Runtime;
use runtime::net::Conn;
use sasl::Question;
use smtp_proto::data::DataFault;
use smtp_proto::server::{CloseReason, Event, Hello, HelloVerb, Hold, Mail, Rcpt, Role, XClient};

use crate::config::all_wishes;
use crate::ruling::Ruling;
use crate::session::Session;
use crate::{Config, Turning, limits};

/// How a session goes on.
pub(crate) enum Next {
    Continue,
    StartTls,
    Turn(Box<dyn Turning>),
    Close(CloseReason),
}

/// Who is there, and what it is about to send.
pub(crate) struct Client {
    pub(crate) facts: Facts,
    /// What the checks know of it.
    pub(crate) visitor: Visitor,
    auth_failures: u32,
    /// Refusals that the trace has.
    traced: u32,
    /// Who it is once the exchange is done.
    granted: Option<Identity>,
    pub(crate) pending: Option<Pending>,
    receiving: Option<Box<Receiving>>,
    /// Each recipient of the message has its answer.
    each: bool,
    /// How many recipients of the message its client has named.
    named: usize,
}

/// A transaction before its data.
pub(crate) struct Pending {
    pub(crate) envelope: Envelope,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) size: Option<u64>,
    prdr: bool,
    pub(crate) ruling: Ruling,
}

/// What was asked for a message's way and is granted.
struct Wishes {
    tls: TlsWish,
    hold_until_ms: Option<u64>,
    deliver_by: Option<DeliverBy>,
    priority: Option<Priority>,
}

impl Client {
    pub(crate) fn new(runtime: &Runtime, config: &Config, conn: &Conn) -> Self {
        let role = match config.role() {
            Role::Mx => policy::Role::Mx,
            Role::Submission => policy::Role::Submission,
            Role::Lmtp => policy::Role::Lmtp,
        };
        let facts = Facts {
            session: policy::Session {
                role,
                client_ip: conn.peer_addr().ip(),
                server_ip: conn.local_addr().ip(),
                identity: config.identity.clone(),
                local_user: config.local_user.clone(),
            },
            session_id: session_id(runtime),
            helo: String::new(),
            extended: false,
            tls: tls_name(conn),
            evidence: check::Evidence::default(),
        };
        Self {
            facts,
            visitor: Visitor::default(),
            auth_failures: 0,
            traced: 0,
            granted: None,
            pending: None,
            receiving: None,
            each: false,
            named: 0,
        }
    }

    /// RFC 3207 §4.2: what was said in the clear does not count.
    pub(crate) fn forget(&mut self) {
        self.facts.helo.clear();
        self.facts.extended = false;
        self.facts.session.identity = None;
        self.granted = None;
        self.drop_transaction();
    }

    fn drop_transaction(&mut self) {
        self.pending = None;
        self.receiving = None;
    }
}

/// The session's name in the log and in refusals: the milliseconds, then chance. It grows with time,
/// so that what is kept under it lies in the order of events.
fn session_id(runtime: &Runtime) -> String {
    let chance = runtime.random_u64() >> 44;
    format!("{:016x}", policy::session_id(runtime.now(), chance))
}

/// What the refusal of a recipient says about the client.
fn offence(reply: &Reply) -> Option<Offence> {
    let status = reply.enhanced?;
    if status == EnhancedStatus::new(5, 1, 1) {
        Some(Offence::UnknownRecipient)
    } else if status == EnhancedStatus::new(5, 7, 1) {
        Some(Offence::Relaying)
    } else {
        None
    }
}

/// Version and cipher, for people.
pub(crate) fn tls_name(conn: &Conn) -> Option<String> {
    conn.tls_info()
        .map(|info| format!("{} {}", info.version, info.cipher))
}

impl Session {
    pub(crate) async fn handle(&mut self, event: Event) -> Next {
        match event {
            Event::Hello(hello) => self.hello(hello).await,
            Event::Auth(question) => self.auth(&question).await,
            Event::LoggedIn => self.logged_in(),
            Event::StartTls => return Next::StartTls,
            Event::Mail(mail) => self.mail(mail).await,
            Event::Rcpt(rcpt) => self.rcpt(rcpt).await,
            Event::DataStart => self.data_start().await,
            Event::Burl(url) => Box::pin(self.burl(&url)).await,
            Event::DataChunk(chunk) => {
                self.deadlines.data_grows(chunk.len());
                if let Some(receiving) = &mut self.client.receiving {
                    receiving.push(&chunk).await;
                }
            }
            Event::DataEnd { .. } => self.data_end().await,
            Event::DataAborted(fault) => self.data_aborted(fault),
            Event::Reset => self.client.drop_transaction(),
            Event::Verify(inquiry) => self.verify(&inquiry).await,
            Event::Expand(inquiry) => self.expand(&inquiry).await,
            Event::XClient(said) => self.xclient(&said).await,
            Event::Etrn(domain) => self.etrn(&domain).await,
            Event::Atrn(domains) => {
                if let Some(turning) = Box::pin(self.atrn(&domains)).await {
                    return Next::Turn(turning);
                }
            }
            Event::Close(reason) => return Next::Close(reason),
        }
        Next::Continue
    }

    /// Before the greeting; false when the client gets none.
    pub(crate) async fn arrive(&mut self) -> bool {
        let (session, visitor) = (&self.client.facts.session, &mut self.client.visitor);
        let checked = self.ports.policy.check_arrival(session, visitor);
        match Box::pin(checked).await {
            Some(refusal) => {
                let reply = self.refused("connection", "", refusal.reply());
                self.machine.close(&reply);
                false
            }
            None => true,
        }
    }

    async fn hello(&mut self, hello: Hello) {
        self.client.drop_transaction();
        let said = check::Hello {
            name: hello.name.clone(),
            domain: hello.domain,
        };
        let (session, visitor) = (&self.client.facts.session, &mut self.client.visitor);
        let checked = self.ports.policy.check_hello(session, visitor, said);
        if let Some(refusal) = Box::pin(checked).await {
            return self.refuse("hello", &hello.name, &refusal);
        }
        self.client.facts.helo = hello.name;
        self.client.facts.extended = hello.verb != HelloVerb::Helo;
        let session = &self.client.facts.session;
        let may_flush = self.ports.policy.may_flush_some(session);
        self.machine.allow_etrn(may_flush);
        // A machine of the operator's: what it hands on was wished for by its users.
        let is_ours = session.role == policy::Role::Mx && self.ports.policy.may_relay(session);
        self.machine.offer_wishes(is_ours.then(all_wishes));
        let now = self.ports.runtime.now().unix_seconds();
        self.machine.set_now(i64::try_from(now).unwrap_or(i64::MAX));
        self.machine.accept();
    }

    async fn auth(&mut self, question: &Question) {
        let peer = self.client.facts.session.client_ip;
        let checked = self.ports.logins.answer(
            question,
            Caller {
                service: Service::Smtp,
                peer,
            },
        );
        let failure = match checked.await {
            Ok(Verdict::GoOn(answer)) => return self.machine.answer_auth(answer),
            Ok(Verdict::Granted(identity, answer)) => {
                self.client.granted = Some(identity);
                return self.machine.answer_auth(answer);
            }
            Ok(Verdict::Refused(failure, answer)) => {
                self.note_refused_login(question, &failure);
                if self.client.auth_failures <= limits::AUTH_FAILURES_MAX {
                    return self.machine.answer_auth(answer);
                }
                failure
            }
            Err(failure) => {
                self.note_refused_login(question, &failure);
                failure
            }
        };
        // RFC 4954 §6, RFC 5248 §2.4
        let (code, status) = match &failure {
            AuthFailure::Invalid | AuthFailure::Token { .. } => (535, (5, 7, 8)),
            AuthFailure::Disabled => (525, (5, 7, 13)),
            _ => (454, (4, 7, 0)),
        };
        let reply = Reply::enhanced(code, status, &failure.to_string());
        self.machine.reply(&reply);
        if self.client.auth_failures > limits::AUTH_FAILURES_MAX {
            let text = "too many failed logins, closing";
            self.machine.close(&Reply::enhanced(421, (4, 7, 0), text));
        }
    }

    fn note_refused_login(&mut self, question: &Question, failure: &AuthFailure) {
        let peer = self.client.facts.session.client_ip;
        self.ports.metrics.login(self.config.protocol(), false);
        let session = &self.client.facts.session_id;
        tracing::info!(%session, login = question.login(), %peer, reason = %failure, "login refused");
        // Our own trouble is not counted against the client.
        if !matches!(failure, AuthFailure::Temporary(_) | AuthFailure::Busy) {
            self.client.auth_failures += 1;
        }
    }

    fn logged_in(&mut self) {
        let Some(identity) = self.client.granted.take() else {
            return;
        };
        self.ports.metrics.login(self.config.protocol(), true);
        let session = &self.client.facts.session_id;
        let peer = self.client.facts.session.client_ip;
        let app_password = identity.app_password.as_deref();
        tracing::info!(%session, account = %identity.address, %peer, app_password, "login");
        self.client.facts.session.identity = Some(identity);
    }

    /// From here on the session is the proxy's client's: its limits, its rights.
    async fn xclient(&mut self, said: &XClient) {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let client = said.address.map(|address| address.unwrap_or(unknown));
        let client = client.unwrap_or(self.client.facts.session.client_ip);
        if !self.seat.move_to(client) {
            let text = format!("too many sessions from {client}; try again later");
            self.machine.close(&Reply::enhanced(421, (4, 3, 2), &text));
            return;
        }
        self.client.forget();
        let session = &mut self.client.facts.session;
        session.client_ip = client;
        if let Some(destination) = said.destination {
            session.server_ip = destination;
        }
        let id = &self.client.facts.session_id;
        tracing::debug!(session = %id, %client, proxy = %self.conn.peer_addr(), "a proxy's client");
        if self.arrive().await {
            self.machine.accept();
        }
    }

    async fn mail(&mut self, mail: Mail) {
        self.client.drop_transaction();
        let session = &self.client.facts.session;
        let checked = self.ports.policy.check_sender(session, &mail.reverse_path);
        let checked = Box::pin(checked).await;
        if checked.is_ok() {
            let (session, visitor) = (&self.client.facts.session, &mut self.client.visitor);
            let policy = &self.ports.policy;
            let checked = policy.check_mail(session, visitor, &mail.reverse_path);
            if let Some(refusal) = Box::pin(checked).await {
                return self.refuse("sender", &mail.reverse_path.to_string(), &refusal);
            }
        }
        match checked.and_then(|()| self.wishes(&mail)) {
            Ok(wishes) => {
                let ruling = self.begin_ruling(&mail.reverse_path);
                let mut envelope = Envelope::new(mail.reverse_path);
                envelope.body = match mail.body {
                    // Nothing binary is left of it: base64, and lines of octets.
                    BodyType::BinaryMime => BodyType::EightBitMime,
                    other => other,
                };
                envelope.smtputf8 = mail.smtputf8;
                envelope.ret = mail.ret;
                envelope.envid = mail.envid;
                envelope.tls = wishes.tls;
                envelope.hold_until_ms = wishes.hold_until_ms;
                envelope.deliver_by = wishes.deliver_by;
                envelope.priority = wishes.priority;
                self.client.pending = Some(Pending {
                    envelope,
                    decisions: Vec::new(),
                    size: mail.size,
                    prdr: mail.prdr,
                    ruling,
                });
                match wishes.priority.filter(|_| wishes.priority != mail.priority) {
                    // RFC 6710 §5: X.3.6, and the text says what it is now.
                    Some(granted) => {
                        let text = format!("{granted} is the new priority");
                        self.machine.reply(&Reply::enhanced(250, (2, 3, 6), &text));
                    }
                    None => self.machine.accept(),
                }
            }
            Err(reply) => {
                let reply = self.refused("sender", &mail.reverse_path.to_string(), &reply);
                self.machine.reply(&reply);
            }
        }
    }

    /// The sender's wishes, with absolute times and as far as they are granted.
    fn wishes(&self, mail: &Mail) -> Result<Wishes, Reply> {
        let now_ms = self.ports.runtime.now().unix_ms;
        let hold_until_ms = match mail.hold {
            None => None,
            Some(Hold::For(seconds)) => Some(now_ms.saturating_add(seconds.saturating_mul(1000))),
            Some(Hold::Until(seconds)) => {
                Some(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
            }
        };
        let hold_max_ms = u64::try_from(limits::HOLD_MAX.as_millis()).unwrap_or(u64::MAX);
        if hold_until_ms.is_some_and(|until| until.saturating_sub(now_ms) > hold_max_ms) {
            // RFC 4865 §5.2
            let days = limits::HOLD_MAX.as_secs() / 86_400;
            let text = format!("mail is held for {days} days at most");
            return Err(Reply::enhanced(501, (5, 5, 4), &text));
        }
        let session = &self.client.facts.session;
        Ok(Wishes {
            tls: if mail.require_tls {
                TlsWish::Required
            } else {
                TlsWish::Usual
            },
            hold_until_ms: hold_until_ms.filter(|until| *until > now_ms),
            deliver_by: mail.by.map(|by| DeliverBy {
                by_ms: now_ms.saturating_add_signed(by.seconds.saturating_mul(1000)),
                mode: by.mode,
                trace: by.trace,
            }),
            priority: mail
                .priority
                .map(|asked| self.ports.policy.grant_priority(session, asked)),
        })
    }

    async fn rcpt(&mut self, rcpt: Rcpt) {
        let size = self
            .client
            .pending
            .as_ref()
            .and_then(|pending| pending.size);
        let ruled = self.rule_recipient(&rcpt.path);
        let mut decision = Box::pin(self.decide(&rcpt.path, &ruled, size)).await;
        if let Some(since) = rcpt.valid_since {
            let policy = &self.ports.policy;
            let checked = policy.check_owner(&rcpt.path, &decision, since);
            if let Err(reply) = Box::pin(checked).await {
                decision = Decision::Refuse(reply);
            }
        }
        if let Decision::Refuse(reply) = decision {
            let reply = self.refused("recipient", &rcpt.path.to_string(), &reply);
            // What a rule refuses says nothing about the client.
            if let Some(offence) = offence(&reply).filter(|_| ruled.refusal.is_none()) {
                self.offend(offence).await;
            }
            self.machine.reply(&reply);
            return;
        }
        if !ruled.allowed {
            let (session, visitor) = (&self.client.facts.session, &mut self.client.visitor);
            let checked = self.ports.policy.check_rcpt(session, visitor, &rcpt.path);
            if let Some(refusal) = Box::pin(checked).await {
                return self.refuse("recipient", &rcpt.path.to_string(), &refusal);
            }
        }
        let address = self.address_of(rcpt.path);
        if let (Some(pending), Some(address)) = (&mut self.client.pending, address) {
            pending.decisions.push(decision);
            pending.ruling.accept(&address, &ruled);
            let notify = if self.machine.offers_dsn() {
                rcpt.notify
            } else {
                rcpt.notify.failures_only()
            };
            let recipient = Recipient {
                address,
                notify,
                orcpt: rcpt.orcpt,
                valid_since: rcpt.valid_since,
            };
            let recipient = ruled.rewritten(recipient);
            pending.envelope.recipients.push(recipient);
            self.machine.accept();
        } else {
            self.machine.reply(&policy::reply::local_trouble());
        }
    }

    /// The bare postmaster is ours.
    fn address_of(&self, path: ForwardPath) -> Option<Address> {
        match path {
            ForwardPath::Address(address) => Some(address),
            ForwardPath::Postmaster => {
                let local = LocalPart::parse("postmaster").ok()?;
                Address::new(local, self.config.host.clone()?).ok()
            }
        }
    }

    async fn data_start(&mut self) {
        let lmtp = self.config.role() == Role::Lmtp;
        self.client.each = lmtp || self.client.pending.as_ref().is_some_and(|p| p.prdr);
        let hold = self.hold().await;
        self.client.facts.evidence = self.client.visitor.evidence().clone();
        let shape = Box::pin(self.shape()).await;
        let named = |pending: &Pending| pending.envelope.recipients.len();
        self.client.named = self.client.pending.as_ref().map_or(0, named);
        self.client.named -= shape.unseen.min(self.client.named);
        let begun = match self.client.pending.take() {
            Some(pending) => self.ports.intake.begin(Transaction {
                hold: hold.or(pending.ruling.hold),
                shape,
                each: self.client.each,
                facts: self.client.facts.clone(),
                envelope: pending.envelope,
                decisions: pending.decisions,
                size_hint: pending.size,
            }),
            None => Err(policy::reply::local_trouble()),
        };
        match begun {
            Ok(receiving) => {
                self.client.receiving = Some(Box::new(receiving));
                self.conn.expect_much();
                self.deadlines.data_begins(self.ports.runtime.monotonic());
                self.machine.accept();
            }
            Err(reply) => {
                let reply = self.refused("data", "", &reply);
                self.machine.reply(&reply);
            }
        }
    }

    /// Why the message has to wait for a person; its operator is told.
    async fn hold(&self) -> Option<String> {
        let pending = self.client.pending.as_ref()?;
        let session = &self.client.facts.session;
        let recipients = &pending.envelope.recipients;
        let policy = &self.ports.policy;
        let counted = policy.count_sending(session, recipients, &pending.decisions);
        let overrun = Box::pin(counted).await?;
        if let Some(identity) = session.identity.as_ref().filter(|_| overrun.tell) {
            let telling = self
                .ports
                .intake
                .tell_of_held(&identity.address, overrun.excess);
            if let Err(reply) = Box::pin(telling).await {
                tracing::error!(account = %identity.address, reply = %reply.to_line(), "nobody is told that mail is held");
            }
        }
        Some(format!("held, is the account stolen? {}", overrun.excess))
    }

    /// The one place where a message is promised.
    async fn data_end(&mut self) {
        let Some(receiving) = self.client.receiving.take() else {
            self.machine.reply(&policy::reply::local_trouble());
            return;
        };
        let sender = receiving.sender().to_string();
        let outcome = Box::pin(receiving.finish()).await;
        if !outcome.is_accepted() {
            self.trace("data", &sender, "", &outcome.reply);
        } else if outcome.again {
            self.trace("resend", &sender, &outcome.id, &outcome.reply);
        }
        let now = self.ports.runtime.monotonic();
        self.deadlines.data_ends(outcome.is_accepted(), now);
        if outcome.is_accepted() {
            self.ports.policy.note_accepted(&self.client.facts.session);
        }
        if self.client.each {
            // Nobody is answered about recipients that rules have added.
            let each = outcome.replies.iter().take(self.client.named);
            let each: Vec<_> = each.map(|reply| self.told(reply)).collect();
            let whole = self.told(&outcome.reply);
            self.machine.reply_each(&each, &whole);
        } else {
            let reply = self.told(&outcome.reply);
            self.machine.reply(&reply);
        }
    }

    fn data_aborted(&mut self, fault: DataFault) {
        self.client.drop_transaction();
        let now = self.ports.runtime.monotonic();
        self.deadlines.data_ends(false, now);
        let session = &self.client.facts.session_id;
        tracing::info!(%session, reason = %fault, "message refused");
        let reply = Reply::enhanced(554, (5, 6, 0), &fault.to_string());
        self.trace("data", "", "", &reply);
        self.ports.metrics.message_refused(self.door(), "data");
    }

    /// It talked before it was greeted.
    pub(crate) async fn talked_early(&mut self) {
        // RFC 5321 §3.1: the client waits for the greeting.
        let text = "you talk before you were greeted";
        let reply = Reply::enhanced(554, (5, 5, 1), text);
        let reply = self.refused("connection", "", &reply);
        self.machine.close(&reply);
        self.offend(Offence::EarlyTalk).await;
    }

    /// How it ended, where that says something about the client.
    pub(crate) async fn note_end(&mut self, reason: CloseReason) {
        let offence = match reason {
            CloseReason::OtherProtocol => Offence::OtherProtocol,
            CloseReason::TooManyErrors => Offence::Errors,
            _ => return,
        };
        let session = &self.client.facts.session;
        // Nobody waits for an answer any more.
        let _ = self.ports.policy.note_offence(session, offence).await;
    }

    /// Notes an offence; the answer waits for a while. A timer is all that this costs.
    async fn offend(&mut self, offence: Offence) {
        let session = &self.client.facts.session;
        let noted = Box::pin(self.ports.policy.note_offence(session, offence)).await;
        let Some((_stuck, wait)) = noted else {
            return;
        };
        let runtime = &self.ports.runtime;
        let shutdown = runtime.shutdown();
        tokio::select! {
            () = runtime.sleep(wait) => {}
            () = shutdown.draining() => {}
        }
    }

    /// Says no as a check wants it.
    fn refuse(&mut self, what: &'static str, who: &str, refusal: &Refusal) {
        let reply = self.refused(what, who, refusal.reply());
        match refusal {
            Refusal::Command(_) => self.machine.reply(&reply),
            Refusal::Session(_) => self.machine.close(&reply),
        }
    }

    /// Notes a refusal; the reply with the id under which it is found.
    pub(crate) fn refused(&mut self, what: &'static str, who: &str, reply: &Reply) -> Reply {
        let session = &self.client.facts.session_id;
        let client = self.client.facts.session.client_ip;
        let found = self.client.visitor.evidence().summary();
        tracing::info!(%session, what, who, %client, %found, reply = %reply.to_line(), "refused");
        self.ports.metrics.message_refused(self.door(), what);
        let pending = self.client.pending.as_ref();
        let sender = pending.map(|pending| pending.envelope.reverse_path.to_string());
        self.trace(what, &sender.unwrap_or_default(), who, reply);
        self.with_id(reply)
    }

    /// Remembers a refusal for whoever asks for it.
    fn trace(&mut self, what: &'static str, sender: &str, whom: &str, reply: &Reply) {
        if self.client.traced >= TRACED_OF_SESSION_MAX {
            return;
        }
        self.client.traced += 1;
        let facts = &self.client.facts;
        self.ports.policy.note_refusal(Refused {
            id: u64::from_str_radix(&facts.session_id, 16).unwrap_or_default(),
            at: self.ports.runtime.now(),
            client: facts.session.client_ip.to_canonical().to_string(),
            helo: facts.helo.clone(),
            sender: sender.to_owned(),
            what: what.to_owned(),
            whom: whom.to_owned(),
            reply: reply.to_line(),
            found: self.client.visitor.evidence().summary(),
        });
    }

    /// A reply as the client is told: what refuses quotes the session's id.
    fn told(&self, reply: &Reply) -> Reply {
        if reply.is_positive() {
            reply.clone()
        } else {
            self.with_id(reply)
        }
    }

    fn with_id(&self, reply: &Reply) -> Reply {
        policy::reply::with_id(reply, &self.client.facts.session_id)
    }

    fn door(&self) -> Door {
        match self.config.role() {
            Role::Mx => Door::Mx,
            Role::Submission => Door::Submission,
            Role::Lmtp => Door::Lmtp,
        }
    }
}
