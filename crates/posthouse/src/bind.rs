//! Ports that one crate declares and another fulfils.

use bounces::{Certainty, Returns, Suppressed};
use bytes::BytesMut;
use deliver::{Outcome, Protocol, Reason, Route, TlsPolicy};
use directory::Directory;
use dispatch::{
    Around, BoxFuture, Local, LocalCopy, NotTurned, Routes, Senders, Site, SiteLimits, SmartHost,
    Together, Way,
};
use engine::{Batch, CommitNo};
use envelope::{AccountId, Address, Domain, Reply};
use intake::{Alongside, Intake, Queued};
use policy::primary::{Known, Primary};
use policy::rules::{Asked, CurrentRules, DomainWay, Login, Origin, domain_way};
use queue::{Message, QueueError};
use queue_model::{Cause, Party};
use runtime::net::Conn;
use sasl::Credentials;
use settings::rules::{Question, Rules, Server, SiteRule, Transport, TransportKind, TransportTls};
use smtp_server::{TurnRefusal, UrlOctets, UrlRefusal};
use std::net::IpAddr;
use std::sync::Arc;

/// Which way mail goes, by the rules in force.
pub(crate) struct RoutesByRules {
    pub(crate) rules: CurrentRules,
    pub(crate) directory: Directory,
}

impl Routes for RoutesByRules {
    fn relay_lifetime_ms(&self, domain: &Domain) -> Option<u64> {
        let relay = self.rules.relay_domain(domain)?;
        Some(u64::try_from(relay.lifetime.as_millis()).unwrap_or(u64::MAX))
    }

    fn way(&self, domain: &Domain) -> Option<Way> {
        let rules = self.rules.get();
        if rules.relay_domains.contains_key(domain) {
            return Some(Way::Primary);
        }
        match domain_way(&rules, domain) {
            DomainWay::Usual => Some(Way::Usual),
            DomainWay::All(way) => Some(way_of(way)),
            DomainWay::ByMessage => None,
        }
    }

    fn way_of<'a>(&'a self, domain: &'a Domain, message: &'a Message) -> BoxFuture<'a, Way> {
        Box::pin(async move {
            let rules = self.rules.get();
            let mut recipients = message.envelope.recipients.iter();
            let there = recipients.find(|recipient| recipient.address.domain() == domain);
            let (Some(there), false) = (there, rules.relay_domains.contains_key(domain)) else {
                return self.way(domain).unwrap_or(Way::Usual);
            };
            let origin = Origin {
                ip: message.origin.client_ip,
                helo: String::new(),
                sender: message.envelope.reverse_path.clone(),
                login: self.login(message).await,
            };
            let asked = Asked {
                origin: &origin,
                recipient: &there.address,
                size: Some(message.size()),
                recipients: 1,
            };
            let rule = policy::rules::first(&rules, Question::Way, &asked);
            let way = rule.and_then(|rule| rule.then.way());
            way.map_or(Way::Usual, way_of)
        })
    }

    fn routes(&self, site: &Site) -> Vec<Route> {
        let rules = self.rules.get();
        let names: &[String] = match site {
            Site::Named(names) => names,
            Site::Primary(domain) => match rules.relay_domains.get(domain) {
                Some(relay) => &relay.via,
                None => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let known = names
            .iter()
            .filter_map(|name| rules.transports.get(name)?.server());
        known.map(route_to).collect()
    }

    fn sources(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        match self.rules.get().transports.get(name)? {
            Transport::Direct(sources) => Some(sources.as_slice().into()),
            Transport::Server(_) | Transport::Gateway(_) => None,
        }
    }

    fn depends_on_party(&self) -> bool {
        let rules = self.rules.get();
        let mut sites = rules.sites.iter();
        sites.any(|site| site.detour.is_some() || site.tls.is_some())
    }

    fn tls(&self, party: &Party) -> Option<TlsPolicy> {
        site_tls(&self.rules.get(), party)
    }

    fn detour(&self, party: &Party) -> Option<Around> {
        let rules = self.rules.get();
        let mut sites = rules.sites.iter().filter(|site| fits(site, party));
        let name = sites.find_map(|site| site.detour.as_ref())?;
        match rules.transports.get(name)? {
            Transport::Server(server) => Some(Around::By(route_to(server))),
            Transport::Direct(sources) => Some(Around::From(sources.as_slice().into())),
            Transport::Gateway(_) => None,
        }
    }

    fn limits(&self, party: &Party, usual: SiteLimits) -> SiteLimits {
        site_limits(&self.rules.get(), party, usual)
    }
}

/// Whether a rule is about a party.
fn fits(site: &SiteRule, party: &Party) -> bool {
    let named = party.hosts().any(|host| {
        // A pattern has an address in brackets, a transport has it without.
        let literal = format!("[{host}]");
        let mut patterns = site.hosts.iter();
        patterns.any(|pattern| pattern.fits(host) || pattern.fits(&literal))
    });
    named || site.hosts.is_empty()
}

/// What the rules demand of a party's TLS.
pub(crate) fn site_tls(rules: &Rules, party: &Party) -> Option<TlsPolicy> {
    let mut sites = rules.sites.iter().filter(|site| fits(site, party));
    sites.find_map(|site| site.tls).map(tls_of)
}

/// What the rules say of a party; for each value the first that fits and has it counts.
fn site_limits(rules: &Rules, party: &Party, usual: SiteLimits) -> SiteLimits {
    let said = |value: fn(&SiteRule) -> Option<u64>| {
        let mut sites = rules.sites.iter().filter(|site| fits(site, party));
        sites.find_map(value)
    };
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    SiteLimits {
        connections: said(|site| site.connections).map_or(usual.connections, small),
        messages_per_connection: said(|site| site.messages_per_connection)
            .map_or(usual.messages_per_connection, |n| small(n) as usize),
        messages_per_minute: match said(|site| site.messages_per_minute) {
            Some(0) => None,
            Some(n) => Some(small(n)),
            None => usual.messages_per_minute,
        },
        chunking: rules
            .sites
            .iter()
            .filter(|site| fits(site, party))
            .find_map(|site| site.chunking)
            .unwrap_or(usual.chunking),
    }
}

impl RoutesByRules {
    /// Who had logged in; nobody where the account has gone, or cannot be read now.
    async fn login(&self, message: &Message) -> Login {
        let Some(id) = message.origin.account else {
            return Login::Nobody;
        };
        match self.directory.account(id).await {
            Ok(Some(account)) => Login::Account(account.address),
            _ => Login::Nobody,
        }
    }
}

/// Asks the primaries of relay domains about recipients.
pub(crate) struct PrimaryByDeliver {
    pub(crate) rules: CurrentRules,
    pub(crate) ports: deliver::Ports,
}

impl std::fmt::Debug for PrimaryByDeliver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrimaryByDeliver").finish_non_exhaustive()
    }
}

impl Primary for PrimaryByDeliver {
    fn ask<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Known> {
        Box::pin(async move {
            let rules = self.rules.get();
            let relay = rules.relay_domains.get(address.domain());
            let names = relay.map_or(&[][..], |relay| &relay.via);
            let routes = names
                .iter()
                .filter_map(|name| rules.transports.get(name)?.server());
            let mut routes: Vec<Option<Route>> = routes.map(|t| Some(route_to(t))).collect();
            if routes.is_empty() {
                routes.push(None);
            }
            let mut unsure = String::new();
            for route in &routes {
                match deliver::ask_primary(&self.ports, route.as_ref(), address).await {
                    deliver::Known::Yes => return Known::Yes,
                    deliver::Known::No(reply) => return Known::No(reply),
                    deliver::Known::Unsure(why) => unsure = why,
                }
            }
            Known::Unsure(unsure)
        })
    }
}

/// Connections that are turned round go to the dispatcher.
#[derive(Debug)]
pub(crate) struct TurnByDispatch(pub(crate) dispatch::Turning);

impl smtp_server::Turn for TurnByDispatch {
    fn begin<'a>(
        &'a self,
        domains: &'a [Domain],
    ) -> BoxFuture<'a, Result<Box<dyn smtp_server::Turning>, TurnRefusal>> {
        Box::pin(async move {
            match self.0.begin(domains).await {
                Ok(fetch) => {
                    Ok(Box::new(TurningByDispatch(fetch)) as Box<dyn smtp_server::Turning>)
                }
                Err(NotTurned::NoMail) => Err(TurnRefusal::NoMail),
                Err(NotTurned::Busy) => Err(TurnRefusal::Busy),
                Err(NotTurned::Trouble(error)) => {
                    tracing::error!(%error, "ATRN: the queue cannot be read");
                    Err(TurnRefusal::Trouble)
                }
            }
        })
    }
}

struct TurningByDispatch(dispatch::Fetch);

impl smtp_server::Turning for TurningByDispatch {
    fn run(self: Box<Self>, conn: Conn, input: BytesMut, host: String) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.0.run(conn, input, &host).await })
    }
}

fn way_of(way: &settings::rules::Way) -> Way {
    match way {
        settings::rules::Way::Mx => Way::Mx,
        settings::rules::Way::Transports(names) => Way::Transports(names.as_slice().into()),
    }
}

/// How a server of the rules file is spoken to.
pub(crate) fn route_to(transport: &Server) -> Route {
    let credentials = transport.user.as_ref().map(|user| Credentials {
        authorization: None,
        login: user.clone(),
        password: transport.password.clone(),
    });
    let usual = SmartHost::new(&transport.host, transport.port, credentials);
    let tls = match transport.tls {
        None => usual.tls,
        Some(tls) => tls_of(tls),
    };
    Route {
        host: usual.host,
        port: usual.port,
        protocol: match transport.kind {
            TransportKind::Lmtp => Protocol::Lmtp,
            _ => Protocol::Smtp,
        },
        tls,
        credentials: usual.credentials,
    }
}

fn tls_of(tls: TransportTls) -> TlsPolicy {
    match tls {
        TransportTls::Never => TlsPolicy::Never,
        TransportTls::Opportunistic => TlsPolicy::Opportunistic,
        TransportTls::Required => TlsPolicy::Required,
        TransportTls::Verified => TlsPolicy::Verified,
        TransportTls::Implicit => TlsPolicy::Implicit,
    }
}

/// Our users' senders leave with a tag where that is wished for, and what other servers
/// refuse of their mail for good is remembered.
#[derive(Debug)]
pub(crate) struct SendersByBounces {
    pub(crate) directory: Directory,
    /// Where senders are tagged.
    pub(crate) returns: Option<Returns>,
    pub(crate) suppressed: Suppressed,
}

impl SendersByBounces {
    /// A sender of one of our domains, as a user has it.
    async fn is_ours(&self, sender: &Address) -> bool {
        if Returns::has_form(sender) || Returns::has_tag(sender) {
            return false;
        }
        match self.directory.is_local_domain(sender.domain()).await {
            Ok(ours) => ours,
            Err(error) => {
                tracing::warn!(%sender, %error, "it is not known whether a sender is ours");
                false
            }
        }
    }
}

impl Senders for SendersByBounces {
    fn leaves_as<'a>(&'a self, sender: &'a Address) -> BoxFuture<'a, Option<Address>> {
        Box::pin(async move {
            let returns = self.returns.as_ref()?;
            if !self.is_ours(sender).await {
                return None;
            }
            let tagged = returns.maker().await?.tagged(sender);
            if let Err(why) = &tagged {
                tracing::info!(%sender, %why, "a sender leaves without its tag");
            }
            tagged.ok()
        })
    }

    fn refused<'a>(
        &'a self,
        sender: &'a Address,
        recipient: &'a Address,
        reply: &'a Reply,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let cause = Cause::of(reply);
            if cause != Cause::NoSuchMailbox || !self.is_ours(sender).await {
                return;
            }
            let status = reply.enhanced.map(|s| (s.class, s.subject, s.detail));
            let certainty = match status {
                Some((5, 1, 1)) => Certainty::Clear,
                _ => Certainty::Likely,
            };
            let said = reply.to_line();
            let noted = self.suppressed.refused(recipient, certainty, &said);
            if let Err(error) = noted.await {
                tracing::warn!(%recipient, %error, "that an address was refused is not noted");
            }
        })
    }
}

/// Queued mail for people here goes back through the intake.
pub(crate) struct LocalByIntake {
    pub(crate) intake: Intake,
    pub(crate) directory: Directory,
}

impl Local for LocalByIntake {
    fn is_local<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match self.directory.is_local_domain(domain).await {
                Ok(local) => local,
                Err(error) => {
                    tracing::warn!(%domain, %error, "it is not known whether a domain is ours");
                    // The local way answers with a temporary failure then: mail waits, it does not leave.
                    true
                }
            }
        })
    }

    fn deliver<'a>(
        &'a self,
        copy: LocalCopy<'a>,
        together: &'a mut dyn Together,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut part = QueuePart(together);
            outcome(self.intake.deliver_queued(queued(copy), &mut part).await)
        })
    }

    fn set_aside<'a>(
        &'a self,
        copy: LocalCopy<'a>,
        reason: &'a str,
        together: &'a mut dyn Together,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut part = QueuePart(together);
            let intake = &self.intake;
            outcome(intake.set_aside(queued(copy), reason, &mut part).await)
        })
    }
}

fn queued(copy: LocalCopy<'_>) -> Queued<'_> {
    Queued {
        id: copy.id,
        shard: copy.shard,
        message: copy.message,
        recipient: copy.recipient,
    }
}

fn outcome(delivered: Result<(), Reply>) -> Outcome {
    match delivered {
        Ok(()) => Outcome::Delivered(Reply::enhanced(250, (2, 1, 5), "delivered")),
        Err(reply) => refused(reply),
    }
}

/// The reply that a server would have given, as the outcome of an attempt.
fn refused(reply: Reply) -> Outcome {
    let permanent = reply.is_permanent();
    let reason = Reason {
        reply,
        said_by: None,
    };
    if permanent {
        Outcome::Permanent(reason)
    } else {
        Outcome::Temporary(reason)
    }
}

/// The dispatcher's part of a commit, as the intake wants it.
struct QueuePart<'a>(&'a mut dyn Together);

impl Alongside for QueuePart<'_> {
    fn stage(&mut self, batch: &mut Batch) -> Result<(), QueueError> {
        self.0.stage(batch)
    }

    fn submitted(&mut self, commit: CommitNo) {
        self.0.submitted(commit);
    }

    fn commit(&mut self) -> BoxFuture<'_, bool> {
        self.0.commit()
    }
}

/// What BURL names lies in the mailboxes that the IMAP face serves.
#[derive(Debug)]
pub(crate) struct UrlsByImap(pub(crate) imap_server::Urls);

impl smtp_server::Urls for UrlsByImap {
    fn open<'a>(
        &'a self,
        url: &'a str,
        account: AccountId,
    ) -> policy::primary::BoxFuture<'a, Result<Box<dyn UrlOctets>, UrlRefusal>> {
        use imap_server::{UrlError, UrlReader};
        Box::pin(async move {
            match self.0.open(url, UrlReader::Submission(account)).await {
                Ok(body) => Ok(Box::new(OctetsByImap(body)) as Box<dyn UrlOctets>),
                Err(UrlError::Invalid(why)) => Err(UrlRefusal::Invalid(why)),
                Err(UrlError::Elsewhere) => Err(UrlRefusal::Elsewhere),
                Err(UrlError::Refused) => Err(UrlRefusal::Refused),
                Err(UrlError::Unavailable(error)) => {
                    tracing::error!(%account, %error, "a URL cannot be read");
                    Err(UrlRefusal::Trouble)
                }
            }
        })
    }
}

struct OctetsByImap(imap_server::UrlBody);

impl UrlOctets for OctetsByImap {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn next_piece(&mut self) -> policy::primary::BoxFuture<'_, Option<bytes::Bytes>> {
        Box::pin(async {
            self.0.next_piece().await.unwrap_or_else(|error| {
                tracing::error!(%error, "what a URL names cannot be read to its end");
                None
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_site_that_has_a_value_says_it() {
        let text = "[[site]]\nhosts = \".big.example\"\nconnections = 3\n\
                    [[site]]\nhosts = [\"a.big.example\", \"[10.0.0.5]\"]\nconnections = 7\nmessages_per_minute = 0\n\
                    messages_per_connection = 2\nchunking = false\n";
        let rules = Rules::parse(text).expect("good rules");
        let usual = SiteLimits {
            messages_per_minute: Some(60),
            ..SiteLimits::default()
        };
        let chunking = |host| site_limits(&rules, &Party::of_host(host, 25), usual).chunking;
        assert!(chunking("b.big.example") && !chunking("a.big.example"));
        let of = |party: &Party| {
            let limits = site_limits(&rules, party, usual);
            (
                limits.connections,
                limits.messages_per_connection,
                limits.messages_per_minute,
            )
        };
        assert_eq!(
            of(&Party::of_mx([(1, "a.big.example"), (1, "b.else.example")])),
            (3, 2, None)
        );
        assert_eq!(
            of(&Party::of_mx([(1, "b.big.example")])),
            (3, 100, Some(60))
        );
        assert_eq!(of(&Party::of_host("10.0.0.5", 25)), (7, 2, None));
        assert_eq!(of(&Party::of_mx([(1, "big.example")])), (20, 100, Some(60)));
    }
}
