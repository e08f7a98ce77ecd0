//! Does a domain's primary know a recipient? It is asked by MAIL and RCPT, and no message follows.
//!
//! The null sender is used: a server that asks back about it would ask for ever.
//! Not here: when to ask, and what is remembered (`policy`).

use std::net::{IpAddr, SocketAddr};

use envelope::{Address, Recipient, Reply, ReversePath};
use resolver::AddressAnswer;
use smtp_proto::client::{OnwardWishes, Protocol, Stage, Transaction, Verdict};

use crate::connection::{Broken, Connection};
use crate::destination::check_not_ourselves;
use crate::limits::ASKED_ADDRESSES_MAX;
use crate::preview::hosts_to_ask;
use crate::{Patience, Ports, Route, Target, TlsPolicy};

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It takes mail for the recipient.
    Yes,
    /// It does not know the recipient, in its own words.
    No(Reply),
    /// Nothing can be said now; why.
    Unsure(String),
}

/// Asks the primary of the address's domain: the route's host, or the domain's
/// MX that are better than ourselves.
///
/// # Cancel safety
/// May be dropped at any time.
pub async fn ask_primary(ports: &Ports, route: Option<&Route>, address: &Address) -> Known {
    let protocol = route.map_or(Protocol::Smtp, |route| route.protocol);
    let targets = match route {
        Some(route) => targets_of_route(ports, route).await,
        None => targets_of_domain(ports, address).await,
    };
    let targets = match targets {
        Ok(targets) => targets,
        Err(why) => return Known::Unsure(why),
    };
    let mut why = "it has no address that can be asked".to_owned();
    for target in targets.into_iter().take(ASKED_ADDRESSES_MAX) {
        match ask(ports, target.clone(), protocol, address).await {
            Ok(Some(verdict)) => return judge(verdict),
            Ok(None) => why = "it cannot take such an address".to_owned(),
            Err(broken) => why = format!("{}: {broken}", target.host),
        }
    }
    Known::Unsure(why)
}

async fn targets_of_domain(ports: &Ports, address: &Address) -> Result<Vec<Target>, String> {
    let hops = hosts_to_ask(ports, address.domain(), Patience::Primary).await;
    let hops = hops.map_err(|outcome| outcome.reply().to_line())?;
    let mut targets = Vec::new();
    for hop in hops.into_iter().filter(|hop| hop.unused.is_none()) {
        let usable = hop
            .addresses
            .into_iter()
            .filter(|(_, unused)| unused.is_none());
        targets.extend(usable.map(|(ip, _)| Target {
            host: hop.host.clone(),
            address: SocketAddr::new(ip, ports.options.port),
            tls: TlsPolicy::Opportunistic,
            credentials: None,
            demand: None,
            counted: None,
            other: None,
        }));
    }
    Ok(targets)
}

async fn targets_of_route(ports: &Ports, route: &Route) -> Result<Vec<Target>, String> {
    let addresses = match route.host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) => match ports.dns.addresses(&route.host).await {
            Ok(AddressAnswer::Addresses(addresses)) => addresses,
            Ok(AddressAnswer::None | AddressAnswer::NxDomain) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        },
    };
    let targets = addresses.into_iter().map(|ip| Target {
        host: route.host.clone(),
        address: SocketAddr::new(ip, route.port),
        tls: route.tls,
        credentials: route.credentials.clone(),
        demand: None,
        counted: None,
        other: None,
    });
    let is_other = |target: &Target| check_not_ourselves(&ports.options, target.address).is_ok();
    Ok(targets.filter(is_other).collect())
}

async fn ask(
    ports: &Ports,
    mut target: Target,
    protocol: Protocol,
    address: &Address,
) -> Result<Option<Verdict>, Broken> {
    let tls = target.tls;
    let mut opened = Connection::open(ports, &mut target, protocol, tls).await;
    if matches!(opened, Err(Broken::Handshake(_))) && tls == TlsPolicy::Opportunistic {
        opened = Connection::open(ports, &mut target, protocol, TlsPolicy::Never).await;
    }
    let mut connection = opened?;
    let transaction = Transaction {
        reverse_path: ReversePath::Null,
        recipients: vec![Recipient::new(address.clone())],
        size: None,
        eight_bit: false,
        smtputf8: address.needs_smtputf8(),
        ret: None,
        envid: None,
        wishes: OnwardWishes::default(),
        chunking: false,
    };
    let answer = connection.ask(transaction).await;
    connection.quit().await;
    answer
}

/// Only a word about the mailbox counts: that a server does not want us, our
/// sender or our network says nothing about its recipients.
fn judge(verdict: Verdict) -> Known {
    let Verdict { reply, stage } = verdict;
    if stage == Stage::Rcpt && reply.is_positive() {
        return Known::Yes;
    }
    let about_the_mailbox = match reply.enhanced {
        // RFC 3463 §3.2: X.1.x addresses, X.2.1 a mailbox that is disabled.
        Some(status) => {
            status.class == 5 && (status.subject == 1 || (status.subject, status.detail) == (2, 1))
        }
        None => matches!(reply.code, 550 | 551 | 553),
    };
    if stage == Stage::Rcpt && reply.is_permanent() && about_the_mailbox {
        return Known::No(reply);
    }
    Known::Unsure(reply.to_line())
}
