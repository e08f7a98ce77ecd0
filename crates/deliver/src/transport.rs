//! From a domain to addresses, and from one address to the next.
//!
//! RFC 5321 §5.1 (MX, preference, fall-back), RFC 7505 (null MX). Hosts of equal
//! preference are tried in random order, IPv6 before IPv4.

use std::net::{IpAddr, SocketAddr};

use envelope::{Domain, Envelope};
use queue_model::Party;
use resolver::{AddressAnswer, Mx, MxAnswer, Proved};
use runtime::Runtime;
use smtp_proto::client::Protocol;

use crate::demands::{Demands, OfHost};
use crate::destination::{Refusal, check_not_ourselves, check_public};
use crate::limits::{ADDRESSES_MAX, ADDRESSES_PER_HOST_MAX, MX_MAX};
use crate::smtp::{Attempt, Next};
use crate::{Message, Outcome, Ports, Report, Route, Target, TlsPolicy};

/// Delivers to a domain's own servers; `tls` as it is demanded of each.
pub async fn deliver_to_domain(
    ports: &Ports,
    domain: &Domain,
    tls: TlsPolicy,
    envelope: &Envelope,
    message: &dyn Message,
) -> Report {
    let mut attempt = Attempt::new(envelope, message);
    if attempt.probe().await {
        match hosts_of(ports, domain).await {
            Ok(hosts) => {
                attempt.at(party(&hosts.answer, ports));
                let demands = Demands::of(ports, domain, tls, envelope, hosts.secure).await;
                Box::pin(try_hosts(ports, &demands, &hosts.answer, &mut attempt)).await;
            }
            Err(failure) => attempt.note(failure),
        }
    }
    attempt.finish()
}

/// Delivers to the primary of a domain that we are a backup of, by its MX records.
///
/// The operator has chosen the domain, so its hosts may be private; and nothing
/// but the primary's own word ends a message: names that are gone, or records
/// that lead to nobody but us, may be put right within weeks.
pub async fn deliver_to_primary(
    ports: &Ports,
    domain: &Domain,
    tls: TlsPolicy,
    envelope: &Envelope,
    message: &dyn Message,
) -> Report {
    let mut attempt = Attempt::new(envelope, message).waits_for_primary();
    if attempt.probe().await {
        match hosts_of(ports, domain).await {
            Ok(hosts) => {
                attempt.at(party(&hosts.answer, ports));
                let demands = Demands::of(ports, domain, tls, envelope, hosts.secure).await;
                Box::pin(try_primary(ports, &demands, &hosts.answer, &mut attempt)).await;
            }
            Err(failure) => attempt.note(failure),
        }
    }
    attempt.finish()
}

/// Whose servers take a domain's mail; none where that cannot be said now. The
/// resolver remembers what it was asked, so that an attempt behind it asks nobody again.
pub async fn party_of(ports: &Ports, domain: &Domain) -> Option<Party> {
    let hosts = hosts_of(ports, domain).await.ok()?;
    Some(party(&hosts.answer, ports))
}

/// Whose server a host that the operator named is.
#[must_use]
pub fn party_of_route(route: &Route) -> Party {
    Party::of_host(&route.host, route.port)
}

fn party(hosts: &[Mx], ports: &Ports) -> Party {
    let own = |mx: &&Mx| !is_own_name(ports, &mx.host);
    let hosts = hosts.iter().filter(own);
    Party::of_mx(hosts.map(|mx| (mx.preference, mx.host.as_str())))
}

/// What ends an attempt for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Whatever is known to be permanent.
    Usual,
    /// Nothing but the server's word about the message or a recipient: it is the
    /// primary of a domain that we are a backup of.
    Primary,
}

/// Delivers to a host that the operator named (a smart host, a relay domain's
/// host, an LMTP server); it may be private, but not one of our own listeners.
/// Where the first of `routes` is not reached or turns us away, the next one is
/// tried, as with the hosts of a domain: what one has said of a recipient is not
/// asked of another, and what it may have taken is not sent twice.
pub async fn deliver_to_hosts(
    ports: &Ports,
    routes: &[Route],
    patience: Patience,
    envelope: &Envelope,
    message: &dyn Message,
) -> Report {
    let mut attempt = Attempt::new(envelope, message);
    if patience == Patience::Primary {
        attempt = attempt.waits_for_primary();
    }
    if attempt.probe().await {
        for route in routes {
            if Box::pin(try_host(ports, route, &mut attempt)).await == Next::Done {
                break;
            }
        }
    }
    attempt.finish()
}

async fn try_host(ports: &Ports, route: &Route, attempt: &mut Attempt<'_>) -> Next {
    attempt.at(party_of_route(route));
    let answer = match route.host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => Ok(AddressAnswer::Addresses(vec![ip])),
        Err(_) => ports.dns.addresses(&route.host).await,
    };
    let why = match answer {
        Ok(AddressAnswer::Addresses(addresses)) => {
            let addresses = in_order(&ports.runtime, addresses);
            return try_route(ports, route, addresses, attempt).await;
        }
        Ok(AddressAnswer::None) => format!("{} has no address", route.host),
        Ok(AddressAnswer::NxDomain) => format!("{} does not exist", route.host),
        Err(error) => error.to_string(),
    };
    // The operator's own setting: mail waits until it is put right.
    attempt.note(Outcome::temporary((4, 4, 3), &why));
    Next::Another
}

async fn try_route(
    ports: &Ports,
    route: &Route,
    addresses: Vec<IpAddr>,
    attempt: &mut Attempt<'_>,
) -> Next {
    for ip in addresses {
        let target = Target {
            host: route.host.clone(),
            address: SocketAddr::new(ip, route.port),
            tls: route.tls,
            credentials: route.credentials.clone(),
            demand: None,
            counted: None,
            other: None,
        };
        let next = match check_not_ourselves(&ports.options, target.address) {
            Ok(()) => attempt.try_address(ports, &target, route.protocol).await,
            Err(_) => Next::Ourselves,
        };
        match next {
            Next::Another => {}
            Next::Done => return Next::Done,
            Next::Ourselves => {
                let text = format!("{} is this very server: correct the route", target.host);
                attempt.note(Outcome::temporary((4, 4, 6), &text));
            }
        }
    }
    Next::Another
}

/// A domain's hosts, best first, and whether DNSSEC proves them.
pub(crate) async fn hosts_of(ports: &Ports, domain: &Domain) -> Result<Proved<Vec<Mx>>, Outcome> {
    let itself = || Proved {
        answer: vec![Mx {
            preference: 0,
            host: domain.to_ascii(),
        }],
        // Where it is proved that it has this address, it would be proved too that it
        // has an MX: what is signed cannot lose one on the way.
        secure: true,
    };
    if domain.literal_ip().is_some() {
        return Ok(itself());
    }
    let found = ports.dns.proved_mx(domain).await;
    let found = found.map_err(|error| Outcome::temporary((4, 4, 3), &error.to_string()))?;
    match found.answer {
        MxAnswer::Records(records) => Ok(Proved {
            answer: sorted(&ports.runtime, records),
            secure: found.secure,
        }),
        // RFC 5321 §5.1: an implicit MX.
        MxAnswer::NoMx => Ok(itself()),
        // RFC 7505 §4.2
        MxAnswer::NullMx => {
            let text = format!("{domain} takes no mail (null MX)");
            Err(Outcome::permanent(556, (5, 1, 10), &text))
        }
        MxAnswer::NxDomain => {
            let text = format!("the domain {domain} does not exist");
            Err(Outcome::permanent(550, (5, 1, 2), &text))
        }
    }
}

async fn try_hosts(ports: &Ports, demands: &Demands<'_>, hosts: &[Mx], attempt: &mut Attempt<'_>) {
    let domain = demands.domain();
    let mut left = ADDRESSES_MAX;
    for mx in hosts {
        let host = usable_host(ports, demands, mx, attempt).await;
        for &ip in &host.addresses {
            if left == 0 {
                return;
            }
            let address = SocketAddr::new(ip, ports.options.port);
            if attempt.has_been_silent(address) {
                continue;
            }
            let next = match check_public(&ports.options, address) {
                Ok(()) => {
                    left -= 1;
                    let mut target = host.of.target(&mx.host, address);
                    target.other = other_family(ports, ip, &host.addresses);
                    attempt.try_address(ports, &target, Protocol::Smtp).await
                }
                Err(Refusal::Ourselves) => Next::Ourselves,
                Err(refusal @ (Refusal::Private | Refusal::Family)) => {
                    let text = format!("{} [{ip}] is not used: {refusal}", mx.host);
                    attempt.note(Outcome::permanent(550, (5, 4, 4), &text));
                    Next::Another
                }
            };
            match next {
                Next::Done => return,
                Next::Another => {}
                // RFC 5321 §5.1: what stands at or behind ourselves in the list
                // would only send it back to us.
                Next::Ourselves => {
                    let text = format!("mail for {domain} would come back to this server");
                    attempt.note(Outcome::permanent(550, (5, 4, 6), &text));
                    return;
                }
            }
        }
    }
}

/// Those hosts that are better than we are, best first.
async fn try_primary(
    ports: &Ports,
    demands: &Demands<'_>,
    hosts: &[Mx],
    attempt: &mut Attempt<'_>,
) {
    let domain = demands.domain();
    let mut left = ADDRESSES_MAX;
    for equals in hosts.chunk_by(|one, other| one.preference == other.preference) {
        let mut targets = Vec::new();
        let mut ours = false;
        for mx in equals {
            ours |= is_own_name(ports, &mx.host);
            let host = usable_host(ports, demands, mx, attempt).await;
            for ip in host.addresses {
                let address = SocketAddr::new(ip, ports.options.port);
                ours |= check_not_ourselves(&ports.options, address).is_err();
                targets.push(host.of.target(&mx.host, address));
            }
        }
        // RFC 5321 §5.1 (MUST): what is as good as ourselves, or worse, is left out.
        if ours {
            break;
        }
        for target in targets {
            if left == 0 {
                return;
            }
            left -= 1;
            match attempt.try_address(ports, &target, Protocol::Smtp).await {
                Next::Done => return,
                Next::Another => {}
                Next::Ourselves => {
                    attempt.note(no_primary(domain));
                    return;
                }
            }
        }
    }
    attempt.note_unless_failed(no_primary(domain));
}

/// A host of a domain; without addresses where it is not to be used.
struct Host {
    addresses: Vec<IpAddr>,
    of: OfHost,
}

async fn usable_host(
    ports: &Ports,
    demands: &Demands<'_>,
    mx: &Mx,
    attempt: &mut Attempt<'_>,
) -> Host {
    let addresses = addresses_of(ports, demands.domain(), mx, attempt).await;
    let (addresses, of) = match demands.of_host(&mx.host, addresses.secure).await {
        Ok(of) => (addresses.answer, of),
        Err(refusal) => {
            attempt.note(refusal);
            (Vec::new(), OfHost::unused())
        }
    };
    Host { addresses, of }
}

/// The first IPv4 address of a host that has an IPv6 one too.
fn other_family(ports: &Ports, ip: IpAddr, all: &[IpAddr]) -> Option<SocketAddr> {
    let others = all.iter().filter(|other| ip.is_ipv6() && other.is_ipv4());
    let mut addresses = others.map(|&other| SocketAddr::new(other, ports.options.port));
    addresses.find(|&address| check_public(&ports.options, address).is_ok())
}

fn no_primary(domain: &Domain) -> Outcome {
    let text = format!("{domain} has no mail server that is better than this one");
    Outcome::temporary((4, 4, 4), &text)
}

pub(crate) fn is_own_name(ports: &Ports, host: &str) -> bool {
    host.trim_end_matches('.')
        .eq_ignore_ascii_case(&ports.options.hello)
}

async fn addresses_of(
    ports: &Ports,
    domain: &Domain,
    mx: &Mx,
    attempt: &mut Attempt<'_>,
) -> Proved<Vec<IpAddr>> {
    let unproved = |answer| Proved {
        answer,
        secure: false,
    };
    if let Some(ip) = domain.literal_ip() {
        return unproved(vec![ip]);
    }
    let found = match ports.dns.proved_addresses(&mx.host).await {
        Ok(found) => found,
        Err(error) => {
            attempt.note(Outcome::temporary((4, 4, 3), &error.to_string()));
            return unproved(Vec::new());
        }
    };
    match found.answer {
        AddressAnswer::Addresses(addresses) => Proved {
            answer: in_order(&ports.runtime, addresses),
            secure: found.secure,
        },
        AddressAnswer::None | AddressAnswer::NxDomain => {
            let text = format!("{}, a host of {domain}, has no address", mx.host);
            attempt.note(Outcome::permanent(550, (5, 4, 4), &text));
            unproved(Vec::new())
        }
    }
}

pub(crate) fn sorted(runtime: &Runtime, records: Vec<Mx>) -> Vec<Mx> {
    let mut keyed: Vec<(u16, u64, Mx)> = records
        .into_iter()
        .map(|mx| (mx.preference, runtime.random_u64(), mx))
        .collect();
    keyed.sort_by_key(|&(preference, random, _)| (preference, random));
    keyed.truncate(MX_MAX);
    keyed.into_iter().map(|(_, _, mx)| mx).collect()
}

/// Random within a family, IPv6 first, and both families within the limit.
fn in_order(runtime: &Runtime, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut keyed: Vec<(u64, IpAddr)> = addresses
        .into_iter()
        .map(|ip| (runtime.random_u64(), ip))
        .collect();
    keyed.sort_unstable();
    keyed.dedup_by_key(|&mut (_, ip)| ip);
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = keyed
        .into_iter()
        .map(|(_, ip)| ip)
        .partition(IpAddr::is_ipv6);
    let half = ADDRESSES_PER_HOST_MAX / 2;
    let six_kept = six.len().min(if four.is_empty() {
        ADDRESSES_PER_HOST_MAX
    } else {
        half.max(ADDRESSES_PER_HOST_MAX.saturating_sub(four.len()))
    });
    six.into_iter()
        .take(six_kept)
        .chain(four)
        .take(ADDRESSES_PER_HOST_MAX)
        .collect()
}
