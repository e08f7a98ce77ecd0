//! What is demanded of a host's TLS beside what the operator says: by the domain (DANE,
//! RFC 7672, before MTA-STS, RFC 8461) and by the sender (REQUIRETLS, RFC 8689).
//!
//! Not here: what the records and policies say (`tls-policy`), where policies come from
//! (`sts`), and whether a certificate is good (`runtime`).

use std::net::SocketAddr;

use envelope::{Domain, Envelope, TlsWish};
use runtime::tls::ClientTls;
use sts::Known;
use tls_policy::reporting::ResultType;
use tls_policy::{Mode, Tlsa};

use crate::counted::{self, Counted};
use crate::{Outcome, Ports, Target, TlsPolicy};

/// Why a host must show what it must.
#[derive(Debug, Clone)]
pub struct Demand {
    /// What checks its certificate instead of the authorities.
    pub certificates: Option<ClientTls>,
    /// Whose demand it is, for people: `the TLSA records of mx.example`.
    pub by: String,
}

/// What is demanded of all hosts of a domain.
pub(crate) struct Demands<'a> {
    ports: &'a Ports,
    domain: &'a Domain,
    /// What the operator and the sender say.
    tls: TlsPolicy,
    wish: TlsWish,
    /// DNSSEC proves which hosts it has.
    secure: bool,
    sts: Known,
}

/// What is demanded of one host.
pub(crate) struct OfHost {
    pub(crate) tls: TlsPolicy,
    pub(crate) demand: Option<Demand>,
    pub(crate) counted: Option<Counted>,
}

impl OfHost {
    /// Of one that nobody is to be given to.
    pub(crate) fn unused() -> Self {
        Self {
            tls: TlsPolicy::Required,
            demand: None,
            counted: None,
        }
    }

    pub(crate) fn target(&self, host: &str, address: SocketAddr) -> Target {
        Target {
            host: host.to_owned(),
            address,
            tls: self.tls,
            credentials: None,
            demand: self.demand.clone(),
            counted: self.counted.clone(),
            other: None,
        }
    }
}

impl<'a> Demands<'a> {
    pub(crate) async fn of(
        ports: &'a Ports,
        domain: &'a Domain,
        tls: TlsPolicy,
        envelope: &Envelope,
        secure: bool,
    ) -> Self {
        // RFC 8689 §5: the sender would rather have it arrive.
        let sts = match &ports.sts {
            Some(sts) if envelope.tls != TlsWish::NotNeeded => sts.policy(domain).await,
            _ => Known::default(),
        };
        if let (Some(trouble), None) = (&sts.trouble, &sts.policy) {
            counted::policy_missing(ports, domain, trouble);
        }
        Self {
            ports,
            domain,
            tls,
            wish: envelope.tls,
            secure: secure && envelope.tls != TlsWish::NotNeeded,
            sts,
        }
    }

    pub(crate) fn domain(&self) -> &'a Domain {
        self.domain
    }

    /// What is demanded of this host, whose addresses DNSSEC proves or not.
    ///
    /// # Errors
    /// Mail does not go there, and why.
    pub(crate) async fn of_host(&self, host: &str, secure: bool) -> Result<OfHost, Outcome> {
        let secure = self.secure && secure;
        if secure {
            let records = self.ports.dns.tlsa(self.ports.options.port, host).await;
            // RFC 7672 §2.1.1: that nothing is known is what an attacker would do.
            let records = records.map_err(|error| {
                let text = format!("whether {host} has TLSA records cannot be known: {error}");
                let counted = Counted::by_dane(self.domain, &[]);
                counted.without_session(self.ports, ResultType::DnssecInvalid, host, &text);
                Outcome::temporary((4, 7, 5), &text)
            })?;
            if let Some(found) = self.by_dane(host, records)? {
                return Ok(found);
            }
        }
        let named = self.by_sts(host)?;
        if let Some(found) = named {
            return Ok(found);
        }
        // RFC 8689 §4.2.1: a certificate for a name that anybody may have put there
        // proves nothing.
        if self.wish == TlsWish::Required && !secure {
            let text = format!(
                "neither DNSSEC nor MTA-STS proves that {host} is a host of {}, and the sender demands REQUIRETLS",
                self.domain
            );
            return Err(Outcome::permanent(550, (5, 7, 30), &text));
        }
        Ok(OfHost {
            tls: self.tls,
            demand: None,
            counted: Some(self.counted_without_demand(host)),
        })
    }

    fn by_dane(&self, host: &str, records: Vec<Tlsa>) -> Result<Option<OfHost>, Outcome> {
        if records.is_empty() {
            return Ok(None);
        }
        let by = format!("the TLSA records of {host}");
        let usable: Vec<Tlsa> = records
            .into_iter()
            .filter(|record| record.usage().is_some())
            .collect();
        let counted = Some(Counted::by_dane(self.domain, &usable));
        if usable.is_empty() {
            // RFC 7672 §2.2: there is TLS, and no more is known of it.
            let tls = match self.tls {
                TlsPolicy::Never | TlsPolicy::Opportunistic => TlsPolicy::Required,
                stricter => stricter,
            };
            let demand = Some(Demand {
                certificates: None,
                by,
            });
            return Ok(Some(OfHost {
                tls,
                demand,
                counted,
            }));
        }
        // RFC 7672 §3.2.2: the domain's name or the host's.
        let names = [self.domain.to_ascii(), host.to_owned()];
        let certificates = ClientTls::by_dane(usable, &names).map_err(|error| {
            Outcome::temporary((4, 7, 5), &format!("TLS cannot be set up: {error}"))
        })?;
        Ok(Some(OfHost {
            tls: TlsPolicy::Verified,
            demand: Some(Demand {
                certificates: Some(certificates),
                by,
            }),
            counted,
        }))
    }

    fn by_sts(&self, host: &str) -> Result<Option<OfHost>, Outcome> {
        let Some(policy) = self.sts.policy.as_ref().filter(|p| p.mode == Mode::Enforce) else {
            return Ok(None);
        };
        let by = format!("the MTA-STS policy {} of {}", self.sts.id, self.domain);
        // RFC 8461 §5: it may be an attacker's.
        let counted = Counted::by_sts(self.domain, policy);
        if !policy.names(host) {
            let text = format!("{host} is not used: {by} does not name it");
            counted.without_session(self.ports, ResultType::ValidationFailure, host, NOT_NAMED);
            return Err(Outcome::temporary((4, 7, 0), &text));
        }
        Ok(Some(OfHost {
            tls: TlsPolicy::Verified,
            demand: Some(Demand {
                certificates: None,
                by,
            }),
            counted: Some(counted),
        }))
    }

    /// A policy that is tested demands nothing, and is counted as if it did.
    fn counted_without_demand(&self, host: &str) -> Counted {
        match &self.sts.policy {
            Some(policy) if policy.names(host) => Counted::by_sts(self.domain, policy),
            Some(policy) => {
                let result = ResultType::ValidationFailure;
                let counted = Counted::by_sts(self.domain, policy);
                counted.without_session(self.ports, result, host, NOT_NAMED);
                Counted::none(self.domain)
            }
            None => Counted::none(self.domain),
        }
    }
}

/// Why a host is not used, or would not be, for reports.
const NOT_NAMED: &str = "the policy does not name this host";
