//! The transport over `deliver`: a domain's servers, or the smart host.

use std::sync::Arc;

use deliver::{Outcome, Patience, Report, Route, TlsPolicy};
use envelope::{Address, Domain, Envelope, ReversePath, TlsWish};
use queue_model::{Party, Signal};
use sasl::Credentials;
use smtp_proto::client::Protocol;

use crate::clear::ClearSites;
use crate::detour::{DetourStatus, Detours};
use crate::ports::{Around, BoxFuture, Routes, Senders, Transport};
use crate::site::Site;
use crate::turned::TurnedSites;

/// The relay that takes all mail for elsewhere.
#[derive(Clone)]
pub struct SmartHost {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is demanded of TLS.
    pub tls: TlsPolicy,
    /// Whom to log in as.
    pub credentials: Option<Credentials>,
}

impl SmartHost {
    /// With the TLS that suits the port and the login: implicit on 465
    /// (RFC 8314 §3.3); a password goes only to a host with a good certificate,
    /// or to this machine; else what is offered.
    #[must_use]
    pub fn new(host: &str, port: u16, credentials: Option<Credentials>) -> Self {
        let ip: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let here = ip.is_some_and(|ip| ip.is_loopback()) || host == "localhost";
        let tls = match (port, &credentials) {
            (465, _) => TlsPolicy::Implicit,
            (_, Some(_)) if !here => TlsPolicy::Verified,
            _ => TlsPolicy::Opportunistic,
        };
        Self {
            host: host.to_owned(),
            port,
            tls,
            credentials,
        }
    }
}

impl From<SmartHost> for Route {
    fn from(relay: SmartHost) -> Self {
        Self {
            host: relay.host,
            port: relay.port,
            protocol: Protocol::Smtp,
            tls: relay.tls,
            credentials: relay.credentials,
        }
    }
}

/// Mail leaves by SMTP.
pub struct SmtpTransport {
    ports: deliver::Ports,
    smart_host: Option<SmartHost>,
    routes: Arc<dyn Routes>,
    turned: TurnedSites,
    clear: ClearSites,
    senders: Option<Arc<dyn Senders>>,
    detours: Detours,
}

impl SmtpTransport {
    /// A transport over these; `smart_host` is where [`Site::SmartHost`] is, `routes`
    /// know where the operator's own hosts are.
    #[must_use]
    pub fn new(
        ports: deliver::Ports,
        smart_host: Option<SmartHost>,
        routes: Arc<dyn Routes>,
    ) -> Self {
        let clear = ClearSites::new(ports.runtime.clone());
        let detours = Detours::new(ports.runtime.clone());
        Self {
            ports,
            smart_host,
            routes,
            turned: TurnedSites::default(),
            clear,
            senders: None,
            detours,
        }
    }

    /// With somebody who knows what senders leave with; without, as they are.
    #[must_use]
    pub fn with_senders(mut self, senders: Arc<dyn Senders>) -> Self {
        self.senders = Some(senders);
        self
    }

    /// With connections that are turned round.
    #[must_use]
    pub fn with_turned(mut self, turned: TurnedSites) -> Self {
        self.turned = turned;
        self
    }

    /// What is demanded of TLS, knowing what happened there before.
    fn tls(&self, site: &Site, envelope: &Envelope, demanded: TlsPolicy) -> TlsPolicy {
        match demanded {
            // RFC 8689 §4.2.1: a good certificate, and never the clear.
            TlsPolicy::Never | TlsPolicy::Opportunistic | TlsPolicy::Required
                if envelope.tls == TlsWish::Required =>
            {
                TlsPolicy::Verified
            }
            TlsPolicy::Opportunistic if self.clear.contains(site) => TlsPolicy::Never,
            demanded => demanded,
        }
    }

    /// The envelope with another sender, where one leaves. Hosts that the operator named
    /// are of the house.
    async fn as_it_leaves(&self, site: &Site, envelope: &Envelope) -> Option<Envelope> {
        let (senders, sender) = self.foreign(site, envelope)?;
        let reverse_path = ReversePath::Address(senders.leaves_as(sender).await?);
        Some(Envelope {
            reverse_path,
            ..envelope.clone()
        })
    }

    async fn tell_refusals(&self, site: &Site, envelope: &Envelope, report: &Report) {
        let Some((senders, sender)) = self.foreign(site, envelope) else {
            return;
        };
        for (recipient, outcome) in envelope.recipients.iter().zip(&report.outcomes) {
            if let Outcome::Permanent(reason) = outcome
                && reason.said_by.is_some()
            {
                let told = senders.refused(sender, &recipient.address, &reason.reply);
                told.await;
            }
        }
    }

    fn foreign<'a>(
        &'a self,
        site: &Site,
        envelope: &'a Envelope,
    ) -> Option<(&'a Arc<dyn Senders>, &'a Address)> {
        let outside = matches!(site, Site::Domain(_) | Site::From(..) | Site::SmartHost);
        let senders = self.senders.as_ref().filter(|_| outside)?;
        Some((senders, envelope.reverse_path.address()?))
    }

    async fn send(
        &self,
        site: &Site,
        envelope: &Envelope,
        message: &dyn deliver::Message,
    ) -> Report {
        if let Site::Primary(domain) = site
            && let Some(report) = self.turned.deliver(domain, envelope, message).await
        {
            return report;
        }
        let mut routes = self.routes.routes(site);
        if !routes.is_empty() {
            for route in &mut routes {
                route.tls = self.tls(site, envelope, route.tls);
            }
            let patience = match site {
                Site::Primary(_) => Patience::Primary,
                _ => Patience::Usual,
            };
            return deliver::deliver_to_hosts(&self.ports, &routes, patience, envelope, message)
                .await;
        }
        match (site, &self.smart_host) {
            (Site::Domain(domain), _) => {
                self.to_domain(&self.ports, domain, site, envelope, message)
                    .await
            }
            (Site::From(domain, sources), _) => {
                let ports = self.ports.sending_from(sources);
                self.to_domain(&ports, domain, site, envelope, message)
                    .await
            }
            (Site::Primary(domain), _) => {
                let party = self.asked_party(domain).await;
                let tls = self.tls(site, envelope, self.demanded(party.as_ref()));
                deliver::deliver_to_primary(&self.ports, domain, tls, envelope, message).await
            }
            (Site::SmartHost, Some(relay)) => {
                let mut route = Route::from(relay.clone());
                route.tls = self.tls(site, envelope, route.tls);
                let patience = Patience::Usual;
                deliver::deliver_to_hosts(&self.ports, &[route], patience, envelope, message).await
            }
            // The dispatcher was told of a site that we were not: mail waits.
            (Site::Local | Site::SmartHost | Site::Named(_), _) => {
                let text = "no way to send this is configured";
                let outcome = Outcome::temporary((4, 3, 5), text);
                Report::all(outcome, envelope.recipients.len())
            }
        }
    }
}

/// The ways to a domain.
impl SmtpTransport {
    /// Whose servers a domain has, where anything depends on it.
    async fn asked_party(&self, domain: &Domain) -> Option<Party> {
        if !self.routes.depends_on_party() {
            return None;
        }
        deliver::party_of(&self.ports, domain).await
    }

    /// What the operator demands of TLS there.
    fn demanded(&self, party: Option<&Party>) -> TlsPolicy {
        let demanded = party.and_then(|party| self.routes.tls(party));
        demanded.unwrap_or(TlsPolicy::Opportunistic)
    }

    /// To a domain's own servers, or around them.
    async fn to_domain(
        &self,
        ports: &deliver::Ports,
        domain: &Domain,
        site: &Site,
        envelope: &Envelope,
        message: &dyn deliver::Message,
    ) -> Report {
        let party = self.asked_party(domain).await;
        let tls = self.tls(site, envelope, self.demanded(party.as_ref()));
        let detour = party.and_then(|party| {
            let around = self.routes.detour(&party)?;
            Some((party, around))
        });
        let Some((party, around)) = detour else {
            return deliver::deliver_to_domain(ports, domain, tls, envelope, message).await;
        };
        let to = Addressed {
            domain,
            site,
            tls,
            message,
        };
        if self.detours.goes_around(&party) {
            return self.around(around, to, envelope).await;
        }
        let mut report = deliver::deliver_to_domain(ports, domain, tls, envelope, message).await;
        let is_refused = |place: &usize| is_unwanted(&report.outcomes[*place]);
        let refused: Vec<usize> = (0..report.outcomes.len()).filter(is_refused).collect();
        let Some(first) = refused.first() else {
            let taken = report.outcomes.iter().any(Outcome::is_delivered);
            if taken && self.detours.accepted(&party) {
                tracing::info!(%party, "takes our mail again; it goes the direct way");
            }
            return report;
        };
        let said = report.outcomes[*first].reply().to_line();
        if self.detours.refused(&party, &said) {
            let by = around.to_string();
            tracing::warn!(%party, %said, %by, "our mail is not wanted there; it makes a detour");
        }
        let recipients = refused.iter().map(|&at| envelope.recipients[at].clone());
        let rest = Envelope {
            recipients: recipients.collect(),
            ..envelope.clone()
        };
        let around = self.around(around, to, &rest).await;
        let told = around.outcomes.into_iter().zip(around.reported_there);
        for (at, (outcome, reported_there)) in refused.into_iter().zip(told) {
            report.outcomes[at] = outcome;
            report.reported_there[at] = reported_there;
        }
        report.host = around.host;
        report.address = around.address;
        report
    }

    async fn around(&self, around: Around, to: Addressed<'_>, envelope: &Envelope) -> Report {
        let mut route = match around {
            Around::By(route) => route,
            Around::From(sources) => {
                let ports = self.ports.sending_from(&sources);
                let (domain, tls) = (to.domain, to.tls);
                return deliver::deliver_to_domain(&ports, domain, tls, envelope, to.message).await;
            }
        };
        // What is known of the site's TLS says nothing of the relay's.
        if envelope.tls == TlsWish::Required {
            route.tls = self.tls(to.site, envelope, route.tls);
        }
        let routes = [route];
        let patience = Patience::Usual;
        let mut report =
            deliver::deliver_to_hosts(&self.ports, &routes, patience, envelope, to.message).await;
        report.tls_failed = false;
        report
    }
}

/// Where a message goes, and how, if nothing is in the way.
#[derive(Clone, Copy)]
struct Addressed<'a> {
    domain: &'a Domain,
    site: &'a Site,
    tls: TlsPolicy,
    message: &'a dyn deliver::Message,
}

/// A server's own word that it does not like who sends.
fn is_unwanted(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Delivered(_) => false,
        Outcome::Temporary(reason) | Outcome::Permanent(reason) => {
            reason.said_by.is_some() && Signal::of(&reason.reply) == Signal::Reputation
        }
    }
}

impl Transport for SmtpTransport {
    fn deliver<'a>(
        &'a self,
        site: &'a Site,
        envelope: &'a Envelope,
        message: &'a dyn deliver::Message,
    ) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let left = self.as_it_leaves(site, envelope).await;
            let left = left.as_ref().unwrap_or(envelope);
            let report = self.send(site, left, message).await;
            self.tell_refusals(site, envelope, &report).await;
            let taken = report.outcomes.iter().any(Outcome::is_delivered);
            if report.tls_failed && !report.tls && taken {
                self.clear.remember(site);
            }
            report
        })
    }

    fn detours(&self) -> Vec<DetourStatus> {
        self.detours.status()
    }

    fn party<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, Option<Party>> {
        Box::pin(async move {
            // Where the first is not reached, those behind it have their own limits.
            if let Some(route) = self.routes.routes(site).first() {
                return Some(deliver::party_of_route(route));
            }
            match (site, &self.smart_host) {
                (Site::Domain(domain) | Site::From(domain, _) | Site::Primary(domain), _) => {
                    let party = deliver::party_of(&self.ports, domain).await?;
                    let gone_around = self.detours.is_known(&party);
                    match self.routes.detour(&party).filter(|_| gone_around) {
                        Some(Around::By(route)) => Some(deliver::party_of_route(&route)),
                        Some(Around::From(_)) | None => Some(party),
                    }
                }
                (Site::SmartHost, Some(relay)) => {
                    Some(deliver::party_of_route(&Route::from(relay.clone())))
                }
                (Site::Local | Site::SmartHost | Site::Named(_), _) => None,
            }
        })
    }
}
