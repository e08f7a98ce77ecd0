//! One address: connect, deliver to as many recipients as it takes, say goodbye.

use std::collections::HashSet;
use std::net::SocketAddr;

use envelope::{Address, BodyType, Domain, EnhancedStatus, Envelope, TlsWish};
use queue_model::Party;
use smtp_proto::client::{Failure, Protocol, Stage, Transaction, Unsupported, Verdict};
use tracing::{debug, info};

use crate::connection::{Broken, Connection, Sent};
use crate::counted;
use crate::gate::{self, Blame, Chunks, Heard};
use crate::kept::Key;
use crate::limits::{
    CONNECTIONS_PER_ADDRESS_MAX, MESSAGES_PER_CONNECTION_MAX, PROBE_BYTES,
    RECIPIENTS_PER_TRANSACTION_MAX, TRANSACTIONS_MAX,
};
use crate::message::Letters;
use crate::wishes::{self, Hop};
use crate::{Message, Outcome, Ports, Report, Target, TlsPolicy};

/// Delivers to one server by SMTP.
pub async fn deliver_smtp(
    ports: &Ports,
    target: &Target,
    envelope: &Envelope,
    message: &dyn Message,
) -> Report {
    deliver(ports, target, Protocol::Smtp, envelope, message).await
}

/// Delivers to one server by LMTP: every recipient has its own final answer.
pub async fn deliver_lmtp(
    ports: &Ports,
    target: &Target,
    envelope: &Envelope,
    message: &dyn Message,
) -> Report {
    deliver(ports, target, Protocol::Lmtp, envelope, message).await
}

async fn deliver(
    ports: &Ports,
    target: &Target,
    protocol: Protocol,
    envelope: &Envelope,
    message: &dyn Message,
) -> Report {
    let mut attempt = Attempt::new(envelope, message);
    if attempt.probe().await {
        Box::pin(attempt.try_address(ports, target, protocol)).await;
    }
    attempt.finish()
}

/// Whether another address may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Some recipients are without an outcome.
    Another,
    /// That address was ours.
    Ourselves,
    /// All recipients have one.
    Done,
}

/// Why nothing more goes over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionEnd {
    /// The server's limits are reached (RFC 9422): another session may go on.
    Full,
    /// It had waited, and the server did not want it any more: nothing was said of the message.
    Stale,
    /// The server does not take what it says that it takes by BDAT: it may by DATA.
    ByData,
    /// Everything else.
    Other,
}

/// The domains that were named in a session.
struct Domains<'e> {
    max: usize,
    named: HashSet<&'e Domain>,
}

impl<'e> Domains<'e> {
    fn new(max: Option<usize>) -> Self {
        Self {
            max: max.unwrap_or(usize::MAX),
            named: HashSet::new(),
        }
    }

    /// Whether a recipient there may be named.
    fn takes(&mut self, domain: &'e Domain) -> bool {
        if self.max == usize::MAX || self.named.contains(domain) {
            return true;
        }
        let fits = self.named.len() < self.max;
        if fits {
            self.named.insert(domain);
        }
        fits
    }
}

/// One message's way over one or several addresses.
pub(crate) struct Attempt<'m> {
    envelope: &'m Envelope,
    message: &'m dyn Message,
    letters: Letters,
    outcomes: Vec<Option<Outcome>>,
    reported_there: Vec<bool>,
    /// What those without an outcome get in the end.
    failure: Option<Outcome>,
    /// Nothing but a server's word about the message or its recipients is final.
    waits: bool,
    /// Whose servers are tried.
    party: Option<Party>,
    /// BDAT may be used where it is offered.
    chunking: bool,
    /// It was in vain already.
    chunks_failed: bool,
    /// A place was missing, or a server had enough of our connections.
    no_room: bool,
    /// Addresses that were tried beside others and did not answer either.
    silent: Vec<SocketAddr>,
    report: Report,
}

impl<'m> Attempt<'m> {
    pub(crate) fn new(envelope: &'m Envelope, message: &'m dyn Message) -> Self {
        Self {
            envelope,
            message,
            letters: Letters {
                header: false,
                any: false,
            },
            outcomes: vec![None; envelope.recipients.len()],
            reported_there: vec![false; envelope.recipients.len()],
            failure: None,
            waits: false,
            party: None,
            chunking: false,
            chunks_failed: false,
            no_room: false,
            silent: Vec::new(),
            report: Report::all(Outcome::temporary((4, 4, 1), "not tried"), 0),
        }
    }

    /// It is for a domain's primary: what is wrong with the way there only delays it.
    pub(crate) fn waits_for_primary(mut self) -> Self {
        self.waits = true;
        self
    }

    /// What follows is tried at the servers of this party.
    pub(crate) fn at(&mut self, party: Party) {
        self.party = Some(party);
    }

    /// Looks at the message's start; false if it cannot be read.
    pub(crate) async fn probe(&mut self) -> bool {
        match self.message.read(0).await {
            Ok(start) => {
                self.letters = Letters::of(&start[..start.len().min(PROBE_BYTES)]);
                true
            }
            Err(error) => {
                self.note(failure_of(&Broken::Message(error), ""));
                false
            }
        }
    }

    /// Remembers why recipients may be left over. What is temporary wins.
    pub(crate) fn note(&mut self, failure: Outcome) {
        let failure = if self.waits {
            as_delay(failure)
        } else {
            failure
        };
        let keep = matches!(self.failure, Some(Outcome::Temporary(_)))
            && matches!(failure, Outcome::Permanent(_));
        if !keep {
            self.failure = Some(failure);
        }
    }

    /// Remembers a reason where there is none yet.
    pub(crate) fn note_unless_failed(&mut self, failure: Outcome) {
        if self.failure.is_none() {
            self.note(failure);
        }
    }

    /// Whether an address was tried beside another, in vain.
    pub(crate) fn has_been_silent(&self, address: SocketAddr) -> bool {
        self.silent.contains(&address)
    }

    pub(crate) fn finish(mut self) -> Report {
        let unheard = self.outcomes.iter().all(Option::is_none);
        let is_final = matches!(self.failure, Some(Outcome::Permanent(_)));
        self.report.no_room = self.no_room && unheard && !is_final;
        let failure = self
            .failure
            .unwrap_or_else(|| Outcome::temporary((4, 4, 1), "no host could be tried"));
        self.report.outcomes = self
            .outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| failure.clone()))
            .collect();
        self.report.reported_there = self.reported_there;
        self.report
    }

    pub(crate) async fn try_address(
        &mut self,
        ports: &Ports,
        target: &Target,
        protocol: Protocol,
    ) -> Next {
        self.report.host = Some(target.host.clone());
        self.report.address = Some(target.address);
        self.report.tls = false;
        let mut tls = target.tls;
        // Another address of the host may turn out to be the better one.
        let target = &mut target.clone();
        for _ in 0..CONNECTIONS_PER_ADDRESS_MAX {
            let waited = self.take_quiet(ports, target, protocol, tls).await;
            let had_waited = waited.is_some();
            let opened = match waited {
                Some(connection) => Ok(connection),
                None => self.open(ports, target, protocol, &mut tls).await,
            };
            let mut connection = match opened {
                Ok(connection) => connection,
                Err(Broken::Ourselves) => return Next::Ourselves,
                Err(Broken::NoRoom) => {
                    self.no_room = true;
                    // Nor is there for its other hosts, and nobody else is asked for that.
                    return Next::Done;
                }
                Err(broken) => {
                    debug!(host = %target.host, address = %target.address, %broken, "not delivered");
                    if matches!(broken, Broken::Connect(_)) {
                        self.silent.extend(target.other);
                    }
                    self.note(self.failure_to_open(&broken, target));
                    return Next::Another;
                }
            };
            self.report.address = Some(target.address);
            self.report.tls = connection.is_tls();
            let now_ms = ports.runtime.now().unix_ms;
            let hop = Hop {
                host: &target.host,
                over_v6: target.address.ip().to_canonical().is_ipv6(),
                encrypted: connection.is_tls(),
                tls,
                capabilities: &connection.capabilities().clone(),
                now_ms,
            };
            if !self.meets_demands(&hop) {
                connection.quit().await;
                break;
            }
            self.chunking = self.may_chunk(ports);
            let session = self.send_all(&mut connection, &hop, had_waited).await;
            if session == SessionEnd::Other {
                let key = self.key(ports, target, protocol, tls);
                self.let_go(ports, key, connection).await;
                break;
            }
            connection.quit().await;
        }
        if self.outcomes.iter().all(Option::is_some) {
            Next::Done
        } else {
            Next::Another
        }
    }

    /// Whether BDAT is not known to be in vain, nor unwanted.
    fn may_chunk(&self, ports: &Ports) -> bool {
        let by_gate = match (&ports.gate, &self.party) {
            (Some(gate), Some(party)) => gate.may_chunk(party),
            _ => true,
        };
        by_gate && !self.chunks_failed
    }

    /// What is good for another message waits for one.
    async fn let_go(&self, ports: &Ports, key: Key, connection: Connection) {
        let took = self.outcomes.iter().flatten().any(Outcome::is_delivered);
        let limits = connection.capabilities().limits;
        let ours = match (&ports.gate, &self.party) {
            (Some(gate), Some(party)) => gate.messages_per_connection(party),
            _ => MESSAGES_PER_CONNECTION_MAX,
        };
        let most = limits.mail.map_or(ours, |mail| ours.min(mail as usize));
        // RFC 9422 §4: domains are counted for the session, which the next message begins anew.
        let lasts = took
            && connection.is_ready()
            && connection.made() < most
            && limits.rcpt_domains.is_none();
        let connection = match ports.kept.as_ref().filter(|_| lasts) {
            Some(kept) => match kept.keep(key, connection) {
                Ok(()) => return,
                Err(too_many) => *too_many,
            },
            None => connection,
        };
        connection.quit().await;
    }

    /// Over a connection that is there already.
    pub(crate) async fn try_connection(&mut self, connection: &mut Connection, host: &str) {
        self.report.host = Some(host.to_owned());
        self.report.tls = connection.is_tls();
        let hop = Hop {
            host,
            over_v6: false,
            encrypted: connection.is_tls(),
            // Nobody has looked at a certificate: it was the client's connection.
            tls: TlsPolicy::Opportunistic,
            capabilities: &connection.capabilities().clone(),
            now_ms: connection.now_ms(),
        };
        if self.meets_demands(&hop) {
            self.send_all(connection, &hop, false).await;
        }
    }

    /// Without TLS at all there is no REQUIRETLS: that is final. A certificate that
    /// is not good may be put right.
    fn failure_to_open(&self, broken: &Broken, target: &Target) -> Outcome {
        let host = &target.host;
        let about_tls = matches!(
            broken,
            Broken::Handshake(_) | Broken::NoRoots | Broken::Failure(Failure::NoStartTls)
        );
        match broken {
            Broken::Failure(Failure::NoStartTls) if self.envelope.tls == TlsWish::Required => {
                let text = format!("{host} does not offer TLS, which the sender demands");
                Outcome::permanent(550, (5, 7, 30), &text)
            }
            _ if about_tls && target.demand.is_some() => {
                let by = target.demand.as_ref().map_or("", |demand| &demand.by);
                let text = format!("{host}: {broken}; not sent, because {by} demand good TLS");
                Outcome::temporary((4, 7, 5), &text)
            }
            _ => failure_of(broken, host),
        }
    }

    /// A connection, and once more in the clear where `tls` allows it.
    async fn open(
        &mut self,
        ports: &Ports,
        target: &mut Target,
        protocol: Protocol,
        tls: &mut TlsPolicy,
    ) -> Result<Connection, Broken> {
        if counted::is_tested(ports, target, *tls) {
            let opened = self
                .open_once(ports, target, protocol, TlsPolicy::Verified)
                .await;
            counted::session(ports, target, opened.as_ref());
            match opened {
                Err(Broken::Handshake(_) | Broken::Failure(Failure::NoStartTls)) => {}
                other => return other,
            }
            debug!(host = %target.host, "a policy that is being tested would have failed");
            return self.open_in_the_end(ports, target, protocol, tls).await;
        }
        let opened = self.open_once(ports, target, protocol, *tls).await;
        counted::session(ports, target, opened.as_ref());
        self.once_more(ports, target, protocol, tls, opened).await
    }

    async fn open_in_the_end(
        &mut self,
        ports: &Ports,
        target: &mut Target,
        protocol: Protocol,
        tls: &mut TlsPolicy,
    ) -> Result<Connection, Broken> {
        let opened = self.open_once(ports, target, protocol, *tls).await;
        self.once_more(ports, target, protocol, tls, opened).await
    }

    /// In the clear, where that is allowed and TLS has failed.
    async fn once_more(
        &mut self,
        ports: &Ports,
        target: &mut Target,
        protocol: Protocol,
        tls: &mut TlsPolicy,
        opened: Result<Connection, Broken>,
    ) -> Result<Connection, Broken> {
        if let (Err(Broken::Handshake(error)), TlsPolicy::Opportunistic) = (&opened, *tls) {
            debug!(host = %target.host, %error, "TLS failed, once more in the clear");
            self.report.tls_failed = true;
            *tls = TlsPolicy::Never;
            return self.open_once(ports, target, protocol, *tls).await;
        }
        opened
    }

    /// A connection in its place.
    async fn open_once(
        &mut self,
        ports: &Ports,
        target: &mut Target,
        protocol: Protocol,
        tls: TlsPolicy,
    ) -> Result<Connection, Broken> {
        let (Some(gate), Some(party)) = (&ports.gate, &self.party) else {
            return Connection::open(ports, target, protocol, tls).await;
        };
        let entered = gate::enter(ports, gate.as_ref(), party).await;
        let mut place = entered.ok_or(Broken::NoRoom)?;
        let opened = Connection::open(ports, target, protocol, tls).await;
        match opened {
            Ok(mut connection) => {
                place.hear(Heard::Ready);
                connection.takes(place);
                Ok(connection)
            }
            Err(broken) => {
                if let Some(heard) = broken.heard() {
                    self.no_room |= place.hear(heard) == Blame::Us;
                }
                Err(broken)
            }
        }
    }

    /// A connection that waits, and that the server has not closed meanwhile. It is looked
    /// at before something is sent: who can say what was heard of a message on one that breaks?
    async fn take_quiet(
        &self,
        ports: &Ports,
        target: &mut Target,
        protocol: Protocol,
        tls: TlsPolicy,
    ) -> Option<Connection> {
        loop {
            let mut connection = self.take_waiting(ports, target, protocol, tls)?;
            if connection.is_quiet().await {
                return Some(connection);
            }
            debug!(host = %target.host, "the connection that waited was closed");
        }
    }

    /// A connection to the target that waits for a message, to whichever of its addresses.
    fn take_waiting(
        &self,
        ports: &Ports,
        target: &mut Target,
        protocol: Protocol,
        tls: TlsPolicy,
    ) -> Option<Connection> {
        let kept = ports.kept.as_ref()?;
        let first = kept.take(&self.key(ports, target, protocol, tls));
        if first.is_some() || target.other.is_none() {
            return first;
        }
        let mut swapped = target.clone();
        std::mem::swap(&mut swapped.address, swapped.other.as_mut()?);
        let second = kept.take(&self.key(ports, &swapped, protocol, tls));
        if second.is_some() {
            *target = swapped;
        }
        second
    }

    fn key(&self, ports: &Ports, target: &Target, protocol: Protocol, tls: TlsPolicy) -> Key {
        let sources = ports.options.sources.addresses();
        Key::of(target, protocol, tls, self.party.as_ref(), sources)
    }

    /// Whether the server may have the message; recipients that it cannot be
    /// given for have their outcome then.
    fn meets_demands(&mut self, hop: &Hop<'_>) -> bool {
        if let Some(failure) = wishes::unmet(self.envelope, hop) {
            debug!(host = hop.host, failure = %failure.reply().to_line(), "not sent");
            if matches!(failure, Outcome::Temporary(_)) {
                // Nobody else may have it before.
                let held = wishes::held(self.envelope, hop.now_ms);
                self.report.retry_after = held.map(std::time::Duration::from_secs);
            }
            self.note(failure);
            return false;
        }
        for (recipient, outcome) in self.envelope.recipients.iter().zip(&mut self.outcomes) {
            if outcome.is_none() {
                *outcome = wishes::unmet_for(recipient, hop);
            }
        }
        true
    }

    /// As many transactions as the recipients need and the session allows.
    async fn send_all(
        &mut self,
        connection: &mut Connection,
        hop: &Hop<'_>,
        had_waited: bool,
    ) -> SessionEnd {
        let limits = connection.capabilities().limits;
        let size = |limit: Option<u32>| limit.and_then(|limit| usize::try_from(limit).ok());
        // RFC 9422 §4
        let transactions = size(limits.mail).unwrap_or(usize::MAX);
        let recipients = size(limits.rcpt).unwrap_or(usize::MAX);
        let mut domains = Domains::new(size(limits.rcpt_domains));
        for made in 0..TRANSACTIONS_MAX {
            let waiting = (0..self.outcomes.len()).filter(|&index| self.outcomes[index].is_none());
            let waiting: Vec<usize> = waiting.collect();
            if waiting.is_empty() || !connection.is_ready() {
                return SessionEnd::Other;
            }
            let all = &self.envelope.recipients;
            let pending = waiting
                .iter()
                .copied()
                .filter(|&index| domains.takes(all[index].address.domain()));
            let pending: Vec<usize> = pending
                .take(recipients.min(RECIPIENTS_PER_TRANSACTION_MAX))
                .collect();
            if connection.made() >= transactions || pending.is_empty() {
                let text = format!("{} takes no more in one session", hop.host);
                self.note(Outcome::temporary((4, 5, 3), &text));
                return SessionEnd::Full;
            }
            let transaction = self.transaction(&pending, hop.now_ms);
            match connection.send(transaction, self.message).await {
                Ok(sent) if made == 0 && had_waited && is_stale(&sent) => {
                    debug!(host = hop.host, "the connection had waited too long");
                    return SessionEnd::Stale;
                }
                Ok(sent) => {
                    if self.chunks_fail(connection, &sent, hop) {
                        self.settle(&pending, sent.without_the_message(), hop, false);
                        return SessionEnd::ByData;
                    }
                    self.no_room |= hear(connection, &sent) == Blame::Us;
                    let dsn = connection.capabilities().dsn;
                    let mut said = sent.verdicts.iter().flatten();
                    let not_us = hop.over_v6 && said.any(is_about_us);
                    self.settle(&pending, sent, hop, dsn);
                    if not_us {
                        return SessionEnd::Other;
                    }
                }
                Err(unsupported) => {
                    debug!(offered = ?connection.capabilities(), "{unsupported}");
                    self.note(failure_of_unsupported(unsupported));
                    return SessionEnd::Other;
                }
            }
        }
        SessionEnd::Other
    }

    /// Whoever counts connections hears how it went by BDAT. Whether the message is to go
    /// once more, by DATA: the server did not know what it was told, or broke off, and
    /// cannot have the message.
    fn chunks_fail(&mut self, connection: &mut Connection, sent: &Sent, hop: &Hop<'_>) -> bool {
        let Some(how) = chunks_of(sent) else {
            return false;
        };
        connection.hear(Heard::Chunks(how));
        let host = hop.host;
        let text = match how {
            Chunks::Unknown(reply) => {
                let reply = reply.to_line();
                format!("{host} offers CHUNKING and does not know BDAT: {reply}")
            }
            Chunks::Lost if !sent.maybe_taken => format!("{host} broke off at BDAT"),
            _ => return false,
        };
        info!("{text}; once more by DATA");
        connection.tell(&format!("{text}; once more by DATA"));
        self.chunks_failed = true;
        self.note(Outcome::temporary((4, 5, 0), &text));
        true
    }

    fn transaction(&self, pending: &[usize], now_ms: u64) -> Transaction {
        let envelope = self.envelope;
        let recipients: Vec<_> = pending
            .iter()
            .map(|&index| envelope.recipients[index].clone())
            .collect();
        // The parameter alone needs nothing; letters do.
        let smtputf8 = (envelope.smtputf8 && self.letters.header)
            || recipients.iter().any(|r| r.address.needs_smtputf8())
            || envelope
                .reverse_path
                .address()
                .is_some_and(Address::needs_smtputf8);
        Transaction {
            reverse_path: envelope.reverse_path.clone(),
            recipients,
            size: Some(self.message.size()),
            eight_bit: self.letters.any || envelope.body != BodyType::SevenBit,
            smtputf8,
            ret: envelope.ret,
            envid: envelope.envid.clone(),
            wishes: wishes::onward(envelope, now_ms),
            chunking: self.chunking,
        }
    }

    fn settle(&mut self, pending: &[usize], sent: Sent, hop: &Hop<'_>, dsn: bool) {
        let host = hop.host;
        let some_accepted = sent
            .verdicts
            .iter()
            .flatten()
            .any(|verdict| verdict.stage == Stage::Final && verdict.reply.is_positive());
        for (&index, verdict) in pending.iter().zip(sent.verdicts) {
            let Some(verdict) = verdict else { continue };
            if some_accepted && is_too_many_recipients(&verdict) {
                // RFC 5321 §4.5.3.1.10: the rest in another transaction, at once.
                self.note(Outcome::of_reply(verdict.reply, host));
            } else if verdict.reply.code == 421 && verdict.stage != Stage::Final {
                // It closes before it has the message: the next host may take it.
                self.note(Outcome::of_reply(verdict.reply, host));
            } else if hop.over_v6 && is_about_us(&verdict) {
                // Many mind what IPv6 says of us more: IPv4 is asked before it counts.
                self.note(Outcome::of_reply(verdict.reply, host));
            } else {
                let outcome = Outcome::of_reply(verdict.reply, host);
                self.reported_there[index] = dsn && outcome.is_delivered();
                self.outcomes[index] = Some(outcome);
            }
        }
        let Some(broken) = sent.broken else { return };
        debug!(host, %broken, "connection broke");
        let mut failure = failure_of(&broken, host);
        if let (true, Outcome::Temporary(reason)) = (sent.chunked, &mut failure)
            && let Some(line) = reason.reply.lines.last_mut()
        {
            line.push_str(" (the message went by BDAT)");
        }
        if sent.maybe_taken {
            // Nobody else is tried now, or there would be two copies for sure.
            for &index in pending {
                self.outcomes[index].get_or_insert_with(|| failure.clone());
            }
        } else {
            self.note(failure);
        }
    }
}

/// Whoever counts connections hears what a transaction brought: how the server took
/// it as a whole, not each recipient.
fn hear(connection: &mut Connection, sent: &Sent) -> Blame {
    let verdicts = || sent.verdicts.iter().flatten();
    let taken = |verdict: &&Verdict| verdict.stage == Stage::Final && verdict.reply.is_positive();
    if verdicts().any(|verdict| taken(&verdict)) {
        connection.hear(Heard::Taken);
    }
    match verdicts().find(|verdict| !taken(verdict)) {
        Some(verdict) if verdict.reply.code == 421 && verdict.stage != Stage::Final => {
            connection.hear(Heard::TurnedAway(&verdict.reply))
        }
        Some(verdict) => connection.hear(Heard::Said(&verdict.reply)),
        None => Blame::Them,
    }
}

/// How it went by BDAT, if it did.
fn chunks_of(sent: &Sent) -> Option<Chunks<'_>> {
    if !sent.chunked {
        return None;
    }
    let finals = || {
        let verdicts = sent.verdicts.iter().flatten();
        verdicts.filter(|verdict| verdict.stage == Stage::Final)
    };
    if let Some(broken) = &sent.broken {
        let theirs = !matches!(broken, Broken::Message(_));
        return theirs.then_some(Chunks::Lost);
    }
    if finals().any(|verdict| verdict.reply.is_positive()) {
        return Some(Chunks::Taken);
    }
    let verdict = finals().next()?;
    if sent.bdat_unknown {
        return Some(Chunks::Unknown(&verdict.reply));
    }
    verdict.reply.is_temporary().then_some(Chunks::Deferred)
}

/// The server closed the connection, or says that it does, before it heard of the message.
fn is_stale(sent: &Sent) -> bool {
    let unheard = |verdict: &Option<Verdict>| match verdict {
        None => true,
        Some(verdict) if verdict.stage == Stage::Reset => true,
        Some(verdict) => verdict.reply.code == 421 && verdict.stage != Stage::Final,
    };
    !sent.maybe_taken && sent.verdicts.iter().all(unheard)
}

/// A failure on the way to a server, that may pass. Demands that this very
/// message makes (REQUIRETLS, its letters, its size) are no such thing.
fn as_delay(failure: Outcome) -> Outcome {
    let Outcome::Permanent(mut reason) = failure else {
        return failure;
    };
    let of_the_message = |status: EnhancedStatus| {
        matches!((status.subject, status.detail), (7, 30) | (6, _) | (3, 4))
    };
    if reason.reply.enhanced.is_some_and(of_the_message) {
        return Outcome::Permanent(reason);
    }
    // A server's own words stay as they are.
    if reason.said_by.is_none() {
        reason.reply.code = 451;
        if let Some(status) = &mut reason.reply.enhanced {
            status.class = 4;
        }
    }
    Outcome::Temporary(reason)
}

/// `5.7.x`: who sends is not wanted, whatever it is (RFC 3463 §3.8).
fn is_about_us(verdict: &Verdict) -> bool {
    let reply = &verdict.reply;
    reply.is_permanent()
        && reply
            .enhanced
            .is_some_and(|status| (status.class, status.subject) == (5, 7))
}

/// `452 4.5.3`; 552 means the same here (RFC 5321 §4.5.3.1.10).
fn is_too_many_recipients(verdict: &Verdict) -> bool {
    let status = verdict.reply.enhanced;
    verdict.stage == Stage::Rcpt
        && matches!(verdict.reply.code, 452 | 552)
        && status.is_none_or(|status| (status.subject, status.detail) == (5, 3))
}

fn failure_of(broken: &Broken, host: &str) -> Outcome {
    let status = match broken {
        Broken::Failure(Failure::Refused(verdict)) => {
            return match verdict.stage {
                // Our configuration is wrong, not the message.
                Stage::Auth | Stage::StartTls => {
                    Outcome::temporary((4, 7, 0), &format!("{host}: {broken}"))
                }
                _ => Outcome::of_reply(verdict.reply.clone(), host),
            };
        }
        Broken::Connect(_) | Broken::NoRoom | Broken::NoSource => (4, 4, 1),
        Broken::Ourselves => (4, 4, 6),
        Broken::Timeout(_) | Broken::Lost { .. } => (4, 4, 2),
        Broken::Handshake(_) | Broken::NoRoots => (4, 7, 5),
        Broken::Failure(Failure::NoStartTls) => (4, 7, 10),
        Broken::Failure(Failure::NoAuth) => (4, 7, 0),
        Broken::Failure(_) => (4, 5, 0),
        Broken::Message(_) => (4, 3, 0),
    };
    let text = match host {
        "" => broken.to_string(),
        host => format!("{host}: {broken}"),
    };
    Outcome::temporary(status, &text)
}

fn failure_of_unsupported(unsupported: Unsupported) -> Outcome {
    let text = unsupported.to_string();
    match unsupported {
        Unsupported::SmtpUtf8 => Outcome::permanent(550, (5, 6, 7), &text),
        Unsupported::Size(_) => Outcome::permanent(552, (5, 3, 4), &text),
    }
}
