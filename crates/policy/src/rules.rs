//! What the operator's rules decide.
//!
//! * [`CurrentRules`] – the rules in force; a reload exchanges them as a whole
//!
//! Not here: the file and its mistakes (`settings::rules`), the way of mail that
//! waits (`dispatch`, which asks through a port of its own).

use std::sync::Arc;

use envelope::Domain;
use parking_lot::RwLock;
use settings::rules::{RelayDomain, Rules};

use crate::{Policy, Session};

/// The rules in force. Cheap to clone; clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct CurrentRules(Arc<RwLock<Arc<Rules>>>);

impl CurrentRules {
    /// These rules, until others are put in force.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(rules))))
    }

    /// Those in force now; what is decided by them together must come from one call.
    #[must_use]
    pub fn get(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read())
    }

    /// Puts others in force.
    pub fn replace(&self, rules: Rules) {
        *self.0.write() = Arc::new(rules);
    }

    /// What is said about a domain whose backup MX we are; none if we are not.
    #[must_use]
    pub fn relay_domain(&self, domain: &Domain) -> Option<RelayDomain> {
        self.get().relay_domains.get(domain).cloned()
    }
}

impl Policy {
    /// May this session start the queue of a domain (ETRN)? Those who may relay may
    /// start any; for a relay domain its own networks may.
    #[must_use]
    pub fn may_flush(&self, session: &Session, domain: &Domain) -> bool {
        let named =
            |relay: RelayDomain| relay.etrn.iter().any(|net| net.contains(session.client_ip));
        self.may_relay(session) || self.rules.relay_domain(domain).is_some_and(named)
    }

    /// May it start the queue of any domain at all?
    #[must_use]
    pub fn may_flush_some(&self, session: &Session) -> bool {
        let rules = self.rules.get();
        let mut networks = rules.relay_domains.values().flat_map(|relay| &relay.etrn);
        self.may_relay(session) || networks.any(|network| network.contains(session.client_ip))
    }
}
