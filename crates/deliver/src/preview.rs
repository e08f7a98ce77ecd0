//! Where an attempt would go, without making it: for people who ask why.
//!
//! Not here: the attempt itself (`transport`), which looks up and checks the same.

use std::net::{IpAddr, SocketAddr};

use envelope::{Domain, Envelope, ReversePath};
use resolver::{AddressAnswer, Mx, Proved};

use crate::demands::Demands;
use crate::destination::{Refusal, check_not_ourselves, check_public};
use crate::transport::{hosts_of, is_own_name};
use crate::{Outcome, Patience, Ports, TlsPolicy};

/// A host of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Of its MX record; hosts of the same one are tried in any order.
    pub preference: u16,
    /// Its name.
    pub host: String,
    /// Its addresses, each with the reason why it is not used, if there is one.
    pub addresses: Vec<(IpAddr, Option<String>)>,
    /// Who demands good TLS of it beside the operator: `the TLSA records of …`.
    pub demanded_by: Option<String>,
    /// Why there are no addresses, or why the host is left out.
    pub unused: Option<String>,
}

/// A domain's hosts, best first, with what is demanded of them.
///
/// # Errors
/// What an attempt would end with, before it comes to a host.
pub async fn preview(
    ports: &Ports,
    domain: &Domain,
    patience: Patience,
) -> Result<Vec<Hop>, Outcome> {
    let found = hosts_of(ports, domain).await?;
    let envelope = Envelope::new(ReversePath::Null);
    let tls = TlsPolicy::Opportunistic;
    let demands = Demands::of(ports, domain, tls, &envelope, found.secure).await;
    Ok(hops(ports, domain, found.answer, patience, Some(&demands)).await)
}

/// The same without the demands: no message goes there, and nobody waits for a policy.
pub(crate) async fn hosts_to_ask(
    ports: &Ports,
    domain: &Domain,
    patience: Patience,
) -> Result<Vec<Hop>, Outcome> {
    let found = hosts_of(ports, domain).await?;
    Ok(hops(ports, domain, found.answer, patience, None).await)
}

async fn hops(
    ports: &Ports,
    domain: &Domain,
    mut found: Vec<Mx>,
    patience: Patience,
    demands: Option<&Demands<'_>>,
) -> Vec<Hop> {
    found.sort_by(|one, other| (one.preference, &one.host).cmp(&(other.preference, &other.host)));
    let mut hops = Vec::with_capacity(found.len());
    let mut ours: Option<u16> = None;
    for mx in found {
        let mut hop = Hop {
            preference: mx.preference,
            host: mx.host,
            addresses: Vec::new(),
            demanded_by: None,
            unused: None,
        };
        match addresses(ports, domain, &hop.host).await {
            Ok(all) => {
                if let Some(demands) = demands {
                    match demands.of_host(&hop.host, all.secure).await {
                        Ok(of) => hop.demanded_by = of.demand.map(|demand| demand.by),
                        Err(outcome) => hop.unused = Some(outcome.reply().text()),
                    }
                }
                for ip in all.answer {
                    let address = SocketAddr::new(ip, ports.options.port);
                    let checked = match patience {
                        Patience::Usual => check_public(&ports.options, address),
                        Patience::Primary => check_not_ourselves(&ports.options, address),
                    };
                    if checked == Err(Refusal::Ourselves) {
                        ours.get_or_insert(hop.preference);
                    }
                    hop.addresses
                        .push((ip, checked.err().map(|refusal| refusal.to_string())));
                }
            }
            Err(why) => hop.unused = Some(why),
        }
        if patience == Patience::Primary && is_own_name(ports, &hop.host) {
            ours.get_or_insert(hop.preference);
        }
        hops.push(hop);
    }
    // RFC 5321 §5.1
    for hop in &mut hops {
        if ours.is_some_and(|ours| hop.preference >= ours) {
            let why = "it is this server, or as good as it in the list, or worse";
            hop.unused = Some(why.to_owned());
        }
    }
    hops
}

async fn addresses(
    ports: &Ports,
    domain: &Domain,
    host: &str,
) -> Result<Proved<Vec<IpAddr>>, String> {
    if let Some(ip) = domain.literal_ip() {
        return Ok(Proved {
            answer: vec![ip],
            secure: false,
        });
    }
    let found = ports.dns.proved_addresses(host).await;
    let found = found.map_err(|error| error.to_string())?;
    match found.answer {
        AddressAnswer::Addresses(answer) => Ok(Proved {
            answer,
            secure: found.secure,
        }),
        AddressAnswer::None | AddressAnswer::NxDomain => Err("it has no address".to_owned()),
    }
}
