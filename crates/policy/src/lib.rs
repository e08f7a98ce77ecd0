//! May this sender send this to that recipient, and where does it go.
//!
//! A tour:
//! - [`Session`]: what is known about a client when it asks.
//! - [`Policy::check_sender`]: MAIL FROM; [`Policy::check_recipient`]: RCPT TO.
//!   The answer is a [`Decision`], or a reply in the words of RFC 5321 and 3463.
//!
//! - [`rules`]: what the operator wants beside that; [`primary`]: what a relay domain's own server knows.
//! - [`check`]: what looks at strangers before their mail is taken.
//!
//! Not here: the protocol (`smtp-proto`), who exists (`directory`), delivering
//! (`intake`), what a message says (SPF, DKIM, content: a later crate, behind
//! [`check::Check`]).
//!
//! Invariants:
//! - Mail for a domain that is neither ours nor one whose backup MX we are is taken
//!   only from who logged in on a door for users, or from a listed network on a
//!   door for servers. Nothing in an address changes that.
//! - What cannot be decided is answered 451: mail waits, it does not bounce.

#![forbid(unsafe_code)]

pub mod check;
pub mod limits;
mod owner;
pub mod primary;
mod priority;
mod recipient;
mod records;
pub mod reply;
mod returned;
mod room;
pub mod rules;
mod sender;
mod sending;
mod session;
pub mod trace;

pub use recipient::Decision;
pub use room::{FULL_SINCE_PREFIX, check_full_since};
pub use sending::{
    CountedRedirect, KNOWN_PREFIX, Overrun, PerTime, SendingLimits, account_of, check_known,
    forget_account,
};
pub use session::{Role, Session, session_id};

use std::sync::Arc;

use bounces::{Returns, Suppressed};
use check::Checks;
use directory::Directory;
use engine::SharedEngine;
use envelope::AccountId;
use mailstore::Mailstore;
use primary::Verifier;
use room::FullSince;
use rules::CurrentRules;
use runtime::Runtime;
use sending::Sending;
use settings::Network;
use trace::{Refused, Trace};

/// Decides about senders and recipients. Share it by `Arc`.
#[derive(Debug)]
pub struct Policy {
    directory: Directory,
    mailstore: Mailstore,
    relay_networks: Vec<Network>,
    full_since: FullSince,
    sending: Sending<AccountId>,
    domain_sending: Sending<String>,
    rules: CurrentRules,
    checks: Option<Arc<Checks>>,
    trace: Option<Arc<Trace>>,
    verifier: Option<Verifier>,
    returns: Option<Returns>,
    requires_tags: bool,
    suppressed: Option<Suppressed>,
}

impl Policy {
    /// A policy over these; `relay_networks` may send to anywhere without a login.
    #[must_use]
    pub fn new(
        directory: Directory,
        mailstore: Mailstore,
        engine: SharedEngine,
        runtime: Runtime,
        relay_networks: Vec<Network>,
    ) -> Self {
        Self {
            directory,
            mailstore,
            relay_networks,
            full_since: FullSince::new(engine, runtime),
            sending: Sending::default(),
            domain_sending: Sending::default(),
            rules: CurrentRules::default(),
            checks: None,
            trace: None,
            verifier: None,
            returns: None,
            requires_tags: false,
            suppressed: None,
        }
    }

    /// With limits on what each user sends; without them there are none.
    #[must_use]
    pub fn with_sending_limits(mut self, limits: SendingLimits) -> Self {
        self.sending = Sending::new(limits);
        self
    }

    /// With limits on what all users of each domain send together.
    #[must_use]
    pub fn with_domain_limits(mut self, limits: SendingLimits) -> Self {
        self.domain_sending = Sending::new(limits);
        self
    }

    /// By these rules; without them there are none.
    #[must_use]
    pub fn with_rules(mut self, rules: CurrentRules) -> Self {
        self.rules = rules;
        self
    }

    /// The rules that decide.
    #[must_use]
    pub fn rules(&self) -> &CurrentRules {
        &self.rules
    }

    /// With checks of strangers; without them there are none.
    #[must_use]
    pub fn with_checks(mut self, checks: Checks) -> Self {
        self.checks = Some(Arc::new(checks));
        self
    }

    /// With a memory of what was refused; without it there is only the log.
    #[must_use]
    pub fn with_trace(mut self, trace: Arc<Trace>) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Knows the senders again that were rewritten here; without it they are nobody's.
    #[must_use]
    pub fn with_returns(mut self, returns: Returns) -> Self {
        self.returns = Some(returns);
        self
    }

    /// Strangers' notifications are taken for tagged senders only.
    #[must_use]
    pub fn with_required_tags(mut self) -> Self {
        self.requires_tags = true;
        self
    }

    /// With addresses elsewhere that nothing is sent to.
    #[must_use]
    pub fn with_suppressed(mut self, suppressed: Suppressed) -> Self {
        self.suppressed = Some(suppressed);
        self
    }

    /// Remembers a refusal.
    pub fn note_refusal(&self, refused: Refused) {
        if let Some(trace) = &self.trace {
            trace.note(refused);
        }
    }

    /// May this session send to domains that are not ours?
    #[must_use]
    pub fn may_relay(&self, session: &Session) -> bool {
        match session.role {
            Role::Submission => session.identity.is_some() || session.local_user.is_some(),
            Role::Mx => {
                session.identity.is_some()
                    || self
                        .relay_networks
                        .iter()
                        .any(|network| network.contains(session.client_ip))
            }
            Role::Lmtp => false,
        }
    }
}

#[cfg(test)]
mod tests;
