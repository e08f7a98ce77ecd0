//! Who may start the queue of a relay domain, and where a rewritten recipient may go.

use envelope::{Address, Domain, ForwardPath};
use settings::rules::RelayDomain;

use crate::session::Role;
use crate::{Decision, Policy, Session, reply};

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

    /// The domains whose mail this session fetches by ATRN: those that it names, or all
    /// that its account may have; none where it may not have one of them.
    #[must_use]
    pub fn may_fetch(&self, session: &Session, named: &[Domain]) -> Option<Vec<Domain>> {
        let user = session.identity.as_ref()?.address.to_key();
        let rules = self.rules.get();
        let is_theirs = |relay: &RelayDomain| relay.atrn.iter().any(|may| may.to_key() == user);
        let theirs = |domain: &Domain| rules.relay_domains.get(domain).is_some_and(is_theirs);
        let mut domains: Vec<Domain> = match named {
            [] => rules.relay_domains.keys().cloned().collect(),
            named => named.to_vec(),
        };
        if named.is_empty() {
            domains.retain(theirs);
        }
        domains.sort();
        domains.dedup();
        (!domains.is_empty() && domains.iter().all(theirs)).then_some(domains)
    }

    /// Decides about a recipient that a rule has put in place of another. Like an
    /// alias it may lead elsewhere, but only from an address that this session may
    /// write to: a rule is no relay.
    pub async fn check_rewritten(
        &self,
        session: &Session,
        named: &Address,
        instead: &Address,
        size: Option<u64>,
    ) -> Decision {
        let ours = match self.directory.is_local_domain(named.domain()).await {
            Ok(ours) => ours,
            Err(error) => {
                tracing::error!(%error, recipient = %named, "a recipient could not be checked");
                return Decision::Refuse(reply::local_trouble());
            }
        };
        let relayed = session.role == Role::Mx && self.rules.relay_domain(named.domain()).is_some();
        if !ours && !relayed && !self.may_relay(session) {
            return Decision::Refuse(reply::no_relay(named));
        }
        self.check_unasked(session, instead, size).await
    }

    /// Decides about an address that the operator has chosen: anywhere.
    pub async fn check_unasked(
        &self,
        session: &Session,
        address: &Address,
        size: Option<u64>,
    ) -> Decision {
        match self.directory.is_local_domain(address.domain()).await {
            Ok(true) => {
                let path = ForwardPath::Address(address.clone());
                self.check_recipient(session, &path, size).await
            }
            Ok(false) => Box::pin(self.check_onward(session, address)).await,
            Err(error) => {
                tracing::error!(%error, recipient = %address, "a recipient could not be checked");
                Decision::Refuse(reply::local_trouble())
            }
        }
    }
}
