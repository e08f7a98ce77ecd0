//! What a client says it is: HELO and EHLO.
//!
//! | finding | when | default |
//! |---|---|---|
//! | `helo-own-name` | our name or address, from somebody else | refuse, at once |
//! | `helo-syntax` | neither a name with a dot nor an address literal (RFC 5321 §4.1.2) | mark |
//! | `helo-literal` | the literal of an address that is not the client's | mark |
//! | `helo-mismatch` | a name that is not the reverse name and does not lead to the client | mark |
//!
//! RFC 5321 §4.1.4 would have no message refused for a name that doesn't fit;
//! so nothing but our own name is refused unless the operator says so.

use std::sync::Arc;

use envelope::{Domain, Reply};
use resolver::AddressAnswer;

use super::{Action, Asked, BoxFuture, Check, Finding, IpRev, Manner, Mode, Names, Phase, Verdict};
use crate::limits::{DNS_PATIENCE, MARK_POINTS};

/// What a client said it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The argument: printable ASCII.
    pub name: String,
    /// The argument as a domain or address literal, where it is one.
    pub domain: Option<Domain>,
}

/// A stranger's server that says it is us lies.
#[derive(Debug)]
pub struct OwnName {
    /// What it leads to.
    pub mode: Mode,
    /// Our name.
    pub host: Option<Domain>,
}

impl Check for OwnName {
    fn name(&self) -> &'static str {
        "helo-own-name"
    }

    fn phase(&self) -> Phase {
        Phase::Hello
    }

    fn manner(&self) -> Manner {
        Manner::Immediate
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        let (client, server) = (asked.client(), asked.session.server_ip.to_canonical());
        let ours = asked.hello.and_then(|hello| hello.domain.as_ref());
        let ours = ours.is_some_and(|domain| {
            Some(domain) == self.host.as_ref() || literal(domain) == Some(server)
        });
        let verdict = if ours && client != server && !client.is_loopback() {
            let text = "that is our own name, not yours";
            Verdict::found(
                Finding::new(self.name(), MARK_POINTS, text),
                self.mode,
                Action::RefuseNow(Reply::enhanced(550, (5, 7, 1), text)),
            )
        } else {
            Verdict::pass()
        };
        Box::pin(std::future::ready(verdict))
    }
}

/// A name must be one.
#[derive(Debug)]
pub struct Syntax {
    /// What it leads to.
    pub mode: Mode,
}

impl Check for Syntax {
    fn name(&self) -> &'static str {
        "helo-syntax"
    }

    fn phase(&self) -> Phase {
        Phase::Hello
    }

    fn manner(&self) -> Manner {
        Manner::Immediate
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        let verdict = match asked.hello {
            Some(hello) if !is_fit(hello) => Verdict::found(
                Finding::new(self.name(), MARK_POINTS, hello.name.clone()),
                self.mode,
                Action::Refuse(Reply::enhanced(
                    550,
                    (5, 7, 1),
                    &format!(
                        "your server calls itself {:?} (HELO), which is no full host name; \
                         give it the name that its address has in the DNS",
                        hello.name
                    ),
                )),
            ),
            _ => Verdict::pass(),
        };
        Box::pin(std::future::ready(verdict))
    }
}

fn is_fit(hello: &Hello) -> bool {
    hello.domain.as_ref().is_some_and(|domain| {
        let name = domain.as_str();
        // `192.0.2.1` without brackets is a name by its letters only.
        domain.literal_ip().is_some()
            || name.contains('.') && name.parse::<std::net::Ipv4Addr>().is_err()
    })
}

/// An address literal must be the client's.
#[derive(Debug)]
pub struct Literal {
    /// What it leads to.
    pub mode: Mode,
}

impl Check for Literal {
    fn name(&self) -> &'static str {
        "helo-literal"
    }

    fn phase(&self) -> Phase {
        Phase::Hello
    }

    fn manner(&self) -> Manner {
        Manner::Immediate
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        let domain = asked.hello.and_then(|hello| hello.domain.as_ref());
        let verdict = match domain.and_then(|domain| Some((domain, literal(domain)?))) {
            Some((domain, address)) if address != asked.client() => Verdict::found(
                Finding::new(self.name(), MARK_POINTS, domain.to_ascii()),
                self.mode,
                Action::Refuse(Reply::enhanced(
                    550,
                    (5, 7, 1),
                    &format!(
                        "your server calls itself {} (HELO) and comes from {}; \
                         give it its own name or address",
                        domain.to_ascii(),
                        asked.client_literal()
                    ),
                )),
            ),
            _ => Verdict::pass(),
        };
        Box::pin(std::future::ready(verdict))
    }
}

/// A name should be that of the client's address: its reverse name, or one that
/// leads to it.
#[derive(Debug)]
pub struct Mismatch {
    /// What it leads to.
    pub mode: Mode,
    /// The DNS.
    pub names: Arc<dyn Names>,
}

impl Check for Mismatch {
    fn name(&self) -> &'static str {
        "helo-mismatch"
    }

    fn phase(&self) -> Phase {
        Phase::Hello
    }

    fn manner(&self) -> Manner {
        // After iprev, whose answer spares it most questions.
        Manner::InTurn(DNS_PATIENCE)
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(self.compare(asked))
    }
}

impl Mismatch {
    async fn compare(&self, asked: Asked<'_>) -> Verdict {
        let fit = asked.hello.filter(|hello| is_fit(hello));
        let Some(domain) = fit.and_then(|hello| hello.domain.as_ref()) else {
            return Verdict::pass();
        };
        let name = domain.to_ascii();
        let reverse = asked.evidence.iprev().and_then(IpRev::name);
        if domain.literal_ip().is_some() || reverse.is_some_and(|r| r.eq_ignore_ascii_case(&name)) {
            return Verdict::pass();
        }
        let leads = match self.names.addresses(&name).await {
            Ok(AddressAnswer::Addresses(all)) => {
                let mut all = all.iter().map(|ip| ip.to_canonical());
                all.any(|ip| ip == asked.client())
            }
            Ok(AddressAnswer::None | AddressAnswer::NxDomain) => false,
            // What nobody can say now is not held against anybody.
            Err(_) => true,
        };
        if leads {
            return Verdict::pass();
        }
        Verdict::found(
            Finding::new(self.name(), MARK_POINTS, name.clone()),
            self.mode,
            Action::Refuse(Reply::enhanced(
                550,
                (5, 7, 25),
                &format!(
                    "your server calls itself {name} (HELO), but that name does not lead to {}; \
                     correct the one or the other",
                    asked.client_literal()
                ),
            )),
        )
    }
}

fn literal(domain: &Domain) -> Option<std::net::IpAddr> {
    domain.literal_ip().map(|ip| ip.to_canonical())
}
