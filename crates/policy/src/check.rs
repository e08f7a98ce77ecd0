//! Checks: what looks at a stranger before its mail is taken.
//!
//! A tour:
//! - [`Check`] is the port. A check has a name, a [`Phase`], a [`Manner`] of
//!   being asked, and gives a [`Verdict`]: an [`Action`], [`Finding`]s with a name
//!   and points, fields for the message's header.
//! - [`Checks`] is the list of them, with what surrounds it: whom it concerns,
//!   how many points are too many.
//! - [`Visitor`] is what the checks have found out about one client; the face
//!   keeps it and hands it to [`Policy`](crate::Policy)'s `check_` methods.
//! - [`Names`] is how a check asks the DNS.
//!
//! Whom they concern: servers of strangers on the MX port. Not users, not LMTP,
//! not `relay.networks`, not `door.exempt`: nothing is asked about these, and so
//! nothing is refused.
//!
//! When: a check that answers from memory is asked in its phase. One that waits
//! for others is asked at the first MAIL, so that who only connects causes no
//! question. A refusal is said at RCPT: postmaster and abuse are reached by
//! everybody (PRACTICE: role addresses are never refused for spam), and the log
//! knows who wanted to write to whom.
//!
//! Evidence adds up: each finding has points, and what is over
//! [`Options::refuse_at`] is refused. By default all that HELO, reverse DNS and
//! iprev can find stays below it together.
//!
//! Invariants: a check that is late, or that cannot know, finds nothing; every
//! finding has a name that never changes; a field that a check adds can neither
//! end a line nor begin another.

pub mod bans;
pub mod conduct;
mod evidence;
pub mod greylist;
pub mod hello;
pub mod iprev;
pub mod lists;
mod names;
pub mod rates;
mod run;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use evidence::{Evidence, Field, Finding, IpRev, MARKS_FIELD};
pub use hello::Hello;
pub use names::Names;
pub use run::{Checks, Options, Penalties, Refusal, Visitor};

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use envelope::{Domain, ForwardPath, Reply, ReversePath};

use crate::Session;

/// A time for people: the next larger whole number of a unit.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_millis().div_ceil(1000);
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", seconds.div_ceil(60)),
        7200..=172_799 => format!("{} hours", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a client has done by the time a check is asked; each phase knows what
/// the ones before it knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It is there: its address.
    Connect,
    /// HELO or EHLO: the name it gives itself.
    Hello,
    /// MAIL.
    Sender,
    /// RCPT, once for each.
    Recipient,
}

/// How a check wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It answers from memory: at once, in the order of the list.
    Immediate,
    /// It waits for others: side by side with all such checks of its phase.
    Together(Patience),
    /// After those, one by one in the order of the list: it wants to see what
    /// the ones before it found.
    InTurn(Patience),
}

/// How long a check may take, how often it runs, and what it means when it can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Then it is given up.
    pub timeout: Duration,
    /// Runs at once, over all sessions; one more is given up at the start.
    pub at_once_max: usize,
    /// What is done when it was given up.
    pub otherwise: Otherwise,
}

/// What is done when a check was given up: open or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// As if there was no such check.
    Pass,
    /// The client is asked to come again (451).
    Defer,
}

/// What a check is told. Everything that is known in its phase.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The client.
    pub session: &'a Session,
    /// Somebody logged in well from its address lately.
    pub logged_in: bool,
    /// What it said it is; `None` before it did.
    pub hello: Option<&'a Hello>,
    /// MAIL FROM.
    pub sender: Option<&'a ReversePath>,
    /// RCPT TO.
    pub recipient: Option<&'a ForwardPath>,
    /// What was found before.
    pub evidence: &'a Evidence,
}

impl Asked<'_> {
    /// The client's address; never an IPv4 address in IPv6 clothes.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.session.client_ip.to_canonical()
    }

    /// It is between brackets as a person writes it in a reply.
    #[must_use]
    pub fn client_literal(&self) -> Domain {
        Domain::from_ip(self.client())
    }
}

/// What follows from what a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Action {
    /// Nothing by itself.
    #[default]
    Pass,
    /// The client is known for good mail: nothing that is only evidence counts,
    /// and checks that only delay are left out.
    Trust,
    /// Each recipient is refused with this, but not postmaster and abuse.
    Refuse(Reply),
    /// The very command is refused with this.
    RefuseNow(Reply),
    /// This is said and the session is over.
    Close(Reply),
}

/// What a check gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What follows.
    pub action: Action,
    /// What was found, by name.
    pub findings: Vec<Finding>,
    /// What the message's header gets.
    pub fields: Vec<Field>,
    /// Whether the client's address has a name that leads back to it.
    pub iprev: Option<IpRev>,
}

impl Verdict {
    /// Nothing was found.
    #[must_use]
    pub fn pass() -> Self {
        Self::default()
    }

    /// This was found, and it does what its setting says.
    #[must_use]
    pub fn found(found: Finding, mode: Mode, refusal: Action) -> Self {
        Self {
            action: match mode {
                Mode::Refuse => refusal,
                Mode::Off | Mode::Mark => Action::Pass,
            },
            findings: vec![found],
            ..Self::default()
        }
    }
}

/// What a finding leads to, as the operator chose.
pub type Mode = settings::CheckMode;

/// Looks at a stranger.
///
/// # Contract
/// - It never panics on what a peer sent, and has no effect on the message but
///   what its verdict says.
/// - It asks nobody else than its ports. It keeps no lock while it waits.
/// - What it cannot know it does not find: the time-out and [`Otherwise`] are the
///   only ways in which somebody else's failure may hold up mail.
///
/// # Cancel safety
/// The future may be dropped at any time.
pub trait Check: fmt::Debug + Send + Sync {
    /// Its name in the settings, the log and the metrics.
    fn name(&self) -> &'static str;

    /// From when on it knows enough.
    fn phase(&self) -> Phase;

    /// How it wants to be asked.
    fn manner(&self) -> Manner;

    /// Looks.
    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict>;
}
