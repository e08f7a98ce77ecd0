//! Where mail must not go: to ourselves, to addresses that are not public.
//!
//! A domain's owner chooses its MX. Without these checks he could make us talk to
//! our own ports (a loop) or to machines behind our firewall.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use crate::Options;

/// Why an address is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is one of our own listeners.
    #[error("it is this very server")]
    Ourselves,
    /// It is not public, and not in `outbound.allow_networks`.
    #[error("its address is private")]
    Private,
    /// IPv6 is not used.
    #[error("IPv6 is not used here")]
    Family,
}

/// May we connect to an address that a stranger's DNS named?
pub(crate) fn check_public(options: &Options, address: SocketAddr) -> Result<(), Refusal> {
    check_not_ourselves(options, address)?;
    let ip = address.ip().to_canonical();
    let allowed = options
        .allow_networks
        .iter()
        .any(|network| network.contains(ip));
    if !allowed && !is_public(ip) {
        return Err(Refusal::Private);
    }
    if ip.is_ipv6() && !options.use_ipv6 {
        return Err(Refusal::Family);
    }
    Ok(())
}

/// True for an address that a stranger's DNS may lead us to: public, or of a network that
/// the operator allows.
#[must_use]
pub fn may_reach(options: &Options, ip: IpAddr) -> bool {
    // Port 0 is none of ours.
    check_public(options, SocketAddr::new(ip, 0)).is_ok()
}

/// May we connect to an address that the operator named? All but our own ports.
/// What listens on every address is found out when connected: see
/// [`is_own_connection`].
pub(crate) fn check_not_ourselves(options: &Options, address: SocketAddr) -> Result<(), Refusal> {
    let ip = address.ip().to_canonical();
    let own = options.own_listeners.iter().any(|listener| {
        let any = listener.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified());
        listener.port() == address.port() && (any || listener.ip().to_canonical() == ip)
    });
    if own { Err(Refusal::Ourselves) } else { Ok(()) }
}

/// A connection from an address of this machine to the same address is one to
/// this machine; with one of our ports, where we listen on every address, to us.
pub(crate) fn is_own_connection(options: &Options, local: SocketAddr, peer: SocketAddr) -> bool {
    local.ip() == peer.ip()
        && options.own_listeners.iter().any(|listener| {
            listener.ip().is_unspecified()
                && listener.is_ipv4() == peer.is_ipv4()
                && listener.port() == peer.port()
        })
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Not in the IANA special-purpose registry (RFC 6890).
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    // 2000::/3 is all that is given out; of it the documentation's and 6to4 or
    // NAT64 forms that carry an IPv4 address.
    if segments[0] & 0xe000 != 0x2000 {
        // 64:ff9b::/96: the address behind the translator decides.
        if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
            let [.., a, b, c, d] = ip.octets();
            return is_public_v4(Ipv4Addr::new(a, b, c, d));
        }
        return false;
    }
    if segments[0] == 0x2002 {
        let [_, _, a, b, c, d, ..] = ip.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let documentation =
        (segments[0] == 0x2001 && segments[1] == 0xdb8) || segments[0] & 0xfff0 == 0x3ff0;
    !documentation
}
