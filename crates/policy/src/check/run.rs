//! Asks the checks of a phase and keeps what they say.
//!
//! A session's [`Visitor`] goes through the phases: [`Policy::check_arrival`],
//! [`Policy::check_hello`], [`Policy::check_mail`], [`Policy::check_rcpt`]. Each
//! gives the refusal of that command, if there is one.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use envelope::{ForwardPath, Reply, ReversePath};
use runtime::Runtime;
use settings::Network;

use super::bans::{Ban, Bans, By};
use super::conduct::{Conduct, Offence, Stuck};
use super::{
    Action, Asked, BoxFuture, Check, Evidence, Hello, Manner, Otherwise, Patience, Phase, Verdict,
};
use crate::limits::OFFENCES_MAX;
use crate::recipient::is_role;
use crate::{Policy, Role, Session};

/// What surrounds the checks.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whom they do not concern, besides who may relay.
    pub exempt: Vec<Network>,
    /// The points at which mail is refused; 0 is never.
    pub refuse_at: i32,
}

/// The checks in the order of asking.
#[derive(Debug)]
pub struct Checks {
    runtime: Runtime,
    options: Options,
    entries: Vec<Entry>,
    penalties: Option<Penalties>,
}

/// What misconduct leads to.
#[derive(Debug)]
pub struct Penalties {
    /// Who did what.
    pub conduct: Arc<Conduct>,
    /// Where it leads.
    pub bans: Arc<Bans>,
    /// How long the door bans for; zero never bans.
    pub ban_for: Duration,
    /// The longest that an answer is delayed.
    pub tarpit: Duration,
    /// How long a stranger waits for its greeting; who talks meanwhile is turned away.
    pub greeting_delay: Duration,
}

#[derive(Debug)]
struct Entry {
    check: Arc<dyn Check>,
    running: AtomicUsize,
}

/// A refusal of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The command is answered with this.
    Command(Reply),
    /// And the session is over.
    Session(Reply),
}

impl Refusal {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Command(reply) | Self::Session(reply) => reply,
        }
    }
}

/// What the checks know of one client.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    evidence: Evidence,
    hello: Option<Hello>,
    /// Somebody logged in well from its address lately.
    logged_in: bool,
    /// The sender of the transaction.
    sender: Option<ReversePath>,
    /// What each recipient is refused with, and by which phase's check.
    standing: Option<(Phase, Reply)>,
    /// The phases whose waiting checks were asked.
    waited: Option<Phase>,
}

impl Visitor {
    /// What was found.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// What is found from this phase on begins anew.
    fn begin(&mut self, phase: Phase) {
        self.evidence.begin(phase);
        self.standing.take_if(|(of, _)| *of >= phase);
        if self.waited.is_some_and(|of| of >= phase) {
            self.waited = match phase {
                Phase::Connect => None,
                _ => Some(Phase::Connect),
            };
        }
    }

    fn asked<'a>(&'a self, session: &'a Session, to: Option<&'a ForwardPath>) -> Asked<'a> {
        Asked {
            session,
            logged_in: self.logged_in,
            hello: self.hello.as_ref(),
            sender: self.sender.as_ref(),
            recipient: to,
            evidence: &self.evidence,
        }
    }

    /// Keeps a verdict; what it refuses at once.
    fn take(&mut self, phase: Phase, verdict: Verdict) -> Option<Refusal> {
        let Verdict {
            action,
            findings,
            fields,
            iprev,
        } = verdict;
        self.evidence.add(phase, findings, fields, iprev);
        match action {
            Action::Pass => None,
            Action::Trust => {
                self.evidence.trust(phase);
                None
            }
            Action::Refuse(reply) => {
                self.standing.get_or_insert((phase, reply));
                None
            }
            Action::RefuseNow(reply) => Some(Refusal::Command(reply)),
            Action::Close(reply) => Some(Refusal::Session(reply)),
        }
    }
}

impl Checks {
    /// These, asked in this order where the order matters.
    #[must_use]
    pub fn new(runtime: &Runtime, options: Options, checks: Vec<Arc<dyn Check>>) -> Self {
        let entry = |check| Entry {
            check,
            running: AtomicUsize::new(0),
        };
        Self {
            runtime: runtime.clone(),
            options,
            entries: checks.into_iter().map(entry).collect(),
            penalties: None,
        }
    }

    /// With penalties for misconduct; without them there are none.
    #[must_use]
    pub fn with_penalties(mut self, penalties: Penalties) -> Self {
        self.penalties = Some(penalties);
        self
    }

    /// Checks that answer from memory.
    async fn ask_now(
        &self,
        phase: Phase,
        session: &Session,
        visitor: &mut Visitor,
        to: Option<&ForwardPath>,
    ) -> Option<Refusal> {
        for entry in self.of(phase, |manner| manner == Manner::Immediate) {
            let verdict = entry.check.check(visitor.asked(session, to)).await;
            let refusal = visitor.take(phase, verdict);
            if refusal.is_some() {
                return refusal;
            }
        }
        None
    }

    /// Checks that wait: first those that can be asked together, then the others.
    async fn ask_waiting(
        &self,
        phase: Phase,
        session: &Session,
        visitor: &mut Visitor,
        to: Option<&ForwardPath>,
    ) -> Option<Refusal> {
        let together = self.of(phase, |manner| matches!(manner, Manner::Together(_)));
        let asking = together.map(|entry| self.ask(entry, visitor.asked(session, to)));
        for verdict in all(asking.collect()).await {
            let refusal = visitor.take(phase, verdict);
            if refusal.is_some() {
                return refusal;
            }
        }
        for entry in self.of(phase, |manner| matches!(manner, Manner::InTurn(_))) {
            let verdict = self.ask(entry, visitor.asked(session, to)).await;
            let refusal = visitor.take(phase, verdict);
            if refusal.is_some() {
                return refusal;
            }
        }
        None
    }

    fn of(&self, phase: Phase, wanted: impl Fn(Manner) -> bool) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.check.phase() == phase && wanted(entry.check.manner()))
    }

    /// Asks one, as patiently as it says.
    fn ask<'a>(&'a self, entry: &'a Entry, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let (Manner::Together(patience) | Manner::InTurn(patience)) = entry.check.manner()
            else {
                return entry.check.check(asked).await;
            };
            let Some(_place) = Place::take(&entry.running, patience.at_once_max) else {
                return given_up(entry, patience, "busy");
            };
            let checking = entry.check.check(asked);
            match self.runtime.timeout(patience.timeout, checking).await {
                Ok(verdict) => verdict,
                Err(_) => given_up(entry, patience, "late"),
            }
        })
    }

    /// What the evidence as a whole leads to.
    fn sum(&self, session: &Session, evidence: &Evidence) -> Option<Reply> {
        let points = evidence.points();
        if self.options.refuse_at == 0 || points < self.options.refuse_at || evidence.is_trusted() {
            return None;
        }
        let client = envelope::Domain::from_ip(session.client_ip.to_canonical());
        let text = format!(
            "mail from {client} is not taken: {}; \
             postmaster here can be written to all the same",
            evidence.summary()
        );
        Some(Reply::enhanced(550, (5, 7, 1), &text))
    }
}

fn given_up(entry: &Entry, patience: Patience, why: &'static str) -> Verdict {
    let check = entry.check.name();
    tracing::warn!(check, why, "a check was given up");
    match patience.otherwise {
        Otherwise::Pass => Verdict::pass(),
        Otherwise::Defer => Verdict {
            action: Action::Refuse(Reply::enhanced(
                451,
                (4, 7, 1),
                &format!("the check {check} has no answer now, please try again later"),
            )),
            ..Verdict::pass()
        },
    }
}

/// One of the runs that a check may have at once.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(running: &'a AtomicUsize, max: usize) -> Option<Self> {
        let taken = running.fetch_add(1, Ordering::Relaxed);
        let place = Self(running);
        (taken < max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for all of them, side by side; the answers in their order.
async fn all<T>(mut waiting: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    poll_fn(move |cx| {
        let mut left = false;
        for (future, answer) in waiting.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *answer = Some(value),
                    Poll::Pending => left = true,
                }
            }
        }
        if left {
            Poll::Pending
        } else {
            Poll::Ready(answers.drain(..).flatten().collect())
        }
    })
    .await
}

impl Policy {
    /// The checks, when they concern this client.
    fn checks_for(&self, session: &Session) -> Option<&Checks> {
        let checks = self.checks.as_deref()?;
        let mut exempt = checks.options.exempt.iter();
        let concerned = session.role == Role::Mx
            && session.identity.is_none()
            && !self.may_relay(session)
            && !exempt.any(|network| network.contains(session.client_ip));
        concerned.then_some(checks)
    }

    /// How long this client waits for its greeting.
    #[must_use]
    pub fn greeting_delay(&self, session: &Session) -> Duration {
        let penalties = self.penalties_for(session);
        let strange = penalties.filter(|of| !of.conduct.is_good(session.client_ip));
        strange.map_or(Duration::ZERO, |penalties| penalties.greeting_delay)
    }

    /// It did what honest servers don't: how long its answer is to wait, and the
    /// place that is kept meanwhile. Enough of it bans the address.
    pub async fn note_offence(
        &self,
        session: &Session,
        offence: Offence,
    ) -> Option<(Stuck, Duration)> {
        let penalties = self.penalties_for(session)?;
        let client = session.client_ip.to_canonical();
        let weight = penalties.conduct.offended(client, offence);
        if weight >= OFFENCES_MAX
            && !penalties.ban_for.is_zero()
            && !penalties.conduct.is_good(client)
            && !self.directory.is_known_address(client)
            && penalties.bans.find(client).is_none()
        {
            self.ban(penalties, client, offence).await;
        }
        penalties.conduct.tarpit(client, penalties.tarpit)
    }

    async fn ban(&self, penalties: &Penalties, client: IpAddr, offence: Offence) {
        let now = self.full_since.runtime().now();
        let ban = Ban {
            network: Network {
                address: client,
                prefix: if client.is_ipv4() { 32 } else { 64 },
            },
            from: now,
            until: now.after(penalties.ban_for),
            by: By::Door,
            reason: format!("{}, among other things", offence.as_str()),
        };
        let network = ban.network;
        match penalties.bans.add(ban).await {
            Ok(()) => tracing::warn!(%network, offence = offence.as_str(), "banned"),
            Err(error) => tracing::warn!(%network, %error, "not banned"),
        }
    }

    /// A message of its was accepted.
    pub fn note_accepted(&self, session: &Session) {
        if let Some(penalties) = self.penalties_for(session) {
            penalties.conduct.accepted(session.client_ip);
        }
    }

    fn penalties_for(&self, session: &Session) -> Option<&Penalties> {
        self.checks_for(session)?.penalties.as_ref()
    }

    /// A client is there, or turns out to be somebody else's.
    pub async fn check_arrival(&self, session: &Session, visitor: &mut Visitor) -> Option<Refusal> {
        let checks = self.checks_for(session)?;
        *visitor = Visitor {
            logged_in: self.directory.is_known_address(session.client_ip),
            ..Visitor::default()
        };
        checks.ask_now(Phase::Connect, session, visitor, None).await
    }

    /// It says what it is.
    pub async fn check_hello(
        &self,
        session: &Session,
        visitor: &mut Visitor,
        hello: Hello,
    ) -> Option<Refusal> {
        let checks = self.checks_for(session)?;
        visitor.begin(Phase::Hello);
        visitor.hello = Some(hello);
        checks.ask_now(Phase::Hello, session, visitor, None).await
    }

    /// It names a sender: now it is asked for what takes time.
    pub async fn check_mail(
        &self,
        session: &Session,
        visitor: &mut Visitor,
        sender: &ReversePath,
    ) -> Option<Refusal> {
        let checks = self.checks_for(session)?;
        visitor.begin(Phase::Sender);
        visitor.sender = Some(sender.clone());
        for phase in [Phase::Connect, Phase::Hello] {
            if visitor.waited.is_none_or(|waited| waited < phase) {
                let refusal = checks.ask_waiting(phase, session, visitor, None).await;
                if refusal.is_some() {
                    return refusal;
                }
                visitor.waited = Some(phase);
            }
        }
        let refusal = checks.ask_now(Phase::Sender, session, visitor, None).await;
        if refusal.is_some() {
            return refusal;
        }
        checks
            .ask_waiting(Phase::Sender, session, visitor, None)
            .await
    }

    /// It names a recipient that is taken otherwise.
    pub async fn check_rcpt(
        &self,
        session: &Session,
        visitor: &mut Visitor,
        recipient: &ForwardPath,
    ) -> Option<Refusal> {
        let checks = self.checks_for(session)?;
        let role = match recipient {
            ForwardPath::Postmaster => true,
            ForwardPath::Address(address) => is_role(address),
        };
        if role {
            return None;
        }
        if let Some((_, reply)) = &visitor.standing
            && !visitor.evidence.is_trusted()
        {
            return Some(Refusal::Command(reply.clone()));
        }
        if let Some(reply) = checks.sum(session, &visitor.evidence) {
            return Some(Refusal::Command(reply));
        }
        let (phase, to) = (Phase::Recipient, Some(recipient));
        visitor.evidence.begin(phase);
        let refusal = checks.ask_now(phase, session, visitor, to).await;
        let refusal = match refusal {
            Some(refusal) => Some(refusal),
            None => checks.ask_waiting(phase, session, visitor, to).await,
        };
        let standing = visitor.standing.take_if(|(of, _)| *of == phase);
        refusal.or_else(|| standing.map(|(_, reply)| Refusal::Command(reply)))
    }
}
