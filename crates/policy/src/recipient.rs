//! RCPT TO: does it exist, may it be sent to, does it fit.
//!
//! The address is taken as it is. A source route was dropped by the parser (RFC
//! 5321 appendix C), `%`, `!` and quoted `@` are plain characters of a local
//! part: no spelling of an address reaches another domain than the one behind
//! its last `@`.

use crate::session::{Role, Session};
use crate::{Policy, reply};
use directory::{DirectoryError, Resolution, Target};
use envelope::{Address, Domain, ForwardPath, Reply};

/// Where a recipient's copy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// To accounts here, or on to where an alias of ours leads.
    Local(Vec<Target>),
    /// To another organisation's server.
    Relay(Address),
    /// Nowhere.
    Refuse(Reply),
}

impl Decision {
    /// Some of the mail does not stay here.
    #[must_use]
    pub fn leads_elsewhere(&self) -> bool {
        match self {
            Self::Relay(_) => true,
            Self::Local(targets) => targets
                .iter()
                .any(|target| matches!(target, Target::Forward(_))),
            Self::Refuse(_) => false,
        }
    }
}

impl Policy {
    /// Decides about one recipient. `size` is what SIZE= said.
    pub async fn check_recipient(
        &self,
        session: &Session,
        recipient: &ForwardPath,
        size: Option<u64>,
    ) -> Decision {
        let decided = match recipient {
            ForwardPath::Postmaster => self.check_postmaster("postmaster").await,
            ForwardPath::Address(address) => self.check_address(session, address, size).await,
        };
        decided.unwrap_or_else(|error| {
            tracing::error!(%error, %recipient, "a recipient could not be checked");
            Decision::Refuse(reply::local_trouble())
        })
    }

    async fn check_address(
        &self,
        session: &Session,
        address: &Address,
        size: Option<u64>,
    ) -> Result<Decision, DirectoryError> {
        if let Some(ip) = address.domain().literal_ip()
            && ip.to_canonical() == session.server_ip.to_canonical()
        {
            // RFC 5321 §4.5.1: postmaster is reachable; nobody else is by our address.
            return if address.local().to_key() == "postmaster" {
                self.check_postmaster(&address.to_wire()).await
            } else {
                Ok(Decision::Refuse(reply::no_such_user(&address.to_wire())))
            };
        }
        match self.directory.resolve(address).await? {
            Resolution::NotLocalDomain if self.is_for_primary(session, address) => {
                Ok(Box::pin(self.check_relayed(session, address)).await)
            }
            Resolution::NotLocalDomain if !self.may_relay(session) => {
                Ok(Decision::Refuse(reply::no_relay(address)))
            }
            // RFC 6409 §4.2 (MUST): domains are fully qualified.
            Resolution::NotLocalDomain
                if session.role == Role::Submission && is_single_label(address.domain()) =>
            {
                Ok(Decision::Refuse(reply::not_qualified(address)))
            }
            Resolution::NotLocalDomain => match self.check_suppressed(address).await {
                Some(refusal) => Ok(Decision::Refuse(refusal)),
                None => Ok(Decision::Relay(address.clone())),
            },
            Resolution::NoSuchUser => Ok(Decision::Refuse(reply::no_such_user(&address.to_wire()))),
            Resolution::AliasLoop => Ok(Decision::Refuse(reply::alias_loop(address))),
            Resolution::Local(targets) => {
                let targets = match Box::pin(self.known_targets(session, address, targets)).await {
                    Ok(targets) => targets,
                    Err(refusal) => return Ok(Decision::Refuse(refusal)),
                };
                self.check_targets(address, targets, size).await
            }
        }
    }

    /// Leaves out what leads into a relay domain to somebody whom its primary does
    /// not know; the refusal when nothing is left.
    async fn known_targets(
        &self,
        session: &Session,
        address: &Address,
        targets: Vec<Target>,
    ) -> Result<Vec<Target>, Reply> {
        let mut known = Vec::with_capacity(targets.len());
        let mut refused = None;
        for target in targets {
            if let Target::Forward(there) = &target
                && let Decision::Refuse(refusal) = self.check_onward(session, there).await
            {
                tracing::info!(recipient = %address, %there, reply = %refusal.to_line(), "an alias leads to who is not taken there");
                refused.get_or_insert(refusal);
                continue;
            }
            known.push(target);
        }
        match refused {
            Some(refusal) if known.is_empty() => Err(refusal),
            _ => Ok(known),
        }
    }

    /// An address elsewhere to which an address of ours, or a rule, has led: in a
    /// relay domain its primary is asked, as if a stranger had named it.
    pub(crate) async fn check_onward(&self, session: &Session, there: &Address) -> Decision {
        let relay = self.rules.relay_domain(there.domain());
        match relay.and_then(|relay| relay.verify) {
            Some(wanted) if session.role == Role::Mx && !is_role(there) => {
                self.check_known(there, &wanted).await
            }
            _ => Decision::Relay(there.clone()),
        }
    }

    /// Strangers' servers bring it to us because our name is in its domain's MX records.
    fn is_for_primary(&self, session: &Session, address: &Address) -> bool {
        session.role == Role::Mx && self.rules.relay_domain(address.domain()).is_some()
    }

    /// An address of a domain whose backup MX we are.
    async fn check_relayed(&self, session: &Session, address: &Address) -> Decision {
        // Its primary trusts us: what it would pass on for us, strangers would have
        // passed on by us.
        let names_a_hop = address.local().as_str().contains(['%', '!', '@']);
        if names_a_hop && !self.may_relay(session) {
            return Decision::Refuse(reply::names_a_hop(address));
        }
        let relay = self.rules.relay_domain(address.domain());
        match relay.and_then(|relay| relay.verify) {
            Some(wanted) if !is_role(address) => self.check_known(address, &wanted).await,
            _ => Decision::Relay(address.clone()),
        }
    }

    async fn check_postmaster(&self, named: &str) -> Result<Decision, DirectoryError> {
        Ok(match self.directory.resolve_postmaster().await? {
            Resolution::Local(targets) => Decision::Local(targets),
            _ => Decision::Refuse(reply::no_such_user(named)),
        })
    }

    /// Leaves out what is disabled; refuses when nothing is left, or when nothing
    /// that is left has room.
    async fn check_targets(
        &self,
        address: &Address,
        targets: Vec<Target>,
        size: Option<u64>,
    ) -> Result<Decision, DirectoryError> {
        let mut enabled = Vec::with_capacity(targets.len());
        let mut refused = None;
        let mut roomy = false;
        for target in targets {
            let Target::Account { id, .. } = &target else {
                roomy = true;
                enabled.push(target);
                continue;
            };
            let account = self.directory.account(*id).await?;
            if account.is_none_or(|account| account.disabled) {
                continue;
            }
            match self.full(*id, size.unwrap_or(0)).await {
                Ok(Some(full)) if full.for_long => {
                    refused.get_or_insert_with(|| reply::full_for_long(address, full.over));
                }
                Ok(Some(full)) => refused = Some(reply::full_for_now(address, full.over)),
                // An account that cannot be opened is a temporary matter of its
                // own: its copy waits in the queue.
                Ok(None) | Err(_) => roomy = true,
            }
            enabled.push(target);
        }
        Ok(match refused {
            _ if enabled.is_empty() => Decision::Refuse(reply::disabled(address)),
            Some(refusal) if !roomy && !is_role(address) => Decision::Refuse(refusal),
            _ => Decision::Local(enabled),
        })
    }
}

fn is_single_label(domain: &Domain) -> bool {
    domain.literal_ip().is_none() && !domain.as_str().contains('.')
}

/// RFC 2142: never refused for quota.
pub(crate) fn is_role(address: &Address) -> bool {
    matches!(address.local().to_key().as_str(), "postmaster" | "abuse")
}
